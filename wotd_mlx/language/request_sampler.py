"""Requests drawn at random from words and their IDs, kind by kind, each with what its answer may be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.interpolate import slerp
from wotd_mlx.codes.metrics import unit
from wotd_mlx.language import dsl
from wotd_mlx.language.dsl import Pattern, Values
from wotd_mlx.language.rows import Gloss
from wotd_mlx.schemas import SemanticID
from wotd_mlx.words.families import family

if TYPE_CHECKING:
    from wotd_mlx.config.language import DatasetConfig

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

# There are few requests of values alone: more draws than this hardly find another.
_VALUE_DRAWS = 4000


class Source:
    """N words by the U cells, that is IDs in use, that they lie in."""

    def __init__(
        self,
        words: Sequence[str],
        ids: NDArray[Any],
        vectors: Embeddings,
        log_weight: NDArray[np.float64],
        levels: tuple[int, ...],
        readings: Sequence[tuple[str, tuple[str, ...]]],
        glosses: Mapping[str, Gloss],
    ):
        self.words, self.vectors, self.log_weight = words, vectors, log_weight
        self.levels, self.readings, self.glosses = levels, readings, glosses
        self.cells, inverse = np.unique(ids, axis=0, return_inverse=True)
        self.cell_of: Rows = inverse.reshape(-1)
        self.row = {word: n for n, word in enumerate(words)}
        stems: dict[str, int] = {}
        self.family = np.array([stems.setdefault(family(word), len(stems)) for word in words], np.int64)

    def among(self, cells: Mask) -> Rows:
        """The words in some cells (U,)."""
        return np.flatnonzero(cells[self.cell_of])

    def number(self, cell: int) -> SemanticID:
        """A cell's ID."""
        return SemanticID(self.cells[cell])

    def values(self, cell: int) -> list[tuple[str, str]]:
        """What a cell reads as: attribute and value, where its code reads as one."""
        pairs = zip(self.readings, self.cells[cell], strict=False)
        return [(name, codes[code]) for (name, codes), code in pairs if codes[code]]

    def pattern_of(self, values: Values) -> Pattern:
        """The pattern of the codes that read as values."""
        return Pattern.reading_as(dict(values), self.readings, len(self.levels))


class Draft(NamedTuple):
    """A request and one of: its answer; the words of which its answer is a draw; the vector (D,) to which they are
    near."""

    request: dsl.Request
    answer: dsl.Answer | None = None
    among: Rows | None = None
    target: Embeddings | None = None


class RequestSampler:
    """Draws drafts of each kind about the words of some cells, given as a mask (U,), without end where it can."""

    def __init__(
        self,
        source: Source,
        decode: Callable[[Sequence[Sequence[int]]], Embeddings],
        cfg: DatasetConfig,
        rng: np.random.Generator,
    ):
        self.source, self.cfg, self.rng = source, cfg, rng
        self.indices: dict[int, Any] = {}
        self.decoded = unit(np.asarray(decode(source.cells.tolist()), np.float32))

    def drafts(self, kind: str, cells: Mask, whole: float) -> Iterator[Draft]:
        """Drafts about the words of ``cells`` alone; of the patterns the share ``whole`` names one ID."""
        kinds: dict[str, Callable[[Mask], Iterator[Draft]]] = {
            "by_pattern": lambda cells: self._by_pattern(cells, whole),
            "encode": self._encode,
            "by_attributes": self._by_attributes,
            "like": self._like,
            "between": self._between,
            "pattern_of": self._pattern_of,
            "define": self._define,
            "use": self._use,
        }
        return kinds[kind](cells)

    def answered(self, drafts: Sequence[Draft], cells: Mask) -> Iterator[Draft]:
        """The drafts with an answer, of words in ``cells``; one for which there are too few is left out."""
        targets = [draft.target for draft in drafts if draft.target is not None]
        near = self._nearest(np.stack(targets), self.source.among(cells)) if targets else iter(())
        for draft in drafts:
            if draft.answer is not None:
                yield draft
                continue
            request, rows = draft.request, next(near) if draft.target is not None else draft.among
            assert rows is not None
            assert isinstance(request, dsl.ByPattern | dsl.ByAttributes | dsl.Like | dsl.Between)
            if draft.target is not None:
                rows = self._pool(request, rows)
            if len(rows) >= request.n:
                yield Draft(request, self._pick(rows, request.n))

    def _pool(self, request: dsl.Request, rows: Rows) -> Rows:
        """Of the words nearest to a target those that may answer: no example, and of no example's family if there are
        enough others."""
        if isinstance(request, dsl.Like):
            examples = np.array([self.source.row[word] for word in request.words])
            rows = rows[~np.isin(rows, examples)]
            others = rows[~np.isin(self.source.family[rows], self.source.family[examples])]
            rows = others if len(others) >= request.n else rows
        return rows[: self.cfg.pool * request.n] if isinstance(request, dsl.Like | dsl.Between) else rows

    def _nearest(self, targets: Embeddings, rows: Rows) -> Iterator[Rows]:
        """targets (M, D) -> for each the words nearest among ``rows``, nearest first."""
        import faiss

        # One index for the seen words, one for all.
        if len(rows) not in self.indices:
            self.indices[len(rows)] = faiss.IndexFlatIP(targets.shape[1])
            self.indices[len(rows)].add(np.ascontiguousarray(self.source.vectors[rows]))
        index = self.indices[len(rows)]
        # Beyond the pool: examples and their families may not answer.
        _, found = index.search(unit(targets), min(len(rows), self.cfg.pool * self.cfg.most + 8))
        yield from rows[found]

    def _by_pattern(self, cells: Mask, whole: float) -> Iterator[Draft]:
        for cell in self._forever(cells):
            one = self.rng.random() < whole
            pattern = Pattern.of(self.source.cells[cell]) if one else self._widened(cell)
            found = self._members(pattern, cells)
            yield Draft(dsl.ByPattern(pattern, self._count(len(found))), among=found)

    def _encode(self, cells: Mask) -> Iterator[Draft]:
        for row in self._drawn(self.source.among(cells)):
            yield Draft(dsl.Encode(self.source.words[row]), self.source.number(self.source.cell_of[row]))

    def _by_attributes(self, cells: Mask) -> Iterator[Draft]:
        for values in self._values(cells):
            found = self._members(self.source.pattern_of(values), cells)
            yield Draft(dsl.ByAttributes(values, self._count(len(found))), among=found)

    def _pattern_of(self, cells: Mask) -> Iterator[Draft]:
        for values in itertools.islice(self._values(cells), _VALUE_DRAWS):
            yield Draft(dsl.PatternOf(values), self.source.pattern_of(values))

    def _like(self, cells: Mask) -> Iterator[Draft]:
        rows = self.source.among(cells)
        while len(rows):
            for row in self._drawn(rows):
                fellows = np.flatnonzero(self.source.cell_of == self.source.cell_of[row])
                others = self.rng.permutation(fellows[fellows != row])[: self.rng.integers(3)]
                examples = [row, *others]
                target = self.source.vectors[examples].mean(axis=0)
                words = tuple(self.source.words[example] for example in examples)
                yield Draft(dsl.Like(words, self._count(len(rows) - len(words) or 1)), target=target)

    def _between(self, cells: Mask) -> Iterator[Draft]:
        everywhere = np.flatnonzero(cells)
        rows = len(self.source.among(cells))
        for a in self._forever(cells) if len(everywhere) > 1 else ():
            # Half of the ways are along few coordinates, half lead anywhere.
            near = np.flatnonzero(self._widened(a).matches(self.source.cells) & cells)
            b = int(self.rng.choice(near if self.rng.random() < 0.5 else everywhere))
            share = 0.5 if self.rng.random() < 0.5 else round(float(self.rng.integers(1, 20)) / 20, 2)
            if a != b:
                request = dsl.Between(self.source.number(a), self.source.number(b), share, self._count(rows))
                yield Draft(request, target=slerp(self.decoded[a], self.decoded[b], np.array([share]))[0])

    def _define(self, cells: Mask) -> Iterator[Draft]:
        for word, gloss in self._glosses(cells):
            if gloss.definition:
                yield Draft(dsl.Define(word), gloss.definition)

    def _use(self, cells: Mask) -> Iterator[Draft]:
        for word, gloss in self._glosses(cells):
            for example in gloss.examples:
                yield Draft(dsl.Use(word), example)

    def _glosses(self, cells: Mask) -> Iterator[tuple[str, Gloss]]:
        rows = [self.source.row[word] for word in self.source.glosses if word in self.source.row]
        for row in self.rng.permutation(np.array(rows, np.int64)):
            if cells[self.source.cell_of[row]]:
                word = self.source.words[row]
                yield word, self.source.glosses[word]

    def _values(self, cells: Mask) -> Iterator[Values]:
        """What cells read as, some attributes of it in any order."""
        if not any(self.source.values(cell) for cell in map(int, np.flatnonzero(cells))):
            return
        for cell in self._forever(cells):
            if values := self.source.values(cell):
                count = self.rng.integers(1, len(values) + 1)
                yield tuple(values[n] for n in self.rng.permutation(len(values))[:count])

    def _forever(self, cells: Mask) -> Iterator[int]:
        """Cells in random order, each once before any comes again."""
        rows = np.flatnonzero(cells)
        while len(rows):
            yield from map(int, self.rng.permutation(rows))

    def _widened(self, cell: int) -> Pattern:
        """A pattern that a cell fits, with one field or more widened, late ones rather: a wildcard, range or set."""
        number, levels = self.source.cells[cell], self.source.levels
        q = len(levels)
        late = np.arange(1.0, q + 1)
        chosen = self.rng.choice(q, min(q, self.rng.geometric(0.5)), replace=False, p=late / late.sum())
        fields: list[frozenset[int] | None] = [frozenset((int(n),)) for n in number]
        for field in chosen:
            code, k, form = int(number[field]), levels[field], self.rng.random()
            if form < 0.6:
                codes = set(range(k))
            elif form < 0.8:
                # No wider than a reader would write, nor than the DSL allows.
                first, last = self.rng.integers(max(0, code - 7), code + 1), self.rng.integers(code, min(k, code + 8))
                codes = set(range(int(first), int(last) + 1))
            else:
                codes = {code, *self.rng.choice(k, min(k, int(self.rng.integers(1, 4))), replace=False).tolist()}
            fields[field] = None if len(codes) == k else frozenset(codes)
        return Pattern(tuple(fields))

    def _members(self, pattern: Pattern, cells: Mask) -> Rows:
        """The words in ``cells`` whose ID fits."""
        return self.source.among(pattern.matches(self.source.cells) & cells)

    def _count(self, limit: int) -> int:
        usual = self.rng.random() < self.cfg.usual_share
        return min(self.cfg.usual if usual else int(self.rng.integers(1, self.cfg.most + 1)), limit)

    def _drawn(self, rows: Rows, first: int | None = None) -> Rows:
        """The ``first`` rows, or all, in an order drawn by weight without replacement: sorted by log w + Gumbel noise
        (arXiv 1903.06059)."""
        keys = self.source.log_weight[rows] + self.rng.gumbel(size=len(rows))
        if first is not None and first < len(rows):
            chosen = np.argpartition(-keys, first)[:first]
            rows, keys = rows[chosen], keys[chosen]
        return rows[np.argsort(-keys)]

    def _pick(self, rows: Rows, n: int) -> dsl.Words:
        """``n`` of the words in ``rows``, drawn by weight, one a family first, in random order."""
        order = self._drawn(rows, 8 * n)
        _, first = np.unique(self.source.family[order], return_index=True)
        order = np.concatenate([order[np.sort(first)], np.delete(order, first)])[:n]
        return dsl.Words(tuple(self.source.words[row] for row in self.rng.permutation(order)))
