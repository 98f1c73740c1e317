"""``wotd-mlx lvm list``: which predictors there are."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, print_json


@click.command("list")
@as_json
def command(as_json: bool) -> None:
    """Name, size, cost and reference of each predictor.

    Cost is that of reading L embeddings, in the shapes B batch, L sequence, D width, H heads, N state; step memory is
    the size of what is kept from one embedding to the next.

    \b
    Examples:
      wotd-mlx lvm list
      wotd-mlx lvm list --json | jq -r .name
    """
    from wotd_mlx.lvm import NAMES, architecture, build, preset

    rows = []
    for name in NAMES:
        about = architecture(name).ABOUT
        rows.append(
            {
                "name": name,
                "title": about.title,
                # Counted, not computed: weights are lazy until something reads them.
                "params_paper": build(name, preset(name, "paper")).size,
                "params_tiny": build(name, preset(name, "tiny")).size,
                "params_published": about.published,
                "complexity": about.complexity,
                "step_memory": about.step_memory,
                "reference": about.reference,
                "note": about.note,
            }
        )
    if as_json:
        for row in rows:
            print_json(row)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "paper", "tiny", "cost", "step memory", "reference", "what"):
        table.add_column(title, justify="right" if title in ("paper", "tiny") else "left")
    for row in rows:
        sizes = (f"{row[key] / 1e6:,.1f}M" for key in ("params_paper", "params_tiny"))
        table.add_row(row["name"], *sizes, row["complexity"], row["step_memory"], row["reference"], row["title"])
    Console().print(table)
