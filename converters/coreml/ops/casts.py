"""Changes of type, and what only looks like one."""

from __future__ import annotations

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import BITS, NARROW, counted, truth, wrapped
from converters.errors import ConversionError
from converters.graph import FLOATS


@lowers(
    "AsType",
    emits={
        "float_int": ["cast"],
        "float_uint8": ["mod"],
        "float_bool": ["not_equal"],
        "int_float": ["cast"],
        "uint32_float": ["select"],
    },
    note="floats to integers truncate toward zero; beyond int32 they saturate, where MLX has no rule",
)
def astype(ctx: LoweringContext, x: Var) -> Var:
    source, target = ctx.sources[0].dtype, ctx.out.dtype
    if target == "bool":
        return truth(x, name=ctx.name)
    if target in FLOATS:
        return mb.identity(x=x, name=ctx.name) if source in FLOATS else _floated(ctx, x)
    if target in NARROW and not _within(source, target):
        return wrapped(mb.cast(x=x, dtype="int32") if source in FLOATS else x, target, name=ctx.name)
    if source in FLOATS or source == "bool":
        return mb.cast(x=x, dtype="int32", name=ctx.name)
    return mb.identity(x=x, name=ctx.name)


def _floated(ctx: LoweringContext, x: Var) -> Var:
    if ctx.sources[0].dtype != "uint32" or not ctx.exceeds[0]:
        return mb.cast(x=x, dtype="fp32", name=ctx.name)
    low = mb.cast(x=x, dtype="fp32")
    return mb.select(cond=mb.less(x=x, y=0), a=mb.add(x=low, y=2.0**32), b=low, name=ctx.name)


def _within(source: str, target: str) -> bool:
    """Whether each number of an integer type is one of another."""
    if source in FLOATS:
        return False
    if source in (target, "bool"):
        return True
    unsigned = source.startswith("u")
    return BITS[source] < BITS[target] and (unsigned or not target.startswith("u"))


@lowers("View", note="between integers of one size; the bits of a float can't be seen")
def view(ctx: LoweringContext, x: Var) -> Var:
    source, target = ctx.sources[0], ctx.out
    if source.is_float or target.is_float or source.shape != target.shape or target.dtype == "bool":
        raise ConversionError(
            f"{ctx.node.scope or 'the function'} views {source.dtype} {source.shape} as {target.dtype} {target.shape}; "
            "Core ML can't reinterpret bits other than of integers of one size: use astype"
        )
    x = counted(x)
    return wrapped(x, target.dtype, name=ctx.name) if target.dtype in NARROW else mb.identity(x=x, name=ctx.name)


@lowers("Depends")
def depends(ctx: LoweringContext, *x: Var) -> Var:
    return mb.identity(x=x[0], name=ctx.name)
