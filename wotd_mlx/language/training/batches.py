"""Rows of a dataset as token batches: prompt masked, rows of like length together, the same order for a seed.

A row is a line ``{"messages": [{"role": "user", …}, {"role": "assistant", …}]}``. mlx-lm's own batches are cut from
rows sorted by the length of that mapping, the same for all, so that long and short ones share a batch; here they are
sorted by their tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.language.chat import chat, end_token
from wotd_mlx.language.dsl import WORD_KINDS
from wotd_mlx.language.rows import Exchange
from wotd_mlx.language.trie import decode_each
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

_POOL = 16
"""Batches whose rows are sorted together: enough for little padding, few enough that batches differ every epoch."""
_REPEATS = 8
"""Words before a word that it is told not to repeat, the latest."""
_LEAST_SHARED = 4
"""Tokens that all rows must begin with for it to be worth reading them once."""


class Batch(NamedTuple):
    """What a step computes on: B rows, and the A positions in them that predict a token of an answer."""

    tokens: mx.array
    """(B, L) int32 as the model reads them: without what all rows share, the last token, and with zeros at the end."""
    positions: mx.array
    """(A,) int32 into the B · L hidden states in a row; each predicts the token after it."""
    targets: mx.array
    """(A,) int32, those tokens."""
    weights: mx.array
    """(A,) how much each counts; 0 where a position only fills up the shape."""
    repeats: mx.array
    """(A, R) int32, where a word begins the first tokens of the words before it, else -1."""


@dataclass(frozen=True)
class Rows:
    """N exchanges as tokens, each with the position where its answer begins, which is never the first."""

    tokens: tuple[NDArray[np.int32], ...]
    starts: NDArray[np.int64]
    form: NDArray[np.bool_] | None = None
    """(V,) which tokens are an answer's form, see :func:`form_tokens`; None where that makes no difference."""
    form_weight: float = 1.0
    """How much a token of the form counts, where one of a word counts 1."""
    lists: frozenset[int] = frozenset()
    """The rows whose answers are words, no two of them the same; an ID may well have a number twice."""

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each row."""
        return np.array([len(row) for row in self.tokens], dtype=np.int64)

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """(N,) tokens of each answer, its end included."""
        return self.lengths - self.starts

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(N,) what the tokens of each answer count together."""
        pairs = zip(self.tokens, self.starts, strict=True)
        return np.array([self._weights(row[start:]).sum() for row, start in pairs], dtype=np.float64)

    def _weights(self, answer: NDArray[np.int32]) -> NDArray[np.float32]:
        form = np.zeros(len(answer), bool) if self.form is None else self.form[answer]
        return np.where(form, self.form_weight, 1.0).astype(np.float32)

    def _repeats(self, answer: NDArray[np.int32]) -> NDArray[np.int32]:
        found = np.full((len(answer), _REPEATS), -1, np.int32)
        if self.form is not None:
            form = self.form[answer]
            # The first word's own beginning is another token than that of the same word after a separator.
            begins = np.flatnonzero(~form[1:] & form[:-1]) + 1
            for k, position in enumerate(begins):
                before = answer[begins[max(0, k - _REPEATS) : k]]
                found[position, : len(before)] = np.where(before == answer[position], -1, before)
        return found

    @cached_property
    def shared(self) -> NDArray[np.int32]:
        """What all rows begin with; empty where that is hardly anything. The token before an answer is never in it."""
        first = self.tokens[0]
        most = int(self.starts.min()) - 1
        agree = np.all([row[:most] == first[:most] for row in self.tokens], axis=0)
        count = most if agree.all() else int(agree.argmin())
        return first[: count if count >= _LEAST_SHARED else 0]

    def batch(self, chosen: Sequence[int] | NDArray[np.int64], skip: int = 0, multiple: int = 1) -> Batch:
        """The rows of these numbers as one batch.

        Args:
            skip: tokens at the beginning that are read apart, see :attr:`shared`.
            multiple: L is filled up to a multiple of this, and A to four times that: fewer shapes to compile for.
        """
        L = _up(int(self.lengths[chosen].max()) - 1 - skip, multiple)
        A = _up(int(self.answers[chosen].sum()), 4 * multiple if multiple > 1 else 1)
        tokens = np.zeros((len(chosen), L), np.int32)
        positions, targets, weights = np.zeros(A, np.int32), np.zeros(A, np.int32), np.zeros(A, np.float32)
        repeats = np.full((A, _REPEATS), -1, np.int32)
        at = 0
        for b, number in enumerate(chosen):
            row, start = self.tokens[number], int(self.starts[number])
            tokens[b, : len(row) - 1 - skip] = row[skip:-1]
            more = at + len(row) - start
            positions[at:more] = b * L + np.arange(start - 1, len(row) - 1) - skip
            targets[at:more], weights[at:more] = row[start:], self._weights(row[start:])
            if number in self.lists:
                repeats[at:more] = self._repeats(row[start:])
            at = more
        return Batch(*map(mx.array, (tokens, positions, targets, weights, repeats)))

    def order(self, batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch as numbers of rows, the longest first in each; they depend on nothing else.

        Rows are shuffled into pools of sixteen batches and sorted by length within one; then the batches are shuffled.
        """
        rng = np.random.default_rng([seed, epoch])
        mixed = rng.permutation(len(self))
        found: list[NDArray[np.int64]] = []
        for start in range(0, len(mixed), batch * _POOL):
            pool = mixed[start : start + batch * _POOL]
            pool = pool[np.argsort(-self.lengths[pool], kind="stable")]
            found += [pool[i : i + batch] for i in range(0, len(pool), batch)]
        return [found[i] for i in rng.permutation(len(found))]

    def in_turn(self, batch: int) -> Iterator[NDArray[np.int64]]:
        """All rows from the longest to the shortest, a batch at a time."""
        sorted_rows = np.argsort(-self.lengths, kind="stable")
        for start in range(0, len(self), batch):
            yield sorted_rows[start : start + batch]


def form_tokens(tokenizer: Any) -> NDArray[np.bool_]:
    """(V,) whether a token is part of an answer's form: separators, brackets, the end; no letter or digit in it."""
    texts = decode_each(tokenizer, range(len(tokenizer)))
    form = np.array([not any(c.isalnum() for c in text) for text in texts])
    form[end_token(tokenizer)] = True
    return form


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def prepare(
    exchanges: Sequence[Exchange],
    tokenizer: Any,
    longest: int,
    name: str = "rows",
    form: NDArray[np.bool_] | None = None,
    form_weight: float = 1.0,
) -> Rows:
    """Exchanges as tokens, once for a whole training.

    Args:
        longest: rows of more tokens are left out, and how many is said in one line.
        form, form_weight: see :class:`Rows`.

    Raises:
        WotdError: no row is left.
    """
    kept, starts, lists, left_out = list[NDArray[np.int32]](), list[int](), set[int](), 0
    for exchange in exchanges:
        prompt = chat(tokenizer, exchange.request)
        row = chat(tokenizer, exchange.request, exchange.answer)
        if len(row) > longest:
            left_out += 1
            continue
        if exchange.kind in WORD_KINDS:
            lists.add(len(kept))
        kept.append(np.array(row, dtype=np.int32))
        starts.append(len(prompt))
    if left_out:
        log.info("%s: %d of %d are longer than %d tokens and left out", name, left_out, len(exchanges), longest)
    if not kept:
        raise WotdError(f"{name}: none of {len(exchanges)} rows has {longest} tokens or fewer; raise the longest")
    return Rows(tuple(kept), np.array(starts, dtype=np.int64), form, form_weight, frozenset(lists))
