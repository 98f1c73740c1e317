"""``wotd-mlx skip``: another word today."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.cli.options import as_json, known_run, one_line, print_json
from wotd_mlx.cli.person import now, opened, profile, vote
from wotd_mlx.cli.today import literature, show_today


@click.command("skip")
@profile
@literature
@known_run
@as_json
def command(profile: str, literature: Path | None, run: str | None, as_json: bool) -> None:
    """Put today's word aside and print the next; it counts a little as not liked.

    \b
    Examples:
      wotd-mlx skip
      wotd-mlx undo       and today's word is back
    """
    from wotd_mlx.daily.day import Daily
    from wotd_mlx.daily.today import present
    from wotd_mlx.vocabulary import Vocabulary

    words = Vocabulary.open(run)
    with opened(profile) as store:
        daily = Daily(words, store)
        (skipped,) = vote("skip", (), daily)
        click.echo(f"{one_line(skipped)}: skipped", err=True)
        at = now()
        given = daily.of(at.date(), at)[0]
        found = present(words, store, given, literature)
    if as_json:
        print_json(found.as_json())
    else:
        show_today(found)
