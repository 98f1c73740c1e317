"""``wotd-mlx dislike``: a word is not to one's taste."""

from wotd_mlx.cli.person import vote_command

command = vote_command(
    "dislike",
    "disliked; coming words will be farther from it",
    """Say that you don't like today's word, or any words; coming days keep away from them.

    \b
    Examples:
      wotd-mlx dislike
      wotd-mlx dislike liquidity
    """,
)
