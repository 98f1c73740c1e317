"""``wotd-mlx know``: a word was known already."""

from wotd_mlx.cli.person import vote_command

command = vote_command(
    "know",
    "known already; coming words will be rarer",
    """Say that you knew today's word already, or any words; coming words are rarer. Your taste stays as it is.

    For another word today, `wotd-mlx skip`.

    \b
    Examples:
      wotd-mlx know
      wotd-mlx know melancholy
    """,
)
