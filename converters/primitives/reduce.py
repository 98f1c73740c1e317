"""Reductions along axes."""

from __future__ import annotations

import math

import mlx.core as mx

from converters.primitives.registry import Case, booleans, given, integers, primitive

KINDS = (mx.all, mx.any, mx.sum, mx.prod, mx.min, mx.max)
"""MLX tells a reduction's kind by its number."""


primitive(
    "Reduce",
    lambda n, x: KINDS[n.args[0]](x, axis=n.args[1], keepdims=True).reshape(n.out.shape),
    [
        Case("sum", lambda x: x.sum(1), [(2, 3, 4)]),
        Case("sum_axes", lambda x: x.sum((0, 2)), [(2, 3, 4)]),
        Case("sum_ints", lambda x: x.sum(1), [integers(3, 4)]),
        Case("sum_bools", lambda x: x.sum(0), [booleans(5, 4)]),
        Case("prod", lambda x: x.prod(1), [(3, 4)]),
        Case("prod_ints", lambda x: x.prod(1), [integers(3, 4)]),
        Case("max", lambda x: x.max(-1, keepdims=True), [(3, 4)]),
        Case("min", lambda x: x.min(), [(3, 4)]),
        Case("max_bools", lambda x: x.max(0), [booleans(2, 9)]),
        Case("min_ints", lambda x: x.min(0), [integers(2, 9)]),
        Case("all", lambda x: mx.all(x > 0, axis=1), [(9, 2)]),
        Case("any", lambda x: mx.any(x > 0, axis=1), [(9, 2)]),
        Case("all_floats", lambda x: mx.all(x, axis=1), [given((0.0, 1.0), (-2.0, 0.5))]),
        Case("any_ints", lambda x: mx.any(x, axis=1), [given((0, 0), (0, -1))]),
        Case("variance", lambda x: (mx.var(x, axis=0), mx.std(x, axis=1)), [(4, 5)]),
    ],
)


primitive(
    "ArgReduce",
    lambda n, x: (mx.argmin, mx.argmax)[n.args[0]](x, axis=n.args[1], keepdims=True),
    [
        Case("max", lambda x: mx.argmax(x, axis=1), [(3, 9)]),
        Case("min", lambda x: mx.argmin(x, axis=0, keepdims=True), [(3, 9)]),
        Case("ties", lambda x: (mx.argmax(x, axis=1), mx.argmin(x, axis=1)), [integers(5, 9, low=0, high=3)]),
        Case("bools", lambda x: mx.argmax(x, axis=1), [booleans(5, 9)]),
        Case("all", mx.argmax, [(3, 9)]),
    ],
)


primitive(
    "Softmax",
    lambda n, x: mx.softmax(x, axis=-1, precise=n.args[0]),
    [
        Case("last", lambda x: mx.softmax(x, axis=-1), [(2, 5)]),
        Case("first", lambda x: mx.softmax(x, axis=0), [(2, 5)]),
    ],
)


primitive(
    "LogSumExp",
    lambda _, x: mx.logsumexp(x, axis=-1, keepdims=True),
    [
        Case("last", lambda x: mx.logsumexp(x, axis=-1), [(2, 5)]),
        Case("large", lambda x: mx.logsumexp(x, axis=-1), [given(100.0, 99.0, -100.0)]),
        Case("all", mx.logsumexp, [(2, 5)]),
        Case(
            "infinite",
            lambda x: mx.logsumexp(x.reshape(3, 2), axis=-1),
            [given(-math.inf, -math.inf, math.inf, 1.0, -math.inf, 1.0)],
        ),
    ],
)
