"""Reductions along axes."""

from __future__ import annotations

import math

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import counted, truth

_REDUCE = (mb.reduce_min, mb.reduce_max, mb.reduce_sum, mb.reduce_prod, mb.reduce_min, mb.reduce_max)


_LOGICAL = 2


@lowers(
    "Reduce",
    emits={
        "sum": ["reduce_sum"],
        "sum_axes": ["reduce_sum"],
        "prod": ["reduce_prod"],
        "max": ["reduce_max"],
        "min": ["reduce_min"],
    },
)
def reduce(ctx: LoweringContext, x: Var) -> Var:
    kind, axes = ctx.args
    if kind < _LOGICAL:
        x = truth(x)
    made = {"x": counted(x), "axes": list(axes), "keep_dims": True}
    if ctx.out.dtype == "bool":
        return truth(_REDUCE[kind](**made), name=ctx.name)
    return _REDUCE[kind](**made, name=ctx.name)


@lowers(
    "ArgReduce",
    emits={"max": ["reduce_argmax"], "min": ["reduce_argmin"]},
    note="of equal numbers the first; beside NaN MLX gives the position of NaN; in float32, whatever the precision",
)
def arg_reduce(ctx: LoweringContext, x: Var) -> Var:
    build = (mb.reduce_argmin, mb.reduce_argmax)[ctx.args[0]]
    return build(x=counted(x), axis=ctx.args[1], keep_dims=True, name=ctx.name)


@lowers("Softmax", emits={"last": ["softmax"]})
def softmax(ctx: LoweringContext, x: Var) -> Var:
    return mb.softmax(x=x, axis=-1, name=ctx.name)


@lowers("LogSumExp", emits={"last": ["reduce_max"]})
def logsumexp(ctx: LoweringContext, x: Var) -> Var:
    # MIL's own reduce_log_sum_exp doesn't say that it takes the largest away first.
    peak = mb.reduce_max(x=x, axes=[-1], keep_dims=True)
    # An infinite one is the answer; less itself it would be NaN.
    peak = mb.select(cond=mb.equal(x=mb.abs(x=peak), y=math.inf), a=0.0, b=peak)
    total = mb.reduce_sum(x=mb.exp(x=mb.sub(x=x, y=peak)), axes=[-1], keep_dims=True)
    return mb.add(x=mb.log(x=total, epsilon=0.0), y=peak, name=ctx.name)
