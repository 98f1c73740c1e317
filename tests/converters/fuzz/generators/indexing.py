"""Orders, scans and reductions along axes; reading and writing at indices."""

from __future__ import annotations

import mlx.core as mx

from tests.converters.fuzz.draft import Draft, Value, makes
from tests.converters.fuzz.generators.shapes import span
from tests.converters.fuzz.inputs import index

REDUCES = {f.__name__: f for f in (mx.sum, mx.prod, mx.min, mx.max, mx.all, mx.any, mx.mean)}
SCANS = {f.__name__: f for f in (mx.cummax, mx.cummin, mx.cumsum, mx.cumprod)}
INDICES = ("int32", "int32", "int64", "uint32", "uint8", "int16")


def places(d: Draft, size: int, shape: tuple[int, ...] | None = None) -> Value:
    """Indices of an axis, repeated ones and those from the end among them: an input, or a constant."""
    shape = d.shape(0, 2) if shape is None else shape
    dtype = d.pick(*INDICES)
    made = d.input(shape, dtype, index(size, negative=not dtype.startswith("u")))
    if d.chance(0.3):
        return d.constant(made.array)
    return made


@makes("Reduce")
def reduce(d: Draft) -> Value:
    name, x = d.pick(*REDUCES), d.any(1)
    axes, keep = d.pick(None, d.axis(x), d.axes(x)), d.chance()
    return d.apply(f"{name} {axes} {keep}", lambda x: REDUCES[name](x, axis=axes, keepdims=keep), x)


@makes("Reduce")
def moments(d: Draft) -> Value:
    x = d.floats(1, least=2)
    axis, fn = d.axis(x), d.pick(mx.var, mx.std)
    return d.apply(f"{fn.__name__} {axis}", lambda x: fn(x, axis=axis), x)


@makes("ArgReduce")
def best(d: Draft) -> Value:
    x, fn, keep = d.any(1), d.pick(mx.argmax, mx.argmin), d.chance()
    axis = d.pick(None, d.axis(x))
    return d.apply(f"{fn.__name__} {axis}", lambda x: fn(x, axis=axis, keepdims=keep), x)


@makes("Softmax", "LogSumExp")
def softmax(d: Draft) -> Value:
    x, kind = d.floats(1), d.pick("softmax", "precise", "logsumexp", "scaled")
    axis = d.axis(x)
    if kind == "logsumexp":
        return d.apply(f"logsumexp {axis}", lambda x: mx.logsumexp(x, axis=axis, keepdims=True), x)
    if kind == "scaled":
        factor = d.pick(100.0, -8.0, 0.125)
        return d.apply(f"softmax {factor} x {axis}", lambda x: mx.softmax(x * factor, axis=axis), x)
    return d.apply(f"{kind} {axis}", lambda x: mx.softmax(x, axis=axis, precise=kind == "precise"), x)


@makes("Scan")
def scan(d: Draft) -> Value:
    name, x = d.pick(*SCANS), d.any(1)
    axis, reverse, inclusive = d.axis(x), d.chance(), d.chance(0.7)
    return d.apply(
        f"{name} {axis} {reverse} {inclusive}",
        lambda x: SCANS[name](x, axis=axis, reverse=reverse, inclusive=inclusive),
        x,
    )


@makes("Sort", "ArgSort", "Partition", "ArgPartition")
def sorted_(d: Draft) -> Value:
    x = d.any(1)
    kind, axis = d.pick("sort", "argsort", "partition", "argpartition", "topk", "median"), d.axis(x)
    if kind in ("sort", "argsort"):
        return d.apply(f"{kind} {axis}", lambda x: getattr(mx, kind)(x, axis=axis), x)
    if kind == "median":
        return d.apply(f"median {axis}", lambda x: mx.median(x, axis=axis), d.floats(1) if x.rank == 0 else x)
    size = x.shape[axis]
    at = d.number(0, size - 1)
    front = tuple(slice(0, at + 1) if a == axis % x.rank else slice(None) for a in range(x.rank))
    if kind == "partition":
        # What lies before the pivot is open in its order, not in its numbers.
        return d.apply(f"partition {at} {axis}", lambda x: mx.sort(mx.partition(x, at, axis=axis)[front], axis=axis), x)
    if kind == "topk":
        return d.apply(f"topk {at + 1} {axis}", lambda x: mx.sort(mx.topk(x, at + 1, axis=axis), axis=axis), x)
    # Of equal numbers any may come before the pivot; the numbers themselves are the same.
    return d.apply(
        f"argpartition {at} {axis}",
        lambda x: mx.sort(mx.take_along_axis(x, mx.argpartition(x, at, axis=axis)[front], axis=axis), axis=axis),
        x,
    )


@makes("SearchSorted")
def searched(d: Draft) -> Value:
    a, side = d.any(1, 1), d.pick("left", "right")
    values = d.input(d.shape(0, 3), a.dtype)
    return d.apply(f"searchsorted {side}", lambda a, v: mx.searchsorted(mx.sort(a), v, side=side), a, values)


@makes("Take", "GatherAxis")
def take(d: Draft) -> Value:
    x = d.any(1)
    axis = d.axis(x)
    if d.chance(0.2):
        return d.apply("take flat", mx.take, x, places(d, x.array.size))
    if d.chance(0.4):
        shape = tuple(d.number(1, 4) if a == axis % x.rank else d.pick(n, 1) for a, n in enumerate(x.shape))
        return d.apply(
            f"take_along_axis {axis}",
            lambda x, i: mx.take_along_axis(x, i, axis=axis),
            x,
            places(d, x.shape[axis], shape),
        )
    return d.apply(f"take {axis}", lambda x, i: mx.take(x, i, axis=axis), x, places(d, x.shape[axis]))


@makes("Gather")
def gather(d: Draft) -> Value:
    x = d.any(2)
    shape = d.shape(0, 2)
    first, second = sorted(d.rng.permutation(x.rank)[:2].tolist())
    where: list[object] = [slice(None)] * x.rank
    i, j = places(d, x.shape[first], shape), places(d, x.shape[second], d.pick(shape, shape[-1:]))

    def fn(x: mx.array, i: mx.array, j: mx.array) -> mx.array:
        spots = list(where)
        spots[first], spots[second] = i, j
        return x[tuple(spots)]

    return d.apply(f"gather axes {first} {second}", fn, x, i, j)


AT = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


def written(x: mx.array, where: object, y: mx.array, how: str) -> mx.array:
    """x with y written at a place; of a set, x is a copy of its own."""
    if how == "set":
        x = x + 0 if x.dtype != mx.bool_ else x | False
        x[where] = y
        return x
    return getattr(x.at[where], how)(y)


@makes("Scatter")
def scatter(d: Draft) -> Value:
    x = d.any(1)
    how = d.pick(*AT[:3], *AT[4:]) if x.dtype != "bool" else "set"
    axis = d.number(0, x.rank - 1)
    i = places(d, x.shape[axis], d.shape(0, 1))
    if d.chance(0.3) or how == "set":
        # Where one place is set twice, which value stays is open: each once.
        how = "set"
        count = d.number(1, x.shape[axis])
        fixed = d.rng.permutation(x.shape[axis])[:count]
        i = d.constant(fixed.astype("int32") - (x.shape[axis] if d.chance() else 0))
    rest = x.shape[axis + 1 :]
    updates = d.input((*i.shape, *rest) if axis == 0 else rest[-1:], x.dtype)
    where = (slice(None),) * axis
    return d.apply(f"{how} at axis {axis}", lambda x, i, y: written(x, (*where, i), y, how), x, i, updates)


@makes("ScatterAxis")
def scatter_axis(d: Draft) -> Value:
    x = d.any(1)
    axis = d.axis(x)
    if x.dtype == "float32" and d.chance(0.4):
        shape = tuple(d.number(1, 5) if a == axis % x.rank else n for a, n in enumerate(x.shape))
        i, y = places(d, x.shape[axis], shape), d.input(shape)
        return d.apply(
            f"gradient of take_along_axis {axis}",
            lambda x, i, y: mx.vjp(lambda z: mx.take_along_axis(z, i, axis=axis), [x], [y])[1][0],
            x,
            i,
            y,
        )
    count = d.number(1, x.shape[axis])
    fixed = d.rng.permuted(
        mx.broadcast_to(
            mx.arange(x.shape[axis]).reshape([-1 if a == axis % x.rank else 1 for a in range(x.rank)]), x.shape
        ),
        axis=axis,
    )
    front = tuple(slice(0, count) if a == axis % x.rank else slice(None) for a in range(x.rank))
    i = d.constant(fixed[front].astype("int32"))
    y = d.input(i.shape, x.dtype)
    return d.apply(f"put_along_axis {axis}", lambda x, i, y: mx.put_along_axis(x, i, y, axis=axis), x, i, y)


@makes("SliceUpdate")
def slice_update(d: Draft) -> Value:
    x = d.any(1)
    how = d.pick("set", *AT[:3], *AT[4:]) if x.dtype != "bool" else "set"
    where = tuple(span(d, n) if d.chance(0.8) else d.number(-n, n - 1) for n in x.shape)
    shape = x.array[where].shape
    updates = d.input(d.pick(shape, shape[-1:], ()) if 0 not in shape else (), x.dtype)
    return d.apply(f"{how} {where}", lambda x, y: written(x, where, y, how), x, updates)


@makes("DynamicSlice", "DynamicSliceUpdate")
def dynamic(d: Draft) -> Value:
    x = d.any(1)
    axes = tuple(sorted(d.axes(x)))
    sizes = tuple(d.number(1, n) if a in axes else n for a, n in enumerate(x.shape))
    room = min(x.shape[a] - sizes[a] for a in axes)
    start = d.input((len(axes),), "int32", index(room + 1, negative=False))
    if d.chance(0.2):
        start = d.constant(start.array)
    if d.chance():
        return d.apply(f"slice {axes} {sizes}", lambda x, s: mx.slice(x, s, axes, sizes), x, start)
    updates = d.input(sizes, x.dtype)
    return d.apply(f"slice_update {axes}", lambda x, y, s: mx.slice_update(x, y, s, axes), x, updates, start)


@makes("MaskedScatter")
def masked(d: Draft) -> Value:
    x = d.any(1, 3)
    mask = d.input(x.shape if d.chance(0.7) else x.shape[:1], "bool")
    y = d.input((), x.dtype)
    return d.apply("set where", lambda x, m, y: written(x, m, y, "set"), x, mask, y)
