"""``wotd-mlx decode``: what a semantic ID stands for."""

from __future__ import annotations

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
)
from wotd_mlx.config.ranges import Count


@click.command("decode", cls=NumbersCommand)
@click.argument("number", metavar="ID", type=TEXT)
@run_folder
@click.option("--vector", "with_vector", is_flag=True, help="Print the decoded vector too.")
@click.option("-n", "count", type=in_range(Count), default=5, show_default=True, help="How many of the nearest words.")
@device
@as_json
def command(number: str, run: str, with_vector: bool, count: int, as_json: bool) -> None:
    """Print the labels of an ID and the words nearest to the vector that it stands for.

    \b
    Examples:
      wotd-mlx decode 2,1,3,0
      wotd-mlx decode "[2,1,3,0]" --vector --json
    """
    from wotd_mlx.encoder import SemanticEncoder
    from wotd_mlx.schemas import SemanticID

    coder = SemanticEncoder.load(run)
    parsed = SemanticID.parse(number, coder.levels)
    vector = coder.decode([parsed])
    labels, nearest = coder.labels([parsed])[0], coder.nearest(vector, count)[0]
    numbers = [round(float(v), 6) for v in vector[0]]
    if as_json:
        words = [{"word": n.word, "cosine": round(n.cosine, 4)} for n in nearest]
        row = {"id": list(parsed), "labels": labels, "nearest": words}
        print_json({**row, "vector": numbers} if with_vector else row)
        return
    click.echo(f"{parsed}  {describe(labels)}")
    for neighbour in nearest:
        click.echo(f"  {neighbour.cosine:.3f}  {one_line(neighbour.word)}")
    if with_vector:
        click.echo(" ".join(map(str, numbers)))
