"""``wotd-mlx lvm compare``: figures and one page about what was evaluated."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.cli.lvm.options import out
from wotd_mlx.cli.options import as_json, print_json


@click.command("compare")
@out
@as_json
def command(out: Path, as_json: bool) -> None:
    """Draw figures of all evaluated predictors, and write a report that holds them.

    Figures lie in DIR/evaluation/comparison_plots, the report is the one file DIR/evaluation/report.html.

    \b
    Examples:
      wotd-mlx lvm compare
      wotd-mlx lvm compare --out artifacts/short
    """
    from wotd_mlx.lvm.report.page import write_report

    report = write_report(out)
    if as_json:
        print_json({"report": str(report)})
    else:
        click.echo(f"wrote {report}")
