"""What the function itself gives: the values that a package is compared with."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from converters.capture import Example, Function, dtype_name, named_outputs
from converters.graph import FLOATS, Array, Graph
from converters.interpret import interpret
from converters.scopes import recorded


def expected(fn: Function, inputs: Example, wide: Graph | None = None) -> dict[str, tuple[Array, bool]]:
    """What MLX makes of an example, as it would leave a package, and which outputs are floats: those of ``wide``, where
    that is given."""
    floats = _in_float32(wide, inputs) if wide else {}
    if wide and len(floats) == len(wide.outputs):
        return floats  # MLX's CPU has no 16-bit kernels for some operations
    # A module in training would change with each example, and a function may write into its arguments.
    own = {name: mx.array(array) for name, array in inputs.items()}
    with mx.stream(mx.cpu), recorded():
        made = {n: (left(array), dtype_name(array.dtype) in FLOATS) for n, array in named_outputs(fn(**own)).items()}
    return made | floats


def _in_float32(graph: Graph, inputs: Example) -> dict[str, tuple[Array, bool]]:
    """The floats that a widened graph leaves a package."""
    low = (mx.float16, mx.bfloat16)
    values = interpret(graph, {n: a.astype(mx.float32) if a.dtype in low else a for n, a in inputs.items()})
    outputs = {public: name for public, name in graph.outputs.items() if graph.tensors[name].is_float}
    return {public: (left(values[name]), True) for public, name in outputs.items()}


def left(array: mx.array) -> Array:
    """What MLX made, to compare with what a package does: floats as float32, whole numbers as they are."""
    made = np.array(array.astype(mx.float32) if dtype_name(array.dtype) in FLOATS else array)
    return made if made.ndim else made[None]
