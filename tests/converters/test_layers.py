"""Every public layer and activation of ``mlx.nn``, and the functions of ``mlx.fast``, converted and run as packages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.nn.layers import activations

from converters import coreml

BIT = (2, 5, 8)
IMAGE = (1, 6, 7, 4)
VOLUME = (1, 4, 5, 4, 3)


class Layer(NamedTuple):
    """How a layer is made, and the shapes, or the arrays, that it is called with."""

    make: Callable[[], Any]
    inputs: tuple[Any, ...]


def ids(*shape: int, high: int) -> mx.array:
    return mx.array(np.random.default_rng(1).integers(0, high, shape).astype(np.int32))


def one(make: Callable[[], Any], *inputs: Any) -> Layer:
    return Layer(make, inputs or (BIT,))


def normed(make: Callable[[], Any]) -> Callable[[], Any]:
    """A batch norm that has seen numbers."""

    def made() -> Any:
        layer = make()
        layer.running_mean = mx.random.normal((layer.running_mean.shape[0],))
        layer.running_var = mx.random.uniform(0.5, 2, (layer.running_var.shape[0],))
        return layer

    return made


def quantised(make: Callable[[], nn.Module], **options: Any) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        layer = nn.Sequential(make())
        nn.quantize(layer, **options)
        return layer

    return made


MASK = mx.array(np.triu(np.full((5, 5), -1e9, np.float32), 1))

LAYERS: dict[str, list[Layer]] = {
    "ALiBi": [one(nn.ALiBi, (1, 4, 5, 5))],
    "AvgPool1d": [one(lambda: nn.AvgPool1d(3, 2)), one(lambda: nn.AvgPool1d(3, 1, 1))],
    "AvgPool2d": [one(lambda: nn.AvgPool2d(2), IMAGE), one(lambda: nn.AvgPool2d((3, 2), 1, 1), IMAGE)],
    "AvgPool3d": [one(lambda: nn.AvgPool3d(2), VOLUME)],
    "BatchNorm": [
        one(normed(lambda: nn.BatchNorm(8))),
        one(normed(lambda: nn.BatchNorm(4, affine=False)), IMAGE),
    ],
    "Bilinear": [one(lambda: nn.Bilinear(8, 3, 6), (5, 8), (5, 3)), one(lambda: nn.Bilinear(8, 3, 6), BIT, (2, 5, 3))],
    "CELU": [one(nn.CELU), one(lambda: nn.CELU(0.5))],
    "Conv1d": [one(lambda: nn.Conv1d(8, 6, 3)), one(lambda: nn.Conv1d(8, 6, 3, 2, 1, 2, groups=2, bias=False))],
    "Conv2d": [
        one(lambda: nn.Conv2d(4, 6, 3), IMAGE),
        one(lambda: nn.Conv2d(4, 8, (3, 2), (1, 2), (1, 0), (2, 1), groups=4), IMAGE),
    ],
    "Conv3d": [one(lambda: nn.Conv3d(3, 6, 3, padding=1), VOLUME)],
    "ConvTranspose1d": [one(lambda: nn.ConvTranspose1d(8, 6, 3)), one(lambda: nn.ConvTranspose1d(8, 6, 3, 2, 1, 1, 1))],
    "ConvTranspose2d": [
        one(lambda: nn.ConvTranspose2d(4, 6, 3), IMAGE),
        one(lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1), IMAGE),
    ],
    "ConvTranspose3d": [one(lambda: nn.ConvTranspose3d(3, 4, 2, 2), VOLUME)],
    "Dropout": [one(nn.Dropout)],
    "Dropout2d": [one(nn.Dropout2d, IMAGE)],
    "Dropout3d": [one(nn.Dropout3d, VOLUME)],
    "ELU": [one(nn.ELU), one(lambda: nn.ELU(0.5))],
    "Embedding": [one(lambda: nn.Embedding(11, 8), ids(2, 5, high=11)), one(lambda: nn.Embedding(8, 8).as_linear)],
    "GELU": [one(lambda kind=kind: nn.GELU(kind)) for kind in ("none", "precise", "tanh", "fast")],
    "GLU": [one(nn.GLU), one(lambda: nn.GLU(1), (2, 4, 8))],
    "GRU": [one(lambda: nn.GRU(8, 6)), one(lambda: nn.GRU(8, 6, bias=False), (5, 8))],
    "GroupNorm": [
        one(lambda: nn.GroupNorm(2, 4), IMAGE),
        one(lambda: nn.GroupNorm(2, 4, pytorch_compatible=True), IMAGE),
        one(lambda: nn.GroupNorm(4, 8, affine=False)),
    ],
    "HardShrink": [one(nn.HardShrink)],
    "HardTanh": [one(nn.HardTanh)],
    "Hardswish": [one(nn.Hardswish)],
    "Identity": [one(lambda: nn.Sequential(nn.Identity(), nn.ReLU()))],
    "InstanceNorm": [one(lambda: nn.InstanceNorm(4), IMAGE), one(lambda: nn.InstanceNorm(8, affine=True))],
    "LSTM": [one(lambda: nn.LSTM(8, 6)), one(lambda: nn.LSTM(8, 6, bias=False), (5, 8))],
    "LayerNorm": [
        one(lambda: nn.LayerNorm(8)),
        one(lambda: nn.LayerNorm(8, affine=False)),
        one(lambda: nn.LayerNorm(8, bias=False)),
    ],
    "LeakyReLU": [one(nn.LeakyReLU), one(lambda: nn.LeakyReLU(0.3))],
    "Linear": [one(lambda: nn.Linear(8, 6)), one(lambda: nn.Linear(8, 6, bias=False), (8,))],
    "LogSigmoid": [one(nn.LogSigmoid)],
    "LogSoftmax": [one(nn.LogSoftmax)],
    "MaxPool1d": [one(lambda: nn.MaxPool1d(3, 2)), one(lambda: nn.MaxPool1d(3, 1, 1))],
    "MaxPool2d": [one(lambda: nn.MaxPool2d(2), IMAGE), one(lambda: nn.MaxPool2d((3, 2), 1, 1), IMAGE)],
    "MaxPool3d": [one(lambda: nn.MaxPool3d(2), VOLUME)],
    "Mish": [one(nn.Mish)],
    "MultiHeadAttention": [
        one(lambda: nn.MultiHeadAttention(8, 2), BIT, (2, 3, 8), (2, 3, 8)),
        one(lambda: nn.MultiHeadAttention(8, 4, bias=True), BIT, BIT, BIT, MASK),
    ],
    "PReLU": [one(nn.PReLU)],
    "QuantizedEmbedding": [one(quantised(lambda: nn.Embedding(11, 64)), ids(2, 5, high=11))],
    "QuantizedLinear": [
        one(quantised(lambda: nn.Linear(64, 6), bits=bits, group_size=32), (2, 64)) for bits in (2, 3, 4, 6, 8)
    ],
    "RMSNorm": [one(lambda: nn.RMSNorm(8))],
    "RNN": [one(lambda: nn.RNN(8, 6)), one(lambda: nn.RNN(8, 6, nonlinearity=nn.relu), (5, 8))],
    "ReLU": [one(nn.ReLU)],
    "ReLU2": [one(nn.ReLU2)],
    "ReLU6": [one(nn.ReLU6)],
    "RoPE": [
        one(lambda: nn.RoPE(8), (2, 2, 5, 8)),
        one(lambda: nn.RoPE(8, traditional=True), (2, 2, 5, 8)),
        one(lambda: nn.RoPE(4, base=100.0, scale=0.5), (2, 2, 5, 8)),
    ],
    "SELU": [one(nn.SELU)],
    "Sequential": [one(lambda: nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)))],
    "SiLU": [one(nn.SiLU)],
    "Sigmoid": [one(nn.Sigmoid)],
    "SinusoidalPositionalEncoding": [
        one(lambda: nn.SinusoidalPositionalEncoding(8), (5,)),
        one(lambda: nn.SinusoidalPositionalEncoding(8, cos_first=True, full_turns=True), (5,)),
    ],
    "Softmax": [one(nn.Softmax)],
    "Softmin": [one(nn.Softmin)],
    "Softplus": [one(nn.Softplus)],
    "Softshrink": [one(nn.Softshrink)],
    "Softsign": [one(nn.Softsign)],
    "Step": [one(nn.Step), one(lambda: nn.Step(0.5))],
    "Tanh": [one(nn.Tanh)],
    "Transformer": [
        one(
            lambda: nn.Transformer(8, 2, 1, 1, 16),
            BIT,
            (2, 3, 8),
            *(mx.zeros((n, m)) for n, m in ((5, 5), (3, 3), (3, 5))),
        )
    ],
    "TransformerDecoder": [one(lambda: nn.TransformerDecoder(1, 8, 2, 16), BIT, BIT, MASK, MASK)],
    "TransformerDecoderLayer": [one(lambda: nn.TransformerDecoderLayer(8, 2, 16), BIT, BIT, MASK, MASK)],
    "TransformerEncoder": [one(lambda: nn.TransformerEncoder(2, 8, 2, 16), BIT, MASK)],
    "TransformerEncoderLayer": [
        one(lambda first=first: nn.TransformerEncoderLayer(8, 2, 16, norm_first=first), BIT, MASK)
        for first in (True, False)
    ],
    "Upsample": [
        *(one(lambda mode=mode: nn.Upsample(2, mode), (1, 4, 5, 3)) for mode in ("nearest", "linear", "cubic")),
        *(
            one(lambda mode=mode: nn.Upsample((2.5, 1.5), mode), (1, 4, 6, 3))
            for mode in ("nearest", "linear", "cubic")
        ),
        *(
            one(lambda mode=mode: nn.Upsample(2, mode, align_corners=True), (1, 4, 5, 3))
            for mode in ("linear", "cubic")
        ),
        one(lambda: nn.Upsample(0.5, "linear"), (1, 8, 6, 3)),
        one(lambda: nn.Upsample(3, "linear"), (1, 5, 3)),
        one(lambda: nn.Upsample(2), VOLUME),
    ],
}

MISSING = {
    "Module": "the base of all",
    "AllToShardedLinear": "runs on several machines",
    "FullyShardedModule": "runs on several machines",
    "QQLinear": "quantises its input too, which MLX can neither export nor run on a CPU",
    "QuantizedAllToShardedLinear": "runs on several machines",
    "QuantizedShardedToAllLinear": "runs on several machines",
    "ShardedToAllLinear": "runs on several machines",
}

ACTIVATIONS: dict[str, Callable[..., mx.array]] = {
    name: function
    for name, function in vars(activations).items()
    if name[0].islower() and name != "partial" and callable(function)
}


def arrays(inputs: tuple[Any, ...]) -> dict[str, mx.array]:
    rng = np.random.default_rng(0)
    return {
        chr(ord("a") + n): i if isinstance(i, mx.array) else mx.array(rng.normal(size=i).astype(np.float32))
        for n, i in enumerate(inputs)
    }


def check(fn: Callable[..., Any], inputs: tuple[Any, ...], package: Any) -> None:
    """Converted, run from the saved package, and as near to MLX as float32 can be."""
    report = coreml.convert(lambda **x: fn(*x.values()), arrays(inputs), package)
    assert report.psnr_db >= (120 if package.suffix == ".aimodel" else 90)
    assert report.codes_equal == 1


def test_every_layer_is_here():
    public = {name for name in dir(nn) if isinstance(c := getattr(nn, name), type) and issubclass(c, nn.Module)}
    assert public == LAYERS.keys() | MISSING.keys()
    assert not LAYERS.keys() & MISSING.keys()


@pytest.mark.parametrize(
    "layer", [pytest.param(layer, id=f"{name}-{n}") for name, rows in LAYERS.items() for n, layer in enumerate(rows)]
)
def test_layer(layer, package):
    mx.random.seed(0)
    made = layer.make()
    module = getattr(made, "__self__", made)
    module.eval()
    mx.eval(module.parameters())
    check(made, layer.inputs, package)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation(name, package):
    slopes = ((1,),) if name == "prelu" else ()
    check(ACTIVATIONS[name], ((2, 6, 8), *slopes), package)


HEADS = (1, 4, 5, 8)
attend = partial(mx.fast.scaled_dot_product_attention, scale=8**-0.5)
CAUSAL = mx.array(np.tril(np.ones((5, 5), np.bool_)))

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "rms_norm": (lambda x: mx.fast.rms_norm(x, mx.arange(1.0, 9.0), 1e-5), (BIT,)),
    "rms_norm_plain": (lambda x: mx.fast.rms_norm(x, None, 1e-5), (BIT,)),
    "rms_norm_variable": (lambda x, w: mx.fast.rms_norm(x, w, 1e-5), (BIT, (8,))),
    "layer_norm": (lambda x: mx.fast.layer_norm(x, mx.arange(1.0, 9.0), mx.ones(8), 1e-5), (BIT,)),
    "layer_norm_plain": (lambda x: mx.fast.layer_norm(x, None, None, 1e-5), (BIT,)),
    **{
        f"rope_{'traditional' if t else 'halves'}_{name}": (
            lambda x, *a, t=t, options=options: mx.fast.rope(
                x,
                8,
                traditional=t,
                scale=1.0,
                **({"base": 1e4} | options),
                **({"offset": a[0]} if a else {"offset": 3}),
            ),
            ((1, 4, 5, 8), *offset),
        )
        for t in (False, True)
        for name, options, offset in (
            ("offset", {}, ()),
            ("array_offset", {}, (mx.array(3),)),
            ("freqs", {"base": None, "freqs": mx.array([1.0, 10.0, 100.0, 1000.0])}, ()),
        )
    },
    "rope_part": (lambda x: mx.fast.rope(x, 4, traditional=False, base=1e4, scale=0.5, offset=0), (HEADS,)),
    "attention": (attend, (HEADS,) * 3),
    "attention_causal": (lambda q, k, v: attend(q, k, v, mask="causal"), (HEADS,) * 3),
    "attention_boolean": (lambda q, k, v: attend(q, k, v, mask=CAUSAL), (HEADS,) * 3),
    "attention_variable": (
        lambda q, k, v, m: attend(q, k, v, mask=(m > -9) & CAUSAL),
        (HEADS, HEADS, HEADS, (5, 5)),
    ),
    "attention_added": (lambda q, k, v, m: attend(q, k, v, mask=m), (HEADS, HEADS, HEADS, (1, 4, 5, 5))),
    "attention_grouped": (attend, (HEADS, (1, 2, 5, 8), (1, 2, 5, 8))),
    "attention_grouped_causal": (lambda q, k, v: attend(q, k, v, mask="causal"), (HEADS, (1, 1, 7, 8), (1, 1, 7, 8))),
    "attention_sinks": (lambda q, k, v: attend(q, k, v, sinks=mx.array([0.1, 0.2, 0.3, 0.4])), (HEADS,) * 3),
    "cross_entropy": (lambda x: mx.fast.cross_entropy(x, mx.array([1, 4])), ((2, 5),)),
    "einsum": (lambda x, y: mx.einsum("bij,bjk->bik", x, y), (BIT, (2, 8, 3))),
    "einsum_outer": (lambda x, y: mx.einsum("i,j->ji", x, y), ((3,), (4,))),
    "einsum_sum": (lambda x: mx.einsum("bij->j", x), (BIT,)),
    "topk": (lambda x: mx.sort(mx.topk(x, 3)), (BIT,)),
    "cumsum": (lambda x: mx.cumsum(x, axis=1), (BIT,)),
    "logsumexp": (lambda x: mx.logsumexp(x, axis=(0, 2)), (BIT,)),
    "var": (lambda x: mx.var(x, axis=-1, ddof=1), (BIT,)),
    "median": (lambda x: mx.median(x, axis=-1), (BIT,)),
    "norm": (lambda x: mx.linalg.norm(x, axis=-1), (BIT,)),
    "cosine": (nn.losses.cosine_similarity_loss, (BIT, BIT)),
    "tri": (lambda x: mx.tril(x) + mx.triu(x, 1), ((5, 5),)),
    "roll": (lambda x: mx.roll(x, 2, axis=1), (BIT,)),
    "tensordot": (lambda x, y: mx.tensordot(x, y, 2), (BIT, (5, 8, 3))),
    "outer": (mx.outer, ((3,), (4,))),
    "kron": (mx.kron, ((2, 3), (3, 2))),
    "cross": (mx.linalg.cross, ((4, 3), (4, 3))),
    "convolve": (lambda x, y: mx.convolve(x, y, mode="same"), ((9,), (3,))),
    "linspace": (lambda x: x + mx.linspace(0, 1, 8), (BIT,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name, package):
    function, inputs = FUNCTIONS[name]
    check(function, inputs, package)
