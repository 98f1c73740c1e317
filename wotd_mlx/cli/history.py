"""``wotd-mlx history``: the words that were given, and what was said of them."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, in_range, one_line, print_json
from wotd_mlx.cli.person import opened, profile
from wotd_mlx.config.ranges import Count


@click.command("history")
@click.option("-n", "count", type=in_range(Count), default=30, show_default=True, help="How many, the latest.")
@profile
@as_json
def command(count: int, profile: str, as_json: bool) -> None:
    """Print the words that were given, day by day, and your votes; then words that you voted on unasked.

    \b
    Examples:
      wotd-mlx history
      wotd-mlx history -n 7 --json
    """
    with opened(profile) as store:
        given, votes = store.given(), store.votes()
    said: dict[str, list[str]] = {}
    for vote in votes:
        said.setdefault(vote.word, []).append(vote.kind)
    shown = {one.word for one in given}
    rows = [(one.day, one.word) for one in given]
    rows += [(vote.day, vote.word) for vote in votes if vote.word not in shown]
    for day, word in sorted(dict.fromkeys(rows), key=lambda row: row[0])[-count:]:
        if as_json:
            print_json({"date": day, "word": word, "given": word in shown, "votes": said.get(word, [])})
        else:
            click.echo(f"{day}  {one_line(word):<20}  {', '.join(said.get(word, []))}".rstrip())
