"""Having today's word told every morning: entries for launchd, systemd and cron, and a notification."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import time
from pathlib import Path

KINDS = ("launchd", "systemd", "cron")
_LABEL = "wotd-mlx.today"


def default_kind() -> str:
    """What this system starts things with."""
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("systemctl") else "cron"


def entry(kind: str, at: time, arguments: Sequence[str]) -> str:
    """The text of an entry that runs ``wotd-mlx today --notify`` every day.

    Args:
        kind: of :data:`KINDS`.
        arguments: further ones, such as ``--profile ada``.
    """
    command = [*program(), "today", "--notify", *arguments]
    if kind == "launchd":
        content = {
            "Label": _LABEL,
            "ProgramArguments": command,
            "StartCalendarInterval": {"Hour": at.hour, "Minute": at.minute},
        }
        return plistlib.dumps(content).decode()
    if kind == "systemd":
        quoted = " ".join(_systemd(part) for part in command)
        return (
            f"# {_LABEL}.service\n[Unit]\nDescription=The word of the day\n\n[Service]\nType=oneshot\n"
            f"ExecStart={quoted}\n\n# {_LABEL}.timer\n[Unit]\nDescription=The word of the day\n\n[Timer]\n"
            f"OnCalendar=*-*-* {at:%H:%M}:00\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
        )
    # A % is a line's end for cron.
    return f"{at.minute} {at.hour} * * * {shlex.join(command)}\n".replace("%", "\\%")


def where(kind: str) -> str:
    """What to do with an entry."""
    return {
        "launchd": f"save it as ~/Library/LaunchAgents/{_LABEL}.plist, then: launchctl load that file",
        "systemd": f"save both parts in ~/.config/systemd/user/, then: systemctl --user enable --now {_LABEL}.timer",
        "cron": "add it with: crontab -e",
    }[kind]


def program() -> list[str]:
    """The command that runs this program, by its whole path: what starts things has a PATH of its own."""
    found = shutil.which("wotd-mlx")
    return [str(Path(found).resolve())] if found else [sys.executable, "-m", "wotd_mlx.cli"]


def _systemd(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def notify(title: str, text: str) -> bool:
    """Show a notification; False where this system has no way to."""
    if sys.platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        command = ["osascript", "-e", script, title, text]
    elif found := shutil.which("notify-send"):
        command = [found, "--app-name=wotd-mlx", "--", title, text]
    else:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
