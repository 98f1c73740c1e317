"""GRU: four layers of gated recurrence with one state each."""

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
    depth: Count = 4
    dropout: Part = 0.1


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

    Shape:
        x (B, L, W), h (B, W) or None for zeros -> h_1 … h_L (B, L, W), the last h.
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight_ih = recurrent.uniform(width, 3 * width, width)
        self.weight_hh = recurrent.uniform(width, 3 * width, width)
        self.bias_ih = recurrent.uniform(width, 3 * width)
        self.bias_hh = recurrent.uniform(width, 3 * width)

    def __call__(self, x: mx.array, h: mx.array | None) -> tuple[mx.array, mx.array]:
        B, L, W = x.shape
        read = mx.addmm(self.bias_ih, x, self.weight_ih.T)
        h = mx.zeros((B, W), x.dtype) if h is None else h
        states = []
        for t in range(L):
            recalled = mx.addmm(self.bias_hh, h, self.weight_hh.T)
            r, z = mx.split(sigmoid(read[:, t, : 2 * W] + recalled[:, : 2 * W]), 2, axis=-1)
            n = tanh(read[:, t, 2 * W :] + r * recalled[:, 2 * W :])
            h = n + z * (h - n)
            states.append(h)
        return mx.stack(states, axis=1), h


class Predictor(recurrent.Predictor):
    """GRU layers between two linear ones; the state has h (B, W) of each layer.

    Reference:
        Cho et al. 2014, arXiv 1406.1078.
    """

    def __init__(self, cfg: Config):
        super().__init__(cfg.dims, cfg.width, cfg.depth, cfg.dropout, GRU)
