"""Smaller weights in a finished model: 8-bit linear, or indices of 6 or 4 bits into a palette, by coremltools."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from converters.coreml.toolkit import quiet
from converters.graph import Array

COMPRESSIONS = ("int8", "palette6", "palette4")
MIN_SIZE = 2048
"""Weights of fewer numbers stay as they are: scales and biases are where small errors do most harm."""
BLOCK = 64
"""Weights that share a scale: with 32 MiniLM has 24.6 MB, with 64 23.9, at 1.3 dB less."""
ROUNDS = 200


def compress(model: Any, kind: str, in_blocks: bool = False) -> Any:
    """A coremltools model with its weights compressed; what it computes stays in float16, or float32.

    ``int8`` is symmetric, with a scale for each output channel, or, ``in_blocks``, for each :data:`BLOCK` weights of
    it, which iOS 18 knows; ``palette6`` and ``palette4`` replace a weight by the nearest of 64 or 16 values, k-means
    over the tensor.
    """
    import coremltools.optimize.coreml as cto

    with quiet():
        if kind == "int8":
            blocks = {"granularity": "per_block", "block_size": BLOCK} if in_blocks else {}
            linear = cto.OpLinearQuantizerConfig(
                mode="linear_symmetric", dtype="int8", weight_threshold=MIN_SIZE, **blocks
            )
            return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
        # coremltools' own k-means is scikit-learn's, which nothing else here needs.
        nearest = partial(palette, bits=int(kind.removeprefix("palette")))
        named = cto.OpPalettizerConfig(mode="custom", lut_function=nearest, weight_threshold=MIN_SIZE)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=named))


def palette(weight: Array, bits: int) -> tuple[Array, Array]:
    """``2 ** bits`` values and, flat, which of them stands for each number: k-means along a line, the same each time.

    Along a line a cluster is a range of the sorted numbers, so its mean is a difference of two running sums.
    """
    values, inverse, counts = np.unique(weight, return_inverse=True, return_counts=True)
    size = 1 << bits
    if len(values) <= size:
        return np.resize(values, size), inverse.ravel().astype(np.uint8)
    x = values.astype(np.float64)
    below, sums = (np.concatenate(([0], np.cumsum(part))) for part in (counts, counts * x))
    # The best places are as dense as the cube root of the numbers' density (Panter and Dite 1951).
    room = np.cumsum(np.cbrt(counts * np.gradient(x) ** 2))
    centres = np.interp((np.arange(size) + 0.5) / size * room[-1], room, x)
    for _ in range(ROUNDS):
        ends = np.concatenate(([0], np.searchsorted(x, (centres[1:] + centres[:-1]) / 2), [len(x)]))
        held = np.diff(below[ends])
        moved = np.where(held > 0, np.diff(sums[ends]) / np.maximum(held, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    indices = np.repeat(np.arange(size, dtype=np.uint8), np.diff(ends))
    return centres.astype(weight.dtype), indices[inverse.ravel()]
