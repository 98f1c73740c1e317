"""What all rows of a batch begin with, read once: the same hidden states and gradients for less work.

Rows of a chat share their template's beginning and often the first words of the request. Under causal attention what is
computed for those tokens is the same in every row, so keys and values of the first are handed to all.
"""

from __future__ import annotations

import logging
from typing import Any

import mlx.core as mx
from mlx import nn

log = logging.getLogger("wotd_mlx")

_AGREE = 1e-3
"""Largest difference of hidden states, as a share of the largest of them; half precision has 3 digits."""


def _caches() -> tuple[type, type]:
    """The two classes; made here, since mlx-lm takes a second to load."""
    from mlx_lm.models.cache import KVCache

    class Recording(KVCache):
        """Keeps keys (1, H, P, D) and values as they come, so that gradients pass through them."""

        def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
            self.keys, self.values = keys, values
            return keys, values

    class Behind(KVCache):
        """Puts what was recorded before the keys (B, H, L, D) and values of each row."""

        def __init__(self, before: Any):
            super().__init__()
            self.keys, self.values, self.offset = before.keys, before.values, before.keys.shape[2]
            self.before = (before.keys, before.values)

        def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
            return _behind(self.before[0], keys), _behind(self.before[1], values)

    return Recording, Behind


def _behind(first: mx.array, rest: mx.array) -> mx.array:
    return mx.concatenate([mx.broadcast_to(first, (len(rest), *first.shape[1:])), rest], axis=2)


def hidden_behind(head: Any, model: nn.Module, shared: mx.array, tokens: mx.array) -> mx.array:
    """Hidden states (B, L, D) of ``tokens`` (B, L), each row of which stands behind ``shared`` (P,)."""
    recording, behind = _caches()
    recorded = [recording() for _ in model.layers]
    head.hidden(shared[None], recorded)
    hidden: mx.array = head.hidden(tokens, [behind(layer) for layer in recorded])
    return hidden


def may_share(head: Any, model: nn.Module, shared: mx.array, tokens: mx.array) -> bool:
    """Whether that gives for ``tokens`` (B, L) what whole rows give; where it doesn't, it is said in one line."""
    if not len(shared):
        return False
    whole = mx.concatenate([mx.broadcast_to(shared, (len(tokens), len(shared))), tokens], axis=1)
    want = head.hidden(whole)[:, len(shared) :].astype(mx.float32)
    try:
        got = hidden_behind(head, model, shared, tokens).astype(mx.float32)
        reason = "gives other numbers" if mx.abs(got - want).max() > _AGREE * mx.abs(want).max() else ""
    except Exception as error:  # layers of other kinds keep other things than keys and values
        reason = f"doesn't work with its layers ({type(error).__name__})"
    if reason:
        log.info("what rows have in common is read in each of them: reading it once %s", reason)
    return not reason
