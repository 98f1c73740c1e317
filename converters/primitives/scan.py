"""Running sums, products, maxima and minima."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from converters.primitives.registry import Case, booleans, integers, primitive, uniform

KINDS = (mx.cummax, mx.cummin, mx.cumsum, mx.cumprod)
"""MLX tells a scan's kind by its number."""


def _cases(function: Any, name: str) -> list[Case]:
    return [
        Case(name, lambda x: function(x, axis=1), [uniform(2, 9)]),
        Case(f"{name}_ints", lambda x: function(x, axis=0), [integers(7, 3)]),
        Case(f"{name}_bools", lambda x: function(x, axis=0), [booleans(7, 3)]),
        Case(f"{name}_reverse", lambda x: function(x, axis=1, reverse=True), [uniform(2, 6)]),
        Case(f"{name}_before", lambda x: function(x, axis=-1, inclusive=False), [uniform(2, 5)]),
        Case(f"{name}_unsigned", lambda x: function(mx.argmax(x, axis=-1), axis=0, inclusive=False), [(4, 5)]),
        Case(f"{name}_after", lambda x: function(x, axis=1, inclusive=False, reverse=True), [uniform(2, 5)]),
    ]


primitive(
    "Scan",
    lambda n, x: KINDS[n.args[0]](x, axis=n.args[1], reverse=n.args[2], inclusive=n.args[3]),
    [case for function in KINDS for case in _cases(function, function.__name__)],
)
