"""``wotd-mlx review``: words that were met come back."""

from __future__ import annotations

import sys

import click

from wotd_mlx.cli.options import as_json, in_range, known_run, one_line, print_json
from wotd_mlx.cli.person import known_word, now, opened, profile
from wotd_mlx.config.ranges import Count
from wotd_mlx.taste.votes import RATINGS


@click.command("review")
@click.argument("word", required=False)
@click.argument("rating", required=False, type=click.Choice(RATINGS))
@click.option("-n", "count", type=in_range(Count), default=20, show_default=True, help="How many words, at most.")
@profile
@known_run
@as_json
def command(word: str | None, rating: str | None, count: int, profile: str, run: str | None, as_json: bool) -> None:
    """Go through the words that you met and may be about to forget: say what each means, then how well you knew it.

    Each comes back after a time that grows with how well it came to mind. With WORD and RATING (again, hard, good,
    easy) one rating is kept; with --json, or where nobody can answer, the words that are due are listed.

    \b
    Examples:
      wotd-mlx review
      wotd-mlx review petrichor good
      wotd-mlx review --json
    """
    from wotd_mlx.daily.review import due
    from wotd_mlx.taste.votes import Vote
    from wotd_mlx.vocabulary import Vocabulary

    if word is not None and rating is None:
        raise click.UsageError(f"how well did {word[:60]!r} come to mind? Add one of {', '.join(RATINGS)}.")
    words = Vocabulary.open(run)
    with opened(profile) as store:

        def rate(text: str, kind: str) -> None:
            store.add([Vote.of(text, kind, now())])

        if word is not None and rating is not None:
            rated = known_word(words, word)
            rate(rated, rating)
            click.echo(f"{one_line(rated)}: {rating}", err=as_json)
            return
        waiting = due(store.given(), store.votes(), now())[:count]
        if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            for one in waiting:
                recall = None if one.recall is None else round(one.recall, 3)
                row = {"word": one.word, "due": one.due.isoformat(timespec="seconds"), "recall": recall}
                print_json(row) if as_json else click.echo(one_line(one.word))
            return
        if not waiting:
            click.echo("nothing is due")
        for one in waiting:
            click.echo(f"\n{one_line(one.word)}")
            click.pause("what does it mean? any key shows it …")
            click.echo(f"  {one_line(words.gloss(one.word) or 'no dictionary here has it')}")
            answer = click.prompt("how well?", type=click.Choice([*RATINGS, "stop"]), default="good")
            if answer == "stop":
                return
            rate(one.word, answer)
