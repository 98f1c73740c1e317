"""Arrays made from nothing."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers


@lowers("Arange", emits={"ints": ["range_1d"]}, note="folded unless it has more than a million numbers")
def arange(ctx: LoweringContext) -> Var:
    kind = np.float32 if ctx.out.is_float else np.int32
    start, stop, step = (kind(n) for n in ctx.args)
    return mb.range_1d(start=start, end=stop, step=step, name=ctx.name)


@lowers("Full")
def full(ctx: LoweringContext, x: Var) -> Var:
    return mb.identity(x=x, name=ctx.name)
