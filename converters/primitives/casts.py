"""Changes of type, and what only looks like one."""

from __future__ import annotations

import mlx.core as mx

from converters.graph import Node
from converters.primitives.registry import Case, Maker, booleans, given, integers, primitive, typed

MIXED = given(-2.9, -1.0, -0.5, 0.0, 0.3, 1.5, 100.7, -128.0)


def dtype_of(name: str) -> mx.Dtype:
    """``mx.bool_`` for ``bool``, ``mx.int32`` for ``int32``."""
    found: mx.Dtype = getattr(mx, "bool_" if name == "bool" else name)
    return found


def _to(name: str, source: Maker, dtype: mx.Dtype) -> Case:
    return Case(name, lambda x: x.astype(dtype), [source])


primitive(
    "AsType",
    lambda n, x: x.astype(dtype_of(n.out.dtype)),
    [
        _to("float_int", MIXED, mx.int32),
        _to("float_uint8", MIXED, mx.uint8),
        _to("float_int8", MIXED, mx.int8),
        _to("float_bool", MIXED, mx.bool_),
        _to("int_float", integers(5), mx.float32),
        _to("int_bool", given(-1, 0, 2), mx.bool_),
        _to("bool_int", booleans(5), mx.int32),
        _to("bool_float", booleans(5), mx.float32),
        _to("int_uint8", integers(9, low=-999, high=999), mx.uint8),
        _to("int_int8", integers(9, low=-999, high=999), mx.int8),
        _to("int_uint16", integers(9, low=-99999, high=99999), mx.uint16),
        _to("uint8_int8", typed("uint8", 9), mx.int8),
        _to("uint8_int32", typed("uint8", 9), mx.int32),
        _to("int8_uint32", typed("int8", 9), mx.uint32),
        _to("uint32_float", typed("uint32", 9), mx.float32),
        Case("half", lambda x: (x.astype(mx.float16) > 0.5).astype(mx.float16), [(5,)]),
    ],
)


primitive(
    "View",
    lambda n, x: x.view(dtype_of(n.out.dtype)),
    [
        Case("bool", lambda b: b.view(mx.uint8), [booleans(5)]),
        Case("narrow", lambda x: x.view(mx.int8) + 0, [typed("uint8", 9)]),
        Case("wide", lambda x: x.view(mx.uint32), [integers(5)]),
    ],
)


def _first(_: Node, *arrays: mx.array) -> mx.array:
    return arrays[0]


primitive("Depends", _first, [Case("two", lambda x, y: mx.depends(x, y) + 1, [(2, 3), (2,)])])
