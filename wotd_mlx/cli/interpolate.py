"""``wotd-mlx interpolate``: the words and IDs between two texts."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, device, print_json, run_folder


@click.command("interpolate")
@click.argument("start", metavar="A")
@click.argument("end", metavar="B")
@click.option("--steps", type=click.IntRange(2), default=5, show_default=True, help="Places, both ends among them.")
@run_folder
@device
@as_json
def command(start: str, end: str, steps: int, run: str, as_json: bool) -> None:
    """Walk from text A to text B along the sphere of embeddings, a line a step.

    \b
    Example:
      wotd-mlx interpolate melancholy mirth --steps 7
    """
    from wotd_mlx.encoder import SemanticEncoder

    coder = SemanticEncoder.load(run)
    a, b = coder.embed([start, end])
    for point in coder.interpolate(a, b, steps):
        if as_json:
            words = [{"word": n.word, "cosine": round(n.cosine, 4)} for n in point.nearest]
            print_json({"alpha": round(point.alpha, 4), "id": list(point.id), "nearest": words})
        else:
            click.echo(f"{point.alpha:.2f}  {point.id}  {', '.join(n.word for n in point.nearest)}")
