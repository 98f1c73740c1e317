"""Changes of type, and what only looks like one."""

from __future__ import annotations

import mlx.core as mx
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.errors import ConversionError
from converters.coreml.graph import FLOATS, Node
from converters.coreml.ops.elementwise import typed
from converters.coreml.ops.registry import Case, LoweringContext, Maker, booleans, given, integers, op
from converters.coreml.ops.widths import BITS, NARROW, counted, truth, wrapped

MIXED = given(-2.9, -1.0, -0.5, 0.0, 0.3, 1.5, 100.7, -128.0)


def dtype_of(name: str) -> mx.Dtype:
    """``mx.bool_`` for ``bool``, ``mx.int32`` for ``int32``."""
    found: mx.Dtype = getattr(mx, "bool_" if name == "bool" else name)
    return found


def _to(name: str, source: Maker, dtype: mx.Dtype, *emits: str) -> Case:
    return Case(name, lambda x: x.astype(dtype), [source], emits)


@op(
    "AsType",
    lambda n, x: x.astype(dtype_of(n.out.dtype)),
    [
        _to("float_int", MIXED, mx.int32, "cast"),
        _to("float_uint8", MIXED, mx.uint8, "mod"),
        _to("float_int8", MIXED, mx.int8),
        _to("float_bool", MIXED, mx.bool_, "not_equal"),
        _to("int_float", integers(5), mx.float32, "cast"),
        _to("int_bool", given(-1, 0, 2), mx.bool_),
        _to("bool_int", booleans(5), mx.int32),
        _to("bool_float", booleans(5), mx.float32),
        _to("int_uint8", integers(9, low=-999, high=999), mx.uint8),
        _to("int_int8", integers(9, low=-999, high=999), mx.int8),
        _to("int_uint16", integers(9, low=-99999, high=99999), mx.uint16),
        _to("uint8_int8", typed("uint8", 9), mx.int8),
        _to("uint8_int32", typed("uint8", 9), mx.int32),
        _to("int8_uint32", typed("int8", 9), mx.uint32),
        _to("uint32_float", typed("uint32", 9), mx.float32, "select"),
        Case("half", lambda x: (x.astype(mx.float16) > 0.5).astype(mx.float16), [(5,)]),
    ],
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


@op(
    "View",
    lambda n, x: x.view(dtype_of(n.out.dtype)),
    [
        Case("bool", lambda b: b.view(mx.uint8), [booleans(5)]),
        Case("narrow", lambda x: x.view(mx.int8) + 0, [typed("uint8", 9)]),
        Case("wide", lambda x: x.view(mx.uint32), [integers(5)]),
    ],
    note="between integers of one size; the bits of a float can't be seen",
)
def view(ctx: LoweringContext, x: Var) -> Var:
    source, target = ctx.sources[0], ctx.out
    if source.is_float or target.is_float or source.shape != target.shape or target.dtype == "bool":
        raise ConversionError(
            f"{ctx.node.scope or 'the function'} views {source.dtype} {source.shape} as {target.dtype} {target.shape}; "
            "Core ML can't reinterpret bits other than of integers of one size: use astype"
        )
    x = counted(x)
    return wrapped(x, target.dtype, name=ctx.name) if target.dtype in NARROW else mb.identity(x=x, name=ctx.name)


def _first(_: Node, *arrays: mx.array) -> mx.array:
    return arrays[0]


@op("Depends", _first, [Case("two", lambda x, y: mx.depends(x, y) + 1, [(2, 3), (2,)])])
def depends(ctx: LoweringContext, *x: Var) -> Var:
    return mb.identity(x=x[0], name=ctx.name)
