"""Texts to counts: a manifest of works, the text without its Gutenberg wrapping, verse apart from prose."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.records import shown
from wotd_mlx.io.table import read_table
from wotd_mlx.schemas import MissingError, WotdError

log = logging.getLogger("wotd_mlx")

MANIFEST = "manifest.tsv"
COLUMNS = ("file", "author", "title", "year", "era")

_START = re.compile(
    r"^\s*(?:\*{3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT).*$", re.I | re.M
)
_END = re.compile(
    r"^\s*(?:\*{3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg).*$",
    re.I | re.M,
)
_TOKEN = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*(?:-[A-Za-z]+(?:['’][A-Za-z]+)*)*")
_STAGE = re.compile(
    r"^[ \t]*\[?(?:Re-?enter|Enter|Exit|Exeunt|Flourish|Alarums?|Aside|SCENE|ACT)\b[^.\n]*"
    r"|\[[^\]\n]*\]?|\bExeunt\b",
    re.M,
)
_VERSE_WIDTH = 62  # prose in these files is wrapped at 66 to 76 columns, or not at all


@dataclass(frozen=True)
class Work:
    """One row of a manifest."""

    path: Path
    author: str
    title: str
    year: int
    era: str

    @property
    def name(self) -> str:
        """Return the file's name without its ending; it names the work in the evidence."""
        return self.path.stem


@dataclass
class Tally:
    """Counts of one work: lower-cased forms in verse and in prose, and how forms look inside a sentence."""

    verse: Counter[str] = field(default_factory=Counter)
    prose: Counter[str] = field(default_factory=Counter)
    capital: Counter[str] = field(default_factory=Counter)
    lower: Counter[str] = field(default_factory=Counter)


def read_manifest(folder: str | Path) -> tuple[Work, ...]:
    """Read ``manifest.tsv`` in a folder of texts; columns beyond file, author, title, year, era are ignored.

    Raises:
        MissingError: no folder, manifest or listed file.
        WotdError: a column is missing, a year is no number, a file outside the folder, no rows.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    need = f"a tab-separated table with the columns {', '.join(COLUMNS)}"
    if not folder.is_dir():
        raise MissingError(f"{folder} is not a folder; give a folder of text files with {MANIFEST}, {need}")
    table = read_table(path, "\t", COLUMNS, f"a folder of texts needs {MANIFEST}, {need}", quoted=False)
    works = []
    for number, cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        values = {c: row[c].strip() for c in COLUMNS}
        if not values["file"] or not values["era"]:
            raise WotdError(f"{path}:{number}: file or era is empty; fill in both")
        if not re.fullmatch(r"-?[0-9]{1,4}", values["year"]):
            raise WotdError(f"{path}:{number}: the year is {values['year']!r}; write a whole number such as 1813")
        text = folder / values["file"]
        try:
            inside, there = text.resolve().is_relative_to(folder.resolve()), text.is_file()
        except (OSError, ValueError) as error:  # too long a name, or a NUL in it
            told = f"{path}:{number}: {shown(values['file'])} can't be a file's name; name a file in that folder"
            raise WotdError(told) from error
        if not inside:
            raise WotdError(f"{path}:{number}: {values['file']!r} lies outside {folder}; name a file in that folder")
        if not there:
            raise MissingError(f"{path}:{number}: {values['file']} is not in {folder}; add the file or drop the row")
        works.append(Work(text, values["author"], values["title"], int(values["year"]), values["era"]))
    if not works:
        raise WotdError(f"{path} lists no works; add a row for each text file")
    return tuple(works)


def _decode(path: Path) -> str:
    """Read text as UTF-8, else as Windows-1252, else as Latin-1, and say so where it isn't UTF-8."""
    raw = read_bytes(path, "give a plain text file")
    for encoding in ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "utf-8-sig":
            log.warning("%s is not UTF-8; read as %s. Convert it to UTF-8 if letters look wrong.", path, encoding)
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise AssertionError("latin-1 decodes every byte")


def read_work(path: str | Path) -> str:
    """Read one text without its Project Gutenberg header and licence tail.

    Raises:
        WotdError: no such file, or nothing left to read.
    """
    path = Path(path)
    text = _decode(path)
    if start := _START.search(text):
        text = text[start.end() :]
    if end := _END.search(text):
        text = text[: end.start()]
    if not text.strip():
        raise WotdError(f"{path} holds no text; remove it from {MANIFEST} or replace it")
    return text


def blocks(text: str) -> Iterator[tuple[list[str], bool | None]]:
    """Yield runs of lines between blank ones, each with True for verse, False for prose, None for too short.

    Verse is set in short lines that each begin with a capital letter; prose is wrapped, so that its lines
    begin with whatever word comes next. Under three lines the layout can't tell. A speaker's name in capitals
    on its own line doesn't count.
    """
    for chunk in re.split(r"\n[ \t]*\n", text):
        lines = [line.strip() for line in chunk.split("\n") if line.strip()]
        shown = [line.lstrip("“\"'‘([_—- ") for line in lines if not line.isupper()]
        if len(shown) < 3:
            yield lines, None
            continue
        capitals = sum(line[:1].isupper() for line in shown) / len(shown)
        width = sorted(len(line) for line in shown)[len(shown) * 3 // 4]
        yield lines, capitals >= 0.8 and width <= _VERSE_WIDTH


def tally(text: str, is_known: Callable[[str], bool]) -> Tally:
    """Count a work's words. Short blocks follow the work: verse where its longer blocks are mostly verse.

    ``to-morrow`` counts as *tomorrow* where ``is_known`` has that, else as its parts; ``seal'd`` as *sealed*;
    *lord's* as *lord*; other words with an apostrophe, words all in capitals (speakers, headings) and stage
    directions don't count.
    """
    found = Tally()
    parts = list(blocks(_STAGE.sub("", text)))
    sized = [(sum(map(len, lines)), verse) for lines, verse in parts if verse is not None]
    mostly = sum(n for n, verse in sized if verse) * 2 > sum(n for n, _ in sized)
    for lines, verse in parts:
        into = found.verse if (mostly if verse is None else verse) else found.prose
        for line in lines:
            for match in _TOKEN.finditer(line):
                token = match[0]
                at = match.start()
                inside = at > 1 and line[at - 1] == " " and line[at - 2].islower()
                for form in _forms(token, is_known):
                    into[form] += 1
                    if inside:
                        (found.lower if token.islower() else found.capital)[form] += 1
    return found


def _forms(token: str, is_known: Callable[[str], bool]) -> list[str]:
    if len(token) > 1 and token.isupper():
        return []
    pieces = token.lower().replace("’", "'").split("-")
    if len(pieces) > 1 and is_known("".join(pieces)):
        return ["".join(pieces)]
    return [form for piece in pieces if (form := _plain(piece, is_known))]


def _plain(piece: str, is_known: Callable[[str], bool]) -> str:
    head, _, tail = piece.partition("'")
    if not tail:
        return piece
    if tail == "s":
        return head
    if tail == "d":
        return next((w for w in (head + "ed", head + "d") if is_known(w)), "")
    return ""
