"""``wotd-mlx find``: the words that a description means."""

from __future__ import annotations

from typing import Any

import click

from wotd_mlx.cli.options import (
    TEXT,
    as_json,
    attributes,
    describe,
    device,
    in_range,
    known_run,
    one_line,
    print_json,
    wanted_values,
)
from wotd_mlx.config.ranges import Count
from wotd_mlx.words.difficulty import DIFFICULTIES


@click.command("find")
@click.argument("description", metavar="DESCRIPTION", type=TEXT)
@click.option("-n", "count", type=in_range(Count), default=10, show_default=True, help="How many words.")
@attributes
@click.option("--difficulty", type=click.Choice(DIFFICULTIES), help="Only words of this class.")
@known_run
@device
@as_json
def command(description: str, count: int, difficulty: str | None, run: str | None, as_json: bool, **given: Any) -> None:
    """Print the words that DESCRIPTION means, nearest first, each with the gloss that fits.

    Of a word and its forms one is given, and none that stands in DESCRIPTION. A single word gives words of like
    meaning. With --style and the like, words come first of which evidence says so, then those of which a model thinks
    so; "source" in --json says which.

    \b
    Examples:
      wotd-mlx find "pleasing to the ear"
      wotd-mlx find "a longing for home" -n 3 --style romantic --json
      wotd-mlx find melancholy --attribute era=victorian --difficulty hard
    """
    from wotd_mlx.find import short
    from wotd_mlx.vocabulary import Vocabulary

    level = None if difficulty is None else DIFFICULTIES.index(difficulty)
    words = Vocabulary.open(run)
    click.echo(f"from {words.name}", err=True)
    for found in words.find(description, count, values=wanted_values(given), difficulty=level):
        if as_json:
            print_json({**found._asdict(), "cosine": round(found.cosine, 4)})
        else:
            word, gloss = one_line(found.word), one_line(short(found.gloss))
            click.echo(f"{found.cosine:.3f}  {word:<18}  {gloss:<74}  {describe(found.labels)}".rstrip())
