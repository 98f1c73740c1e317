"""``wotd-mlx lvm``: predictors of the next sentence's embedding; one file a command."""

from __future__ import annotations

import click

from wotd_mlx.cli import LazyGroup

COMMANDS = ("list", "train", "evaluate", "compare")


@click.group("lvm", cls=LazyGroup, package="wotd_mlx.cli.lvm", names=COMMANDS)
def command() -> None:
    """Predict the embedding of the next sentence: thirteen architectures, trained and compared alike.

    \b
    wotd-mlx lvm list                              what there is
    wotd-mlx lvm train gru --data sentences.tsv    one model, into artifacts/lvm
    wotd-mlx lvm train all --data sentences.tsv    all thirteen
    wotd-mlx lvm evaluate                          results, beside copying and least squares
    wotd-mlx lvm compare                           figures and a report
    """
