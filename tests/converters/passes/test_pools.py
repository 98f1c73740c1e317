"""Pools put together from windows: which are the image's own, and what each reads."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn

from tests.converters.passes.graphs import normal, ops, passed

X = normal(2, 6, 8, 3)


@pytest.mark.parametrize(("size", "step"), [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((2, 3), (3, 1)), ((1, 4), (2, 2))])
@pytest.mark.parametrize(("layer", "kind"), [(nn.MaxPool2d, "max"), (nn.AvgPool2d, "mean")])
def test_pools_of_two_axes(layer, kind, size, step):
    (node,) = (n for n in passed(layer(size, step), X).nodes if n.op == "Pool")
    assert node.args == (kind, size, step)


@pytest.mark.parametrize(("layer", "shape"), [(nn.MaxPool1d, (2, 7, 3)), (nn.AvgPool3d, (1, 4, 5, 4, 2))])
def test_pools_of_other_axes(layer, shape):
    assert ops(layer(2, 1), normal(*shape))["Pool"] == 1


@pytest.mark.parametrize(("share", "kind"), [(0.25, "mean"), (0.2525, "sum"), (0.2475, "sum"), (0.5, "sum")])
def test_a_sum_is_a_mean_by_its_own_count_alone(share, kind):
    graph = passed(lambda x: x.reshape(2, 3, 2, 4, 2, 3).transpose(0, 1, 3, 2, 4, 5).sum((3, 4)) * share, X)
    assert [node.args for node in graph.nodes if node.op == "Pool"] == [(kind, (2, 2), (2, 2))]


def strided(x, shape, strides, offset=0, axes=(3, 4), reduce=mx.max):
    return reduce(mx.as_strided(x, shape, strides, offset), axis=axes)


WHOLE = ((2, 3, 4, 2, 2, 3), (144, 48, 6, 24, 3, 1))
NEAR = {
    "from the second number on": lambda x: strided(x, (2, 2, 3, 2, 2, 3), WHOLE[1], 3),
    "rows in turn for columns": lambda x: strided(x, (2, 4, 3, 2, 2, 3), (144, 6, 48, 24, 3, 1)),
    "fewer channels": lambda x: strided(x, (2, 3, 4, 2, 2, 2), WHOLE[1]),
    "fewer images": lambda x: strided(x, (1, 3, 4, 2, 2, 3), WHOLE[1]),
    "beyond the right edge": lambda x: strided(x, (2, 2, 4, 2, 3, 3), WHOLE[1]),
    "every second channel": lambda x: strided(x, (2, 3, 4, 2, 2, 1), (144, 48, 6, 24, 3, 2)),
    "dilated": lambda x: strided(x, (2, 2, 3, 2, 2, 3), (144, 24, 6, 48, 6, 1)),
    "the smallest": lambda x: strided(x, *WHOLE, reduce=mx.min),
    "over one axis": lambda x: strided(x, *WHOLE, axes=(3,)),
    "over the counts": lambda x: strided(x, *WHOLE, axes=(1, 2)),
    "over the channels too": lambda x: strided(x, *WHOLE, axes=(3, 4, 5)),
}


def test_windows_side_by_side():
    assert ops(lambda x: strided(x, *WHOLE), X)["Pool"] == 1


@pytest.mark.parametrize("name", NEAR)
def test_other_windows_are_no_pool(name):
    from converters.capture import capture
    from converters.interpret import interpret
    from converters.passes.pools import fuse_pools
    from tests.tolerances import close

    graph = capture(NEAR[name], {"x": X})
    after = fuse_pools(graph).check("the pass")
    assert "Pool" not in after.counts()
    close(interpret(after, {"x": X})[after.outputs["output"]], NEAR[name](X), "exact")


def blocks(x, shape=(2, 3, 2, 4, 2, 3), order=(0, 1, 3, 2, 4, 5), axes=(3, 4)):
    return x.reshape(shape).transpose(order).max(axes)


def test_blocks_are_windows():
    assert ops(blocks, X)["Pool"] == 1


@pytest.mark.parametrize(
    "given",
    [
        {"order": (0, 1, 3, 4, 2, 5)},
        {"order": (0, 2, 3, 1, 4, 5)},
        {"shape": (2, 3, 4, 2, 2, 3)},
        {"axes": (2, 3)},
        {"shape": (2, 2, 3, 4, 2, 3), "order": (0, 2, 4, 1, 3, 5)},
    ],
)
def test_other_blocks_are_none(given):
    assert "Pool" not in ops(lambda x: blocks(x, **given), X)
