"""What every predictor has to hold to: it reads alike whole and in pieces, and sees no later embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from tests.tolerances import close


def in_pieces(read: Callable[..., Any], x: mx.array, cuts: Sequence[int]) -> tuple[mx.array, Any]:
    """The outputs (B, L, D) of reading x (B, L, D) piece by piece, and the state after the last."""
    state, rows = None, []
    for start, end in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
        y, state = read(x[:, start:end], state)
        rows.append(y)
    return mx.concatenate(rows, axis=1), state


def reads_alike(model: Any, x: mx.array, *cuts: Sequence[int]) -> None:
    """Whole, one after another by ``step``, and in pieces that are cut at ``cuts``."""
    whole, _ = model(x)
    close(in_pieces(lambda x, s: _stepped(model, x, s), x, range(1, x.shape[1]))[0], whole, "forms")
    for at in cuts:
        close(in_pieces(model, x, at)[0], whole, "forms")


def _stepped(model: Any, x: mx.array, state: Any) -> tuple[mx.array, Any]:
    y, state = model.step(x[:, 0], state)
    return y[:, None], state


def sees_no_future(model: Any, x: mx.array, at: int) -> None:
    """A change from position ``at`` on shows there and nowhere before."""
    changed = mx.concatenate([x[:, :at], x[:, at:] + 1], axis=1)
    before, after = model(x)[0], model(changed)[0]
    close(after[:, :at], before[:, :at], "forms")
    assert mx.abs(after[:, at] - before[:, at]).max().item() > 1e-3
