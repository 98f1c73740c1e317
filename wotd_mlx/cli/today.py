"""``wotd-mlx today``: the word of the day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wotd_mlx.cli.options import as_json, in_range, known_run, one_line, print_json
from wotd_mlx.cli.person import day_of, now, opened, profile
from wotd_mlx.cli.show import headline, print_page
from wotd_mlx.config.ranges import Count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from wotd_mlx.daily.today import Today

literature = click.option(
    "--literature",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="WOTD_MLX_LITERATURE",
    metavar="DIR",
    help="Works with a manifest, whose sentences are examples too. [env: WOTD_MLX_LITERATURE]",
)


@click.command("today")
@click.option("-n", "--count", type=in_range(Count), default=1, show_default=True, help="How many words.")
@click.option("--date", "day", metavar="DAY", help="Another day, such as 2026-12-24.")
@click.option("--notify", "notified", is_flag=True, help="As a notification of the system, where it has them.")
@click.option(
    "--predictor",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="OUT/models/NAME of `wotd-mlx lvm train`: what comes after the last five liked words, in place of the taste.",
)
@profile
@literature
@known_run
@as_json
def command(
    count: int,
    day: str | None,
    notified: bool,
    predictor: Path | None,
    profile: str,
    literature: Path | None,
    run: str | None,
    as_json: bool,
) -> None:
    """Print the word of the day: what it means, how it sounds, why this one, an example, where it comes from.

    It is chosen when a day is first asked for, by what you like, dislike and know, and then stays; the day turns at
    your midnight. Without any vote it answers too.

    \b
    Examples:
      wotd-mlx today
      wotd-mlx like                  today's word; or: dislike, know, skip, undo
      wotd-mlx today --count 3 --json
      wotd-mlx today --date 2026-12-24 --profile ada
    """
    from wotd_mlx.daily.day import Daily
    from wotd_mlx.daily.today import present
    from wotd_mlx.vocabulary import Vocabulary

    words, wanted = Vocabulary.open(run), day_of(day)
    with opened(profile) as store:
        chosen = Daily(words, store, predictor=predictor).of(wanted, now(), count)
        if len(chosen) < count:
            click.echo(f"no more words are left: {len(chosen)} of {count}", err=True)
        for given in chosen:
            found = present(words, store, given, literature)
            if notified and _notify(found):
                continue
            if as_json:
                print_json(found.as_json())
            else:
                show_today(found)


def _notify(found: Today) -> bool:
    from wotd_mlx.daily.schedule import notify

    shown = found.shown
    gloss = shown.senses[0].gloss if shown.senses else ""
    if notify(one_line(shown.word), one_line(gloss)):
        return True
    click.echo("this system shows no notifications (notify-send is missing)", err=True)
    return False


def show_today(found: Today) -> None:
    """In colour and wrapped on a terminal, a line each where the output goes elsewhere."""
    from rich.text import Text

    lines = [Text(_written(date.fromisoformat(found.day)), "dim"), headline(found.shown)]
    # All of each line every morning would be more than the word; `show` has them.
    sources = [Text(one_line(f"from {', '.join(found.sources)}"), "dim")] if found.sources else []
    print_page(lines, _rows(found), sources, 10, gap=("",))


def _rows(found: Today) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    before = None
    for sense in found.shown.senses[:3]:
        yield sense.pos if sense.pos != before else "", Text(one_line(sense.gloss), "bold" if before is None else "")
        before = sense.pos
    if found.example is not None:
        yield (
            "example",
            Text.assemble(
                (f"“{one_line(found.example.text)}”", "italic"), (f"  {one_line(found.example.source)}", "dim")
            ),
        )
    for place, reason in enumerate(found.why):
        yield "why" if place == 0 else "", Text(one_line(reason))
    if found.shown.etymology:
        yield "origin", Text(one_line(found.shown.etymology))


def _written(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B %Y}"
