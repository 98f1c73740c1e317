"""Order: sorts, and positions in what is sorted."""

from __future__ import annotations

from functools import partial

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import counted, truth

NAN = "where MLX has NaN last, its place is open"


def _sorted(ctx: LoweringContext, x: Var) -> Var:
    ordered = partial(mb.topk, x=counted(x), k=x.shape[ctx.args[-1]], axis=ctx.args[-1], ascending=True)
    if x.dtype == types.bool:
        return truth(ordered()[0], name=ctx.name)
    return mb.identity(x=ordered()[0], name=ctx.name)


@lowers("Sort", emits={"last": ["topk"]}, note=NAN)
def sort(ctx: LoweringContext, x: Var) -> Var:
    return _sorted(ctx, x)


@lowers("Partition", emits={"top": ["topk"]}, note="sorted whole; MLX leaves the order on both sides of the pivot open")
def partition(ctx: LoweringContext, x: Var) -> Var:
    return _sorted(ctx, x)


@lowers(
    "ArgSort",
    emits={"last": ["argsort"]},
    note="of equal numbers the first comes first in MLX; Core ML doesn't promise it. " + NAN,
)
def argsort(ctx: LoweringContext, x: Var) -> Var:
    return mb.argsort(x=counted(x), axis=ctx.args[-1], ascending=True, name=ctx.name)


@lowers(
    "ArgPartition",
    emits={"pivot": ["argsort"]},
    note="sorted whole; MLX leaves the order on both sides of the pivot open",
)
def argpartition(ctx: LoweringContext, x: Var) -> Var:
    return argsort(ctx, x)


@lowers(
    "SearchSorted",
    emits={"left": ["reduce_sum"]},
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
