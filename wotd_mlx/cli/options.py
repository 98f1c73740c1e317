"""What several commands share: options, and how a result is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from wotd_mlx.backend import DEVICES

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, all else on stderr.")
run_folder = click.option(
    "--run",
    default="runs/default",
    show_default=True,
    metavar="DIR",
    help="The run that `wotd-mlx train` made.",
)


def _select(ctx: click.Context, param: click.Parameter, name: str) -> str:
    from wotd_mlx.backend import select_device

    select_device(name)
    return name


device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_select,
    help="Where MLX computes.",
)


def print_json(row: dict[str, Any]) -> None:
    """One line, at once: whoever reads the pipe is waiting for it."""
    click.echo(json.dumps(row, ensure_ascii=False))


def describe(labels: dict[str, str]) -> str:
    """``classical, beautiful, shakespearean``; a dash where nothing is known."""
    return ", ".join(labels.values()) or "-"
