"""The chunked delta rule is its definition, also where decays are strongest and keys are all alike."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.delta_rule import _figures, delta_rule, unit_inverse
from wotd_mlx.lvm.rwkv import FALL

B, H, N = 2, 3, 16


def definition(r, fall, k, v, a, b, state):
    """S_t = S_{t−1} (diag(w_t) + a_t b_tᵀ) + v_t k_tᵀ and S_t r_t, in float64; the state comes and goes transposed."""
    S, rows = state.astype(np.float64).swapaxes(-1, -2), []
    r, fall, k, v, a, b = (part.astype(np.float64) for part in (r, fall, k, v, a, b))
    for t in range(r.shape[1]):
        change = np.exp(fall[:, t])[..., None, :] * np.eye(N) + a[:, t, :, :, None] * b[:, t, :, None, :]
        S = S @ change + v[:, t, :, :, None] * k[:, t, :, None, :]
        rows.append(S @ r[:, t, :, :, None])
    return np.stack(rows, axis=2)[..., 0], S.swapaxes(-1, -2)


@pytest.mark.parametrize("begin", [True, False], ids=["from a state", "from nothing"])
@pytest.mark.parametrize("length", [1, 5, 16, 37])
@pytest.mark.parametrize(
    ("falls", "rate", "alike"), [(-FALL, 0.9, 0), (None, 0.5, 0), (0.0, 1.0, 1), (-1e-3, 0.999, 1)]
)
def test_chunks_are_the_definition(length, falls, rate, alike, begin):
    rng = np.random.default_rng(length)
    r, k, v, key = rng.normal(size=(4, B, length, H, N)).astype("float32")
    if alike:
        key = key[:, :1] + 0.01 * key
    key /= np.linalg.norm(key, axis=-1, keepdims=True)
    fall = np.full_like(r, falls) if falls is not None else -FALL * rng.random(r.shape).astype("float32")
    state = rng.normal(size=(B, H, N, N)).astype("float32") * begin
    parts = (r / N**0.5, fall, k / N**0.5, v, -key, key * np.float32(rate))
    got, after = delta_rule(*map(mx.array, parts), mx.array(state) if begin else None, chunk=16)
    want, want_after = definition(*parts, state)
    close(got, want, "paper")
    close(after, want_after, "paper")


def test_writing_to_a_key_replaces_what_it_held():
    """No decay and a rate of one, so reading gives the last value, however many were written."""
    key = mx.random.normal((B, 1, H, N), key=mx.random.key(0))
    key = mx.broadcast_to(key / mx.linalg.norm(key, axis=-1, keepdims=True), (B, 40, H, N))
    v = mx.random.normal((B, 40, H, N), key=mx.random.key(1))
    out, _ = delta_rule(key, mx.zeros_like(v), key, v, -key, key, None, chunk=16)
    close(out, v.transpose(0, 2, 1, 3), "forms")


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 16, 17, 32])
def test_the_inverse_stays_exact_where_powers_grow(length):
    """(I − N)⁻¹ for N all −1 below the diagonal has nothing but 1 and −1 in it, the powers of N reach 3·10⁸."""
    lower = -np.tril(np.ones((length, length), dtype="float32"), -1)
    got = unit_inverse(mx.array(lower), _figures(length)[1])
    close(got, np.eye(length) - np.eye(length, k=-1), "exact")
