"""``python -m wotd_mlx.cli``: the same as ``wotd-mlx``."""

from wotd_mlx.cli import main

main()
