"""What the passes put together: norms over any axes, attention on both targets, a pool of each kind."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn

from tests.converters.ops.agree import agree, normal, whole

X = normal(2, 3, 4, 5)


def layer(x, axes, eps=1e-3):
    centred = x - x.mean(axes, keepdims=True)
    return centred * mx.rsqrt(centred.square().mean(axes, keepdims=True) + eps)


def rms(x, axes, eps=1e-2):
    return x * mx.rsqrt(x.square().mean(axes, keepdims=True) + eps)


def test_norms(tmp_path):
    functions = {}
    for n, axes in enumerate(((3,), (2, 3), (1,), (1, 2))):
        functions |= {
            f"layer{n}": lambda x, axes=axes: layer(x, axes),
            f"rms{n}": lambda x, axes=axes: rms(x, axes),
            f"length{n}": lambda x, axes=axes: x / mx.sqrt(x.square().sum(axes, keepdims=True)),
        }
    functions |= {
        "weighed": lambda x: layer(x, (3,)) * mx.arange(5.0),
        "shifted": lambda x: layer(x, (2, 3)) * mx.arange(20.0).reshape(4, 5) + mx.arange(20.0).reshape(4, 5) - 7,
        "rms_weighed": lambda x: rms(x, (3,)) * mx.arange(5.0),
    }
    counts = agree(tmp_path, functions, X)
    assert (counts["layer_norm"], counts["reduce_l2_norm"]) == (6, 4)


def test_activations(tmp_path):
    functions = {"exact": nn.gelu, "tanh": nn.gelu_approx, "sigmoid": nn.gelu_fast_approx, "silu": nn.silu}
    counts = agree(tmp_path, functions | {"relu": nn.relu}, 3 * X)
    assert (counts["gelu"], counts["silu"], counts["relu"]) == (3, 1, 1)


@pytest.mark.parametrize("target", ["iOS17", "iOS18"])
def test_attention(tmp_path, target):
    """Scales that are and are not Core ML's own, no mask, an added one, one of truth values."""
    bits = (whole(0, 3, 3, 6) > 0) | (mx.arange(6) == 0)

    def attend(scale, mask):
        def fn(q, k, v, m, b):
            scores = (q * scale) @ k.swapaxes(-1, -2)
            scores = scores + m if mask == "added" else mx.where(b, scores, -mx.inf) if mask == "chosen" else scores
            return mx.softmax(scores, axis=-1) @ v

        return fn

    functions = {
        f"{mask}{n}": attend(s, mask) for n, s in enumerate((0.5, 0.3, 1.0)) for mask in ("no", "added", "chosen")
    }
    q, k, v = normal(2, 2, 3, 4), normal(2, 2, 6, 4, seed=1), normal(2, 2, 6, 5, seed=2)
    counts = agree(tmp_path, functions, q, k, v, normal(3, 6, seed=3), bits, target=target)
    # A boolean mask that is computed may hide all keys of a row, of which Core ML's own operation makes NaN.
    own = 6 if target == "iOS18" else 0
    assert (counts.get("scaled_dot_product_attention", 0), counts["softmax"]) == (own, 9 - own)


def test_pools(tmp_path):
    """The largest, the mean and the sum, of one to three axes, overlapping, side by side and apart."""
    row, image, volume = X.reshape(2, 12, 5), normal(2, 4, 6, 5), normal(1, 4, 3, 4, 2)
    functions = {}
    for n, (size, step) in enumerate(((2, 2), (3, 1), (2, 3))):
        functions |= {
            f"row_max{n}": lambda a, b, c, s=size, t=step: nn.MaxPool1d(s, t)(a),
            f"row_mean{n}": lambda a, b, c, s=size, t=step: nn.AvgPool1d(s, t)(a),
            f"max{n}": lambda a, b, c, s=size, t=step: nn.MaxPool2d((s, 2), (t, 1))(b),
            f"mean{n}": lambda a, b, c, s=size, t=step: nn.AvgPool2d((2, s), (2, t))(b),
            f"volume_max{n}": lambda a, b, c, s=size, t=step: nn.MaxPool3d((s, 2, 2), (t, 1, 2))(c),
            f"volume_mean{n}": lambda a, b, c, s=size, t=step: nn.AvgPool3d((2, 3, s), (1, 1, t))(c),
        }
    functions["sum"] = lambda a, b, c: b.reshape(2, 2, 2, 3, 2, 5).transpose(0, 1, 3, 2, 4, 5).sum((3, 4)) + 0
    functions["most_of_it"] = lambda a, b, c: nn.AvgPool2d(2)(b) * 3.9
    agree(tmp_path, functions, row, image, volume)
