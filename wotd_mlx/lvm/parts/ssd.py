"""State-space duality: Mamba-2's mixer, which reads a chunk by matrix products and one vector by a recurrence."""

from __future__ import annotations

import math

import mlx.core as mx
from mlx import nn

from wotd_mlx.kernels.activations import silu
from wotd_mlx.lvm.parts.short_conv import ShortConv

SSDState = tuple[mx.array, mx.array]
"""The convolution's last inputs (B, kernel − 1, ·), and the memory (B, N, H, W) in fp32."""


_LEAST_LOG_DECAY = -80.0
"""A memory that decays by e^-80 is gone. Below it a product's gradient, which divides by each factor, would lose it."""


def segment_products(x: mx.array) -> mx.array:
    """Products between positions: x (…, L) -> (…, L, L), at [i, j] x[j + 1] ⋯ x[i], and 1 where j ≥ i.

    Of decays, where exp of the log-decays' segment sums would take L exponentials for one, and a quotient of running
    products would be 0 / 0 after a long segment.
    """
    positions = mx.arange(x.shape[-1])
    later = positions[:, None] > positions
    return mx.cumprod(mx.where(later, x[..., None], 1), axis=-2)


def ssd(
    x: mx.array, log_decay: mx.array, b: mx.array, c: mx.array, memory: mx.array | None, chunk: int
) -> tuple[mx.array, mx.array]:
    r"""The memory decays, takes up b xᵀ and is read by c; heads share b and c.

    .. math:: h_t = e^{a_t} h_{t-1} + b_t x_t^\top, \qquad y_t = c_t^\top h_t

    Within a chunk y = (c bᵀ ∘ P) x, P[i, j] = e^(a_(j + 1) + … + a_i) being the segment products of the decays; none
    exceeds 1, so nothing overflows. From chunk to chunk the memory is handed on. Work is O(L · (chunk + N)), the memory
    constant in size.

    Args:
        x: (B, L, H, W). log_decay: a, (B, L, H), ≤ 0. b, c: (B, L, N). memory: h (B, N, H, W), or None for zeros.
    Returns:
        y (B, L, H, W) and the memory after the last position.
    Reference:
        Dao & Gu 2024, arXiv 2405.21060, section 6 and listing 1 (one group: all heads share B and C).
    """
    B, L, H, W = x.shape
    N = b.shape[-1]
    if L == 1 and memory is not None:
        memory = mx.exp(log_decay)[..., None] * memory + b.reshape(B, N, 1, 1) * x
        return (c @ memory.reshape(B, N, H * W)).reshape(B, 1, H, W), memory

    Q = min(L, chunk)
    x, log_decay, b, c = (_chunks(part, Q) for part in (x, log_decay, b, c))
    T = x.shape[1]
    decay = mx.exp(mx.maximum(log_decay, _LEAST_LOG_DECAY))
    between = segment_products(decay.swapaxes(2, 3))
    scores = mx.tril(c @ b.swapaxes(2, 3))
    y = ((scores[:, :, None] * between) @ x.swapaxes(2, 3)).swapaxes(2, 3)

    to_end = between[:, :, :, -1].swapaxes(2, 3)[..., None]
    added = (b.swapaxes(2, 3) @ (x * to_end).reshape(B, T, Q, H * W)).reshape(B, T, N, H, W)
    if memory is None and T == 1:
        return y[:, 0], added[:, 0]
    from_start = mx.cumprod(decay, axis=2)[..., None]
    memory = mx.zeros((B, N, H, W)) if memory is None else memory
    before = []
    for t in range(T):
        before.append(memory)
        memory = from_start[:, t, -1:] * memory + added[:, t]
    y = y + (c @ mx.stack(before, axis=1).reshape(B, T, N, H * W)).reshape(B, T, Q, H, W) * from_start
    return y.reshape(B, T * Q, H, W)[:, :L], memory


def _chunks(x: mx.array, size: int) -> mx.array:
    """(B, L, …) -> (B, ⌈L / size⌉, size, …), filled up with zeros: they neither decay the memory nor add to it."""
    B, L, *rest = x.shape
    if L % size:
        x = mx.pad(x, [(0, 0), (0, -L % size), *[(0, 0)] * len(rest)])
    return x.reshape(B, -1, size, *rest)


class SSDMixer(nn.Module):
    r"""Mamba-2's mixer: a gate z, a short convolution, the state-space dual, a gated RMS norm.

    .. math:: y = \mathrm{ssd}(\Delta x, -\Delta e^{A}, B, C) + d\, x, \qquad
              o = W_o\, \mathrm{rmsnorm}(y \circ \mathrm{silu}(z)), \qquad \Delta = \mathrm{softplus}(\delta + \delta_0)

    z, x, B, C and δ are one linear map of the input, x, B and C after the convolution and SiLU.

    Args:
        width: of input and output. heads, head_width: their product is the inner width. states: N.
        kernel: of the convolution. chunk: positions that are read by one matrix product. depth: the number of residual
            layers, by whose root the output's first weights are divided.
    Shape:
        x (B, L, width), state or None -> (B, L, width), state.
    Reference:
        Dao & Gu 2024, arXiv 2405.21060, section 7 and figure 6 ("parallel" block).
    """

    def __init__(
        self, width: int, heads: int, head_width: int, states: int, kernel: int, chunk: int, depth: int, eps: float
    ) -> None:
        super().__init__()
        self._heads, self._states, self._chunk = heads, states, chunk
        inner = heads * head_width
        self.in_proj = nn.Linear(width, 2 * inner + 2 * states + heads, bias=False)
        self.conv = ShortConv(inner + 2 * states, kernel)
        # Steps from .001 to .1, as the inverse of softplus; decays from 1 to 16 a unit of time.
        steps = mx.exp(mx.random.uniform(math.log(1e-3), math.log(1e-1), (heads,)))
        self.dt_bias = steps + mx.log(-mx.expm1(-steps))
        self.a_log = mx.log(mx.random.uniform(1, 16, (heads,)))
        self.skip = mx.ones(heads)
        self.norm = nn.RMSNorm(inner, eps)
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.out_proj.weight = self.out_proj.weight * depth**-0.5

    def __call__(self, x: mx.array, state: SSDState | None) -> tuple[mx.array, SSDState]:
        past, memory = (None, None) if state is None else state
        B, L, _ = x.shape
        H, N, inner = self._heads, self._states, self.norm.weight.shape[0]
        z, mixed, dt = mx.split(self.in_proj(x), [inner, 2 * inner + 2 * N], axis=-1)
        mixed, past = self.conv(mixed, past)
        u, b, c = mx.split(silu(mixed), [inner, inner + N], axis=-1)
        u = u.reshape(B, L, H, inner // H)
        dt = nn.softplus((dt + self.dt_bias).astype(mx.float32))
        y, memory = ssd(u * dt[..., None], -dt * mx.exp(self.a_log), b, c, memory, self._chunk)
        y = (y + u * self.skip[:, None]).reshape(B, L, inner).astype(x.dtype)
        return self.out_proj(self.norm(y * silu(z))), (past, memory)
