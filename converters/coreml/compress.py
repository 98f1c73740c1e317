"""Smaller weights in a finished model: 8-bit linear, or indices of 6 or 4 bits into a palette, by coremltools."""

from __future__ import annotations

from typing import Any

from converters.coreml.toolkit import quiet

COMPRESSIONS = ("int8", "palette6", "palette4")
MIN_SIZE = 2048
"""Weights of fewer numbers stay as they are: scales and biases are where small errors do most harm."""


def compress(model: Any, kind: str) -> Any:
    """A coremltools model with its weights compressed; what it computes stays in float16, or float32.

    ``int8`` is symmetric, with a scale for each output channel; ``palette6`` and ``palette4`` replace a weight by the
    nearest of 64 or 16 values, k-means over the tensor.
    """
    import coremltools.optimize.coreml as cto

    with quiet():
        if kind == "int8":
            linear = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=MIN_SIZE)
            return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
        bits = int(kind.removeprefix("palette"))
        palette = cto.OpPalettizerConfig(mode="kmeans", nbits=bits, weight_threshold=MIN_SIZE)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
