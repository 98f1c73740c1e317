"""Dropout that draws the same numbers again where a layer is computed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
from mlx import nn

_keys: list[mx.array] = []


@contextmanager
def drawn_from(key: mx.array) -> Iterator[None]:
    """Inside, dropout draws from ``key`` and not from MLX's own state, which can't be set back in a traced step."""
    _keys.append(key)
    try:
        yield
    finally:
        _keys.pop()


class Dropout(nn.Dropout):
    """In training a share p of the numbers becomes 0, the others grow by 1 / (1 - p); any shape -> the same."""

    def __call__(self, x: mx.array) -> mx.array:
        if not (_keys and self.training and self._p_1 < 1):
            y: mx.array = super().__call__(x)
            return y
        key, _keys[-1] = mx.random.split(_keys[-1])
        return mx.random.bernoulli(self._p_1, x.shape, key) * x / self._p_1
