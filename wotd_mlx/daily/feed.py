"""Past days as a feed: RSS for readers, ICS for calendars."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from xml.etree import ElementTree

from wotd_mlx.daily.today import Today

_NAMESPACE = uuid.UUID("7d1f0f5e-33f5-4f0b-9d0a-6d1d0c8f3b51")
"""Drawn once: an entry's identity is that of its day and word, however often the feed is written."""
_LINE = 75
"""Bytes of a line of ICS."""


def _identity(found: Today) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{found.day} {found.shown.word}"))


def _told(found: Today) -> str:
    shown = found.shown
    lines = [f"{sense.pos}: {sense.gloss}" if sense.pos else sense.gloss for sense in shown.senses[:3]]
    if found.example is not None:
        lines.append(f"“{found.example.text}” ({found.example.source})")
    return "\n".join([*lines, *found.why, *([f"From {shown.etymology}"] if shown.etymology else [])])


def rss(words: Sequence[Today]) -> bytes:
    """RSS 2.0, the latest day first."""
    root = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(root, "channel")
    for name, text in (
        ("title", "Word of the day"),
        ("link", "https://pypi.org/project/wotd-mlx/"),
        ("description", "A word a day, to your taste"),
    ):
        ElementTree.SubElement(channel, name).text = text
    for found in sorted(words, key=lambda found: found.day, reverse=True):
        item = ElementTree.SubElement(channel, "item")
        sound = f" /{found.shown.ipa}/" if found.shown.ipa else ""
        ElementTree.SubElement(item, "title").text = _xml(found.shown.word + sound)
        ElementTree.SubElement(item, "description").text = _xml(_told(found))
        ElementTree.SubElement(item, "guid", isPermaLink="false").text = _identity(found)
        midnight = datetime.combine(date.fromisoformat(found.day), datetime.min.time(), UTC)
        ElementTree.SubElement(item, "pubDate").text = format_datetime(midnight)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def ics(words: Sequence[Today], made: datetime) -> bytes:
    """iCalendar (RFC 5545), an all-day event a word.

    Args:
        made: when, which every event has to say.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//wotd-mlx//word of the day//EN"]
    for found in sorted(words, key=lambda found: found.day):
        day = date.fromisoformat(found.day)
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_identity(found)}",
            f"DTSTAMP:{made.astimezone(UTC):%Y%m%dT%H%M%SZ}",
            f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
            f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
            f"SUMMARY:{_escaped(found.shown.word)}",
            f"DESCRIPTION:{_escaped(_told(found))}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    return "".join(_folded(line) for line in [*lines, "END:VCALENDAR"]).encode()


def _xml(text: str) -> str:
    """Without what XML 1.0 can't hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return "".join(c for c in text.replace("\r", "").replace("\n", "\\n") if c >= " ")


def _folded(line: str) -> str:
    """A line of at most 75 bytes; what is longer goes on after a space on the next."""
    parts, now, size = list[str](), "", 0
    for c in line:
        if size + (width := len(c.encode())) > _LINE:
            parts.append(now)
            now, size = "", 1  # the space
        now, size = now + c, size + width
    return "\r\n ".join([*parts, now]) + "\r\n"
