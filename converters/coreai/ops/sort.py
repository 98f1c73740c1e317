"""Order: sorts, and positions in what is sorted."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers

WHOLE = "sorted whole; MLX leaves the order on both sides of the pivot open"


@lowers("Sort", note="NaN comes last")
def sort(ctx: Context, x: Value) -> Value:
    y = dialect.sort(b.counted(x), b.const(ctx.args[-1], np.int32), b.const(False), b.const(True))
    return b.truth(y) if ctx.out.dtype == "bool" else y


@lowers("Partition", note=WHOLE)
def partition(ctx: Context, x: Value) -> Value:
    return sort(ctx, x)


@lowers("ArgSort", note="of equal numbers the first comes first, and NaN last")
def argsort(ctx: Context, x: Value) -> Value:
    y = dialect.argsort(b.counted(x), b.const(ctx.args[-1], np.int32), b.const(False), b.const(True))
    return b.cast(y, ctx.dtype(ctx.out))


@lowers("ArgPartition", note=WHOLE)
def argpartition(ctx: Context, x: Value) -> Value:
    return argsort(ctx, x)


@lowers("SearchSorted", note="counts what is smaller: as many comparisons as both arrays have numbers, multiplied")
def searchsorted(ctx: Context, a: Value, v: Value) -> Value:
    row = b.reshape(b.counted(a), (1, ctx.sources[0].size))
    column = b.reshape(b.counted(v), (ctx.sources[1].size, 1))
    before = b.less(row, column)
    if ctx.args[0]:
        before = b.either(before, b.equal(row, column))
    if ctx.sources[1].is_float:  # NaN comes last
        last = b.not_equal(column, column)
        before = b.either(before, last if ctx.args[0] else b.both(last, b.equal(row, row)))
    count = b.reduced("sum", b.cast(before, np.int32), [1])
    return b.cast(b.reshape(count, ctx.out.shape), ctx.dtype(ctx.out))
