"""Reductions along axes."""

from __future__ import annotations

import math

import mlx.core as mx
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import Case, LoweringContext, booleans, given, integers, op
from converters.coreml.ops.widths import counted, truth

KINDS = (mx.all, mx.any, mx.sum, mx.prod, mx.min, mx.max)
"""MLX tells a reduction's kind by its number."""
_REDUCE = (mb.reduce_min, mb.reduce_max, mb.reduce_sum, mb.reduce_prod, mb.reduce_min, mb.reduce_max)
_LOGICAL = 2


@op(
    "Reduce",
    lambda n, x: KINDS[n.args[0]](x, axis=n.args[1], keepdims=True).reshape(n.out.shape),
    [
        Case("sum", lambda x: x.sum(1), [(2, 3, 4)], ["reduce_sum"]),
        Case("sum_axes", lambda x: x.sum((0, 2)), [(2, 3, 4)], ["reduce_sum"]),
        Case("sum_ints", lambda x: x.sum(1), [integers(3, 4)]),
        Case("sum_bools", lambda x: x.sum(0), [booleans(5, 4)]),
        Case("prod", lambda x: x.prod(1), [(3, 4)], ["reduce_prod"]),
        Case("prod_ints", lambda x: x.prod(1), [integers(3, 4)]),
        Case("max", lambda x: x.max(-1, keepdims=True), [(3, 4)], ["reduce_max"]),
        Case("min", lambda x: x.min(), [(3, 4)], ["reduce_min"]),
        Case("max_bools", lambda x: x.max(0), [booleans(2, 9)]),
        Case("min_ints", lambda x: x.min(0), [integers(2, 9)]),
        Case("all", lambda x: mx.all(x > 0, axis=1), [(9, 2)]),
        Case("any", lambda x: mx.any(x > 0, axis=1), [(9, 2)]),
        Case("all_floats", lambda x: mx.all(x, axis=1), [given((0.0, 1.0), (-2.0, 0.5))]),
        Case("any_ints", lambda x: mx.any(x, axis=1), [given((0, 0), (0, -1))]),
        Case("variance", lambda x: (mx.var(x, axis=0), mx.std(x, axis=1)), [(4, 5)]),
    ],
)
def reduce(ctx: LoweringContext, x: Var) -> Var:
    kind, axes = ctx.args
    if kind < _LOGICAL:
        x = truth(x)
    made = {"x": counted(x), "axes": list(axes), "keep_dims": True}
    if ctx.out.dtype == "bool":
        return truth(_REDUCE[kind](**made), name=ctx.name)
    return _REDUCE[kind](**made, name=ctx.name)


@op(
    "ArgReduce",
    lambda n, x: (mx.argmin, mx.argmax)[n.args[0]](x, axis=n.args[1], keepdims=True),
    [
        Case("max", lambda x: mx.argmax(x, axis=1), [(3, 9)], ["reduce_argmax"]),
        Case("min", lambda x: mx.argmin(x, axis=0, keepdims=True), [(3, 9)], ["reduce_argmin"]),
        Case("ties", lambda x: (mx.argmax(x, axis=1), mx.argmin(x, axis=1)), [integers(5, 9, low=0, high=3)]),
        Case("bools", lambda x: mx.argmax(x, axis=1), [booleans(5, 9)]),
        Case("all", mx.argmax, [(3, 9)]),
    ],
    note="of equal numbers the first; beside NaN MLX gives the position of NaN",
)
def arg_reduce(ctx: LoweringContext, x: Var) -> Var:
    build = (mb.reduce_argmin, mb.reduce_argmax)[ctx.args[0]]
    return build(x=counted(x), axis=ctx.args[1], keep_dims=True, name=ctx.name)


@op(
    "Softmax",
    lambda n, x: mx.softmax(x, axis=-1, precise=n.args[0]),
    [
        Case("last", lambda x: mx.softmax(x, axis=-1), [(2, 5)], ["softmax"]),
        Case("first", lambda x: mx.softmax(x, axis=0), [(2, 5)]),
    ],
)
def softmax(ctx: LoweringContext, x: Var) -> Var:
    return mb.softmax(x=x, axis=-1, name=ctx.name)


@op(
    "LogSumExp",
    lambda _, x: mx.logsumexp(x, axis=-1, keepdims=True),
    [
        Case("last", lambda x: mx.logsumexp(x, axis=-1), [(2, 5)], ["reduce_max"]),
        Case("large", lambda x: mx.logsumexp(x, axis=-1), [given(100.0, 99.0, -100.0)]),
        Case("all", mx.logsumexp, [(2, 5)]),
        Case(
            "infinite",
            lambda x: mx.logsumexp(x.reshape(3, 2), axis=-1),
            [given(-math.inf, -math.inf, math.inf, 1.0, -math.inf, 1.0)],
        ),
    ],
)
def logsumexp(ctx: LoweringContext, x: Var) -> Var:
    # MIL's own reduce_log_sum_exp doesn't say that it takes the largest away first.
    peak = mb.reduce_max(x=x, axes=[-1], keep_dims=True)
    # An infinite one is the answer; less itself it would be NaN.
    peak = mb.select(cond=mb.equal(x=mb.abs(x=peak), y=math.inf), a=0.0, b=peak)
    total = mb.reduce_sum(x=mb.exp(x=mb.sub(x=x, y=peak)), axes=[-1], keep_dims=True)
    return mb.add(x=mb.log(x=total, epsilon=0.0), y=peak, name=ctx.name)
