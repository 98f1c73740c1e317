"""``wotd-mlx feed``: past days for feed readers, calendars and Anki."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wotd_mlx.cli.options import as_json, in_range, known_run, one_line, print_json
from wotd_mlx.cli.person import now, opened, profile
from wotd_mlx.cli.today import literature
from wotd_mlx.config.ranges import Count
from wotd_mlx.schemas import WotdError

FORMATS = ("rss", "ics", "tsv", "apkg")


@click.command("feed")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="[default: by the file's ending, else rss]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: stdout]")
@click.option("-n", "count", type=in_range(Count), default=30, show_default=True, help="How many words, the latest.")
@profile
@literature
@known_run
@as_json
def command(
    kind: str | None,
    out: Path | None,
    count: int,
    profile: str,
    literature: Path | None,
    run: str | None,
    as_json: bool,
) -> None:
    """Write the words that were given, today's too: RSS for readers, ICS for calendars, TSV or a package for Anki.

    \b
    Examples:
      wotd-mlx feed --out words.xml
      wotd-mlx feed --format ics --out words.ics
      wotd-mlx feed --out words.apkg -n 365
    """
    from wotd_mlx.daily import anki, feed
    from wotd_mlx.daily.day import Daily
    from wotd_mlx.daily.today import present
    from wotd_mlx.io.files import write_atomically
    from wotd_mlx.vocabulary import Vocabulary

    ending = out.suffix.removeprefix(".").lower() if out is not None else ""
    chosen = kind or (ending if ending in FORMATS else FORMATS[0])
    if chosen in ("tsv", "apkg") and out is None:
        raise WotdError(f"{chosen} wants a file; give it with --out words.{chosen}")
    words, at = Vocabulary.open(run), now()
    with opened(profile) as store:
        daily = Daily(words, store)
        daily.of(at.date(), at)
        found = [present(words, store, one, literature) for one in daily.past(at.date(), count)]
    if chosen == "apkg" and out is not None:
        anki.write_apkg(out, found, "Word of the day")
    elif chosen == "tsv" and out is not None:
        anki.write_tsv(out, found)
    else:
        written = feed.rss(found) if chosen == "rss" else feed.ics(found, at)
        if out is None:
            sys.stdout.buffer.write(written)
            return
        write_atomically(out, written)
    if as_json:
        print_json({"file": str(out), "words": len(found)})
    else:
        click.echo(f"{one_line(str(out))}: {len(found)} words")
