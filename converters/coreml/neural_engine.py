"""Which operations of a saved package the Neural Engine is not expected to take, each with its public source.

Apple publishes no list: what Core ML puts where changes with the chip, the system and the sizes (`coremltools #1780
<https://github.com/apple/coremltools/issues/1780>`_). This is what was measured or stated in public, so "not listed"
means that somebody saw it run there, not that it will. It has not yet been measured on Apple hardware by this project;
on a Mac, ``report(package, measured=True)`` asks Core ML itself.

A small program can stay on the CPU although all of its operations are able to leave it: starting a stretch on the
Neural Engine and changing devices cost 0.125 ms each in Core ML's own estimate (the study below, section 2.3).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import converters.coreml.toolkit  # noqa: F401  quietens coremltools, so it comes before what imports it

# isort: split
from converters.coreml.executor.blob import Array
from converters.coreml.executor.package import Operation, Package, Value, load_package
from converters.errors import ConversionError

Verdict = Literal["not expected", "unknown", "measured"]
SAMPLE = 3
"""Names shown a row."""
MAX_DIM, MAX_DIM_A14 = 65536, 16384
MAX_INNER = 32768
MAX_KERNEL_WIDTH, MAX_KERNEL_HEIGHT = 15, 31

STUDY = (
    "751K/Apple-Neural-Engine-Microarchitecture-Study-M6, notes/coreml_dispatch.md: 482 programs on an M4, macOS 27.0, "
    "https://github.com/751K/Apple-Neural-Engine-Microarchitecture-Study-M6/blob/5cb462be36795a9c4feb26e8263ae4e453ae7653"
    "/notes/coreml_dispatch.md"
)
ARCHITECTURE = (
    "Bryngelson, Apple Neural Engine: Architecture, Programming, and Performance, https://arxiv.org/abs/2606.22283, as "
    "summed up in 751K/Apple-Neural-Engine-Microarchitecture-Study-M6, notes/bryngelson_summary.md"
)
TYPED_EXECUTION = (
    "coremltools guide, Typed Execution Workflow Example: float 16 is eligible for the Neural Engine, GPU and CPU, "
    "float 32 for GPU and CPU, https://apple.github.io/coremltools/docs-guides/source/typed-execution-example.html"
)
FLEXIBLE = (
    "an Apple engineer, forum thread 724930: with ranges only the default shape runs on the Neural Engine, "
    "https://developer.apple.com/forums/thread/724930"
)
RECURRENT = "an Apple engineer, coremltools #1780, https://github.com/apple/coremltools/issues/1780"
EMBEDDING = (
    "apple/ml-ane-transformers, README.md: the embedding lookups run on the CPU, "
    f"https://github.com/apple/ml-ane-transformers; {STUDY}"
)
TOP_K = (
    "roboflow/rf-detr #1495: topk and what reads its indices stay on an M3 Pro's CPU, "
    f"https://github.com/roboflow/rf-detr/pull/1495; against it, {STUDY}, saw topk alone supported"
)
CUSTOM = (
    "hollance/neural-engine, docs/unsupported-layers.md, "
    "https://github.com/hollance/neural-engine/blob/06a7632ebb14a0e4d62ac0f63c054d80577817bf/docs/unsupported-layers.md"
)
COMPUTE_PLAN = (
    "Core ML's MLComputePlan on this machine, "
    "https://developer.apple.com/documentation/coreml/mlcomputeplan-1w21n/deviceusage/preferred"
)
SILENT = "no public statement"


class Finding(NamedTuple):
    """Why an operation is in the report."""

    reason: str
    source: str
    verdict: Verdict = "not expected"


@dataclass(frozen=True)
class Row:
    """Operations of one MIL type that are in the report for one reason; ``names`` shows the first of them."""

    op: str
    count: int
    names: tuple[str, ...]
    reason: str
    source: str
    verdict: Verdict


def _each(names: str, reason: str, source: str) -> dict[str, Finding]:
    return {name: Finding(reason, source) for name in names.split()}


BY_TYPE: Mapping[str, Finding] = {
    **_each("lstm gru rnn", "recurrent layers are not supported", RECURRENT),
    **_each("cond while_loop", "no branch can depend on data: a program is a fixed graph of tasks", ARCHITECTURE),
    **_each("custom_layer", "custom layers have a CPU and a GPU form only", CUSTOM),
    **_each("gather_nd gather_along_axis", "indices that are computed take it to the CPU", STUDY),
    **_each("scatter scatter_nd scatter_along_axis", "scattering is not supported", STUDY),
    **_each("argsort reduce_argmax reduce_argmin", "its output of int32 indices is not supported", STUDY),
    **_each("topk", "its output of int32 indices takes it to the CPU", TOP_K),
    **_each("acos asin atanh cosh cumsum mod reduce_prod sinh tan", "this function is not supported", STUDY),
    **_each("band_part crop_resize non_zero one_hot range_1d sliding_windows", "it is not supported", STUDY),
    **_each("random_normal", "it is not supported", STUDY),
}
"""MIL operations that were seen or said to stay off the Neural Engine, whatever their types."""

_SEEN = (
    "add affine atan avg_pool batch_norm batch_to_space ceil clip concat conv conv_transpose cos depth_to_space "
    "dequantize elu equal erf exp exp2 floor floor_div gather gelu greater greater_equal instance_norm inverse "
    "l2_norm l2_pool layer_norm leaky_relu less less_equal linear local_response_norm log logical_and matmul max_pool "
    "maximum minimum mul not_equal pad pixel_shuffle pixel_unshuffle pow prelu quantize real_div reduce_l1_norm "
    "reduce_l2_norm reduce_log_sum reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_sum reduce_sum_square "
    "relu resample reshape resize resize_bilinear resize_nearest_neighbor reverse round rsqrt "
    "scaled_dot_product_attention select sigmoid sigmoid_hard sign silu sin slice_by_index softmax softplus "
    "space_to_batch space_to_depth split sqrt square stack sub tanh tile transpose upsample_bilinear "
    "upsample_nearest_neighbor "
)
SEEN = frozenset(_SEEN.split())
"""MIL operations that the study found supported in float16; on any other, public sources are silent."""
FREE = ("const", "constexpr_")
"""Constants, plain and compressed: they are unpacked when a package is loaded."""


class _Call(NamedTuple):
    """An operation with the types of what it reads and makes."""

    op: Operation
    read: tuple[Value, ...]
    """Values that are computed: no constants."""
    given: Mapping[str, tuple[int | None, ...]]
    """Shapes by parameter, constants included."""
    flags: frozenset[str]
    """Parameters that are constant and true."""

    @property
    def values(self) -> tuple[Value, ...]:
        return (*self.read, *self.op.outputs)

    def computed(self, parameter: str) -> bool:
        return any(b in {v.name for v in self.read} for b in self.op.inputs.get(parameter, ()) if isinstance(b, str))


def _calls(package: Package) -> Iterator[_Call]:
    types = {v.name: v for v in package.inputs} | {v.name: v for o in package.operations for v in o.outputs}
    computed = {v.name for v in package.inputs}
    true = {o.name for o in package.operations if o.type == "const" and _is_true(o.attributes["val"])}
    for op in package.operations:
        if op.type.startswith(FREE):
            continue
        names = [b for bindings in op.inputs.values() for b in bindings if isinstance(b, str)]
        given = {
            key: types[b].shape or () if isinstance(b, str) else b.shape
            for key, (b, *_) in op.inputs.items()
            if not isinstance(b, str) or b in types
        }
        flags = frozenset(k for k, (b, *_) in op.inputs.items() if (b in true if isinstance(b, str) else _is_true(b)))
        yield _Call(op, tuple(types[n] for n in names if n in computed), given, flags)
        computed.update(v.name for v in op.outputs)


def _is_true(value: Array) -> bool:
    return value.dtype == bool and value.ndim == 0 and bool(value)


def _of_type(call: _Call) -> Finding | None:
    if call.op.blocks:
        return BY_TYPE["cond"]
    return BY_TYPE.get(call.op.type)


def _gather(call: _Call) -> Finding | None:
    if call.op.type != "gather" or not call.computed("indices"):
        return None
    return Finding("a lookup: indices that are computed take it to the CPU", EMBEDDING)


def _computed_start(call: _Call) -> Finding | None:
    if not call.op.type.startswith("slice_by") or not any(call.computed(p) for p in ("begin", "end", "size")):
        return None
    return Finding("a slice whose position is computed is not supported", STUDY)


def _whole_numbers(call: _Call) -> Finding | None:
    if all(v.dtype not in ("int32", "int64") for v in call.values):
        return None
    return Finding("int32 tensors are not supported", STUDY)


def _single_precision(call: _Call) -> Finding | None:
    # Casts between float32 and float16 at a program's edges are themselves supported (the study, section 0.5).
    if call.op.type == "cast" or all(v.dtype not in ("fp32", "fp64") for v in call.values):
        return None
    return Finding("it computes in float32; the Neural Engine computes in float16", TYPED_EXECUTION)


def _open_shape(call: _Call) -> Finding | None:
    if all(v.shape is not None and None not in v.shape for v in call.values):
        return None
    return Finding("its shape is not fixed", FLEXIBLE)


def _size(call: _Call) -> Finding | None:
    largest = max((d or 0 for v in call.values for d in v.shape or ()), default=0)
    inner = (call.given.get("x") or (0,))[-2 if "transpose_x" in call.flags else -1] or 0
    kernel = call.given.get("weight", ())[2:] if call.op.type.startswith("conv") else ()
    if max((len(v.shape or ()) for v in call.values), default=0) > 5:
        return Finding("its rank is over 5", STUDY)
    if largest > MAX_DIM:
        return Finding(f"a dimension of {largest:,} is over {MAX_DIM:,}", STUDY)
    if call.op.type in ("matmul", "linear") and inner > MAX_INNER:
        return Finding(f"sums over {inner:,} are longer than {MAX_INNER:,}", STUDY)
    if kernel and ((kernel[-1] or 0) > MAX_KERNEL_WIDTH or (len(kernel) > 1 and (kernel[-2] or 0) > MAX_KERNEL_HEIGHT)):
        return Finding(f"a kernel over {MAX_KERNEL_HEIGHT} high or {MAX_KERNEL_WIDTH} wide", STUDY)
    if largest > MAX_DIM_A14:
        return Finding(f"a dimension of {largest:,} is over the {MAX_DIM_A14:,} of A14 and M1", ARCHITECTURE)
    return None


def _unheard_of(call: _Call) -> Finding | None:
    kinds = {v.dtype for v in call.values}
    if call.op.type == "cast" and kinds <= {"fp16", "fp32"}:
        return None
    if call.op.type in SEEN and (kinds <= {"fp16", "bool"} or call.op.type in ("quantize", "dequantize")):
        return None
    return Finding("public sources neither show it on the Neural Engine nor off it", SILENT, "unknown")


RULES: tuple[Callable[[_Call], Finding | None], ...] = (
    *(_of_type, _gather, _computed_start, _whole_numbers, _single_precision, _open_shape, _size, _unheard_of),
)
"""In order; the first that finds something names the reason."""


def report(package: str | Path | Package, measured: bool = False) -> list[Row]:
    """The operations that are not expected on the Neural Engine, or of which nothing is known; the most frequent first.

    Args:
        package: a saved ``.mlpackage``, or one that was read already.
        measured: ask Core ML for the device that it prefers for each operation; macOS 14.4 or newer.

    Raises:
        ConversionError: ``measured`` where there is no Core ML.
    """
    loaded = package if isinstance(package, Package) else load_package(package)
    if measured:
        return _rows(
            (op, name, Finding(f"Core ML prefers the {device}", COMPUTE_PLAN, "measured"))
            for op, name, device in preferred_devices(loaded.path)
            if device != "Neural Engine"
        )
    found = ((call, next(filter(None, (rule(call) for rule in RULES)), None)) for call in _calls(loaded))
    return _rows((call.op.type, call.op.name, finding) for call, finding in found if finding)


def _rows(found: Iterator[tuple[str, str, Finding]]) -> list[Row]:
    groups: dict[tuple[str, Finding], list[str]] = {}
    for op, name, finding in found:
        groups.setdefault((op, finding), []).append(name)
    rows = [Row(op, len(names), tuple(names[:SAMPLE]), *finding) for (op, finding), names in groups.items()]
    return sorted(rows, key=lambda row: (row.verdict == "unknown", -row.count, row.op, row.reason))


def preferred_devices(package: str | Path, units: str = "CPU_AND_NE") -> list[tuple[str, str, str]]:
    """(MIL type, first output, device that Core ML prefers) of each operation that it plans; macOS only.

    Args:
        units: what Core ML may choose from: ``ALL``, ``CPU_AND_NE``, ``CPU_AND_GPU``, ``CPU_ONLY``.
    """
    if sys.platform != "darwin":
        raise ConversionError("Core ML plans devices on macOS only; measured=False judges by public sources here")
    import coremltools as ct
    from coremltools.models.compute_plan import MLComputePlan

    allowed = ct.ComputeUnit[units]
    # The model must stay alive: its compiled form is deleted with it.
    model = ct.models.MLModel(str(package), compute_units=allowed)
    plan = MLComputePlan.load_from_path(model.get_compiled_model_path(), compute_units=allowed)
    return planned(plan)


def planned(plan: Any) -> list[tuple[str, str, str]]:
    """:func:`preferred_devices` of a plan that was loaded; constants have none and are left out."""
    rows = []
    for operation in plan.model_structure.program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:
            continue
        device = type(usage.preferred_compute_device).__name__
        device = device.removeprefix("ML").removesuffix("ComputeDevice").replace("NeuralEngine", "Neural Engine")
        op = operation.operator_name.rpartition(".")[2]
        rows.append((op, operation.outputs[0].name if operation.outputs else op, device))
    return rows


def markdown(rows: list[Row]) -> str:
    """The rows as a table."""
    lines = ["| Operation | Count | Verdict | Reason | Source |", "| --- | ---: | --- | --- | --- |"]
    lines += [f"| `{r.op}` | {r.count} | {r.verdict} | {r.reason} | {r.source} |" for r in rows]
    return "\n".join(lines)
