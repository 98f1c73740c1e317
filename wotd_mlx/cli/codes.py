"""``wotd-mlx codes``: what each coordinate and each of its codes means."""

from __future__ import annotations

import os
from pathlib import Path

import click

from wotd_mlx.cli.options import as_json, device, one_line, print_json, run_folder, with_gloss

MOST = 32
"""Codes of a coordinate that are printed where it wasn't asked for: an address of thousands reads as nothing."""


@click.command("codes")
@run_folder
@click.option("--coordinate", metavar="NAME", help="Only this one, such as style.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="DIR", help="Also draw a picture of each coordinate there."
)
@with_gloss
@device
@as_json
def command(run: str, coordinate: str | None, plot: Path | None, with_gloss: bool, as_json: bool) -> None:
    """Show every code of every coordinate: its name and words that bear it.

    Behind a code's name stands the value that it reads as, then its own words. What moving along a coordinate changes
    is in the run's metrics.json, and on the pictures.

    \b
    Examples:
      wotd-mlx codes
      wotd-mlx codes --run runs/rvq --coordinate era
      wotd-mlx codes --plot pictures
    """
    # For products as short as these, further threads of NumPy's BLAS do nothing but wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from wotd_mlx.encoder import SemanticEncoder
    from wotd_mlx.schemas import WotdError
    from wotd_mlx.vocabulary import Vocabulary

    coder = SemanticEncoder.load(run)
    names = coder.names()
    if not names:
        raise WotdError(f"no number of an ID of {run} has a name: its codes are {coder.config.codes.kind}")
    there = list(dict.fromkeys(name.coordinate for name in names))
    if coordinate is not None and coordinate not in there:
        raise WotdError(f"{run} has no coordinate {coordinate!r}; its coordinates are {', '.join(there)}")
    names = [name for name in names if coordinate in (None, name.coordinate)]
    if plot is not None:
        from wotd_mlx.codes.plot import draw

        for file in draw(names, coder.model.tables, coder.config.tied, plot):
            click.echo(f"drew {file}", err=True)
    known = Vocabulary.of(coder)
    if as_json:
        for name in names:
            row = {"coordinate": name.coordinate, "code": name.code, "name": name.name, "words": list(name.words)}
            glosses = {"glosses": list(map(known.gloss, name.words))} if with_gloss else {}
            print_json({**row, "members": name.members, **glosses})
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for title in dict.fromkeys(name.coordinate for name in names):
        table = Table(title=title, title_justify="left")
        for column in ("code", "name", "members", "words", *(["the first means"] if with_gloss else [])):
            table.add_column(column, justify="right" if column in ("code", "members") else "left")
        mine = [name for name in names if name.coordinate == title]
        for name in mine if coordinate else mine[:MOST]:
            words = one_line(", ".join(name.words[2:]))
            cells: list[str | Text] = [str(name.code), Text(one_line(name.name)), f"{name.members:,}", Text(words)]
            first = known.gloss(name.words[0]) if with_gloss and name.words else ""
            table.add_row(*cells, *([Text(one_line(first or ""))] if with_gloss else []))
        console.print(table)
        if not coordinate and len(mine) > MOST:
            console.print(f"… {len(mine) - MOST:,} more; all of them with --coordinate {title!r}", highlight=False)
