"""Order: sorts, and positions in what is sorted."""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import Case, LoweringContext, booleans, given, integers, op, uniform
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import counted, truth

PLACES = mx.array([0.0, 1.0, 2.0, math.nan])
NAN = "where MLX has NaN last, its place is open"


def _sorted(ctx: LoweringContext, x: Var) -> Var:
    ordered = partial(mb.topk, x=counted(x), k=x.shape[ctx.args[-1]], axis=ctx.args[-1], ascending=True)
    if x.dtype == types.bool:
        return truth(ordered()[0], name=ctx.name)
    return mb.identity(x=ordered()[0], name=ctx.name)


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
def sort(ctx: LoweringContext, x: Var) -> Var:
    return _sorted(ctx, x)


@op(
    "Partition",
    lambda n, x: mx.partition(x, n.args[0], axis=n.args[1]),
    [
        Case("pivot", lambda x: mx.sort(mx.partition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)]),
        Case("top", lambda x: mx.sort(mx.topk(x, 4)), [(3, 9)], ["topk"]),
    ],
    note="sorted whole; MLX leaves the order on both sides of the pivot open",
)
def partition(ctx: LoweringContext, x: Var) -> Var:
    return _sorted(ctx, x)


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
def argsort(ctx: LoweringContext, x: Var) -> Var:
    return mb.argsort(x=counted(x), axis=ctx.args[-1], ascending=True, name=ctx.name)


@op(
    "ArgPartition",
    lambda n, x: mx.argpartition(x, n.args[0], axis=n.args[1]),
    [Case("pivot", lambda x: mx.sort(mx.argpartition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)], ["argsort"])],
    note="sorted whole; MLX leaves the order on both sides of the pivot open",
)
def argpartition(ctx: LoweringContext, x: Var) -> Var:
    return argsort(ctx, x)


@op(
    "SearchSorted",
    lambda n, a, v: mx.searchsorted(a, v, side="right" if n.args[0] else "left"),
    [
        Case("left", lambda a, v: mx.searchsorted(mx.sort(a), v), [integers(9), integers(3, 4)], ["reduce_sum"]),
        Case("right", lambda a, v: mx.searchsorted(mx.sort(a), v, side="right"), [integers(9), integers(3, 4)]),
        Case("floats", lambda v: mx.searchsorted(mx.arange(0.0, 2.0, 0.25), v), [uniform(3, 4)]),
        Case(
            "nan",
            lambda v: (mx.searchsorted(PLACES, v), mx.searchsorted(PLACES, v, side="right")),
            [given(1.0, math.nan)],
        ),
        Case("booleans", lambda a: mx.searchsorted(mx.sort(a), a), [booleans(9)]),
    ],
    note="counts what is smaller: as many comparisons as both arrays have numbers, multiplied",
)
def searchsorted(ctx: LoweringContext, a: Var, v: Var) -> Var:
    compare, a, v = mb.less_equal if ctx.args[0] else mb.less, counted(a), counted(v)
    column = mb.reshape(x=v, shape=[-1, 1]) if v.rank else mb.reshape(x=mb.expand_dims(x=v, axes=[0]), shape=[1, 1])
    row = mb.expand_dims(x=a, axes=[0])
    before = compare(x=row, y=column)
    if ctx.sources[1].is_float:  # NaN comes last
        last = mb.not_equal(x=column, y=column)
        last = last if ctx.args[0] else mb.logical_and(x=last, y=mb.equal(x=row, y=row))
        before = mb.logical_or(x=before, y=last)
    return reshaped(mb.reduce_sum(x=mb.cast(x=before, dtype="int32"), axes=[1]), ctx.out.shape, name=ctx.name)
