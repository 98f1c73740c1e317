"""What the report says of packages whose operations are known."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from mlx import nn

from converters import coreml
from converters.coreml import neural_engine
from converters.coreml.executor import load_package
from converters.coreml.neural_engine import report
from converters.errors import ConversionError
from tests.converters.saved import build

mb = Builder


class Block(nn.Module):
    """Linear, GELU and layer norm: what a Transformer is made of."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 16), nn.LayerNorm(16)

    def __call__(self, x: mx.array) -> mx.array:
        return self.norm(nn.gelu(self.linear(x)))


@pytest.fixture
def block():
    module = Block()
    mx.eval(module.parameters())
    return module


def brief(rows):
    return {(row.op, row.count, row.verdict) for row in rows}


def test_a_float16_block_has_nothing_to_report(block, tmp_path):
    coreml.convert(block, {"x": mx.ones((4, 8))}, tmp_path / "block.mlpackage", precision="float16")
    loaded = load_package(tmp_path / "block.mlpackage")
    assert [o.type for o in loaded.operations if o.type != "const"] == ["cast", "linear", "gelu", "layer_norm", "cast"]
    assert report(loaded) == []


def test_all_of_a_float32_block_is_reported(block, tmp_path):
    coreml.convert(block, {"x": mx.ones((4, 8))}, tmp_path / "block.mlpackage", precision="float32")
    operations = load_package(tmp_path / "block.mlpackage").operations
    rows = report(tmp_path / "block.mlpackage")
    assert sum(row.count for row in rows) == sum(o.type != "const" for o in operations)
    assert {row.op for row in rows} >= {"linear", "gelu", "layer_norm"}
    assert all("float32" in row.reason and "typed-execution" in row.source for row in rows)


def test_lookup_and_sort_are_reported_with_their_reasons(tmp_path):
    table = np.arange(32, dtype=np.float16).reshape(8, 4)

    def looked_up(ids):
        rows = mb.gather(x=table, indices=ids, axis=0, name="rows")
        return mb.argsort(x=mb.relu(x=rows), axis=-1, name="order")

    package = build(tmp_path / "p.mlpackage", looked_up, {"ids": np.zeros((1, 6), np.int32)})
    rows = {row.op: row for row in report(package)}
    assert brief(rows.values()) == {("gather", 1, "not expected"), ("argsort", 1, "not expected")}
    assert rows["gather"].names == ("rows",)
    assert "lookup" in rows["gather"].reason
    assert "ml-ane-transformers" in rows["gather"].source
    assert "int32" in rows["argsort"].reason


def test_a_lookup_of_known_rows_is_not_reported(tmp_path):
    def picked(x):
        return mb.gather(x=x, indices=np.array([2, 0], np.int32), axis=0)

    assert report(build(tmp_path / "p.mlpackage", picked, {"x": np.zeros((4, 4), np.float16)}, ct.target.iOS17)) == []


def test_whole_numbers_are_reported_and_the_most_frequent_come_first(tmp_path):
    def counted(ids):
        return mb.mul(x=mb.add(x=mb.add(x=ids, y=1), y=ids), y=2)

    rows = report(build(tmp_path / "p.mlpackage", counted, {"ids": np.zeros(3, np.int32)}))
    assert [(row.op, row.count, row.reason) for row in rows] == [
        ("add", 2, "int32 tensors are not supported"),
        ("mul", 1, "int32 tensors are not supported"),
    ]


def test_narrow_whole_numbers_are_unknown_but_for_quantization(tmp_path):
    def narrowed(x):
        codes = mb.quantize(input=x, scale=np.float16(0.5), output_dtype="int8")
        return mb.dequantize(input=mb.reshape(x=codes, shape=[6]), scale=np.float16(0.5))

    rows = report(build(tmp_path / "p.mlpackage", narrowed, {"x": np.ones((2, 3), np.float16)}))
    assert brief(rows) == {("reshape", 1, "unknown")}


def test_what_nobody_wrote_about_is_unknown_and_comes_last(tmp_path):
    def bent(x):
        return mb.reduce_prod(x=mb.softsign(x=mb.softsign(x=x)), axes=[1])

    rows = report(build(tmp_path / "p.mlpackage", bent, {"x": np.ones((2, 3), np.float16)}))
    assert [(r.op, r.count, r.verdict) for r in rows] == [
        ("reduce_prod", 1, "not expected"),
        ("softsign", 2, "unknown"),
    ]
    assert rows[1].source == "no public statement"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 65537), "a dimension of 65,537 is over 65,536"),
        ((1, 20000), "a dimension of 20,000 is over the 16,384 of A14 and M1"),
    ],
)
def test_long_dimensions_are_reported(tmp_path, shape, reason):
    package = build(tmp_path / "p.mlpackage", lambda x: mb.relu(x=x), {"x": np.ones(shape, np.float16)})
    assert [row.reason for row in report(package)] == [reason]


@pytest.mark.parametrize(("transpose", "shape"), [(False, (1, 40000)), (True, (40000, 1))])
def test_a_long_sum_is_reported_whichever_way_its_operand_lies(tmp_path, transpose, shape):
    def product(x):
        return mb.matmul(x=x, y=np.ones((40000, 2), np.float16), transpose_x=transpose)

    rows = report(build(tmp_path / "p.mlpackage", product, {"x": np.ones(shape, np.float16)}))
    assert [row.reason for row in rows] == ["sums over 40,000 are longer than 32,768"]


@pytest.mark.parametrize(("width", "reported"), [(15, []), (16, ["a kernel over 31 high or 15 wide"])])
def test_a_wide_kernel_is_reported(tmp_path, width, reported):
    def convolved(x):
        return mb.conv(x=x, weight=np.ones((2, 1, 1, width), np.float16))

    package = build(tmp_path / "p.mlpackage", convolved, {"x": np.ones((1, 1, 4, 20), np.float16)})
    assert [row.reason for row in report(package)] == reported


def test_every_rule_has_a_reason_and_a_public_source():
    for name, finding in neural_engine.BY_TYPE.items():
        assert finding.reason, name
        assert "https://" in finding.source, name
    assert not neural_engine.SEEN & neural_engine.BY_TYPE.keys()


def test_the_table_has_a_line_for_each_row(tmp_path):
    rows = report(build(tmp_path / "p.mlpackage", lambda x: mb.cumsum(x=x), {"x": np.ones((1, 4), np.float16)}))
    lines = neural_engine.markdown(rows).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| `cumsum` | 1 | not expected | this function is not supported |")


class MLCPUComputeDevice:
    """Stands for coremltools' class of this name, which only macOS can make."""


class MLNeuralEngineComputeDevice:
    """As above."""


def test_a_plan_is_read_operation_by_operation():
    devices = {"ios17.linear": MLNeuralEngineComputeDevice(), "ios17.gather": MLCPUComputeDevice(), "const": None}
    operations = [SimpleNamespace(operator_name=n, outputs=[SimpleNamespace(name=f"{n}_0")]) for n in devices]
    main = SimpleNamespace(block=SimpleNamespace(operations=operations))

    def usage(operation):
        device = devices[operation.operator_name]
        return SimpleNamespace(preferred_compute_device=device) if device else None

    plan = SimpleNamespace(
        model_structure=SimpleNamespace(program=SimpleNamespace(functions={"main": main})),
        get_compute_device_usage_for_mlprogram_operation=usage,
    )
    assert neural_engine.planned(plan) == [
        ("linear", "ios17.linear_0", "Neural Engine"),
        ("gather", "ios17.gather_0", "CPU"),
    ]


def test_measuring_needs_a_mac(block, tmp_path):
    coreml.convert(block, {"x": mx.ones((4, 8))}, tmp_path / "block.mlpackage", precision="float16")
    if sys.platform == "darwin":
        assert all(row.verdict == "measured" for row in report(tmp_path / "block.mlpackage", measured=True))
        return
    with pytest.raises(ConversionError, match="on macOS only; measured=False judges by public sources"):
        report(tmp_path / "block.mlpackage", measured=True)
