"""LSTM: two layers of gated recurrence, the smallest of the thirteen."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.kernels.activations import sigmoid, tanh
from wotd_mlx.lvm.parts import base, recurrent


@dataclass(frozen=True)
class Config(base.Config):
    """Sizes of the model.

    Args:
        dims: numbers in a vector, D.
        width: numbers in a layer's memory, W.
        depth: layers.
        dropout: share of numbers dropped between layers in training.
    """

    dims: Count = 768
    width: Count = 512
    depth: Count = 2
    dropout: Part = 0.1


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

    Shape:
        x (B, L, W), state (h, c), (B, W) each, or None for zeros -> h_1 … h_L (B, L, W), the last h and c.
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight_ih = recurrent.uniform(width, 4 * width, width)
        self.weight_hh = recurrent.uniform(width, 4 * width, width)
        self.bias_ih = recurrent.uniform(width, 4 * width)
        self.bias_hh = recurrent.uniform(width, 4 * width)

    def __call__(
        self, x: mx.array, state: tuple[mx.array, mx.array] | None
    ) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        B, L, W = x.shape
        read = mx.addmm(self.bias_ih + self.bias_hh, x, self.weight_ih.T)
        h, c = state or (mx.zeros((B, W), x.dtype),) * 2
        states = []
        for t in range(L):
            i, f, g, o = mx.split(mx.addmm(read[:, t], h, self.weight_hh.T), 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            h = sigmoid(o) * tanh(c)
            states.append(h)
        return mx.stack(states, axis=1), (h, c)


class Predictor(recurrent.Predictor):
    """LSTM layers between two linear ones; the state has h and c (B, W) of each layer.

    Reference:
        Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000.
    """

    def __init__(self, cfg: Config):
        super().__init__(cfg.dims, cfg.width, cfg.depth, cfg.dropout, LSTM)
