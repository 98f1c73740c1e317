"""Order: sorts, and places in what is sorted."""

from __future__ import annotations

from functools import partial

import mlx.core as mx
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import Case, Site, booleans, integers, op, uniform
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import counted, truth

NAN = "where MLX has NaN last, its place is open"


def _sorted(at: Site, x: Var) -> Var:
    ordered = partial(mb.topk, x=counted(x), k=x.shape[at.args[-1]], axis=at.args[-1], ascending=True)
    if x.dtype == types.bool:
        return truth(ordered()[0], name=at.name)
    return mb.identity(x=ordered()[0], name=at.name)


@op(
    "Sort",
    lambda n, x: mx.sort(x, axis=n.args[0]),
    [
        Case("last", mx.sort, [(3, 9)], ["topk"]),
        Case("first", lambda x: mx.sort(x, axis=0), [(9, 2)]),
        Case("ints", mx.sort, [integers(3, 9)]),
        Case("bools", mx.sort, [booleans(3, 9)]),
        Case("median", lambda x: mx.median(x, axis=1), [(3, 8)]),
    ],
    note=NAN,
)
def sort(at: Site, x: Var) -> Var:
    return _sorted(at, x)


@op(
    "Partition",
    lambda n, x: mx.partition(x, n.args[0], axis=n.args[1]),
    [
        Case("pivot", lambda x: mx.sort(mx.partition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)]),
        Case("top", lambda x: mx.sort(mx.topk(x, 4)), [(3, 9)], ["topk"]),
    ],
    note="sorted whole; MLX leaves the order on both sides of the pivot open",
)
def partition(at: Site, x: Var) -> Var:
    return _sorted(at, x)


@op(
    "ArgSort",
    lambda n, x: mx.argsort(x, axis=n.args[0]),
    [
        Case("last", mx.argsort, [(3, 9)], ["argsort"]),
        Case("first", lambda x: mx.argsort(x, axis=0), [(9, 2)]),
        Case("ties", mx.argsort, [integers(3, 9, low=0, high=3)]),
    ],
    note="of equal numbers the first comes first in MLX; Core ML doesn't promise it. " + NAN,
)
def argsort(at: Site, x: Var) -> Var:
    return mb.argsort(x=counted(x), axis=at.args[-1], ascending=True, name=at.name)


@op(
    "ArgPartition",
    lambda n, x: mx.argpartition(x, n.args[0], axis=n.args[1]),
    [Case("pivot", lambda x: mx.sort(mx.argpartition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)], ["argsort"])],
    note="sorted whole; MLX leaves the order on both sides of the pivot open",
)
def argpartition(at: Site, x: Var) -> Var:
    return argsort(at, x)


@op(
    "SearchSorted",
    lambda n, a, v: mx.searchsorted(a, v, side="right" if n.args[0] else "left"),
    [
        Case("left", lambda a, v: mx.searchsorted(mx.sort(a), v), [integers(9), integers(3, 4)], ["reduce_sum"]),
        Case("right", lambda a, v: mx.searchsorted(mx.sort(a), v, side="right"), [integers(9), integers(3, 4)]),
        Case("floats", lambda v: mx.searchsorted(mx.arange(0.0, 2.0, 0.25), v), [uniform(3, 4)]),
    ],
    note="counts what is smaller: as many comparisons as both arrays have numbers, multiplied",
)
def searchsorted(at: Site, a: Var, v: Var) -> Var:
    compare = mb.less_equal if at.args[0] else mb.less
    column = mb.reshape(x=v, shape=[-1, 1]) if v.rank else mb.reshape(x=mb.expand_dims(x=v, axes=[0]), shape=[1, 1])
    before = mb.cast(x=compare(x=mb.expand_dims(x=a, axes=[0]), y=column), dtype="int32")
    return reshaped(mb.reduce_sum(x=before, axes=[1]), at.out.shape, name=at.name)
