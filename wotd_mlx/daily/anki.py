"""Words that were given, as cards for Anki: a package, by `genanki`, or text with tabs."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from pathlib import Path

from wotd_mlx.daily.today import Today
from wotd_mlx.io.files import appearing, write_atomically
from wotd_mlx.schemas import MissingError

FIELDS = ("word", "sound", "meaning", "example", "why", "origin", "day")
_MODEL, _DECK = 1_733_961_201, 1_733_961_202
"""Drawn once: Anki knows its own kinds of notes and decks again by these."""


def fields_of(found: Today) -> tuple[str, ...]:
    """A word's fields, :data:`FIELDS`, as plain text."""
    shown = found.shown
    meaning = "; ".join(f"{sense.pos}: {sense.gloss}" if sense.pos else sense.gloss for sense in shown.senses[:3])
    example = f"{found.example.text} ({found.example.source})" if found.example else ""
    sound = f"/{shown.ipa}/" if shown.ipa else ""
    return shown.word, sound, meaning, example, "; ".join(found.why), shown.etymology or "", found.day


def write_tsv(path: Path, words: Sequence[Today]) -> None:
    """Write a word a line, its fields between tabs, whole or not at all; Anki and tables read it."""
    lines = ["#separator:tab", "#html:false", f"#columns:{chr(9).join(FIELDS)}"]
    lines += ["\t".join(" ".join(field.split()) for field in fields_of(found)) for found in words]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def write_apkg(path: Path, words: Sequence[Today], deck: str) -> None:
    """Write a package of cards, whole or not at all. A word that is imported again replaces its own card.

    Args:
        deck: its name.
    Raises:
        MissingError: `genanki` isn't installed.
    """
    try:
        import genanki
    except ImportError as error:
        raise MissingError("a package for Anki needs genanki: pip install 'wotd-mlx[anki]', or write a .tsv") from error
    front = '<div class="word">{{word}}</div><div class="sound">{{sound}}</div>'
    back = "{{FrontSide}}<hr><p>{{meaning}}</p><p><i>{{example}}</i></p><p>{{origin}}</p>"
    model = genanki.Model(
        _MODEL,
        "wotd-mlx",
        fields=[{"name": name} for name in FIELDS],
        templates=[{"name": "meaning", "qfmt": front, "afmt": back}],
        css=".card { font-family: serif; text-align: center } .word { font-size: 2em }",
    )
    cards = genanki.Deck(_DECK, deck)
    for found in words:
        number = hashlib.sha256(f"wotd-mlx {found.shown.word}".encode()).hexdigest()[:16]
        cards.add_note(genanki.Note(model, fields=[html.escape(field) for field in fields_of(found)], guid=number))
    with appearing(path) as temporary:
        genanki.Package(cards).write_to_file(temporary)
