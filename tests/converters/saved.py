"""Make, save and run packages for the executor's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import types

from converters.coreml.executor import Executor
from tests.tolerances import close

# Core ML has its own kernels, and so its own limit.
CORE_ML = {"executor": "core_ml"}
DTYPES = {"f": types.fp32, "e": types.fp16, "i": types.int32, "?": types.bool}


def check(path: Path, inputs: Mapping[str, Any], want: list[Any], row: str, core_ml: bool = True) -> Executor:
    """Run the saved package here and, on macOS, with Core ML too; both must give ``want``, output by output."""
    executor = Executor(path)
    got = executor(inputs)
    assert len(got) == len(want)
    for name, expected in zip(executor.outputs, want, strict=True):
        close(got[name], expected, row)
    if core_ml and sys.platform == "darwin":
        predicted = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY).predict(dict(inputs))
        for name, expected in zip(executor.outputs, want, strict=True):
            close(np.reshape(predicted[name], np.shape(expected)), expected, CORE_ML.get(row, row))
    return executor


def build(
    path: Path, function: Callable[..., Any], inputs: Mapping[str, np.ndarray], target: Any = ct.target.iOS17
) -> Path:
    """Save a program written with the MIL builder, without any pass that rewrites it.

    The function's parameters are named like the inputs.
    """
    specs = [Builder.TensorSpec(shape=v.shape, dtype=DTYPES[v.dtype.char]) for v in inputs.values()]
    program = Builder.program(input_specs=specs, opset_version=target)(function)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    model.save(str(path))
    return path


def save_torch(
    path: Path, module: Any, inputs: Mapping[str, np.ndarray], half: bool = False, target: Any = ct.target.iOS17
) -> tuple[Any, list[np.ndarray]]:
    """Trace and convert a torch module; returns the Core ML model and what torch computes."""
    import torch

    module = module.eval()
    example = tuple(torch.from_numpy(v) for v in inputs.values())
    with torch.no_grad():
        out = module(*example)
        traced = torch.jit.trace(module, example)
    model = ct.convert(
        traced,
        inputs=[ct.TensorType(name=n, shape=v.shape, dtype=v.dtype.type) for n, v in inputs.items()],
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(path))
    return model, [o.numpy() for o in (out if isinstance(out, tuple) else (out,))]
