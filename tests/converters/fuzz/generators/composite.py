"""What MLX itself puts together: products by letters, gradients, rotations, whole layers with small weights."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_map_with_path

from tests.converters.fuzz.draft import Draft, Value, makes
from tests.converters.fuzz.generators.layers import weights
from tests.converters.fuzz.inputs import index


@makes()
def letters(d: Draft) -> Value:
    x = d.floats(2, 2, dtype="float32")
    rows, columns = x.shape
    kind = d.pick("ij,jk->ki", "ij,ij->j", "ij,kj->ik", "ij,i->j", "ij,k->ikj")
    sides = {"i": rows, "j": columns, "k": d.number(1, 3)}
    y = d.input([sides[letter] for letter in kind.split("->")[0].split(",")[1]])
    return d.apply(f"einsum {kind}", lambda x, y: mx.einsum(kind, x, y), x, y)


@makes()
def of_matrices(d: Draft) -> Value:
    x = d.floats(2, 2)
    shift = d.number(-1, 1)
    fns = {
        "diagonal": lambda x: mx.diagonal(x, shift),
        "diag": lambda x: mx.diag(x[0], shift),
        "trace": mx.trace,
        "outer": lambda x: mx.outer(x[0], x[:, 0]),
        "inner": lambda x: mx.inner(x, x),
        "kron": lambda x: mx.kron(x, x[:1]),
        "tensordot": lambda x: mx.tensordot(x, x, [[0], [0]]),
        "roll": lambda x: mx.roll(x, (1, -2), (0, 1)),
        "swapaxes": lambda x: mx.swapaxes(x, 0, 1)[::-1],
        "unique rows": lambda x: mx.array_equal(x, x[::-1]),
    }
    name = d.pick(*fns)
    return d.apply(name, fns[name], x)


@makes()
def gradient(d: Draft) -> Value:
    x = d.floats(1, 3, least=2, dtype="float32")
    kernel = weights(d, 2, 2, x.shape[-1])
    fns = {
        "sin": mx.sin,
        "softmax": lambda x: mx.softmax(x, axis=-1) ** 2,
        "max": lambda x: x.max(axis=0),
        "sort": lambda x: mx.sort(x, axis=-1) * mx.arange(x.shape[-1]),
        "cumsum": lambda x: mx.cumsum(x, axis=0) ** 2,
        "norm": lambda x: mx.fast.layer_norm(x, None, None, 1e-5) ** 3,
        "logsumexp": lambda x: mx.logsumexp(x, axis=-1),
        "conv": lambda x: mx.conv1d(x.reshape(1, -1, x.shape[-1]), kernel, padding=1) ** 2,
        "slices": lambda x: x[1:] * x[:-1],
        "take": lambda x: mx.take(x, mx.array([1, -1, 1]), axis=0) ** 2,
        "where": lambda x: mx.where(x > 0, x * x, -x),
        "gelu": nn.gelu,
        "tanh": mx.tanh,
        "abs": mx.abs,
        "concatenate": lambda x: mx.concatenate([x, x[:1] * 2], axis=0) ** 2,
    }
    name = d.pick(*fns)
    return d.apply(f"gradient of {name}", mx.grad(lambda x: fns[name](x).sum()), x)


@makes()
def rotation(d: Draft) -> Value:
    x = d.input((1, d.number(1, 2), d.number(1, 5), d.pick(4, 6, 8)))
    turned, offset, dims = d.chance(), d.number(0, 9), d.pick(x.shape[-1], 4)
    return d.apply(
        f"rope {dims} {turned} {offset}",
        lambda x: mx.fast.rope(x, dims, traditional=turned, base=100.0, scale=1.0, offset=offset),
        x,
    )


def _settled(d: Draft, module: nn.Module) -> nn.Module:
    """A module that computes as it would in use, with benign weights."""

    def benign(path: str, array: mx.array) -> mx.array:
        made = weights(d, *array.shape) * 0.5
        return mx.abs(made) + 0.5 if "var" in path else made

    module.update(tree_map_with_path(benign, module.parameters()))
    module.eval()
    mx.eval(module.parameters())
    return module


@makes()
def layer(d: Draft) -> Value:
    x = d.input((1, d.number(2, 5), 4))
    made = {
        "GRU": lambda: nn.GRU(4, 3),
        "LSTM": lambda: nn.LSTM(4, 3),
        "RNN": lambda: nn.RNN(4, 3),
        "attention": lambda: nn.MultiHeadAttention(4, 2),
        "GroupNorm": lambda: nn.GroupNorm(2, 4),
        "GroupNorm as torch": lambda: nn.GroupNorm(2, 4, pytorch_compatible=True),
        "InstanceNorm": lambda: nn.InstanceNorm(4, affine=True),
        "BatchNorm": lambda: nn.BatchNorm(4),
        "encoder": lambda: nn.TransformerEncoderLayer(4, 2, 8),
        "GLU": nn.GLU,
        "PReLU": lambda: nn.PReLU(4),
        "ALiBi": nn.ALiBi,
        "Bilinear": lambda: nn.Bilinear(4, 4, 3),
        "Upsample": lambda: nn.Upsample(2.0, d.pick("nearest", "linear")),
    }
    name = d.pick(*made)
    module = _settled(d, made[name]())
    call = {
        "attention": lambda x: module(x, x, x),
        "encoder": lambda x: module(x, None),
        "ALiBi": lambda x: module(x[None] @ x[None].swapaxes(-1, -2)),
        "Bilinear": lambda x: module(x, x),
        "LSTM": lambda x: tuple(module(x)),
    }.get(name, module)
    return d.apply(f"nn {name}", call, x)


@makes()
def embedding(d: Draft) -> Value:
    table = weights(d, d.number(2, 6), d.number(1, 4))
    i = d.input(d.shape(1, 2), d.pick("int32", "uint32", "int64"), index(len(table), negative=False))
    scale = np.float32(d.pick(1.0, 2.0))
    return d.apply("embedding", lambda i: mx.tanh(table[i]) @ table.T * scale, i)
