"""Large Concept Model: a decoder over sentence vectors, with a mean-square head or a diffusion tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.config.ranges import Count, Part, Positive, Seed, Share, Weight
from wotd_mlx.dropout import Dropout
from wotd_mlx.lvm.parts import base, diffusion
from wotd_mlx.lvm.parts.attention import KeysValues, attend, extend, merge_heads, split_heads
from wotd_mlx.lvm.parts.blocks import Block, Stage
from wotd_mlx.lvm.parts.rotary import rotate
from wotd_mlx.lvm.parts.swiglu import SwiGLU
from wotd_mlx.schemas import WotdError


@dataclass(frozen=True)
class Config(base.Config):
    """Shape of an LCM; the fields from ``context_depth`` on serve the two-tower mode alone.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of layers in the base mode. heads: H.
        inner: width inside the feed-forward layers.
        base: of the rotary angles.
        dropout: of what a layer adds to the stream.
        mode: ``base`` regresses on the next vector, ``two-tower`` denoises it.
        context_depth: layers of the contextualiser, and ``denoiser_depth`` those of the denoiser.
        schedule: of the noise, a ``diffusion.ScheduleName``.
        predicts: what the denoiser puts out, ``x0`` or ``v``.
        sample_steps: denoising steps of a prediction, of ``noise_steps`` in training.
        guidance: strength of classifier-free guidance, 1 for none; ``guidance_rescale`` is its rescaling share.
        eta: 0 denoises deterministically (DDIM), 1 draws noise at each step (DDPM).
        context_dropout: share of predictions trained without their context, which guidance needs.
        snr_limit: training steps weigh min(α²/σ², limit); 0 weighs all alike.
        seed: of the noise that predictions start from.
    """

    dims: Count = 768
    width: Count = 2048
    depth: Count = 32
    heads: Count = 16
    inner: Count = 5632
    base: Positive = 10000.0
    dropout: Part = 0.1
    mode: Literal["base", "two-tower"] = "base"
    context_depth: Count = 5
    denoiser_depth: Count = 13
    schedule: diffusion.ScheduleName = "cosine"
    predicts: diffusion.Output = "x0"
    noise_steps: Count = 100
    sample_steps: Count = 10
    guidance: Weight = 1.0
    guidance_rescale: Share = 0.0
    eta: Share = 0.0
    context_dropout: Part = 0.15
    snr_limit: Weight = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_steps > self.noise_steps:
            most = self.noise_steps
            raise WotdError(f"lcm sample_steps is {self.sample_steps}, expected noise_steps, {most}, at most")


PRESETS = {
    "tiny": Config(dims=384, width=192, depth=4, heads=4, inner=512, context_depth=2, denoiser_depth=2),
    "paper": Config(),
}
ABOUT = base.About(
    title="Large Concept Model: Base-LCM, or two-tower diffusion",
    reference="arXiv 2412.08821",
    complexity="O(L²·D)",
    step_memory="O(L)",
    published=1_600_000_000,
    note="shape of the authors' release (32 × 2048, 16 heads, 1,647,635,456 parameters at D 1024); "
    "no biases in the feed-forward layers",
)


class SelfAttention(nn.Module):
    """Causal attention with rotary positions; x (B, L, D) -> (B, L, D) and the keys and values read."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.base = cfg.base
        self.query, self.key, self.value, self.out = (nn.Linear(cfg.width, cfg.width) for _ in range(4))

    def __call__(self, x: mx.array, past: KeysValues | None) -> tuple[mx.array, KeysValues]:
        offset = 0 if past is None else past[0].shape[2]
        queries, keys = (rotate(split_heads(f(x), self.heads), offset, self.base) for f in (self.query, self.key))
        known = extend(past, keys, split_heads(self.value(x), self.heads))
        return self.out(merge_heads(attend(queries, known))), known


class DecoderLayer(nn.Module):
    """h + attention(norm(h)), then h + feed(norm(h)); h (B, L, D) and keys and values -> the same."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(cfg.width)
        self.attention = SelfAttention(cfg)
        self.feed_norm = nn.RMSNorm(cfg.width)
        self.feed = SwiGLU(cfg.width, cfg.inner)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, h: mx.array, state: KeysValues | None = None) -> tuple[mx.array, KeysValues]:
        y, state = self.attention(self.attention_norm(h), state)
        h = h + self.dropout(y)
        return h + self.dropout(self.feed(self.feed_norm(h))), state


class TwoTower(nn.Module):
    """The diffusion head of an LCM: the denoising tower, its schedule and the noise predictions start from.

    Its parts work on normalised vectors; ``head`` is the predictor's, from the tower's width back to D.

    Reference:
        arXiv 2412.08821, section 2.3.4: the contextualiser reads clean vectors, the denoiser attends to its outputs
        before the vector at work. Left out is the release's epsilon scaling.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        # How many noise vectors a prediction takes.
        self.draws = cfg.sample_steps if cfg.eta else 1
        self.denoiser = diffusion.Denoiser(cfg.dims, cfg.width, cfg.heads, cfg.inner, cfg.denoiser_depth, cfg.dropout)
        self._schedule = diffusion.Schedule(cfg.schedule, cfg.noise_steps)
        self._weights = mx.array(self._schedule.ratio(cfg.snr_limit).astype("float32"))
        self._levels = mx.array(np.stack([self._schedule.signal, self._schedule.noise]).astype("float32"))
        # Made by NumPy, so that it is a constant in an exported graph.
        draws = np.random.default_rng(cfg.seed).standard_normal((self.draws, 1, 1, cfg.dims))
        self._noises = mx.array(draws.astype("float32"))

    def __call__(
        self,
        contexts: mx.array,
        past: list[KeysValues] | None,
        head: nn.Linear,
        noises: mx.array | None = None,
    ) -> tuple[mx.array, list[KeysValues]]:
        """contexts (B, L, W) -> the vectors after them (B, L, D), and keys and values of all contexts.

        Without ``noises`` (draws, B, L, D) all positions start from the same fixed noise, whatever stands beside them.
        """
        B, L, _ = contexts.shape
        known = self.denoiser.read(contexts, past)
        free = diffusion.without_context(known)
        cfg = self.cfg
        if noises is None:
            noises = mx.broadcast_to(self._noises, (self.draws, B, L, cfg.dims))

        def predict(x: mx.array, t: int, given: bool) -> mx.array:
            seen, mask = (known, None) if given else (free, mx.ones((1, 1, L, 1), mx.bool_))
            y: mx.array = head(self.denoiser(x, mx.array([[t]]), seen, mask))
            return y

        y = diffusion.sample(
            predict, noises, self._schedule, cfg.predicts, cfg.sample_steps, cfg.guidance, cfg.guidance_rescale, cfg.eta
        )
        return y, known

    def loss(self, contexts: mx.array, target: mx.array, head: nn.Linear, key: mx.array | None = None) -> mx.array:
        """Weighted mean square of the tower's error at steps drawn evenly; target (B, L, D), normalised.

        The paper sums over D; a mean keeps learning rates alike among the models.
        """
        B, L, _ = target.shape
        cfg = self.cfg
        steps, draws, drops = (None,) * 3 if key is None else mx.random.split(key, 3)
        t = mx.random.randint(0, cfg.noise_steps, (B, L), key=steps)
        noise = mx.random.normal(target.shape, key=draws)
        signal, sigma = self._levels[0][t][..., None], self._levels[1][t][..., None]

        mask = mx.tril(mx.ones((L, L + 1), mx.bool_), 1)[None, None]
        if self.training and cfg.context_dropout:
            kept = mx.random.bernoulli(1 - cfg.context_dropout, (B, 1, L, 1), key=drops)
            mask = mask & (kept | (mx.arange(L + 1) == 0))
        output = head(self.denoiser(signal * target + sigma * noise, t, self.denoiser.read(contexts), mask))
        wanted = target if cfg.predicts == "x0" else signal * noise - sigma * target
        error = mx.square(output - wanted).mean(axis=-1)
        return (error * self._weights[t] if cfg.snr_limit else error).mean()


class Predictor(base.Predictor):
    r"""Normalise, decode causally, denormalise.

    .. math:: \hat x_{t+1} = c + s \odot \mathrm{head}(f(\mathrm{embed}((x_{\le t} - c) / s)))

    f is a stack of pre-norm layers with RMSNorm, rotary positions and SwiGLU; in the two-tower mode, a shorter one
    whose outputs guide the denoiser. Centre c and spread s are fitted, not trained.

    Shape:
        x (B, L, D) -> (B, L, D); W is the decoder's width.
    Reference:
        LCM team, "Large Concept Models: language modeling in a sentence representation space", arXiv 2412.08821.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.centre = mx.zeros(cfg.dims)
        self.spread = mx.ones(cfg.dims)
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [DecoderLayer(cfg) for _ in range(cfg.depth if cfg.mode == "base" else cfg.context_depth)]
        self.norm = nn.RMSNorm(cfg.width)
        self.tower = TwoTower(cfg) if cfg.mode == "two-tower" else None
        self.head = nn.Linear(cfg.width, cfg.dims)
        self.freeze(keys=["centre", "spread"], recurse=False)

    def unfreeze(self, *args: Any, **kwargs: Any) -> Predictor:
        """Unfreeze what can be trained; the normaliser stays as it is."""
        super().unfreeze(*args, **kwargs)
        self.freeze(keys=["centre", "spread"], recurse=False)
        return self

    def fit_normaliser(self, x: mx.array) -> None:
        """Set centre and spread from x (N, D): the median, and the interquartile range of each of the D.

        The range is divided by that of a normal distribution, 1.349, as in the authors' release: where x is normal, the
        normalised vectors have the deviation 1 of the noise they are mixed with. A constant number keeps spread 1.
        """
        low, middle, high = np.quantile(np.asarray(x, dtype=np.float32), [0.25, 0.5, 0.75], axis=0)
        spread = (high - low) / 1.3489795
        self.centre = mx.array(middle.astype("float32"))
        self.spread = mx.array(np.where(spread > 0, spread, 1.0).astype("float32"))

    def normalise(self, x: mx.array) -> mx.array:
        """(x − centre) / spread."""
        return (x - self.centre) / self.spread

    def denormalise(self, y: mx.array) -> mx.array:
        """The inverse of ``normalise``."""
        return y * self.spread + self.centre

    def contexts(self, x: mx.array, state: list[KeysValues] | None = None) -> tuple[mx.array, list[KeysValues]]:
        """x (B, L, D) -> the decoder's outputs (B, L, W) and what it has read."""
        h, known = self.through_layers(self.embed(self.normalise(x)), state)
        return self.norm(h), known

    def __call__(self, x: mx.array, state: Any = None, noises: mx.array | None = None) -> tuple[mx.array, Any]:
        """x (B, L, D) -> (B, L, D) and the state.

        The two-tower mode denoises the same fixed noise at every position, or ``noises`` (draws, B, L, D) where given.
        """
        if self.tower is None:
            h, state = self.contexts(x, state)
            return self.denormalise(self.head(h)), state
        read, seen = (None, None) if state is None else state
        h, read = self.contexts(x, read)
        y, seen = self.tower(h, seen, self.head, noises)
        return self.denormalise(y), (read, seen)

    def draw(self, x: mx.array, key: mx.array, state: Any = None) -> tuple[mx.array, Any]:
        """One of the many vectors that may follow, by noise of the given key; the base mode has but one to give."""
        noises = None if self.tower is None else mx.random.normal((self.tower.draws, *x.shape), key=key)
        return self(x, state, noises)

    def loss(self, x: mx.array, target: mx.array, key: mx.array | None = None) -> mx.array:
        """The paper's objective, on normalised vectors: mean square error, or the denoiser's.

        Args:
            target: (B, L, D), the vector after each one of x.
            key: of the steps, the noise and the contexts left out; without one they come of MLX's own state.
        """
        h, _ = self.contexts(x)
        wanted = self.normalise(target)
        if self.tower is None:
            return mx.square(self.head(h) - wanted).mean()
        return self.tower.loss(h, wanted, self.head, key)

    def blocks(self) -> list[Block]:
        """The base mode as a chain (h, state) -> (h, state), for training block by block."""
        if self.tower is not None:
            raise WotdError("lcm: two-tower mode is no chain of blocks; expected mode 'base'")
        first = Stage([self.embed], lambda x: self.embed(self.normalise(x)))
        last = Stage([self.norm, self.head], lambda h: self.denormalise(self.head(self.norm(h))))
        return [first, *self.layers, last]
