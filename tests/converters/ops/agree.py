"""Many small functions in one package, each held to what MLX itself computes: in the graph, and in the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import mlx.core as mx
import numpy as np

from converters.capture import capture
from converters.coreml.executor import Executor
from converters.coreml.lower import save
from converters.interpret import interpret
from converters.passes import run_passes
from tests.tolerances import close


def normal(*shape: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def whole(low: int, high: int, *shape: int, seed: int = 0, dtype: mx.Dtype = mx.int32) -> mx.array:
    """low <= n < high."""
    made = mx.array(np.random.default_rng(seed).integers(low, high, shape)).astype(dtype)
    mx.eval(made)
    return made


def agree(
    path: Path,
    functions: Mapping[str, Callable[..., mx.array]],
    *arrays: mx.array,
    target: str = "iOS17",
    row: str = "sum_order",
) -> dict[str, int]:
    """Convert all functions of the same inputs as one package; returns how often it has each MIL operation.

    Whole numbers and truth values must be equal, floats within the row.
    """
    # Copies: a function may hold as its constant what it is given too.
    example = {f"in{n}": mx.array(np.array(array)) for n, array in enumerate(arrays)}
    graph = capture(lambda **given: {name: fn(*given.values()) for name, fn in functions.items()}, example)
    want = {name: fn(*arrays) for name, fn in functions.items()}
    passed = run_passes(graph)
    for step in (graph, passed):
        values = interpret(step, example)
        for name, array in want.items():
            close(values[step.outputs[name]], array, _row(array, row))
    path.mkdir(exist_ok=True)
    save(passed, path / "ops.mlpackage", target=target)
    executor = Executor(path / "ops.mlpackage")
    made = executor({name: _edge(array) for name, array in example.items()})
    for name, array in want.items():
        close(made[name], _edge(array), _row(array, row))
    return dict(executor.op_counts())


def _row(array: mx.array, row: str) -> str:
    return row if mx.issubdtype(array.dtype, mx.floating) else "ids"


def _edge(array: mx.array) -> np.ndarray:
    """As a package takes and gives it: a number has one axis, unsigned 32 bits are the int32 of the same bits."""
    plain = np.array(array).reshape(array.shape or (1,))
    return plain.view(np.int32) if plain.dtype == np.uint32 else plain
