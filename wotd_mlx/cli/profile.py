"""``wotd-mlx profile``: what is known of a person's taste; to a file and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wotd_mlx.cli.options import as_json, known_run, one_line, print_json
from wotd_mlx.cli.person import opened
from wotd_mlx.cli.person import profile as profile_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wotd_mlx.daily.profile import Profile


@click.group("profile", invoke_without_command=True)
@profile_option
@known_run
@as_json
@click.pass_context
def command(ctx: click.Context, profile: str, run: str | None, as_json: bool) -> None:
    """Print what your votes tell: what your taste rests on, what you would likely love, which words you know.

    \b
    Examples:
      wotd-mlx profile
      wotd-mlx profile --profile ada --json
      wotd-mlx profile export votes.json
      wotd-mlx profile --profile ada import votes.json
    """
    ctx.obj = profile
    if ctx.invoked_subcommand is not None:
        return
    from wotd_mlx.daily.day import Daily
    from wotd_mlx.daily.profile import profile as summed
    from wotd_mlx.vocabulary import Vocabulary

    with opened(profile) as store:
        found = summed(Daily(Vocabulary.open(run), store))
    if as_json:
        print_json(found.as_json())
        return
    for title, text in _rows(found):
        click.echo(f"{title:<14}{one_line(text)}")


def _rows(found: Profile) -> Iterator[tuple[str, str]]:
    told = ", ".join(f"{count} {kind}" for kind, count in found.votes.items() if count)
    yield "votes", told or "none yet: say `wotd-mlx like` or `dislike` after `wotd-mlx today`"
    yield "days", str(found.days)
    if found.liked:
        yield "liked", ", ".join(found.liked)
    for name, counts in found.labels.items():
        yield name, ", ".join(f"{value} {count}" for value, count in counts.items())
    if found.rests_on:
        strongest = sorted(found.rests_on.items(), key=lambda item: -item[1])
        yield "rests on", ", ".join(f"{name} {share:.0%}" for name, share in strongest if share >= 0.05)
    yield "likely loved", ", ".join(found.likely)
    yield "likely known", f"words used more than {found.known_above:g} times in a million"


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@as_json
@click.pass_obj
def export(profile: str, file: Path, as_json: bool) -> None:
    """Write your votes and the words you were given to FILE, as JSON."""
    from wotd_mlx.taste.exchange import export_votes

    with opened(profile) as store:
        votes, given = export_votes(store, file)
    _tell(file, votes, given, as_json, "{file}: {votes} votes, {given} words that were given")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@as_json
@click.pass_obj
def import_(profile: str, file: Path, as_json: bool) -> None:
    """Add votes and given words of FILE, which `export` wrote; what is there already stays as it is."""
    from wotd_mlx.taste.exchange import import_votes

    with opened(profile) as store:
        votes, given = import_votes(store, file)
    _tell(file, votes, given, as_json, "{file}: {votes} votes and {given} words that were given are new")


def _tell(file: Path, votes: int, given: int, as_json: bool, told: str) -> None:
    if as_json:
        print_json({"file": str(file), "votes": votes, "given": given})
    else:
        click.echo(told.format(file=one_line(str(file)), votes=votes, given=given))
