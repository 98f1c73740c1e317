"""The generalised delta rule, whose state forgets, erases and writes, by chunks or by steps."""

from __future__ import annotations

from functools import lru_cache

import mlx.core as mx
import numpy as np


@lru_cache(maxsize=8)
def _figures(length: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """What is seen of (k, b) by (r, a), (2L, 2L), and for each power of two the blocks that it joins, (L, L)."""
    position = np.arange(length)
    now, past = position[:, None] >= position, position[:, None] > position
    seen = np.block([[now, now], [past, past]])
    joined = []
    size = 1
    while size < length:
        side, pair = position // size, position // (2 * size)
        joined.append((pair[:, None] == pair) & (side[:, None] > side))
        size *= 2
    return seen.astype(np.float32), tuple(block.astype(np.float32) for block in joined)


def unit_inverse(lower: mx.array, joined: tuple[np.ndarray, ...]) -> mx.array:
    """(I − N)⁻¹ of strictly lower N (…, L, L), whatever its size: blocks of 1, 2, 4 … are joined in pairs.

    [[A, 0], [−N, D]]⁻¹ = [[A⁻¹, 0], [D⁻¹ N A⁻¹, D⁻¹]]. Unlike (I + N)(I + N²)(I + N⁴) … no power of N is formed; in
    those, near-equal keys make numbers of thousands that must cancel to 1.
    """
    inverse = mx.array(np.eye(lower.shape[-1], dtype=np.float32))
    for step, block in enumerate(joined):
        corner = lower * mx.array(block)
        inverse = inverse + (inverse @ corner @ inverse if step else corner)
    return inverse


def delta_rule(
    r: mx.array, fall: mx.array, k: mx.array, v: mx.array, a: mx.array, b: mx.array, state: mx.array | None, chunk: int
) -> tuple[mx.array, mx.array]:
    r"""The generalised delta rule, chunk by chunk.

    .. math:: M_t = \mathrm{diag}(w_t) M_{t-1} + b_t a_t^T M_{t-1} + k_t v_t^T, \qquad o_t = M_t^T r_t

    (the paper's :math:`S_t = M_t^T`). With :math:`W_t = \prod_{s \le t} w_s` in the chunk, :math:`\hat r_t = W_t r_t`,
    :math:`\hat a_t = W_{t-1} a_t`, :math:`\hat k_t = k_t / W_t`, :math:`\hat b_t = b_t / W_t`, all corrections
    :math:`u_t = M_{t-1}^T a_t` solve :math:`(I - \mathrm{tril}_{<}(\hat a \hat b^T)) u = \hat a M_0 +
    \mathrm{tril}_{<}(\hat a \hat k^T) v`, and a chunk is one linear map :math:`M_0 \to (o, M_L)`. These are made for
    all chunks at once; from chunk to chunk there is one product a chunk.

    Shape:
        r, k, a, b and fall = log w (B, L, H, N), v (B, L, H, N); state (B, H, N, N), keys by values
        -> o (B, H, L, N) and the state.
    """
    B, L, H, N = r.shape
    if L == 1 and state is not None:
        r, fall, k, v, a, b = (part.transpose(0, 2, 1, 3) for part in (r, fall, k, v, a, b))
        erased = b.swapaxes(-1, -2) * (a @ state)
        state = mx.exp(fall).swapaxes(-1, -2) * state + erased + k.swapaxes(-1, -2) * v
        return r @ state, state

    count = -(-L // chunk)
    C = -(-L // count)
    spare = count * C - L

    def cut(part: mx.array) -> mx.array:
        # Zeros at the end neither decay nor write, so the state passes them unchanged.
        part = mx.pad(part, [(0, 0), (0, spare), (0, 0), (0, 0)]) if spare else part
        return part.reshape(B, count, C, H, N).transpose(0, 3, 1, 2, 4)

    seen, joined = _figures(C)
    kept = mx.exp(mx.cumsum(cut(fall), axis=-2))
    before = mx.concatenate([mx.ones_like(kept[..., :1, :]), kept[..., :-1, :]], axis=-2)
    v, grown = cut(v), 1 / kept
    a_hat, r_hat = cut(a) * before, cut(r) * kept
    writes = mx.concatenate([cut(k) * grown, cut(b) * grown], axis=-2)
    scores = (mx.concatenate([r_hat, a_hat], axis=-2) @ writes.swapaxes(-1, -2)) * mx.array(seen)
    reads, solve = scores[..., :C, :], unit_inverse(scores[..., C:, C:], joined)

    fixed = solve @ (scores[..., C:, :C] @ v)
    out = reads @ mx.concatenate([v, fixed], axis=-2)
    last = kept[..., -1:, :].swapaxes(-1, -2)
    added = last * (writes.swapaxes(-1, -2) @ mx.concatenate([v, fixed], axis=-2))
    if state is None and count == 1:
        state = added[:, :, 0]
    else:
        linear = solve @ a_hat
        passed = last * (mx.array(np.eye(N, dtype=np.float32)) + writes[..., C:, :].swapaxes(-1, -2) @ linear)
        states = [mx.zeros((B, H, N, N)) if state is None else state]
        for i in range(count):
            states.append(mx.addmm(added[:, :, i], passed[:, :, i], states[-1]))
        out = out + (r_hat + reads[..., C:] @ linear) @ mx.stack(states[:-1], axis=2)
        state = states[-1]
    return out.reshape(B, H, count * C, N)[:, :, :L], state
