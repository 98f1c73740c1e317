"""What the commands of ``lvm`` share."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.config.ranges import MAX_COUNT

COUNT = click.IntRange(1, MAX_COUNT)

out = click.option(
    "--out",
    default="artifacts/lvm",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of models, results and figures.",
)
