"""``wotd-mlx undo``: the last vote is taken back."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, one_line, print_json
from wotd_mlx.cli.person import opened, profile
from wotd_mlx.schemas import WotdError


@click.command("undo")
@profile
@as_json
def command(profile: str, as_json: bool) -> None:
    """Take the last vote back.

    \b
    Examples:
      wotd-mlx undo
      wotd-mlx undo --profile ada --json
    """
    with opened(profile) as store:
        last = store.undo()
    if last is None:
        raise WotdError("there is no vote to take back; `wotd-mlx history` lists those there are")
    if as_json:
        print_json({"word": last.word, "vote": last.kind, "at": last.at})
    else:
        click.echo(f"{one_line(last.word)}: {last.kind} taken back")
