"""What moves numbers and changes none: shapes, slices, pads; and arrays that are made from nothing."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from tests.converters.fuzz.draft import Draft, Value, dtype_of, makes


def factors(d: Draft, size: int, most: int = 5) -> tuple[int, ...]:
    """Sides whose product is ``size``."""
    sides: list[int] = []
    while size > 1 and len(sides) < most - 1:
        choices = [n for n in range(2, size + 1) if size % n == 0]
        sides.append(int(d.rng.choice(choices)))
        size //= sides[-1]
    sides += [size] if size > 1 or (not sides and d.chance()) else []
    while len(sides) < most and d.chance(0.2):
        sides.insert(d.number(0, len(sides)), 1)
    return tuple(sides)


@makes("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims")
def reshape(d: Draft) -> Value:
    x = d.any(0, 5)
    kind = d.pick("reshape", "flatten", "unflatten", "squeeze", "expand_dims")
    if kind == "flatten" and x.rank:
        first = d.number(0, x.rank - 1)
        last = d.number(first, x.rank - 1)
        return d.apply(f"flatten {first} {last}", lambda x: mx.flatten(x, first, last), x)
    if kind == "unflatten" and x.rank:
        axis = d.axis(x)
        sides = factors(d, x.shape[axis], 2)
        sides = sides or (1,)
        return d.apply(f"unflatten {axis} {sides}", lambda x: mx.unflatten(x, axis, sides), x)
    if kind == "squeeze" and 1 in x.shape:
        axis = x.shape.index(1)
        return d.apply(f"squeeze {axis}", lambda x: mx.squeeze(x, axis), x)
    if kind == "expand_dims" and x.rank < 5:
        axis = d.number(-x.rank - 1, x.rank)
        return d.apply(f"expand_dims {axis}", lambda x: mx.expand_dims(x, axis), x)
    sides = factors(d, math.prod(x.shape))
    return d.apply(f"reshape {sides}", lambda x: mx.reshape(x, sides), x)


@makes("Transpose", "Broadcast")
def moved(d: Draft) -> Value:
    x = d.any(1, 5)
    kind = d.pick("transpose", "broadcast", "repeat", "tile", "moveaxis")
    if kind == "transpose":
        order = tuple(int(a) for a in d.rng.permutation(x.rank))
        return d.apply(f"transpose {order}", lambda x: mx.transpose(x, order), x)
    if kind == "moveaxis":
        a, b = d.axis(x), d.axis(x)
        return d.apply(f"moveaxis {a} {b}", lambda x: mx.moveaxis(x, a, b), x)
    if kind == "broadcast":
        front = d.shape(0, max(0, 4 - x.rank))
        shape = (*front, *(d.number(1, 3) if n == 1 else n for n in x.shape))
        return d.apply(f"broadcast_to {shape}", lambda x: mx.broadcast_to(x, shape), x)
    axis, count = d.axis(x), d.number(1, 3)
    if kind == "repeat":
        return d.apply(f"repeat {count} {axis}", lambda x: mx.repeat(x, count, axis), x)
    reps = tuple(d.number(1, 2) for _ in range(d.number(1, x.rank)))
    return d.apply(f"tile {reps}", lambda x: mx.tile(x, reps), x)


def span(d: Draft, size: int) -> slice:
    """Some of an axis, forwards or backwards, from both ends, and beyond them."""
    kind = d.number(0, 5)
    if kind == 0:
        return slice(None)
    step = d.pick(1, 1, 1, 2, 3, -1, -1, -2)
    ends = [None, *range(-size - 2, size + 3)]
    return slice(ends[d.number(0, len(ends) - 1)], ends[d.number(0, len(ends) - 1)], step)


def _count(part: slice, size: int) -> int:
    return len(range(*part.indices(size)))


@makes("Slice", "Pick")
def slices(d: Draft) -> Value:
    x = d.any(1, 5)
    parts: list[slice | int | None] = []
    for size in x.shape:
        part = span(d, size)
        while not _count(part, size) and d.chance(0.8):
            part = span(d, size)
        parts.append(d.number(-size, size - 1) if d.chance(0.2) else part)
    if d.chance(0.1) and x.rank < 5:
        parts.insert(d.number(0, len(parts)), None)
    where = tuple(parts)
    return d.apply(f"slice {where}", lambda x: x[where], x)


@makes("Concatenate")
def join(d: Draft) -> Value:
    x = d.any(1)
    axis = d.axis(x)
    others = [x]
    for _ in range(d.number(1, 2)):
        shape = list(x.shape)
        shape[axis] = d.number(1, 3)
        others.insert(d.number(0, len(others)), d.input(shape, x.dtype))
    if d.chance(0.3):
        return d.apply(f"stack {axis}", lambda *x: mx.stack(x, axis), x, d.input(x.shape, x.dtype))
    return d.apply(f"concatenate {axis}", lambda *x: mx.concatenate(x, axis), *others)


@makes("Split")
def split(d: Draft) -> Value:
    x = d.any(1, least=2)
    axis = d.axis(x)
    size = x.shape[axis]
    if d.chance(0.3):
        shift = d.number(-size - 1, size + 1)
        return d.apply(f"roll {shift} {axis}", lambda x: mx.roll(x, shift, axis), x)
    at = sorted(d.number(0, size) for _ in range(d.number(1, 2)))
    return d.apply(f"split {at} {axis}", lambda x: mx.split(x, at, axis=axis), x)


@makes("Pad")
def pad(d: Draft) -> Value:
    x = d.any(1)
    widths = [(d.number(0, 2), d.number(0, 2)) for _ in x.shape]
    if d.chance(0.3):
        return d.apply(f"pad edge {widths}", lambda x: mx.pad(x, widths, mode="edge"), x)
    if d.chance(0.3):
        return d.apply(f"pad {widths}", lambda x, v: mx.pad(x, widths, constant_values=v), x, d.input((), x.dtype))
    value = d.pick(0, 1, 7)
    if x.is_float and not d.half:
        value = d.pick(value, -2.5, math.inf, -math.inf, math.nan, 1e9)
    return d.apply(f"pad {widths} {value}", lambda x: mx.pad(x, widths, constant_values=value), x)


@makes("AsStrided")
def strided(d: Draft) -> Value:
    x = d.any(1)
    size = x.array.size
    shape = d.shape(1, 3)
    while True:
        strides = tuple(d.number(-2, 3) for _ in shape)
        reach = [s * (n - 1) for s, n in zip(strides, shape, strict=True)]
        low, high = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
        if high - low < size:
            break
        shape = shape[1:] or (1,)
    offset = d.number(-low, size - 1 - high)
    return d.apply(f"as_strided {shape} {strides} {offset}", lambda x: mx.as_strided(x, shape, strides, offset), x)


@makes("Arange", "Full")
def made(d: Draft) -> Value:
    """Constants that arrive as primitives, added to what is there."""
    if d.chance():
        x = d.any(1, 1)
        start, step = d.number(-3, 9), d.pick(1, 2, -1, 0.5, 0.25)
        if not x.is_float or x.dtype != "float32":
            start, step = abs(start), 1
        stop, dtype = start + step * x.shape[0], x.dtype if x.dtype != "bool" else "int32"
        return d.apply(
            f"+ arange {start} {stop} {step}", lambda x: x + mx.arange(start, stop, step, dtype=dtype_of(dtype)), x
        )
    x, shape = d.any(0, 0), d.shape(1, 3)
    kind = d.pick("full", "eye", "tri", "zeros_like", "linspace")
    if kind == "full":
        return d.apply(f"full {shape}", lambda x: mx.full(shape, x), x)
    x = d.floats(2, 2)
    rows, columns = x.shape
    shift = d.number(-2, 2)
    if kind == "eye":
        return d.apply(f"+ eye {shift}", lambda x: x + mx.eye(rows, columns, shift), x)
    if kind == "tri":
        fn = d.pick(mx.tril, mx.triu)
        return d.apply(f"{fn.__name__} {shift}", lambda x: fn(x, shift), x)
    if kind == "linspace":
        return d.apply("+ linspace", lambda x: x + mx.linspace(-1, 1, columns), x)
    return d.apply("ones_like - x", lambda x: mx.ones_like(x) - x, x)


@makes("Arange", "AsType")
def positions(d: Draft) -> Value:
    """Numbers of int32 that become floats."""
    x = d.floats(1, 1)
    return d.apply("x * arange as floats", lambda x: x * mx.arange(x.shape[0]).astype(mx.float32) + np.float32(0.5), x)
