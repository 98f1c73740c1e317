"""Order: sorts, and positions in what is sorted."""

from __future__ import annotations

import math

import mlx.core as mx

from converters.primitives.registry import Case, booleans, given, integers, primitive, uniform

PLACES = mx.array([0.0, 1.0, 2.0, math.nan])


primitive(
    "Sort",
    lambda n, x: mx.sort(x, axis=n.args[0]),
    [
        Case("last", mx.sort, [(3, 9)]),
        Case("first", lambda x: mx.sort(x, axis=0), [(9, 2)]),
        Case("ints", mx.sort, [integers(3, 9)]),
        Case("bools", mx.sort, [booleans(3, 9)]),
        Case("median", lambda x: mx.median(x, axis=1), [(3, 8)]),
    ],
)


primitive(
    "Partition",
    lambda n, x: mx.partition(x, n.args[0], axis=n.args[1]),
    [
        Case("pivot", lambda x: mx.sort(mx.partition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)]),
        Case("top", lambda x: mx.sort(mx.topk(x, 4)), [(3, 9)]),
    ],
)


primitive(
    "ArgSort",
    lambda n, x: mx.argsort(x, axis=n.args[0]),
    [
        Case("last", mx.argsort, [(3, 9)]),
        Case("first", lambda x: mx.argsort(x, axis=0), [(9, 2)]),
        Case("ties", mx.argsort, [integers(3, 9, low=0, high=3)]),
    ],
)


primitive(
    "ArgPartition",
    lambda n, x: mx.argpartition(x, n.args[0], axis=n.args[1]),
    [Case("pivot", lambda x: mx.sort(mx.argpartition(x, 3, axis=1)[:, :4], axis=1), [(3, 9)])],
)


primitive(
    "SearchSorted",
    lambda n, a, v: mx.searchsorted(a, v, side="right" if n.args[0] else "left"),
    [
        Case("left", lambda a, v: mx.searchsorted(mx.sort(a), v), [integers(9), integers(3, 4)]),
        Case("right", lambda a, v: mx.searchsorted(mx.sort(a), v, side="right"), [integers(9), integers(3, 4)]),
        Case("floats", lambda v: mx.searchsorted(mx.arange(0.0, 2.0, 0.25), v), [uniform(3, 4)]),
        Case(
            "nan",
            lambda v: (mx.searchsorted(PLACES, v), mx.searchsorted(PLACES, v, side="right")),
            [given(1.0, math.nan)],
        ),
        Case("booleans", lambda a: mx.searchsorted(mx.sort(a), a), [booleans(9)]),
    ],
)
