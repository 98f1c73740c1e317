"""``wotd-mlx like``: a word is to one's taste."""

from wotd_mlx.cli.person import vote_command

command = vote_command(
    "like",
    "liked; coming words will be nearer to it",
    """Say that you like today's word, or any words; coming days lean towards them.

    \b
    Examples:
      wotd-mlx like
      wotd-mlx like petrichor gossamer
    """,
)
