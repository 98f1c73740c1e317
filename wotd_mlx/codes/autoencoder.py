"""Vectors to codes and back: an encoder and a decoder around a quantiser, and what each code means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.codes.axes import principal_axes
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.binary import Binary
from wotd_mlx.codes.detail import Detail
from wotd_mlx.codes.fsq import FSQ
from wotd_mlx.codes.hvq import HVQ
from wotd_mlx.codes.reader import Reader
from wotd_mlx.codes.rvq import RVQ
from wotd_mlx.config import CodesConfig
from wotd_mlx.config.codes import byte_levels
from wotd_mlx.schemas import Attribute, Codes, WotdError


def build_quantizer(cfg: CodesConfig, dims: int, attributes: Sequence[Attribute] = ()) -> Quantizer:
    """The quantiser that ``cfg.kind`` names, for vectors D = ``dims`` wide."""
    if cfg.kind == "fsq":
        return FSQ(cfg.levels)
    if cfg.kind == "rvq":
        return RVQ(cfg.levels, cfg.latent, cfg.ema)
    if cfg.kind == "residual":
        return Detail(cfg.levels, dims)
    if cfg.kind == "binary":
        return Binary(cfg.levels, dims)
    sizes = [len(a.values) for a in attributes]
    return HVQ(cfg.levels, min(cfg.latent or dims, dims), sizes, cfg.neighbour_weight)


def build_detail(cfg: CodesConfig, dims: int) -> Detail | None:
    """The residual code of ``cfg.detail`` bits, or None."""
    return Detail(byte_levels(cfg.detail), dims) if cfg.detail else None


class SkipMLP(nn.Module):
    r""":math:`A x + W_2\,\mathrm{relu}(W_1 x + b_1) + b_2`, (B, in) -> (B, out).

    The linear path can be set to a projection known to be good; the other starts at zero and learns what it misses.
    Without hidden units the linear path is all.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.hidden = hidden
        if not hidden:
            return
        self.up = nn.Linear(inputs, hidden)
        self.down = nn.Linear(hidden, outputs)
        self.down.weight = mx.zeros_like(self.down.weight)
        self.down.bias = mx.zeros_like(self.down.bias)

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear(x) + self.down(nn.relu(self.up(x))) if self.hidden else self.linear(x)


class OrdinalHead(nn.Module):
    r"""Logits of V ordered values from one scalar: :math:`-\tau (s - m_v)^2` with the m_v evenly over [-1, 1].

    Nothing is learnt, so that a coordinate runs through its attribute's values in their order.

    Shape: (B, 1) -> (B, V).
    """

    def __init__(self, values: int, sharpness: float = 4.0):
        super().__init__()
        self._centres = mx.array(np.linspace(-1, 1, values), mx.float32) if values > 1 else mx.zeros((1,))
        self.sharpness = sharpness

    def __call__(self, part: mx.array) -> mx.array:
        return -self.sharpness * (part - self._centres) ** 2


class Autoencoder(nn.Module):
    r"""x -> encoder -> quantiser -> decoder -> x̂, with the first coordinates tied to attributes.

    .. math:: \hat x = \mu + s\,\mathrm{dec}(\mathrm{quant}(\mathrm{enc}((x - \mu)/s)))

    Args:
        dims: D.
        cfg: kind, levels and widths.
        attributes: attribute q is read off coordinate q alone.
    Shape:
        x (B, D) -> ids (B, Q), x̂ (B, D).
    """

    def __init__(self, dims: int, cfg: CodesConfig, attributes: Sequence[Attribute]):
        super().__init__()
        self.quantizer = build_quantizer(cfg, dims, attributes)
        width, hidden = self.quantizer.width, cfg.hidden if self.quantizer.learns else 0
        self.mean = mx.zeros((dims,))
        self.scale = mx.ones(())
        whole = self.quantizer.whole
        self.encoder = nn.Identity() if whole else SkipMLP(dims, hidden, width)
        self.decoder = nn.Identity() if whole else SkipMLP(width, hidden, dims)
        tied = attributes if self.quantizer.learns else ()
        self.heads = [
            OrdinalHead(len(a.values)) if self.quantizer.scalar else nn.Linear(width, len(a.values)) for a in tied
        ]
        # Frozen as a whole: it is fitted once all else is trained.
        self.detail = build_detail(cfg, dims)
        # What the whole vector says of each attribute; and what it says together with its text's own embedding.
        sizes = [len(a.values) for a in attributes]
        self.reader, self.text_reader = Reader(dims, sizes), Reader(2 * dims, sizes)
        # tables[q][k, v]: share of attribute value v among training words with code k, values counted alike.
        shapes = [] if whole else [(k, len(a.values)) for k, a in zip(cfg.levels, attributes, strict=False)]
        self.tables = [mx.zeros(shape) for shape in shapes]
        self.freeze(recurse=False, keys=["mean", "scale", "tables"])
        self.eval()  # codes are hard; `fit` alone trains

    def latents(self, x: mx.array) -> mx.array:
        """x (B, D) -> z (B, W)."""
        return self.encoder(self.standard(x))

    def standard(self, x: mx.array) -> mx.array:
        """x (B, D) -> the same with mean 0 and a variance of 1 a dimension, over the training words."""
        return (x - self.mean) / self.scale

    def encode(self, x: mx.array, values: mx.array | None = None) -> mx.array:
        """x (B, D) -> ids (B, Q) int32.

        Where codes are laid out by values, an ID reads as ``values`` (B, A), V_a for none; without them, as what the
        vector says of each attribute.
        """
        if not len(x):
            return mx.zeros((0, len(self.quantizer.levels)), mx.int32)
        z = self.latents(x)
        if not self.quantizer.laid_out:
            return self.quantizer(z).ids
        return self.quantizer(z, self.told(x) if values is None else values).ids

    def know(self, x: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Make known the words with x (N, D) and labels (N, A), −1 where there is no evidence: their IDs (N, Q)."""
        return self.quantizer.enter(np.asarray(self.latents(mx.array(x))), labels, seed)

    def told(self, x: mx.array, own: mx.array | None = None) -> mx.array:
        """x (B, D), and perhaps the own embedding of each -> the value (B, A) of each attribute that is likelier than
        not; V_a where none is."""
        reader, z = self._asked(x, own)
        return reader(z)

    def posteriors(self, x: mx.array, own: mx.array | None = None) -> list[mx.array]:
        """x (B, D), and perhaps the own embedding (B, D) of each text, by no dictionary -> for each attribute the
        calibrated probabilities of its values (B, V)."""
        reader, z = self._asked(x, own)
        return reader.posteriors(z)

    def balanced(self, x: mx.array, own: mx.array | None = None) -> list[mx.array]:
        """:meth:`posteriors` as they would be, were each attribute's values equally frequent."""
        reader, z = self._asked(x, own)
        return reader.balanced(z)

    def _asked(self, x: mx.array, own: mx.array | None) -> tuple[Reader, mx.array]:
        return (self.reader, x) if own is None else (self.text_reader, mx.concatenate([x, own], axis=1))

    def candidates(self, x: mx.array, ids: mx.array) -> mx.array:
        """x (B, D) with ids (B, Q) -> other IDs that may stand for x, (B, C, Q)."""
        return self.quantizer.candidates(self.latents(x), ids)

    def decode(self, ids: mx.array) -> mx.array:
        """ids (B, Q) -> x̂ (B, D), the vectors that these IDs stand for."""
        return self.reconstruct(self.quantizer.ids_to_codes(ids))

    def encode_detail(self, x: mx.array, ids: mx.array) -> mx.array:
        """x (B, D) with ids (B, Q) -> the numbers of the residual code (B, levels of :attr:`detail`).

        Raises:
            WotdError: this model was trained without a detail.
        """
        return self._detail().encode(x - self.decode(ids))

    def decode_detail(self, ids: mx.array, detail: mx.array) -> mx.array:
        """ids (B, Q) and the residual code's numbers -> x̂ (B, D), nearer to the vectors than :meth:`decode`."""
        return self.decode(ids) + self._detail().ids_to_codes(detail)

    def _detail(self) -> Detail:
        if self.detail is None:
            raise WotdError("these codes have no detail; train them with --detail BITS")
        return self.detail

    def fit_detail(self, x: NDArray[np.float32], seed: int, progress: Callable[[int], None]) -> None:
        """Fit the residual code to what the codes leave of training vectors x (N, D); nothing where there is none."""
        if self.detail is None:
            return
        z = np.asarray(self.latents(mx.array(x)))
        told = self.reconstruct(mx.array(z - self.quantizer.left_over(z)))
        self.detail.start(x - np.asarray(told), seed, progress)

    def reconstruct(self, quantized: mx.array) -> mx.array:
        """Quantised latents (B, W) -> x̂ (B, D)."""
        return self.mean + self.scale * self.decoder(quantized)

    def __call__(self, x: mx.array) -> tuple[mx.array, Codes, list[mx.array], mx.array]:
        """x (B, D) -> x̂ (B, D), codes, each attribute's logits (B, V), latents z (B, W)."""
        z = self.latents(x)
        codes, parts = self.quantizer.forward_levels(z)
        logits = [head(part) for head, part in zip(self.heads, parts, strict=False)]
        return self.reconstruct(codes.quantized), codes, logits, z

    def start(self, x: NDArray[np.float32], seed: int, progress: Callable[[int], None] = lambda n: None) -> None:
        """Begin at the best linear code of x (N, D), principal components and back; then start the quantiser."""
        self.mean = mx.array(x.mean(axis=0))
        centred = x - np.asarray(self.mean)
        self.scale = mx.array(float(np.sqrt(max(float(centred.var(axis=0).mean()), 1e-12))))
        if not self.quantizer.whole:
            self._start_linear(centred / float(self.scale))
        self.quantizer.start(np.asarray(self.latents(mx.array(x))), seed, progress)

    def _start_linear(self, z: NDArray[np.float32]) -> None:
        wide, dims = self.quantizer.width, z.shape[1]
        variances, top = principal_axes(z, min(wide, dims))
        gain = self.quantizer.component_scales(variances)
        into, back = np.zeros((wide, dims), np.float32), np.zeros((dims, wide), np.float32)
        into[: len(gain)], back[:, : len(gain)] = (top * gain).T, top / gain
        self.encoder.linear.weight, self.decoder.linear.weight = mx.array(into), mx.array(back)
