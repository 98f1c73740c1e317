"""LSTM: two layers of gated recurrence, the smallest of the thirteen."""

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
    depth: int = 2
    dropout: float = 0.1


PRESETS = {"tiny": Config(dims=384, width=256), "paper": Config()}
ABOUT = base.About(
    title="LSTM",
    reference="Hochreiter & Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735",
    complexity="O(L·D²)",
    step_memory="O(1)",
    published=5_100_000,
)


class LSTM(nn.Module):
    r"""One layer, its four gates packed and with two biases, as torch.nn.LSTM has them.

    .. math::
        i, f, o = \sigma(\cdot), \; g = \tanh(\cdot) \text{ of } W_x x_t + b_x + W_h h_{t-1} + b_h, \quad
        c_t = f c_{t-1} + i g, \quad h_t = o \tanh c_t

    σ is taken as ½ + ½ tanh(·/2), so that one tanh serves a step's four gates.

    Shape:
        x (D, L, B), h and c (W, B) -> h_1 … h_L (W, L, B), the last h and c (W, B). Numbers by places by batch:
        so the gates of a step are whole blocks of memory.
    """

    def __init__(self, dims: int, width: int):
        super().__init__()
        bound = width**-0.5
        self.weight_ih = mx.random.uniform(-bound, bound, (4 * width, dims))
        self.weight_hh = mx.random.uniform(-bound, bound, (4 * width, width))
        self.bias_ih = mx.random.uniform(-bound, bound, (4 * width,))
        self.bias_hh = mx.random.uniform(-bound, bound, (4 * width,))

    def __call__(self, x: mx.array, h: mx.array, c: mx.array, tanh: Function) -> tuple[mx.array, mx.array, mx.array]:
        """Read L vectors from the state (h, c); see the class for shapes."""
        D, L, B = x.shape
        W = h.shape[0]
        # In i, f and o half of what goes into σ goes into tanh; g, the third, gets all of it.
        scale = mx.array([0.5, 0.5, 1.0, 0.5], x.dtype).reshape(4, 1, 1)
        into, back = ((scale * w.reshape(4, W, -1)).reshape(4 * W, -1) for w in (self.weight_ih, self.weight_hh))
        bias = (scale * (self.bias_ih + self.bias_hh).reshape(4, W, 1)).reshape(4 * W, 1)
        z = (into @ x.reshape(D, L * B) + bias).reshape(4 * W, L, B)
        # Where the model is exported it isn't training, and MLX can't export a custom function.
        h, c, *_ = _trained(tanh)(z, back, h, c) if self.training else _recur(z, back, h, c, tanh)
        return h, h[:, -1], c


def _recur(z: mx.array, back: mx.array, h: mx.array, c: mx.array, tanh: Function) -> tuple[mx.array, ...]:
    """z (4W, L, B), W_h (4W, W), h and c (W, B) -> all h (W, L, B), the last c, and L times gates, c and tanh c."""
    L = z.shape[1]
    states, kept = [], []
    for t in range(L):
        gates = tanh(mx.addmm(z[:, t], back, h))
        i, f, g, o = mx.split(gates, 4)
        c = 0.5 * ((f + 1) * c + (i + 1) * g)
        squashed = tanh(c)
        h = 0.5 * (o + 1) * squashed
        states.append(h)
        kept += [gates, c, squashed]
    return mx.stack(states, axis=1), c, *kept


def _backwards(primals: Any, cotangents: Any, outputs: Any) -> tuple[mx.array, ...]:
    """The recurrence's gradients; the one in W_h is a single product over all places."""
    z, back, h, c = primals
    states, _, *kept = outputs
    L = z.shape[1]
    d_states, dc = cotangents[:2]
    dh = mx.zeros_like(h)
    turned = back.T
    dz = [z] * L
    for t in reversed(range(L)):
        gates, _, squashed = kept[3 * t : 3 * t + 3]
        i, f, g, o = mx.split(gates, 4)
        before = kept[3 * t - 2] if t else c
        dh = dh + d_states[:, t]
        dc = dc + 0.5 * dh * (o + 1) * (1 - squashed * squashed)
        d_gates = mx.concatenate([dc * g, dc * before, dc * (i + 1), dh * squashed])
        slope = 1 - gates * gates
        # d c/d g = i = (tanh + 1)/2 and the slope of σ is half that of its tanh: all four have the one half.
        dz[t] = 0.5 * d_gates * slope
        dc = 0.5 * dc * (f + 1)
        dh = turned @ dz[t]
    d_all = mx.stack(dz, axis=1)
    before_all = mx.concatenate([h[:, None], states[:, :-1]], axis=1)
    d_back = d_all.reshape(d_all.shape[0], -1) @ before_all.reshape(h.shape[0], -1).T
    return d_all, d_back, dh, dc


@cache
def _trained(tanh: Function) -> Any:
    """The recurrence with its gradients by hand."""
    function = mx.custom_function(lambda z, back, h, c: _recur(z, back, h, c, tanh))
    function.vjp(_backwards)
    return function


class Predictor(base.Predictor):
    """LSTM layers between two linear ones; whole sequences and steps are the same recurrence.

    Args:
        cfg: sizes; dropout acts between layers, as in torch.nn.LSTM.
    Shape:
        x (B, L, D) -> (B, L, D); the state has h and c (B, W) of each layer.
    Reference:
        Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [LSTM(cfg.width, cfg.width) for _ in range(cfg.depth)]
        self.dropout = Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        """x (B, L, D) -> predictions (B, L, D) and the state."""
        # In training too the plain one: the recurrence has its slopes by hand.
        tanh = choose(self.exact, training=False).tanh
        x = self.embed(x.swapaxes(0, 1)).transpose(2, 0, 1)
        W, _, B = x.shape
        read = state or [(mx.zeros((B, W), x.dtype),) * 2] * len(self.layers)
        after = []
        for n, (layer, before) in enumerate(zip(self.layers, read, strict=True)):
            x, h, c = self.through(layer, self.dropout(x) if n else x, before[0].T, before[1].T, tanh)
            after.append((h.T, c.T))
        return self.head(x.transpose(2, 1, 0)), after
