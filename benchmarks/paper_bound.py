"""The least time that a package can take on Apple's chips, from published figures: nothing here was measured.

    python -m benchmarks.paper_bound build/bundle/TextEncoder.mlpackage [--markdown]

Two numbers a chip. The bound: max(bytes read / bandwidth, FLOPs / peak), which no run can beat as long as the weights
come from memory. A cautious figure: all stored weights at half the bandwidth, a tenth of the peak, and the time of one
dispatch; it is a guess, with its fractions stated, until `benchmarks.coreml_latency` has run on such a chip. Not yet
measured on Apple hardware.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.coreml_latency import find_package
from benchmarks.timing import RESULTS
from converters.coreml.executor import Operation, Package, load_package

BUDGET_MS = 10.0
PEAK_FRACTION, BANDWIDTH_FRACTION = 0.10, 0.50
DISPATCH_MS = 0.19
UNCOUNTED = ("lstm", "gru", "rnn", "custom_layer")

TOPS = (
    "Apple's figures as collected in hollance/neural-engine, docs/supported-devices.md, "
    "https://github.com/hollance/neural-engine/blob/09ba3d1790cb5c744d2ff6c59c062cd41822459b/docs/supported-devices.md"
)
M3_TOPS = "Apple, by Ars Technica of 2024-05-07, in https://en.wikipedia.org/wiki/Neural_Engine"
M_BANDWIDTH = "Apple's figures as collected in https://gist.github.com/kellyshephard (chips_table.md)"
M4_BANDWIDTH = "Apple, by https://www.engadget.com/apples-m4-chip-arrives-with-a-big-focus-on-ai-142448428.html"
A_BANDWIDTH = "assumed, Apple states none: a bus of 64 bits with"
CPU_M1 = "one thread on AMX while it loads its operands, 610 to 680 GFLOPS, https://arxiv.org/abs/2606.25426"
NOTES = {
    "peak": "Apple's operations a second. From A17 Pro and M4 on they seem to count 8-bit ones: an M5 Max, within 4 % "
    "of an M4, was measured at 19 TFLOPS in float16 and 36 TOPS in int8 (https://github.com/maderix/ANE/pull/50). The "
    "bound keeps the published figure, since nothing may beat it.",
    "peak_fraction": "Measured float16 matrix products: 2.7 TFLOPS on M1, 5.4 on M4 "
    "(https://huggingface.co/datasets/aneforge/ane-rooflines, https://github.com/sbryngelson/ANEForge/pull/195), that "
    "is 25 % and 14 % of the published peak; a tenth leaves room for small shapes.",
    "bandwidth_fraction": "Weights stream into an M1's Neural Engine at 51 GB/s (https://arxiv.org/abs/2606.22283), "
    "75 % of the chip's bandwidth; half leaves room for the rest of the system.",
    "dispatch": "0.19 ms a prediction on M1, measured below Core ML (https://arxiv.org/abs/2606.22283); Core ML adds "
    "its own, and every change of device 0.125 ms in its own estimate (converters/coreml/neural_engine.py).",
    "cpu": "An estimate at one thread's measured rate, and no bound; for other chips no figure that states its "
    "conditions was found.",
    "flops": "A product and its sum are 2. Counted: matmul, linear, conv, attention; the rest is small beside them.",
}


@dataclass(frozen=True)
class Chip:
    """What is published of a chip; ``cpu_tflops`` is a measured rate of float32, not a peak."""

    name: str
    ane_tops: float
    bandwidth_gbs: float
    tops_source: str
    bandwidth_source: str
    cpu_tflops: float | None = None
    cpu_source: str = "no public statement found"


CHIPS = (
    Chip("A14", 11, 34.1, TOPS, f"{A_BANDWIDTH} LPDDR4X-4266"),
    Chip("A15", 15.8, 34.1, TOPS, f"{A_BANDWIDTH} LPDDR4X-4266"),
    Chip("A16", 17, 51.2, TOPS, f"{A_BANDWIDTH} LPDDR5-6400"),
    Chip("A17 Pro", 35, 51.2, TOPS, f"{A_BANDWIDTH} LPDDR5-6400"),
    Chip("M1", 11, 68.25, TOPS, M_BANDWIDTH, 0.68, CPU_M1),
    Chip("M2", 15.8, 100, TOPS, M_BANDWIDTH),
    Chip("M3", 18, 100, M3_TOPS, M_BANDWIDTH),
    Chip("M4", 38, 120, TOPS, M4_BANDWIDTH),
)


@dataclass(frozen=True)
class Work:
    """What one prediction asks for: weights as stored, those of them that are read, FLOPs, and what was not counted."""

    stored_bytes: int
    read_bytes: int
    flops: int
    uncounted: Mapping[str, int]


def _bits(dtype: str) -> int:
    """``fp16`` → 16, ``uint4`` → 4; a boolean is stored in a byte, a text is no weight."""
    return 8 if dtype == "bool" else int("".join(c for c in dtype if c.isdigit()) or 0)


class _Shapes:
    """Shapes and stored sizes of a package's values."""

    def __init__(self, package: Package):
        self.makers = {v.name: op for op in package.operations for v in op.outputs}
        self.shapes = {v.name: v.shape for v in package.inputs}
        self.shapes |= {v.name: v.shape for op in package.operations for v in op.outputs}

    def of(self, op: Operation, parameter: str) -> tuple[int, ...]:
        (binding,) = op.inputs[parameter]
        shape = self.shapes[binding] if isinstance(binding, str) else binding.shape
        if shape is None or None in shape:
            raise ValueError(f"{op.type} {op.name!r} reads {parameter} of shape {shape}; fixed shapes are needed")
        return tuple(d for d in shape if d is not None)

    def true(self, op: Operation, parameter: str) -> bool:
        if parameter not in op.inputs:
            return False
        (binding,) = op.inputs[parameter]
        return bool(self.makers[binding].attributes["val"] if isinstance(binding, str) else binding)

    def stored(self, name: str) -> int:
        """Bytes of a constant as the package holds it; 0 of what is computed."""
        op = self.makers.get(name)
        if op is None or not op.type.startswith(("const", "constexpr_")):
            return 0
        if op.type == "const":
            (value,) = op.outputs
            return math.ceil(math.prod(d or 0 for d in value.shape or ()) * _bits(value.dtype) / 8)
        held = sum(a.nbytes for key, a in op.attributes.items() if key != "name" and a.dtype.kind in "fiub")
        inputs = [b for bindings in op.inputs.values() for b in bindings]
        return held + sum(self.stored(b) if isinstance(b, str) else b.nbytes for b in inputs)


def flops_of(op: Operation, shapes: _Shapes) -> int:
    """2 × the products that an operation sums; 0 for other kinds."""
    out = math.prod(d or 0 for d in (op.outputs[0].shape or ())) if op.outputs else 0
    if op.type == "matmul":
        return 2 * out * shapes.of(op, "x")[-2 if shapes.true(op, "transpose_x") else -1]
    if op.type == "linear":
        return 2 * out * shapes.of(op, "weight")[-1]
    if op.type == "conv":
        return 2 * out * math.prod(shapes.of(op, "weight")[1:])
    if op.type == "conv_transpose":
        return 2 * math.prod(shapes.of(op, "x")) * math.prod(shapes.of(op, "weight")[1:])
    if op.type == "scaled_dot_product_attention":
        query, key, value = (shapes.of(op, name) for name in ("query", "key", "value"))
        return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return 0


def work_of(package: Package) -> Work:
    """Weights and FLOPs of one prediction; of a table that only ``gather`` reads, the rows that it takes."""
    shapes = _Shapes(package)
    inner = {b for op in package.operations if op.type.startswith("constexpr_") for v in op.inputs.values() for b in v}
    weights = [name for name in shapes.makers if name not in inner and shapes.stored(name)]
    stored = sum(shapes.stored(name) for name in weights)
    spared = 0
    for name in weights:
        readers = [op for op in package.operations if any(name in v for v in op.inputs.values() if _named(v))]
        if readers and all(op.type == "gather" and op.inputs["x"] == (name,) for op in readers):
            rows = sum(math.prod(d or 0 for d in op.outputs[0].shape or ()) for op in readers)
            whole = math.prod(d or 0 for d in shapes.shapes[name] or ())
            spared += int(shapes.stored(name) * max(0.0, 1 - rows / whole))
    flops = sum(flops_of(op, shapes) for op in package.operations)
    uncounted = Counter(op.type for op in package.operations if op.type in UNCOUNTED or op.type == "einsum")
    return Work(stored, stored - spared, flops, dict(uncounted))


def _named(bindings: Sequence[Any]) -> bool:
    return all(isinstance(b, str) for b in bindings)


def bound(work: Work, chip: Chip) -> dict[str, Any]:
    """Milliseconds of one prediction on a chip's Neural Engine; ``cpu_ms`` is an estimate, where there is a rate."""
    memory_ms, compute_ms = work.read_bytes / chip.bandwidth_gbs / 1e6, work.flops / chip.ane_tops / 1e9
    careful_memory = work.stored_bytes / (BANDWIDTH_FRACTION * chip.bandwidth_gbs) / 1e6
    cautious = DISPATCH_MS + max(careful_memory, compute_ms / PEAK_FRACTION)
    cpu = max(memory_ms, work.flops / chip.cpu_tflops / 1e9) if chip.cpu_tflops else None
    return {
        "bound_ms": max(memory_ms, compute_ms),
        "limited_by": "memory" if memory_ms >= compute_ms else "arithmetic",
        "cautious_ms": cautious,
        "times_below_10_ms": BUDGET_MS / cautious,
        "cpu_ms": cpu,
    }


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A table: packages × chips."""
    lines = [
        "| Package | Chip | Bound, ms | Limited by | Cautious, ms | Below 10 ms |",
        "| --- | --- | ---: | --- | ---: | ---: |",
    ]
    for name, entry in found.items():
        lines += [
            f"| {name} | {chip} | {row['bound_ms']:.3f} | {row['limited_by']} | {row['cautious_ms']:.2f} "
            f"| {row['times_below_10_ms']:.1f}× |"
            for chip, row in entry["chips"].items()
        ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Bounds of the packages that the command line names, into a JSON file or as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="BUNDLE_OR_PACKAGE", help="a .mlpackage, or an export")
    parser.add_argument("--markdown", action="store_true", help="print the table too")
    parser.add_argument("--out", type=Path, default=RESULTS / "paper_bound.json", help="the JSON file to write")
    arguments = parser.parse_args(argv)
    found: dict[str, dict[str, Any]] = {}
    for package in map(find_package, arguments.paths):
        work = work_of(load_package(package))
        name = package.stem if package.stem not in found else str(package)
        found[name] = {**asdict(work), "chips": {chip.name: bound(work, chip) for chip in CHIPS}}
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "measured": False,
        "fractions": {"peak": PEAK_FRACTION, "bandwidth": BANDWIDTH_FRACTION, "dispatch_ms": DISPATCH_MS},
        "notes": NOTES,
        "chips": [asdict(chip) for chip in CHIPS],
        "packages": found,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(markdown(found) if arguments.markdown else f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
