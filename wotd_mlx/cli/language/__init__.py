"""``wotd-mlx language``: the model that writes words; one file a command."""

from __future__ import annotations

import click

from wotd_mlx.cli import LazyGroup

COMMANDS = ("list", "train", "evaluate", "fuse")


@click.group("language", cls=LazyGroup, package="wotd_mlx.cli.language", names=COMMANDS)
def command() -> None:
    """Train, measure and fuse the language model of a run.

    \b
    wotd-mlx language list                    models that are known by name
    wotd-mlx language train --minutes 20      adapters for a run's words
    wotd-mlx language evaluate                figures, beside doing without a model
    wotd-mlx language fuse --out DIR          one model folder that mlx-lm reads
    """
