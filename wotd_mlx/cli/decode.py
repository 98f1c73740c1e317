"""``wotd-mlx decode``: what a semantic ID stands for."""

from __future__ import annotations

from typing import Any

import click

from wotd_mlx.cli.options import (
    TEXT,
    NumbersCommand,
    as_json,
    describe,
    device,
    in_range,
    one_line,
    print_json,
    run_folder,
    with_gloss,
)
from wotd_mlx.config.ranges import Count


@click.command("decode", cls=NumbersCommand)
@click.argument("number", metavar="ID", type=TEXT)
@run_folder
@click.option("--vector", "with_vector", is_flag=True, help="Print the decoded vector too.")
@click.option("-n", "count", type=in_range(Count), default=5, show_default=True, help="How many of the nearest words.")
@with_gloss
@device
@as_json
def command(number: str, run: str, with_vector: bool, count: int, with_gloss: bool, as_json: bool) -> None:
    """Print the labels of an ID, the word whose own it is, and the words nearest to it, one of each family.

    Where the ID is no known word's own, the nearest to the vector that it stands for are printed; "source" in --json
    says which a word is.

    \b
    Examples:
      wotd-mlx decode 2,1,3,0
      wotd-mlx decode "[2,1,3,0]" --vector --json
    """
    from wotd_mlx.encoder import SemanticEncoder
    from wotd_mlx.schemas import SemanticID
    from wotd_mlx.vocabulary import Vocabulary

    coder = SemanticEncoder.load(run)
    parsed = SemanticID.parse(number, coder.levels)
    labels, nearest = coder.labels([parsed])[0], coder.around(parsed, count)
    numbers = [round(float(v), 6) for v in coder.decode([parsed])[0]] if with_vector else []
    words = Vocabulary.of(coder)
    if as_json:
        rows: list[dict[str, Any]] = [{**n._asdict(), "cosine": round(n.cosine, 4)} for n in nearest]
        for row in rows if with_gloss else ():
            row["gloss"] = words.gloss(row["word"])
        found = {"id": list(parsed), "labels": labels, "nearest": rows}
        print_json({**found, "vector": numbers} if with_vector else found)
        return
    click.echo(f"{parsed}  {describe(labels)}")
    for near in nearest:
        gloss = one_line(words.gloss(near.word) or "") if with_gloss else ""
        click.echo(f"  {near.cosine:.3f}  {one_line(near.word):<{18 if gloss else 0}}  {gloss}".rstrip())
    if with_vector:
        click.echo(" ".join(map(str, numbers)))
