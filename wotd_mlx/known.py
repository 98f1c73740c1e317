"""All words that are known, in one table: their IDs, labels, guesses, meanings and senses, read as far as needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.packed import AdditiveRows, Books, Int8Rows, Packed
from wotd_mlx.io.json import parse_json
from wotd_mlx.io.records import checked
from wotd_mlx.io.safetensors import Parts, write_parts
from wotd_mlx.schemas import Attribute, SemanticID, WotdError
from wotd_mlx.words.families import family
from wotd_mlx.words.normal import normal

UNKNOWN = -1
"""In place of the number of an attribute's value: there is no evidence, or nothing can be said."""

LIKELY = 0.5
"""A value is told where it is likelier than not."""

FILE = "known.safetensors"
"""Its name in a run folder, and among the words that the package ships."""

KNOWN, PREDICTED = "known", "predicted"
"""Where an answer is from: evidence, or what is stored of a word; or a model."""

_VERSION = "1"
_DEFLATED = ("words", "ids", "labels", "guesses", "probability", "senses_of_word", "meet", "difficulty", "family_back")
_LARGEST = 255
"""What a probability of 1 is stored as."""
_MANY_SENSES = 65535


class Near(NamedTuple):
    """The row of a known word, and the cosine between its vector and the one asked about."""

    row: int
    cosine: float


@dataclass(frozen=True)
class KnownWords:
    """N known words with A attributes, IDs (N, Q), vectors (N, D), and S senses.

    Args:
        words: normal forms, all different, in the run's order.
        ids: (N, Q) int32; each word has its own.
        labels: (N, A) int8, the number of the attribute's value that evidence gives; -1 where there is none.
        guesses: (N, A) int8, where there is no evidence the likeliest value's number; -1 where nothing can be said.
        probability: (N, A) float32, the calibrated probability of the guess; 1 where there is evidence.
        word_rows: the words' vectors (N, D), such as ``Int8Rows.of(vectors)``.
        sense_rows: the vectors of the senses' glosses (S, D).
        owner: (S,) int32, the row of the word that has the sense, ascending; a word's senses stand in the order of the
            dictionary's glosses for it.
        meet: (N,) bool, whether the word is worth meeting.
        difficulty: (N,) int8, its class, see :mod:`wotd_mlx.words.difficulty`.
        attributes: what the first A coordinates mean.
        levels: (Q,) codes of each coordinate.
        embedding: the id of the model that made the vectors.
        glosses: the digest of the dictionary that the senses are from; empty without one.
        source: what the table is from, in words.
        centre: (D,) what is taken off a description's embedding before it is compared: the mean of the glosses'; None
            for nothing.
        heads: (N,) int32, for each word the first row of its family; None to find them when they are needed.

    Raises:
        WotdError: parts that don't fit each other; it names one of them.
    """

    words: tuple[str, ...]
    ids: NDArray[np.int32]
    labels: NDArray[np.int8]
    guesses: NDArray[np.int8]
    probability: NDArray[np.float32]
    word_rows: Packed
    sense_rows: Packed
    owner: NDArray[np.int32]
    meet: NDArray[np.bool_]
    difficulty: NDArray[np.int8]
    attributes: tuple[Attribute, ...]
    levels: tuple[int, ...]
    embedding: str
    glosses: str
    source: str
    centre: Embeddings | None = None
    heads: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        n, a, q, s = len(self.words), len(self.attributes), len(self.levels), len(self.owner)
        d = self.word_rows.shape[1]
        shapes: dict[str, tuple[Packed | NDArray[Any], tuple[int, ...]]] = {
            "ids": (self.ids, (n, q)),
            "labels": (self.labels, (n, a)),
            "guesses": (self.guesses, (n, a)),
            "probability": (self.probability, (n, a)),
            "word_rows": (self.word_rows, (n, d)),
            "sense_rows": (self.sense_rows, (s, d)),
            "owner": (self.owner, (s,)),
            "meet": (self.meet, (n,)),
            "difficulty": (self.difficulty, (n,)),
        }
        if not n or not q or not d:
            raise WotdError(f"a table of {n} known words, {q} levels and width {d} is empty; expected words")
        for name, (part, shape) in shapes.items():
            if part.shape != shape:
                raise WotdError(f"known words: {name} has the shape {part.shape}, expected {shape}")
        if "" in self.row_of:
            raise WotdError(f"known words: word {self.row_of['']} is empty; leave it out")
        if len(self.row_of) < n:
            again = next(word for row, word in enumerate(self.words) if self.row_of[word] != row)
            raise WotdError(f"known words: {again!r} comes twice; each word is there once")
        if (self.ids < 0).any() or (self.ids >= self.levels).any():
            raise WotdError(f"known words: an ID lies outside the levels {list(self.levels)}")
        values = np.array([len(attribute.values) for attribute in self.attributes])
        for name, numbers in (("labels", self.labels), ("guesses", self.guesses)):
            if (numbers < UNKNOWN).any() or (numbers >= values).any():
                raise WotdError(f"known words: {name} holds a number that is none of its attribute's values'")
        if not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise WotdError("known words: a probability lies outside 0 to 1")
        if s and (self.owner[0] < 0 or self.owner[-1] >= n or (np.diff(self.owner) < 0).any()):
            raise WotdError(f"known words: owner isn't ascending within the {n} words' rows")
        if self.centre is not None and (self.centre.shape != (d,) or not np.isfinite(self.centre).all()):
            raise WotdError(f"known words: the centre isn't {d} finite numbers")
        if self.heads is not None and (self.heads.shape != (n,) or not _are_heads(self.heads)):
            raise WotdError(f"known words: heads aren't the first rows of the {n} words' families")

    @cached_property
    def row_of(self) -> dict[str, int]:
        """A word's normal form → its row."""
        return {word: row for row, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def vectors(self) -> Embeddings:
        """The words' vectors (N, D), of unit length."""
        return self.word_rows.rows(np.arange(len(self.words)))

    @cached_property
    def senses(self) -> Embeddings:
        """The senses' vectors (S, D), of unit length."""
        return self.sense_rows.rows(np.arange(len(self.owner)))

    def row(self, text: str) -> int | None:
        """The row of a word, however it was typed; None for one that isn't known."""
        return self.row_of.get(normal(text))

    def owner_of(self, number: Sequence[int]) -> int | None:
        """The row of the word that has this ID; None where none has."""
        rows = np.flatnonzero((self.ids == np.asarray(number, np.int64)).all(axis=1))
        return int(rows[0]) if len(rows) else None

    def id_of(self, row: int) -> SemanticID:
        """A row's ID."""
        return SemanticID(self.ids[row].tolist())

    def first_senses(self, rows: NDArray[np.int64]) -> Embeddings:
        """rows (M,) -> the vectors (M, D) of their commonest senses; of a word without any its own."""
        at = np.searchsorted(self.owner, rows)
        has = np.append(self.owner, -1)[at] == rows
        out = np.empty((len(rows), self.sense_rows.shape[1]), np.float32)
        out[has] = self.sense_rows.rows(at[has])
        out[~has] = self.word_rows.rows(rows[~has])
        return out

    def senses_of(self, row: int) -> range:
        """The numbers of a row's senses, among all S."""
        start, stop = np.searchsorted(self.owner, [row, row + 1])
        return range(int(start), int(stop))

    @cached_property
    def families(self) -> NDArray[np.int32]:
        """(N,) for each word the first row of its family, which tells families apart."""
        if self.heads is not None:
            return self.heads
        first: dict[str, int] = {}
        return np.array([first.setdefault(family(word), row) for row, word in enumerate(self.words)], np.int32)

    def relatives(self, row: int) -> list[int]:
        """The other rows of a row's family."""
        return [n for n in np.flatnonzero(self.families == self.families[row]).tolist() if n != row]

    def one_a_family(self, rows: NDArray[np.int64], taken: Collection[int] = ()) -> NDArray[np.int64]:
        """Of rows in order of preference those that are the first of their family, and of none that has a row in
        ``taken``."""
        families = self.families[rows]
        _, first = np.unique(families, return_index=True)
        first.sort()
        return rows[first[~np.isin(families[first], self.families[list(taken)])]]

    def evidence_of(self, row: int) -> dict[str, str]:
        """What evidence says of a row: attribute name → value."""
        return {a.name: a.values[n] for a, n in zip(self.attributes, self.labels[row], strict=True) if n != UNKNOWN}

    def labels_of(self, row: int) -> tuple[dict[str, str | None], dict[str, float | None]]:
        """Of each attribute the value that evidence gives a row, else None, as its ID reads; and 1 for such a value.

        What is likely beside that is a guess, see :meth:`guess_of`.
        """
        return told_of(self.attributes, self.labels[row], np.ones(len(self.attributes)))

    def guess_of(self, row: int) -> dict[str, tuple[str, float]]:
        """Where there is no evidence of a row, the likeliest value of an attribute and its probability."""
        said = zip(self.attributes, self.labels[row], self.guesses[row], self.probability[row].tolist(), strict=True)
        return {a.name: (a.values[guess], p) for a, label, guess, p in said if label == UNKNOWN != guess}

    @cached_property
    def likeliest(self) -> NDArray[np.int8]:
        """(N, A) the number of each attribute's value by evidence, else by guess."""
        return np.where(self.labels == UNKNOWN, self.guesses, self.labels)

    def label_shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """rows (M,) -> (M, V) the probability of each attribute's likeliest value in its column, 0 in the others."""
        parts = [
            (self.likeliest[rows, a : a + 1] == np.arange(len(attribute.values))) * self.probability[rows, a : a + 1]
            for a, attribute in enumerate(self.attributes)
        ]
        return np.concatenate([np.zeros((len(rows), 0)), *parts], axis=1).astype(np.float32)

    def id_shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """rows (M,) -> (M, Q) each number of their IDs, as a share of its coordinate."""
        return ((self.ids[rows] + 0.5) / self.levels).astype(np.float32)

    @cached_property
    def readings(self) -> tuple[tuple[str, ...], ...]:
        """For each attribute, the value that most words with a code of its coordinate have by evidence; "" for none."""
        out = []
        for q, attribute in enumerate(self.attributes):
            counts = np.zeros((self.levels[q], len(attribute.values) + 1), np.int64)
            np.add.at(counts, (self.ids[:, q], self.labels[:, q]), 1)  # UNKNOWN counts in the last column
            said, most = (counts[:, :-1].sum(axis=1) > 0).tolist(), counts[:, :-1].argmax(axis=1).tolist()
            out.append(tuple(attribute.values[v] if there else "" for v, there in zip(most, said, strict=True)))
        return tuple(out)

    def nearest(
        self, vector: Embeddings, n: int = 5, *, distinct: bool = True, exclude: Collection[int] = ()
    ) -> list[Near]:
        """A vector (D,) of unit length -> the ``n`` words nearest to it, nearest first.

        Args:
            distinct: one word a family at most, and none of a family in ``exclude``.
            exclude: rows that may not come.
        """
        return self.best(self.word_rows.cosines(vector), n, distinct=distinct, exclude=exclude)

    def best(self, scores: Embeddings, n: int, *, distinct: bool = True, exclude: Collection[int] = ()) -> list[Near]:
        """The ``n`` rows with the highest scores (N,), as :meth:`nearest` gives them; a row of -inf never comes."""
        out: list[Near] = []
        taken = set(self.families[list(exclude)].tolist()) if distinct else set[int]()
        for row in _descending(scores, 2 * n + len(exclude)):
            if len(out) == n or scores[row] == -np.inf:
                break
            if row in exclude or (distinct and self.families[row] in taken):
                continue
            if distinct:
                taken.add(int(self.families[row]))
            out.append(Near(row, float(scores[row])))
        return out

    def write(self, path: Path, made_from: Mapping[str, str] | None = None, small: bool = False) -> str:
        """Write the table, whole or not at all; returns its digest.

        Args:
            made_from: digests of what it was made from, which :meth:`read` can ask for.
            small: deflate what isn't a vector.

        Raises:
            WotdError: a word that isn't in its normal form, or more than 65,535 senses of one.
        """
        if wrong := next((word for word in self.words if normal(word) != word or not word), None):
            raise WotdError(f"known words: {wrong!r} isn't in its normal form, {normal(wrong)!r}")
        counts = np.bincount(self.owner, minlength=len(self.words))
        if counts.max() > _MANY_SENSES:
            raise WotdError(f"known words: {self.words[counts.argmax()]!r} has {counts.max()} senses")
        about = {
            "attributes": [asdict(attribute) for attribute in self.attributes],
            "levels": list(self.levels),
            "embedding": self.embedding,
            "glosses": self.glosses,
            "source": self.source,
        }
        arrays: dict[str, NDArray[Any]] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "words": np.frombuffer("\n".join(self.words).encode(), np.uint8),
            "ids": self.ids.astype(np.uint16 if max(self.levels) <= 1 << 16 else np.int32),
            "labels": self.labels,
            "guesses": self.guesses,
            # A half rounds down, so that "above a half" stays what it was.
            "probability": np.ceil(self.probability * _LARGEST - 0.5).astype(np.uint8),
            "senses_of_word": counts.astype(np.uint16),
            "meet": self.meet.astype(np.uint8),
            "difficulty": self.difficulty,
            **_vectors(self.word_rows, self.sense_rows),
            **({} if self.centre is None else {"centre": self.centre.astype(np.float32)}),
            # In an alphabetical table most are a few rows up.
            "family_back": _smallest(np.arange(len(self.words)) - self.families),
        }
        deflated = _DEFLATED if small else ()
        return write_parts(path, arrays, {**(made_from or {}), "known": _VERSION}, deflated)

    @classmethod
    def read(cls, path: Path, hint: str, made_from: Mapping[str, str] | None = None) -> KnownWords:
        """Read a table; its vectors are read when they are first asked for.

        Args:
            hint: what to do where it can't be read, such as ``train again into another folder``.
            made_from: digests of what it must have been made from.

        Raises:
            MissingError: there is no such file.
            WotdError: damaged, of another version, or made from something else.
        """
        parts = Parts(path, hint, made_from)
        if (version := parts.metadata.get("known")) != _VERSION:
            raise WotdError(f"{path} is a table of known words of version {version!r}, expected {_VERSION}; {hint}")
        try:
            return cls(*_read(parts))
        except ValueError as error:  # of ours, or a text that isn't UTF-8
            told = str(error) if str(path) in str(error) else f"{path}: {error}; {hint}"
            raise WotdError(told) from error


def told_of(
    attributes: Sequence[Attribute], values: NDArray[np.integer], probability: NDArray[np.floating]
) -> tuple[dict[str, str | None], dict[str, float | None]]:
    """For each attribute the number of its likeliest value (A,), UNKNOWN for none, and that value's probability (A,) ->
    the values that are likelier than not, else None, and the probabilities."""
    said = list(zip(attributes, values.tolist(), probability.tolist(), strict=True))
    labels = {a.name: a.values[value] if value != UNKNOWN and p > LIKELY else None for a, value, p in said}
    return labels, {a.name: None if value == UNKNOWN else p for a, value, p in said}


@dataclass(frozen=True)
class _About:
    """What stands beside the arrays."""

    attributes: tuple[Attribute, ...]
    levels: tuple[int, ...]
    embedding: str
    glosses: str
    source: str


class _Stored:
    """Vectors of a file, as :class:`Packed`: read, and checked, with the first question.

    They are bytes a number, or, where the file has codebooks, bytes a codebook.
    """

    def __init__(self, parts: Parts, name: str, shape: tuple[int, int], books: Callable[[], Books | None]):
        self.parts, self.name, self.shape, self.books = parts, name, shape, books

    @cached_property
    def held(self) -> Int8Rows | AdditiveRows:
        n, d = self.shape
        if (books := self.books()) is None:
            return Int8Rows(self.parts.array(self.name, ["int8"], [n, d]))
        return AdditiveRows(self.parts.array(self.name, ["uint8"], [n, None]), books)

    def rows(self, numbers: NDArray[np.int64]) -> Embeddings:
        return self.held.rows(numbers)

    def cosines(self, query: Embeddings) -> Embeddings:
        return self.held.cosines(query)


def _books(parts: Parts) -> Books | None:
    if not parts.shape("books"):
        return None
    codes = parts.array("books", ["int8"], [None, None, None])
    scales, back = (parts.array("scales", ["float32"], [None]), parts.array("directions", ["float16"], [None, None]))
    return Books(codes, scales, back)


def _vectors(words: Packed, senses: Packed) -> dict[str, NDArray[Any]]:
    """Both kinds of vectors as they are stored."""
    words, senses = (held.held if isinstance(held, _Stored) else held for held in (words, senses))
    if isinstance(words, AdditiveRows) and isinstance(senses, AdditiveRows):
        books = words.books
        parts: dict[str, NDArray[Any]] = {"books": books.codes, "scales": books.scales, "directions": books.back}
        return {"vectors": words.codes, "senses": senses.codes, **parts}
    return {"vectors": _bytes(words), "senses": _bytes(senses)}


def _bytes(packed: Packed) -> NDArray[np.int8]:
    return packed.codes if isinstance(packed, Int8Rows) else Int8Rows.of(packed.rows(np.arange(packed.shape[0]))).codes


def _read(parts: Parts) -> Iterator[Any]:
    """The fields of a table, in order."""
    about = checked(_About, parse_json(parts.array("about", ["uint8"], [None]).tobytes(), "about"), "about")
    if not about.levels or min(about.levels) < 1 or max(about.levels) >= 1 << 31:
        raise WotdError(f"levels are {list(about.levels)}; expected a count of codes for each coordinate")
    words = tuple(parts.array("words", ["uint8"], [None]).tobytes().decode().split("\n"))
    n, a, q = len(words), len(about.attributes), len(about.levels)
    yield words
    yield parts.array("ids", ["uint16", "int32"], [n, q]).astype(np.int32)
    yield parts.array("labels", ["int8"], [n, a])
    yield parts.array("guesses", ["int8"], [n, a])
    yield parts.array("probability", ["uint8"], [n, a]) / np.float32(_LARGEST)
    owner = np.repeat(np.arange(n, dtype=np.int32), parts.array("senses_of_word", ["uint16"], [n]))
    d = (parts.shape("directions") or parts.shape("vectors") or (0,))[-1]
    books = cache(lambda: _books(parts))
    yield _Stored(parts, "vectors", (n, d), books)
    yield _Stored(parts, "senses", (len(owner), d), books)
    yield owner
    yield parts.array("meet", ["uint8"], [n]) > 0
    yield parts.array("difficulty", ["int8"], [n])
    yield about.attributes
    yield about.levels
    yield about.embedding
    yield about.glosses
    yield about.source
    yield parts.array("centre", ["float32"], [d]) if parts.shape("centre") else None
    if parts.shape("family_back"):
        back = parts.array("family_back", ["uint8", "uint16", "uint32"], [n])
        yield (np.arange(n) - back.astype(np.int64)).astype(np.int32)


def _are_heads(heads: NDArray[np.int32]) -> bool:
    """Whether each is a row no later than its own that is its own head."""
    rows = np.arange(len(heads))
    return bool(((heads >= 0) & (heads <= rows)).all() and (heads[heads] == heads).all())


def _smallest(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Numbers of 0 or more, each in as few bytes as the largest needs."""
    largest = int(numbers.max(initial=0))
    return numbers.astype(np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32)


def _descending(scores: Embeddings, first: int) -> Iterator[int]:
    """Row numbers, the highest score first and equal ones in order: ``first`` of them, then more as they are wanted."""
    done, count = 0, min(len(scores), max(first, 16))
    while done < len(scores):
        if count < len(scores):
            least = np.partition(scores, len(scores) - count)[len(scores) - count]
            rows = np.flatnonzero(scores >= least)
        else:
            rows = np.arange(len(scores))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        yield from rows[done:].tolist()
        done, count = len(rows), min(len(scores), 8 * count)
