"""``wotd-mlx interpolate``: the words and IDs between two texts."""

from __future__ import annotations

import logging

import click

from wotd_mlx.cli.options import TEXT, as_json, device, one_line, print_json, run_folder

log = logging.getLogger("wotd_mlx")


@click.command("interpolate")
@click.argument("start", metavar="A", type=TEXT)
@click.argument("end", metavar="B", type=TEXT)
@click.option(
    "--steps",
    type=click.IntRange(2, 100_000),
    default=5,
    show_default=True,
    help="Points on the way, both ends included.",
)
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
    from wotd_mlx.language.word_index import WordIndex

    coder = SemanticEncoder.load(run)
    a, b = WordIndex.of(coder).embed([start, end])
    for text, cut in zip((start, end), coder.truncated([start, end]), strict=True):
        if cut:
            log.warning("%s… is longer than what is read; its beginning counts", one_line(text[:40]))
    for point in coder.interpolate(a, b, steps):
        if as_json:
            words = [{"word": n.word, "cosine": round(n.cosine, 4)} for n in point.nearest]
            print_json({"alpha": round(point.alpha, 4), "id": list(point.id), "nearest": words})
        else:
            click.echo(f"{point.alpha:.2f}  {point.id}  {one_line(', '.join(n.word for n in point.nearest))}")
