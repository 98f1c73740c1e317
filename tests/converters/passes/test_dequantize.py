"""Rows of a quantised table are rows of the table dequantised, in every mode that MLX can export."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn

from tests.converters.passes.graphs import normal, ops, passed

INDICES = mx.array([3, 0, 6, 3])
MODES = [
    *({"mode": "affine", "bits": bits, "group_size": group} for bits, group in ((2, 32), (3, 64), (4, 32), (5, 64))),
    *({"mode": "affine", "bits": bits, "group_size": group} for bits, group in ((6, 32), (8, 128))),
    {"mode": "mxfp4"},
]


def table(rows=7, width=128, **how):
    """A quantised table, as an embedding has it."""
    layer = nn.QuantizedEmbedding.from_embedding(nn.Embedding(rows, width), **how)
    mx.eval(layer.parameters())
    return layer


@pytest.mark.parametrize("how", MODES, ids=lambda how: "-".join(map(str, how.values())))
def test_rows_of_a_table(how):
    layer = table(**how)
    # Widened, since NumPy has no bfloat16, which some modes give.
    graph = passed(lambda i: layer(i).astype(mx.float32), INDICES)
    assert dict(graph.counts()) == {"Take": 1}
    (node,) = graph.nodes
    (whole,) = graph.constants.values()
    assert (node.args, whole.shape) == ((0,), (7, 128))


def test_indices_of_any_rank():
    layer = table(mode="affine", bits=4, group_size=32)
    for indices in (INDICES[:1], INDICES.reshape(2, 2), INDICES.reshape(1, 4, 1)):
        graph = passed(lambda i: mx.exp(layer(i)), indices)
        assert (graph.counts()["Take"], graph.counts()["Exp"]) == (1, 1)
        assert not set(graph.counts()) - {"Take", "Exp", "Squeeze", "Reshape"}


def test_two_tables_keep_their_rows():
    first, second = table(bits=4, group_size=32), table(5, bits=8, group_size=32)
    found = ops(lambda i, j: first(i) + second(j), INDICES, INDICES % 5)
    assert (found["Take"], found["Add"]) == (2, 1)


def parts(**how):
    made = mx.quantize(normal(7, 128), **how)
    mx.eval(made)
    return made


NEAR = {
    "biases of other rows": lambda w, s, b, i: mx.dequantize(w[i], s[i], b[i - 1]),
    "scales twice": lambda w, s, b, i: mx.dequantize(w[i], s[i], s[i]),
    "scales changed": lambda w, s, b, i: mx.dequantize(w[i], s[i] * 1.5, b[i]),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_no_row_of_the_table_stays(name):
    w, s, b = parts(bits=4, group_size=64)
    found = ops(lambda i: NEAR[name](w, s, b, i), INDICES)
    assert sum(found.values()) > 3


def test_integers_alone_are_no_quantised_table():
    packed, _, _ = parts(bits=4, group_size=64)
    assert ops(lambda i: packed[i].astype(mx.float32), INDICES) == {"Take": 1, "AsType": 1}
