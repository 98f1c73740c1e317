"""GRU: four layers of gated recurrence with one state each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import Function, choose
from wotd_mlx.lvm.parts import base


@dataclass(frozen=True)
class Config:
    """Sizes of the model.

    Args:
        dims: numbers in a vector, D.
        width: numbers in a layer's memory, W.
        depth: layers.
        dropout: share of numbers dropped between layers in training.
    """

    dims: int = 768
    width: int = 512
    depth: int = 4
    dropout: float = 0.1


PRESETS = {"tiny": Config(dims=384, width=320, depth=2), "paper": Config()}
ABOUT = base.About(
    title="GRU",
    reference="Cho et al. 2014, arXiv 1406.1078, doi 10.3115/v1/D14-1179",
    complexity="O(L·D²)",
    step_memory="O(1)",
    published=7_100_000,
    note="the reset gate acts after the product with h, as in cuDNN and torch.nn.GRU (1406.1078 v1), not before",
)


class GRU(nn.Module):
    r"""One layer, its three gates packed and with two biases, as torch.nn.GRU has them.

    .. math::
        r, z = \sigma(W_x x_t + b_x + W_h h_{t-1} + b_h), \quad
        n = \tanh(W_x x_t + b_x + r (W_h h_{t-1} + b_h)), \quad h_t = n + z (h_{t-1} - n)

    σ is taken as ½ + ½ tanh(·/2), so that one tanh serves both gates of a step.

    Shape:
        x (D, L, B), h (W, B) -> h_1 … h_L (W, L, B), the last h (W, B). Numbers by places by batch: so the gates of
        a step are whole blocks of memory.
    """

    def __init__(self, dims: int, width: int):
        super().__init__()
        bound = width**-0.5
        self.weight_ih = mx.random.uniform(-bound, bound, (3 * width, dims))
        self.weight_hh = mx.random.uniform(-bound, bound, (3 * width, width))
        self.bias_ih = mx.random.uniform(-bound, bound, (3 * width,))
        self.bias_hh = mx.random.uniform(-bound, bound, (3 * width,))

    def __call__(self, x: mx.array, h: mx.array, tanh: Function) -> tuple[mx.array, mx.array]:
        """Read L vectors from the state h; see the class for shapes."""
        D, L, B = x.shape
        W = h.shape[0]
        # In r and z half of what goes into σ goes into tanh; n gets all of it.
        scale = mx.array([0.5, 0.5, 1.0], x.dtype).reshape(3, 1, 1)
        into, back, bias_ih, bias_hh = (
            (scale * w.reshape(3, W, -1)).reshape(3 * W, -1)
            for w in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        )
        read = (into @ x.reshape(D, L * B) + bias_ih).reshape(3 * W, L, B)
        gates, new = read[: 2 * W], read[2 * W :]
        bias = mx.broadcast_to(bias_hh[:, None], (3 * W, L, B))
        known = mx.concatenate([gates + bias[: 2 * W], bias[2 * W :]])
        # Where the model is exported it isn't training, and MLX can't export a custom function.
        h, *_ = _trained(tanh)(known, new, back, h) if self.training else _recur(known, new, back, h, tanh)
        return h, h[:, -1]


def _recur(known: mx.array, new: mx.array, back: mx.array, h: mx.array, tanh: Function) -> tuple[mx.array, ...]:
    """What W_h h is added to (3W, L, B), n's part of x (W, L, B), W_h (3W, W), h (W, B) -> all h (W, L, B), and L
    times r and z (2W, B), the product that r scales, and n."""
    W, L, _ = new.shape
    states, kept = [], []
    for t in range(L):
        product = mx.addmm(known[:, t], back, h)
        gates = tanh(product[: 2 * W])
        r, z = mx.split(gates, 2)
        recalled = product[2 * W :]
        n = tanh(new[:, t] + 0.5 * (r + 1) * recalled)
        h = n + 0.5 * (z + 1) * (h - n)
        states.append(h)
        kept += [gates, recalled, n]
    return mx.stack(states, axis=1), *kept


def _backwards(primals: Any, cotangents: Any, outputs: Any) -> tuple[mx.array, ...]:
    """The recurrence's gradients; the one in W_h is a single product over all places."""
    _, new, back, h = primals
    states, *kept = outputs
    W, L, _ = new.shape
    d_states = cotangents[0]
    dh = mx.zeros_like(h)
    turned = back.T
    d_known, d_new = [h] * L, [h] * L
    for t in reversed(range(L)):
        gates, recalled, n = kept[3 * t : 3 * t + 3]
        r, z = mx.split(gates, 2)
        before = states[:, t - 1] if t else h
        dh = dh + d_states[:, t]
        d_new[t] = 0.5 * dh * (1 - z) * (1 - n * n)
        d_gates = mx.concatenate([d_new[t] * recalled, dh * (before - n)]) * (1 - gates * gates)
        d_known[t] = 0.5 * mx.concatenate([d_gates, d_new[t] * (r + 1)])
        dh = turned @ d_known[t] + 0.5 * dh * (z + 1)
    d_all = mx.stack(d_known, axis=1)
    before_all = mx.concatenate([h[:, None], states[:, :-1]], axis=1)
    d_back = d_all.reshape(3 * W, -1) @ before_all.reshape(W, -1).T
    return d_all, mx.stack(d_new, axis=1), d_back, dh


@cache
def _trained(tanh: Function) -> Any:
    """The recurrence with its gradients by hand."""
    function = mx.custom_function(lambda known, new, back, h: _recur(known, new, back, h, tanh))
    function.vjp(_backwards)
    return function


class Predictor(base.Predictor):
    """GRU layers between two linear ones; whole sequences and steps are the same recurrence.

    Args:
        cfg: sizes; dropout acts between layers, as in torch.nn.GRU.
    Shape:
        x (B, L, D) -> (B, L, D); the state has h (B, W) of each layer.
    Reference:
        Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [GRU(cfg.width, cfg.width) for _ in range(cfg.depth)]
        self.dropout = Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        """x (B, L, D) -> predictions (B, L, D) and the state."""
        # In training too the plain one: the recurrence has its slopes by hand.
        tanh = choose(self.exact, training=False).tanh
        x = self.embed(x.swapaxes(0, 1)).transpose(2, 0, 1)
        W, _, B = x.shape
        read = state or [mx.zeros((B, W), x.dtype)] * len(self.layers)
        after = []
        for n, (layer, before) in enumerate(zip(self.layers, read, strict=True)):
            x, h = self.through(layer, self.dropout(x) if n else x, before.T, tanh)
            after.append(h.T)
        return self.head(x.transpose(2, 1, 0)), after
