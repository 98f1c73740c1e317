"""Diffusion of a vector given the vectors before it: noise schedules, the reverse process, the denoising tower.

Time runs over t = 0 … T−1; x_t = α_t x_0 + σ_t ε with α_t² + σ_t² = 1, so that the last x_t is noise alone.

References: LCM team, "Large Concept Models", arXiv 2412.08821, sections 2.3.2 to 2.3.4; Song et al., "Denoising
diffusion implicit models", arXiv 2010.02502; Lin et al., "Common diffusion noise schedules and sample steps are
flawed", arXiv 2305.08891 (last step without signal, trailing steps, rescaled guidance); Peebles and Xie, "Scalable
diffusion models with transformers", arXiv 2212.09748 (adaptive layer norm).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import silu
from wotd_mlx.lvm.parts.attention import KeysValues, attend, extend, merge_heads, split_heads
from wotd_mlx.lvm.parts.swiglu import SwiGLU

ScheduleName = Literal["cosine", "quadratic", "sigmoid"]
Output = Literal["x0", "v"]
"""What the tower puts out: the clean vector, or the velocity α ε − σ x_0; the noise ε says nothing where α is 0."""


@dataclass(frozen=True)
class Schedule:
    r"""Shares of signal α_t and noise σ_t.

    .. math::
        \text{cosine: } \alpha_t^2 = f(t)/f(0),\ f(t) = \cos^2(\tfrac{t + s}{1 + s} \tfrac{\pi}{2}),\ s = 0.008 \\
        \text{sigmoid: } f(t) = \mathrm{sigmoid}(\delta - \gamma\,\mathrm{logit}(t)) \qquad
        \text{quadratic: } \alpha_t^2 = \prod (1 - \beta),\ \sqrt\beta \text{ evenly spaced}

    with t = 1/T … 1. Then α is moved and stretched so that its first value stays and its last is 0.

    Args:
        kind: by name.
        steps: T.
        slope: the sigmoid's γ, and ``shift`` its δ.
        betas: the quadratic schedule's first and last β.
    """

    kind: ScheduleName = "cosine"
    steps: int = 100
    slope: float = 1.5
    shift: float = 0.0
    betas: tuple[float, float] = (0.02, 0.022)

    @cached_property
    def signal(self) -> NDArray[np.float64]:
        """α_t, (T,)."""
        t = np.arange(1, self.steps + 1) / self.steps
        if self.kind == "cosine":
            squared = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
        elif self.kind == "sigmoid":
            # sigmoid(δ − γ logit t), written so that t = 1 divides by nothing.
            power = (1 - t) ** self.slope * math.exp(self.shift)
            squared = power / (power + t**self.slope)
        else:
            first, last = np.sqrt(self.betas)
            squared = np.cumprod(1 - np.linspace(first, last, self.steps) ** 2)
        alpha = np.sqrt(squared)
        return np.asarray((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1]))

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """σ_t, (T,)."""
        return np.sqrt(1 - self.signal**2)

    def at(self, t: int) -> tuple[float, float]:
        """(α_t, σ_t); before the first step, at t = −1, all is signal."""
        return (1.0, 0.0) if t < 0 else (float(self.signal[t]), float(self.noise[t]))

    def ratio(self, limit: float) -> NDArray[np.float64]:
        """Weight of each step in the loss, (T,): min(α²/σ², limit), the clamped signal-to-noise ratio."""
        return np.minimum((self.signal / self.noise) ** 2, limit)

    def visited(self, count: int) -> list[int]:
        """Steps that a sampler of ``count`` steps visits, the last first: spaced evenly back from T−1."""
        return [round(self.steps - i * self.steps / count) - 1 for i in range(count)]

    def renoise(self, x0: mx.array, noise: mx.array, t: int, s: int, eta: float = 0.0, fresh: Any = 0.0) -> mx.array:
        r"""From step t back to an earlier step s, given what is believed of the clean vector and of the noise.

        .. math::
            x_s = \alpha_s x_0 + \sqrt{\sigma_s^2 - v}\,\varepsilon + \sqrt v\,\varepsilon', \qquad
            v = \eta^2 \frac{\sigma_s^2}{\sigma_t^2} \Big(1 - \frac{\alpha_t^2}{\alpha_s^2}\Big)

        η = 0 is DDIM and draws nothing; η = 1 samples the posterior q(x_s | x_t, x_0), as DDPM does.
        """
        signal, sigma = self.at(s)
        before, sigma_before = self.at(t)
        variance = (eta * sigma / sigma_before) ** 2 * (1 - (before / signal) ** 2)
        y = signal * x0 + math.sqrt(max(sigma**2 - variance, 0.0)) * noise
        return y + math.sqrt(variance) * fresh if variance > 0 else y


def clean_and_noise(
    output: mx.array, x: mx.array, signal: float, sigma: float, what: Output
) -> tuple[mx.array, mx.array]:
    """What the tower's output says of (x_0, ε), where it was given x = α x_0 + σ ε."""
    if what == "x0":
        return output, (x - signal * output) / sigma
    return signal * x - sigma * output, signal * output + sigma * x


def guided(given: mx.array, free: mx.array, scale: float, rescale: float) -> mx.array:
    """Noise moved away from what is believed without a context: ε = free + scale · (given − free).

    ``rescale`` is the share by which the result gets its deviation over D back from ``given`` (arXiv 2305.08891, 3.4).
    """
    noise = free + scale * (given - free)
    if rescale:
        factor = mx.std(given, axis=-1, keepdims=True) / mx.std(noise, axis=-1, keepdims=True)
        noise = noise * (rescale * factor + (1 - rescale))
    return noise


class TimeEmbedding(nn.Module):
    """Steps t, any shape -> (…, D): sines and cosines of falling frequency, then two linear layers."""

    def __init__(self, width: int, frequencies: int = 128) -> None:
        super().__init__()
        self.inlet = nn.Linear(2 * frequencies, width)
        self.outlet = nn.Linear(width, width)
        self._frequencies = mx.array(np.exp(-math.log(10000) * np.arange(frequencies) / frequencies).astype("float32"))

    def __call__(self, t: mx.array) -> mx.array:
        angles = t[..., None].astype(mx.float32) * self._frequencies
        waves = mx.concatenate([mx.cos(angles), mx.sin(angles)], axis=-1)
        y: mx.array = self.outlet(silu(self.inlet(waves)))
        return y


class CrossAttention(nn.Module):
    """Attention from the vectors being denoised to the contexts before them.

    Shape:
        x (B, L, D), keys and values (B, H, ≥ L + 1, D/H) -> (B, L, D); the first key stands for no context at all.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def known(self, contexts: mx.array) -> KeysValues:
        """contexts (B, L, D) -> keys and values."""
        return split_heads(self.key(contexts), self.heads), split_heads(self.value(contexts), self.heads)

    def __call__(self, x: mx.array, known: KeysValues, mask: mx.array | None) -> mx.array:
        queries = split_heads(self.query(x), self.heads)
        if mask is None:
            y = attend(queries, known)
        else:
            y = mx.fast.scaled_dot_product_attention(
                queries, *known, scale=queries.shape[-1] ** -0.5, mask=mask.astype(mx.bool_)
            )
        return self.out(merge_heads(y))


class DenoiserLayer(nn.Module):
    """Self-attention, cross-attention and a gated feed-forward layer, each h + gate ⊙ f(norm(h) ⊙ (1 + scale) + shift).

    Shift, scale and gate come of the diffusion step; they start at zero, so that a layer starts as the identity.
    A vector attends to none of the others being denoised: softmax over one key is 1, so that self-attention is its
    values alone, and queries and keys, which the paper keeps, would never be trained.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norms = [nn.RMSNorm(width) for _ in range(3)]
        self.own_value = nn.Linear(width, width)
        self.own_out = nn.Linear(width, width)
        self.attention = CrossAttention(width, heads)
        self.feed = SwiGLU(width, inner)
        self.modulation = nn.Linear(width, 9 * width)
        self.modulation.weight = mx.zeros_like(self.modulation.weight)
        self.modulation.bias = mx.zeros_like(self.modulation.bias)
        self.dropout = Dropout(dropout)

    def __call__(
        self,
        h: mx.array,
        time: mx.array,
        known: KeysValues,
        mask: mx.array | None,
    ) -> mx.array:
        """time (…, D), the embedded step after its activation; broadcast against h (B, L, D)."""
        branches: list[Callable[[mx.array], mx.array]] = [
            lambda x: self.own_out(self.own_value(x)),
            lambda x: self.attention(x, known, mask),
            self.feed,
        ]
        changes = mx.split(self.modulation(time), 9, axis=-1)
        for i, branch in enumerate(branches):
            shift, scale, gate = changes[3 * i : 3 * i + 3]
            h = h + gate * self.dropout(branch(self.norms[i](h) * (1 + scale) + shift))
        return h


class Denoiser(nn.Module):
    """The denoising tower: a noisy vector, its step and the contexts before it -> the features of the clean one.

    Args:
        inputs: D of the vectors; the other widths are the tower's.
    """

    def __init__(self, inputs: int, width: int, heads: int, inner: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.inlet = nn.Linear(inputs, width)
        self.time = TimeEmbedding(width)
        self.layers = [DenoiserLayer(width, heads, inner, dropout) for _ in range(depth)]
        self.norm = nn.RMSNorm(width)

    def read(self, contexts: mx.array, past: list[KeysValues] | None = None) -> list[KeysValues]:
        """Keys and values of each layer, the new contexts (B, L, D) after those read before.

        A zero vector stands before the first context: it is all that a vector without contexts attends to.
        """
        if past is None:
            contexts = mx.concatenate([mx.zeros_like(contexts[:, :1]), contexts], axis=1)
        new = [layer.attention.known(contexts) for layer in self.layers]
        return new if past is None else [extend(p, *n) for p, n in zip(past, new, strict=True)]

    def __call__(
        self,
        x: mx.array,
        t: mx.array,
        known: list[KeysValues],
        mask: mx.array | None = None,
    ) -> mx.array:
        """x (B, L, inputs), t broadcast to (B, L) -> (B, L, D).

        Without a mask, the vectors follow the last L contexts, each one its own: the k-th of L sees all but the last
        L − k. A mask (B or 1, 1, L, keys) is True where a vector may look.
        """
        h = self.inlet(x)
        time = silu(self.time(t))
        for layer, keys_values in zip(self.layers, known, strict=True):
            h = layer(h, time, keys_values, mask)
        y: mx.array = self.norm(h)
        return y


def without_context(known: list[KeysValues]) -> list[KeysValues]:
    """The keys and values of no context: the first of each."""
    return [(keys[:, :, :1], values[:, :, :1]) for keys, values in known]


def sample(
    predict: Callable[[mx.array, int, bool], mx.array],
    noises: mx.array,
    schedule: Schedule,
    what: Output,
    count: int,
    guidance: float = 1.0,
    rescale: float = 0.0,
    eta: float = 0.0,
) -> mx.array:
    """A clean vector drawn from noise in ``count`` steps.

    Args:
        predict: (x_t, t, with the context or without) -> the tower's output.
        noises: (1 or more, …, D): the vector to start from, then one for each step where η > 0.
        guidance: 1 looks at the context alone; the first step, which has no signal, always does.
    """
    x, visited = noises[0], schedule.visited(count)
    x0 = x
    for i, t in enumerate(visited):
        signal, sigma = schedule.at(t)
        x0, noise = clean_and_noise(predict(x, t, True), x, signal, sigma, what)
        if guidance != 1 and signal > 0:
            free = clean_and_noise(predict(x, t, False), x, signal, sigma, what)[1]
            noise = guided(noise, free, guidance, rescale)
            x0 = (x - sigma * noise) / signal
        if i + 1 < count:
            x = schedule.renoise(x0, noise, t, visited[i + 1], eta, noises[i + 1] if eta else 0.0)
    return x0
