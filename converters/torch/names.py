"""Weights between PyTorch and MLX: a table of rules says which name is which, both ways, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Layout:
    """How a weight is laid out differently on the two sides; both functions only move numbers."""

    to_mlx: Callable[[Array], Array]
    to_torch: Callable[[Array], Array]


def _move(array: Array, *axes: int) -> Array:
    return np.ascontiguousarray(array.transpose(axes))


SAME = Layout(lambda w: w, lambda w: w)
SWAPPED = Layout(lambda w: _move(w, 1, 0), lambda w: _move(w, 1, 0))
"""GPT-2's Conv1D keeps (in, out), a linear layer (out, in)."""
TAPS = Layout(lambda w: _move(w[:, 0], 1, 0), lambda w: _move(w, 1, 0)[:, None])
"""A short convolution: torch (channels, 1, kernel), ours (kernel, channels)."""


def reshaped(torch: Sequence[int], mlx: Sequence[int]) -> Layout:
    """The same numbers in the same order under another shape."""
    return Layout(lambda w: w.reshape(mlx), lambda w: w.reshape(torch))


@dataclass(frozen=True)
class Rule:
    """One kind of weight: its names on both sides, where ``{}`` stands for a layer's number, and its layout."""

    torch: str
    mlx: str
    layout: Layout = SAME


def both(torch: str, mlx: str | None = None, layout: Layout = SAME) -> list[Rule]:
    """Weight, which alone may have a layout, and bias of a linear layer or a norm; without ``mlx`` under one name."""
    mlx = torch if mlx is None else mlx
    return [Rule(f"{torch}.weight", f"{mlx}.weight", layout), Rule(f"{torch}.bias", f"{mlx}.bias")]


def to_mlx(weights: Mapping[str, Array], rules: Sequence[Rule]) -> Weights:
    """PyTorch's names and layouts -> MLX's.

    Raises:
        ValueError: a weight that no rule or more than one knows; all such are named.
    """
    return _rename(weights, [(rule.torch, rule.mlx, rule.layout.to_mlx) for rule in rules], "PyTorch")


def to_torch(weights: Mapping[str, Array], rules: Sequence[Rule]) -> Weights:
    """MLX's names and layouts -> PyTorch's; the inverse of :func:`to_mlx`."""
    return _rename(weights, [(rule.mlx, rule.torch, rule.layout.to_torch) for rule in rules], "MLX")


def _rename(weights: Mapping[str, Array], rules: list[tuple[str, str, Callable[[Array], Array]]], side: str) -> Weights:
    patterns = [
        (re.compile(re.escape(name).replace(r"\{\}", r"(\d+)")), other, change) for name, other, change in rules
    ]
    out: Weights = {}
    wrong = []
    for name, weight in weights.items():
        found = [(match, other, change) for pattern, other, change in patterns if (match := pattern.fullmatch(name))]
        if len(found) != 1:
            wrong.append(f"{name} {weight.shape}")
            continue
        match, other, change = found[0]
        out[other.format(*match.groups())] = change(weight)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(weights)} {side} weights have no name on the other side, or two: "
            f"{', '.join(wrong[:5])}; expected {', '.join(rule[0] for rule in rules[:5])}, …"
        )
    return out
