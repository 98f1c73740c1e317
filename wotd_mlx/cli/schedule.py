"""``wotd-mlx schedule``: the word of the day every morning."""

from __future__ import annotations

from datetime import datetime

import click

from wotd_mlx.cli.options import as_json, print_json
from wotd_mlx.cli.person import profile
from wotd_mlx.daily.schedule import KINDS
from wotd_mlx.schemas import WotdError


@click.command("schedule")
@click.option("--at", "at", default="08:00", show_default=True, metavar="HH:MM", help="When, in local time.")
@click.option("--for", "kind", type=click.Choice(KINDS), help="What starts it. [default: this system's]")
@click.option("--print", "printed", is_flag=True, help="The entry alone, for a file or a pipe.")
@profile
@as_json
def command(at: str, kind: str | None, printed: bool, profile: str, as_json: bool) -> None:
    """Print the entry that has launchd, systemd or cron run `wotd-mlx today --notify` every day; nothing is installed.

    \b
    Examples:
      wotd-mlx schedule
      wotd-mlx schedule --at 07:30 --for cron --print | crontab -
      wotd-mlx schedule --for launchd --print > ~/Library/LaunchAgents/wotd-mlx.today.plist
    """
    from wotd_mlx.daily.schedule import default_kind, entry, where
    from wotd_mlx.taste.votes import check_profile

    try:
        moment = datetime.strptime(at, "%H:%M").time()
    except ValueError as error:
        raise WotdError(f"{at[:40]!r} is no time of day; write it as 08:00") from error
    chosen = kind or default_kind()
    text = entry(chosen, moment, ["--profile", check_profile(profile)] if profile != "default" else [])
    if as_json:
        print_json({"for": chosen, "entry": text, "where": where(chosen)})
        return
    click.echo(text, nl=False)
    if not printed:
        click.echo(f"\n{where(chosen)}", err=True)
