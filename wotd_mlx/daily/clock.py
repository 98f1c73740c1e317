"""What time it is for the person."""

from __future__ import annotations

from datetime import datetime


def now() -> datetime:
    """The moment, in the time zone of this machine: a day turns at its midnight."""
    return datetime.now().astimezone()
