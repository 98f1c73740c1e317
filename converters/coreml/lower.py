"""A graph → a MIL program → a ``.mlpackage`` on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, Var, types
from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

from converters.backend import check_supported
from converters.coreml.compress import COMPRESSIONS, compress
from converters.coreml.ops import OPS, LoweringContext
from converters.coreml.ops.complex import complex_lowering, is_complex
from converters.coreml.pipeline import pipeline
from converters.coreml.toolkit import quiet, working_in
from converters.errors import ConversionError
from converters.graph import Array, Graph, Node, Tensor
from converters.half import HALF_MASK, halved, masks, within
from converters.names import as_metadata, legal_names
from converters.positions import counted
from converters.ranges import Range, fits, ranges, unsigned_outputs

_SYSTEMS = {"iOS17": ct.target.iOS17, "iOS18": ct.target.iOS18, "iOS26": getattr(ct.target, "iOS26", None)}
TARGETS = tuple(name for name, value in _SYSTEMS.items() if value is not None)
"""Oldest systems that a package may ask for, of those that this coremltools knows; iOS17 is macOS 14."""
PRECISIONS = ("float32", "float16", *COMPRESSIONS)
MAX_CONSTANT_BYTES = 2 << 30
_WIDE = "(float32)"
_WHOLE = ("reduce_argmax", "reduce_argmin")
"""Operations that compute in float32 whatever the precision: devices were seen to answer wrongly in half of it, without
an error (coreai-torch #115, #116)."""


def save(
    graph: Graph, path: Path, precision: str = "float32", target: str = "iOS17", float32: Sequence[str] = ()
) -> None:
    """Write ``graph`` as a package at ``path``, which must not exist.

    Args:
        precision: one of :data:`PRECISIONS`; compressed weights go with float16 activations.
        float32: modules that compute in float32 all the same, with what they hold.

    Raises:
        UnsupportedOpsError: primitives without a lowering, all of them.
        ConversionError: what no package can hold.
    """
    half = precision != "float32"
    program = lower(halved(graph) if half else graph, target, half)
    narrow = ct.transform.FP16ComputePrecision(
        op_selector=lambda op: op.op_type not in _WHOLE and not within(_marks(op), (*float32, _WIDE))
    )
    with quiet(), working_in(path.parent):
        model = ct.convert(
            program,
            convert_to="mlprogram",
            compute_precision=narrow if half else ct.precision.FLOAT32,
            minimum_deployment_target=_SYSTEMS[target],
            skip_model_load=True,
            pass_pipeline=pipeline(),
        )
        if precision in COMPRESSIONS:
            model = compress(model, precision, _SYSTEMS[target] != ct.target.iOS17)
        model.user_defined_metadata.update(as_metadata(public_names(graph), unsigned_outputs(graph)))
        model.save(str(path))
    _repeatable(path)


def _repeatable(path: Path) -> None:
    """Write a package's names and order as they follow from what it holds: coremltools draws them anew each time, so
    that no two exports of one model were the same."""
    from coremltools.proto import Model_pb2

    file = path / "Manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    entries = manifest["itemInfoEntries"]
    names = {name: str(uuid5(NAMESPACE_URL, entry["path"])) for name, entry in entries.items()}
    manifest["itemInfoEntries"] = {names[name]: entries[name] for name in sorted(entries, key=names.__getitem__)}
    root = manifest["rootModelIdentifier"]
    manifest["rootModelIdentifier"] = names[root]
    file.write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")
    model = path / "Data" / entries[root]["path"]
    spec = Model_pb2.Model.FromString(model.read_bytes())
    model.write_bytes(spec.SerializeToString(deterministic=True))


def _scope(module: str, wide: bool = False) -> Any:
    """A context in which MIL operations are marked with the module that they come from, and whether they must stay in
    float32; coremltools' passes keep it."""
    marks = [module or "function", *([_WIDE] if wide else [])]
    return mb.scope(ScopeInfo(source=ScopeSource.TORCHSCRIPT_MODULE_NAME, data=marks))


def _marks(operation: Any) -> Sequence[str]:
    found: Sequence[str] = operation.scopes.get(ScopeSource.TORCHSCRIPT_MODULE_NAME, [])
    return found


def lower(graph: Graph, target: str = "iOS17", half: bool = False) -> Program:
    """The graph as a MIL program of one function, ``main``; inputs and outputs keep their names where MIL takes them.

    Core ML has float32 and int32 at its edges: boolean and other integer inputs and outputs are int32 there, and a
    scalar has shape (1,).

    Args:
        half: floats will be computed in 16 bits, so that squares are taken of numbers that were scaled first.
    """
    check_supported(graph, OPS, "converters/coreml/ops")
    _check_constants(graph)
    if clash := sorted({t.name for t in graph.inputs} & set(graph.outputs)):
        raise ConversionError(f"inputs and outputs share the names {', '.join(clash)}; Core ML needs different ones")
    if strange := sorted(public for public, name in graph.outputs.items() if graph.tensors[name].dtype == "complex64"):
        raise ConversionError(
            f"outputs {', '.join(strange)} are complex; Core ML has none: return mx.real and mx.imag of them"
        )
    program = Program()
    own, found = public_names(graph), ranges(graph)
    wide = counted(graph, found) if half else set()
    placeholders = {own[t.name]: mb.placeholder(t.shape or (1,), _edge(t)) for t in graph.inputs}
    with Function(placeholders, opset_version=_SYSTEMS[target]) as function:
        values: dict[str, Var | Array] = {
            t.name: _entered(function.inputs[own[t.name]], t, half and t.is_float and masks(graph, t.name))
            for t in graph.inputs
        }
        # Numbers stored in 16 bits are computed on as all floats are: the compute precision is the package's.
        values |= {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in graph.constants.items()}
        for node in graph.nodes:
            with _scope(node.scope, node.out.name in wide):
                made = _lower_node(node, values, graph, _context(node, graph, target, found, half))
            values |= {tensor.name: var for tensor, var in zip(node.outputs, made, strict=True)}
        outputs = [
            _left(_variable(values, name), graph.tensors[name], own[public]) for public, name in graph.outputs.items()
        ]
        function.set_outputs(outputs)
    _rename_clashes(function, set(own.values()))
    program.add_function("main", function)
    return program


def public_names(graph: Graph) -> dict[str, str]:
    """Public name → name in the package, of inputs and outputs."""
    return legal_names([*(t.name for t in graph.inputs), *graph.outputs])


def _context(node: Node, graph: Graph, target: str, found: Mapping[str, Range], half: bool) -> LoweringContext:
    exceeds = tuple(not fits(found.get(name)) for name in node.inputs)
    return LoweringContext(node, tuple(graph.tensors[name] for name in node.inputs), _SYSTEMS[target], exceeds, half)


def _lower_node(node: Node, values: dict[str, Var | Array], graph: Graph, ctx: LoweringContext) -> list[Var]:
    op = OPS[node.op]
    raw = op.raw or is_complex(ctx)
    operands = [values[name] if raw else _variable(values, name) for name in node.inputs]
    made = (complex_lowering(ctx) if is_complex(ctx) else op.lower)(ctx, *operands)
    made = list(made) if isinstance(made, list | tuple) else [made]
    for tensor, var in zip(node.outputs, made, strict=True):
        if tuple(var.shape) != tensor.shape or var.dtype != _inner(tensor):
            raise AssertionError(
                f"{node.op} in {node.scope or 'the function'} was lowered to {var.shape} "
                f"{types.builtin_to_string(var.dtype)}; MLX has {tensor.shape} {tensor.dtype}. "
                f"A fault of {op.lower.__module__}.{op.lower.__name__}"
            )
    return made


def _variable(values: dict[str, Var | Array], name: str) -> Var:
    """The value as a MIL variable; a constant becomes one where it is first read."""
    value = values[name]
    if not isinstance(value, Var):
        value = values[name] = mb.const(val=constant(value), name=name)
    return value


def constant(array: Array) -> Array:
    """A NumPy array as MIL holds it: float32, int32 or bool."""
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array if array.dtype.kind == "b" else array.astype(np.int32)


def _check_constants(graph: Graph) -> None:
    packed = {name for node in graph.nodes if OPS[node.op].raw for name in node.inputs}
    faults = []
    for name, array in graph.constants.items():
        if array.nbytes >= MAX_CONSTANT_BYTES:
            faults.append(
                f"{name} holds {array.nbytes / 2**30:.1f} GiB, and Core ML takes less than 2 a constant: split it"
            )
        if array.dtype.kind in "iu" and array.size and name not in packed and not _fits(array):
            faults.append(
                f"{name} ({array.dtype}) reaches from {array.min()} to {array.max()}; Core ML's integers are int32"
            )
    if faults:
        raise ConversionError("; ".join(faults))


def _fits(array: Array) -> bool:
    info = np.iinfo(np.int32)
    return bool(info.min <= array.min() and array.max() <= info.max)


def _inner(tensor: Tensor) -> Any:
    if tensor.is_float:
        return types.fp32
    return {"bool": types.bool, "complex64": types.complex64}.get(tensor.dtype, types.int32)


def _edge(tensor: Tensor) -> Any:
    return types.fp32 if tensor.is_float else types.int32


def _entered(var: Var, tensor: Tensor, is_mask: bool = False) -> Var:
    """An input as the graph reads it: a boolean again, a scalar again; a mask with what float16 holds, since of
    infinities alone a softmax makes NaN."""
    if tensor.dtype == "bool":
        var = mb.cast(x=var, dtype="bool")
    if is_mask:
        with _scope("", wide=True):
            var = mb.maximum(x=var, y=np.float32(HALF_MASK))
    return var if tensor.shape else mb.squeeze(x=var)


def _left(var: Var, tensor: Tensor, public: str) -> Var:
    if var.name == public:
        return var
    if not tensor.shape:
        var = mb.expand_dims(x=var, axes=[0])
    if tensor.dtype == "bool":
        return mb.cast(x=var, dtype="int32", name=public)
    return mb.identity(x=var, name=public)


def _rename_clashes(function: Function, public: set[str]) -> None:
    """Give inner variables that bear a public name, or each other's, another one."""
    seen = set(public)
    for operation in function.operations:
        for var in operation.outputs:
            if var in function.outputs:
                continue
            name, n = var.name, 0
            while var.name in seen:
                n += 1
                var.name = f"{name}_{n}"
            seen.add(var.name)
