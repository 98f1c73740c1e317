"""Rows of a dataset as token batches: prompt masked, rows of like length together, the same order for a seed.

A row is a line ``{"messages": [{"role": "user", …}, {"role": "assistant", …}]}``. mlx-lm's own batches are cut from
rows sorted by the length of that mapping, the same for all, so that long and short ones share a batch; here they are
sorted by their tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.language.chat import chat
from wotd_mlx.language.rows import Exchange
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

_POOL = 16
"""Batches whose rows are sorted together: enough for little padding, few enough that batches differ every epoch."""
_LEAST_SHARED = 4
"""Tokens that all rows must begin with for it to be worth reading them once."""


class Batch(NamedTuple):
    """What a step computes on: B rows, and the A places in them that predict a token of an answer."""

    tokens: mx.array
    """(B, L) int32 as the model reads them: without what all rows share, the last token, and with zeros at the end."""
    places: mx.array
    """(A,) int32 into the B · L hidden states in a row; each predicts the token after it."""
    targets: mx.array
    """(A,) int32, those tokens."""
    weights: mx.array
    """(A,) 1, or 0 where a place only fills up the shape."""


@dataclass(frozen=True)
class Rows:
    """N exchanges as tokens, each with the place where its answer begins, which is never the first."""

    tokens: tuple[NDArray[np.int32], ...]
    starts: NDArray[np.int64]

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
        places, targets, weights = np.zeros(A, np.int32), np.zeros(A, np.int32), np.zeros(A, np.float32)
        at = 0
        for b, number in enumerate(chosen):
            row, start = self.tokens[number], int(self.starts[number])
            tokens[b, : len(row) - 1 - skip] = row[skip:-1]
            more = at + len(row) - start
            places[at:more] = b * L + np.arange(start - 1, len(row) - 1) - skip
            targets[at:more], weights[at:more] = row[start:], 1.0
            at = more
        return Batch(*map(mx.array, (tokens, places, targets, weights)))

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


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def prepare(
    exchanges: Sequence[Exchange],
    tokenizer: Any,
    longest: int,
    write: Callable[[str], str] | None = None,
    name: str = "rows",
) -> Rows:
    """Exchanges as tokens, once for a whole training.

    Args:
        longest: rows of more tokens are left out, and how many is said in one line.
        write: changes texts first, such as :meth:`wotd_mlx.language.tokens.CodeTokens.write`.

    Raises:
        WotdError: no row is left.
    """
    write = write or (lambda text: text)
    kept, starts, left_out = [], [], 0
    for exchange in exchanges:
        request, answer = write(exchange.request), write(exchange.answer)
        prompt, row = chat(tokenizer, request), chat(tokenizer, request, answer)
        if len(row) > longest:
            left_out += 1
            continue
        kept.append(np.array(row, dtype=np.int32))
        starts.append(len(prompt))
    if left_out:
        log.info("%s: %d of %d are longer than %d tokens and left out", name, left_out, len(exchanges), longest)
    if not kept:
        raise WotdError(f"{name}: none of {len(exchanges)} rows has {longest} tokens or fewer; raise the longest")
    return Rows(tuple(kept), np.array(starts, dtype=np.int64))
