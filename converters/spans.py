"""Between which numbers the floats of a package's function lie, as far as its operations tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from converters.anatomy import UNKNOWN, Body, Step

Span = tuple[float, float]

_SAME = {
    *("cast", "reshape", "transpose", "expand_dims", "squeeze", "shrink_dims", "identity", "reverse", "tile", "split"),
    *("broadcast_to", "broadcast_in_dims", "slice", "slice_by_index", "slice_by_size", "gather", "gather_nd"),
    *("gather_along_axis", "reduce_max", "reduce_min", "reduce_mean", "max_pool", "avg_pool", "max_pool_2d"),
}
"""What makes numbers that lie between those of its first argument."""
_FIXED: Mapping[str, Span] = {
    **dict.fromkeys(("sigmoid", "softmax", "sigmoid_hard"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "sin", "cos", "erf", "sign"), (-1.0, 1.0)),
    "relu6": (0.0, 6.0),
    **dict.fromkeys(("square", "sqrt", "rsqrt"), (0.0, math.inf)),
}


def spans(body: Body) -> dict[str, Span]:
    """The least and the greatest number of tensors by name; those of which nothing is known are left out."""
    found = {constant.tensor.name: constant.span for constant in body.constants if constant.span != UNKNOWN}
    for step in body.steps:
        made = _of(step, [found.get(tensor.name, UNKNOWN) for tensor in step.reads])
        # NaN, the difference of two infinities, says as little as they do.
        if made != UNKNOWN and not any(map(math.isnan, made)):
            found.update((tensor.name, made) for tensor in step.makes)
    return found


def _of(step: Step, read: list[Span]) -> Span:
    found = _FIXED.get(step.op, UNKNOWN)
    if step.op in _SAME and read:
        found = read[0]
    elif step.op in _ONE and read:
        found = _ONE[step.op](*read[0])
    elif step.op in _TWO and len(read) > 1:
        found = _TWO[step.op](read[0], read[1])
    elif step.op == "clip" and len(read) > 2:
        found = _clip(*read[:3])
    return found


def _clip(x: Span, low: Span, high: Span) -> Span:
    return min(max(x[0], low[0]), high[0]), min(max(x[1], low[1]), high[1])


def _abs(low: float, high: float) -> Span:
    return max(low, -high, 0.0), max(-low, high)


def _mul(x: Span, y: Span) -> Span:
    # 0 times a number without a bound is 0 still, as every number is finite.
    ends = [0.0 if 0.0 in (a, b) else a * b for a in x for b in y]
    return min(ends), max(ends)


_ONE: Mapping[str, Callable[[float, float], Span]] = {
    "relu": lambda low, high: (max(low, 0.0), max(high, 0.0)),
    "abs": _abs,
}
_TWO: Mapping[str, Callable[[Span, Span], Span]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "mul": _mul,
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
}
