"""Operations of Core AI's dialect as plain functions: numbers beside values become constants of the same type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np

# isort: split
from coreai._compiler.dialects import coreai as _dialect
from coreai._compiler.ir import Attribute, F16Type, F32Type, IntegerType, RankedTensorType

from converters.graph import Array

TINY = np.finfo(np.float16).smallest_subnormal
dialect: Any = _dialect
"""Each operation as Apple has it."""
Value: TypeAlias = Any
"""A tensor inside a graph that is being built."""
Number: TypeAlias = "Value | Array | float"

_TYPES: dict[str, Callable[[], Any]] = {
    "float32": F32Type.get,
    "float16": F16Type.get,
    "bool": lambda: IntegerType.get_signless(1),
    **{f"int{bits}": partial(IntegerType.get_signed, bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": partial(IntegerType.get_unsigned, bits) for bits in (8, 16, 32, 64)},
}
_DTYPES = {
    **{"f32": "float32", "f16": "float16", "i1": "bool", "complex<f32>": "complex64"},
    **{f"si{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"ui{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def tensor_type(shape: Sequence[int], dtype: Any) -> Any:
    """The type of a tensor, by NumPy's dtype."""
    return RankedTensorType.get(list(shape), _TYPES[np.dtype(dtype).name]())


def attribute(kind: str, value: str) -> Any:
    """One of the dialect's own choices."""
    return Attribute.parse(f"#coreai.{kind}<{value}>")


def dtype_of(x: Value) -> np.dtype[Any]:
    """What a value's numbers are."""
    return np.dtype(_DTYPES[str(x.type.element_type)])


def shape_of(x: Value) -> tuple[int, ...]:
    """A value's sides."""
    return tuple(x.type.shape)


def rank(x: Value) -> int:
    """How many axes a value has."""
    return len(x.type.shape)


def const(array: Any, dtype: Any = None) -> Value:
    """A constant. One number that is too small for float16 becomes its smallest, not 0: it may be a divisor."""
    with np.errstate(over="ignore"):
        made = np.array(array, dtype, order="C")
    if made.dtype == np.float16 and made.size == 1 and made.item() == 0 != np.asarray(array).item():
        made = np.copysign(np.full_like(made, TINY), array).astype(np.float16)
    return dialect.constant(made)


def sizes(numbers: Sequence[int]) -> Value:
    """A list of counts or axes, as the dialect takes them."""
    return const(list(numbers), np.uint32)


def places(numbers: Sequence[int]) -> Value:
    """A list of positions, as the dialect takes them."""
    return const(list(numbers), np.int32)


def _like(x: Number, other: Value) -> Value:
    return x if _is_value(x) else const(x, dtype_of(other))


def _is_value(x: Any) -> bool:
    return not isinstance(x, np.ndarray | np.generic | bool | int | float | complex)


def _binary(operation: Callable[..., Value]) -> Callable[[Number, Number], Value]:
    def build(x: Number, y: Number) -> Value:
        return operation(_like(x, y), _like(y, x))

    return build


add = _binary(dialect.broadcasting_add)
sub = _binary(dialect.broadcasting_sub)
mul = _binary(dialect.broadcasting_mul)
divide = _binary(dialect.broadcasting_divide)
floor_divide = _binary(dialect.broadcasting_floor_divide)
modulo = _binary(dialect.broadcasting_modulo)
maximum = _binary(dialect.broadcasting_maximum)
minimum = _binary(dialect.broadcasting_minimum)
power = _binary(dialect.broadcasting_pow)
equal = _binary(dialect.broadcasting_equal)
not_equal = _binary(dialect.broadcasting_not_equal)
greater = _binary(dialect.broadcasting_greater)
both = _binary(dialect.broadcasting_and)
either = _binary(dialect.broadcasting_or)
differ = _binary(dialect.broadcasting_xor)
bits_and = _binary(dialect.broadcasting_bitwise_and)
bits_or = _binary(dialect.broadcasting_bitwise_or)
bits_xor = _binary(dialect.broadcasting_bitwise_xor)
matmul = _binary(dialect.broadcasting_batch_matmul)
negate = dialect.not_
absolute = dialect.abs_


def less(x: Number, y: Number) -> Value:
    """x < y."""
    return greater(y, x)


def select(condition: Value, x: Number, y: Number) -> Value:
    """x where the condition is True, else y."""
    return dialect.broadcasting_where(condition, _like(x, y), _like(y, x))


def cast(x: Value, dtype: Any) -> Value:
    """x in another type: floats truncate, and what is beyond a type becomes its nearest number."""
    return x if dtype_of(x) == np.dtype(dtype) else dialect.cast(x, np.dtype(dtype).type)


def counted(x: Value) -> Value:
    """A boolean as 0 or 1; numbers as they are."""
    return cast(x, np.uint8) if dtype_of(x) == np.bool_ else x


def truth(x: Value) -> Value:
    """Where a number isn't zero."""
    return x if dtype_of(x) == np.bool_ else not_equal(x, 0)


def wrapped(x: Value, dtype: Any) -> Value:
    """Integers as the numbers that their low bits are in another integer type."""
    info = np.iinfo(dtype)
    if info.bits == 64:
        return cast(x, dtype)
    x = cast(x, np.int64)
    if info.min == 0:
        return cast(bits_and(x, info.max), dtype)
    return cast(sub(bits_and(add(x, -info.min), info.max - info.min), -info.min), dtype)


def reshape(x: Value, shape: Sequence[int]) -> Value:
    """x in another shape."""
    return x if shape_of(x) == tuple(shape) else dialect.reshape(x, sizes(shape))


def transpose(x: Value, order: Sequence[int]) -> Value:
    """x with its axes in another order."""
    return x if list(order) == sorted(order) else dialect.transpose(x, sizes(order))


def broadcast(x: Value, shape: Sequence[int]) -> Value:
    """x repeated to fill a shape."""
    return x if shape_of(x) == tuple(shape) else dialect.broadcast_to(x, sizes(shape))


def concat(axis: int, values: Sequence[Value]) -> Value:
    """Values one after the other."""
    return values[0] if len(values) == 1 else dialect.concat(const(axis, np.int32), list(values))


def part(x: Value, spans: Sequence[range]) -> Value:
    """x at one span of each axis, which may count down."""
    backward = [axis for axis, span in enumerate(spans) if span.step < 0]
    spans = [span[::-1] if span.step < 0 else span for span in spans]
    if any(span != range(side) for span, side in zip(spans, shape_of(x), strict=True)):
        begin, end, step = ([getattr(s, n) for s in spans] for n in ("start", "stop", "step"))
        x = dialect.slice_(x, places(begin), places([max(b, e) for b, e in zip(begin, end, strict=True)]), places(step))
    return dialect.reverse(x, places(backward)) if backward else x


def within(x: Value, axis: int, begin: int, end: int) -> Value:
    """x from ``begin`` to ``end`` of one axis."""
    return part(x, [range(begin, end) if a == axis else range(side) for a, side in enumerate(shape_of(x))])


def pad(x: Value, low: Sequence[int], high: Sequence[int], value: Number = 0) -> Value:
    """x with numbers put on at both ends of each axis."""
    if not any((*low, *high)):
        return x
    widths = [n for pair in zip(low, high, strict=True) for n in pair]
    return dialect.pad(x, sizes(widths), _like(value, x))


def rows(x: Value, indices: Value) -> Value:
    """x[indices] along the first axis: x (P, …), indices (*I) -> (*I, …)."""
    return dialect.gather_nd(x, reshape(indices, (*shape_of(indices), 1)))


def taken(x: Value, indices: Value, axis: int) -> Value:
    """x at indices (M,) along an axis."""
    order = [axis, *(a for a in range(rank(x)) if a != axis)]
    return transpose(rows(transpose(x, order), indices), [order.index(a) for a in range(rank(x))])


def along(x: Value, indices: Value, axis: int) -> Value:
    """x at indices that name, for each place of the result, a place along an axis."""
    return dialect.gather_along_axis(x, indices, const(axis, np.int32))


def reduced(kind: str, x: Value, axes: Sequence[int]) -> Value:
    """``sum``, ``max``, ``min``, ``product`` or ``mean`` along axes, which stay with one number each."""
    return getattr(dialect, f"reduce_{kind}")(x, places(axes))


def total(values: Sequence[Value]) -> Value:
    """The sum of several."""
    return reduce(add, values)


def floor(x: Value) -> Value:
    """The greatest whole number that isn't above x."""
    near = dialect.round_(x)
    return sub(near, cast(greater(near, x), dtype_of(x)))


def ceil(x: Value) -> Value:
    """The least whole number that isn't below x."""
    near = dialect.round_(x)
    return add(near, cast(less(near, x), dtype_of(x)))


def sign(x: Value) -> Value:
    """1, 0 or −1; of NaN 0."""
    up = cast(greater(x, 0), dtype_of(x))
    return up if dtype_of(x).kind == "u" else sub(up, cast(less(x, 0), dtype_of(x)))
