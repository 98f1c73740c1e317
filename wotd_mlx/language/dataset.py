"""What the language model trains on: requests of the DSL and their answers, made from words and their IDs.

Some whole IDs are kept out of training: their words stand in no training row, neither asked about nor answered.
(Definitions and examples are running text, which is not searched.)
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.config.language import DatasetConfig
from wotd_mlx.language import dsl
from wotd_mlx.language.dsl import Pattern
from wotd_mlx.language.request_sampler import Draft, Mask, RequestSampler, Source
from wotd_mlx.language.rows import Exchange, Gloss
from wotd_mlx.schemas import Attribute, SemanticID, WotdError

log = logging.getLogger("wotd_mlx")

SPLITS = ("train", "valid", "test")

# Kinds that rest on no single ID: they have no held-out form.
_ATTRIBUTE_KINDS = ("by_attributes", "pattern_of")

# What makes up for kinds that have too few different rows.
_FILLERS = ("by_pattern", "encode")

# A pattern that names a seen ID whole is asked in a test only where other counts of words are left to train on.
_ASKABLE = 4


class Dataset(NamedTuple):
    """Rows of each split, and the IDs that training never saw."""

    train: list[Exchange]
    valid: list[Exchange]
    test: list[Exchange]
    held_out: tuple[SemanticID, ...]


def build_dataset(
    words: Sequence[str],
    ids: NDArray[Any],
    vectors: Embeddings,
    decode: Callable[[Sequence[Sequence[int]]], Embeddings],
    config: DatasetConfig | None = None,
    *,
    levels: Sequence[int],
    attributes: Sequence[Attribute] = (),
    readings: Sequence[Sequence[str]] = (),
    own: Mask | None = None,
    zipf: NDArray[np.floating] | None = None,
    glosses: Mapping[str, Gloss] | None = None,
) -> Dataset:
    """Make the rows of all three splits; the same arguments make the same rows.

    An answer of words has as many different ones as were asked for, all fitting, and of one word family only one as far
    as there are others. No two rows have both the same request and the same words; no request of a test or valid row is
    one of another split, and but for whole IDs and definitions no training row asks the same with another count.

    Args:
        words: N different words; one that the DSL can't write is left out, and one log line counts these.
        ids: (N, Q) their IDs.
        vectors: (N, D) their embeddings.
        decode: M IDs -> the vectors (M, D) that they stand for.
        levels: codes of each of the Q coordinates.
        attributes: what the first coordinates mean.
        readings: for each attribute, which value each code of its coordinate reads as, "" for none.
        own: (N,) whether a word is of the run's own corpora; None for no difference.
        zipf: (N,) log10 of a word's uses per billion, NaN where unknown; None for no difference.
        glosses: word -> definition and examples; without them no row defines or uses a word.

    Raises:
        WotdError: arguments that don't fit together, or fewer than two IDs in use.
    """
    cfg = config or DatasetConfig()
    n = len(words)
    if ids.shape != (n, len(levels)) or len(vectors) != n or len(set(words)) < n:
        raise WotdError(
            f"{len(set(words))} different words, IDs {ids.shape} and vectors {vectors.shape} don't fit together; "
            f"expected N words, (N, {len(levels)}) and (N, D)"
        )
    if (ids < 0).any() or (ids >= np.array(levels)).any():
        raise WotdError(f"some ID has a number that isn't below the levels {list(levels)}")
    if len(readings) < len(attributes) or any(len(r) != k for r, k in zip(readings, levels, strict=False)):
        raise WotdError(f"readings have {[len(r) for r in readings]} codes; expected {list(levels)[: len(attributes)]}")
    kept = np.array([dsl.can_write(word) for word in words], bool)
    if not kept.all():
        log.warning("%d words left out of the language's dataset: the DSL can't write them", n - int(kept.sum()))
    weight = np.ones(n) if zipf is None else np.where(np.asarray(zipf) < cfg.rare_zipf, cfg.rare_weight, 1.0)
    weight = weight if own is None else np.where(own, cfg.own_weight, weight)
    told = {word: gloss for word, gloss in (glosses or {}).items() if gloss.definition or gloss.examples}
    texts = [word for word, keep in zip(words, kept, strict=True) if keep]
    if unknown := len(told.keys() - set(texts)):
        log.warning("%d words with a definition or examples are none of this run's words; left out", unknown)
    named = [(a.name, tuple(r)) for a, r in zip(attributes, readings, strict=False)]
    source = Source(texts, ids[kept], unit(vectors[kept]), np.log(weight[kept]), tuple(levels), named, told)
    if len(source.cells) < 2:
        raise WotdError(f"{len(texts)} words share {len(source.cells)} ID; expected two or more to hold one out")
    return _Builder(source, decode, cfg).build()


class _Builder:
    """Keeps of what is drawn the rows that repeat nothing and leak nothing between splits."""

    def __init__(self, source: Source, decode: Callable[[Sequence[Sequence[int]]], Embeddings], cfg: DatasetConfig):
        self.source, self.cfg = source, cfg
        self.rng = np.random.default_rng(cfg.seed)
        u = len(source.cells)
        held = min(max(1, round(cfg.held_out * u)), u - 1) if cfg.held_out else 0
        # What valid asks about may stop a training, so the test asks about other held-out IDs.
        valid = round(held * cfg.valid / max(cfg.valid + cfg.test, 1))
        order = self.rng.permutation(u)
        self.cells = {split: np.zeros(u, bool) for split in SPLITS}
        for split, part in zip(SPLITS, (order[held:], order[:valid], order[valid:held]), strict=True):
            self.cells[split][part] = True
        self.sampler = RequestSampler(source, decode, cfg, self.rng)
        self.done: set[tuple[str, str]] = set()
        # What valid and test ask, as texts and without their count of words, and which of the two asks it.
        self.owner: dict[str, str] = {}
        self.reserved: Counter[tuple[str, str]] = Counter()

    def build(self) -> Dataset:
        # The test comes first: it stays the same however many rows the others have.
        test, valid, train = (self._split(name, getattr(self.cfg, name)) for name in reversed(SPLITS))
        held = tuple(self.source.number(cell) for cell in map(int, np.flatnonzero(~self.cells["train"])))
        return Dataset(train, valid, test, held)

    def _split(self, split: str, rows: int) -> list[Exchange]:
        held = round(rows * self.cfg.held_rows) if split != "train" and self.cells[split].any() else 0
        made = [*self._part(split, False, rows - held), *self._part(split, True, held)]
        if len(made) < rows:
            log.info("the language's dataset has %d %s rows of %d: no more differ", len(made), split, rows)
        return [made[n] for n in self.rng.permutation(len(made))]

    def _part(self, split: str, held: bool, rows: int) -> list[Exchange]:
        """Rows of all kinds by their shares; what a kind is short of, patterns and words make up for."""
        without = (() if self.source.glosses else ("define", "use")) + (_ATTRIBUTE_KINDS if held else ())
        kinds = [kind for kind in dsl.KINDS if kind not in without and getattr(self.cfg.shares, kind) > 0]
        rest = [kind for kind in _FILLERS if kind in kinds]
        total, made = sum(getattr(self.cfg.shares, kind) for kind in kinds), list[Exchange]()
        for kind in kinds:
            made += self._rows(kind, split, held, round(rows * getattr(self.cfg.shares, kind) / total))
        for kind in rest:
            made += self._rows(kind, split, held, rows - len(made))
        return made[:rows]

    def _rows(self, kind: str, split: str, held: bool, rows: int) -> list[Exchange]:
        cells = self.cells[split if held else "train"]
        # A held-out question may be answered with any words that are near. A wider pattern is none: seen words fit too.
        near, whole = (np.ones_like(cells), 1.0) if held else (cells, self.cfg.whole)
        drafts = itertools.islice(self.sampler.drafts(kind, cells, whole), 100 + 40 * max(rows, 0))
        made: list[Exchange] = []
        while len(made) < rows and (some := list(itertools.islice(drafts, max(16, rows - len(made))))):
            asked = [draft for draft in some if self._may_ask(draft.request, split, held)]
            for draft in self.sampler.answered(asked, near):
                row = _row(draft, held)
                if len(made) < rows and self._is_new(row, draft):
                    made.append(row)
        return made

    def _may_ask(self, request: dsl.Request, split: str, held: bool) -> bool:
        """Whether a request is free for a split; if so valid and test keep it for themselves."""
        text, about = str(request), _about(request)
        if split == "train":
            return text not in self.owner and about not in self.owner
        if text in self.owner or self.owner.get(about, split) != split:
            return False
        if isinstance(request, dsl.ByPattern) and request.pattern.number is not None and not held:
            # A seen ID has rows in training, so only this count of words is kept, once an ID and split.
            about = f"{split} {about}"
            if about in self.owner or self._words_of(request.pattern) < _ASKABLE:
                return False
        if isinstance(request, dsl.ByAttributes | dsl.PatternOf) and about not in self.owner:
            key = (request.kind, split)
            if len(request.values) < 2 or self.reserved[key] >= self._reservable():
                return False
            self.reserved[key] += 1
        self.owner[text] = self.owner[about] = split
        return True

    def _words_of(self, pattern: Pattern) -> int:
        return len(self.source.among(pattern.matches(self.source.cells)))

    def _reservable(self) -> int:
        """How many combinations of values, of two attributes or more, valid and test may each take from training: a
        tenth of all, or one of four."""
        counts = [1 + len(set(codes) - {""}) for _, codes in self.source.readings]
        several = int(np.prod(counts)) - sum(counts) + len(counts) - 1
        return max(int(several >= 4), several // 10)

    def _is_new(self, row: Exchange, draft: Draft) -> bool:
        """Whether no row has the same request with the same words, in any order."""
        words = draft.answer.words if isinstance(draft.answer, dsl.Words) else ()
        key = (row.request, dsl.SEPARATOR.join(sorted(words)) or row.answer)
        if key in self.done:
            return False
        self.done.add(key)
        return True


def _about(request: dsl.Request) -> str:
    """A request without its count of words and the order of its parts: what no two splits may share."""
    if isinstance(request, dsl.ByAttributes | dsl.PatternOf):
        what = dsl.SEPARATOR.join(sorted("=".join(pair) for pair in request.values))
    elif isinstance(request, dsl.ByPattern):
        what = str(request.pattern)
    elif isinstance(request, dsl.Like):
        what = dsl.SEPARATOR.join(sorted(request.words))
    elif isinstance(request, dsl.Between):
        what = f"{request.share} {request.a} {request.b}"
    else:
        what = request.word
    return f"{request.kind}: {what}"


def _row(draft: Draft, held: bool) -> Exchange:
    assert draft.answer is not None
    return Exchange(str(draft.request), dsl.print_answer(draft.answer), draft.request.kind, held)
