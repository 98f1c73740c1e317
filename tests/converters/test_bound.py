"""Bytes and FLOPs of packages that were counted by hand."""

from __future__ import annotations

import json

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from mlx import nn

from benchmarks.paper_bound import CHIPS, Chip, Work, bound, main, work_of
from converters import coreml
from converters.coreml.executor import load_package
from tests.converters.saved import build

mb = Builder


def half(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float16)


CASES = {
    # (5, 8) · (8, 3): 15 sums of 8 products.
    "matmul": (lambda x: mb.matmul(x=x, y=half(8, 3)), (5, 8), 2 * 15 * 8),
    "transposed_matmul": (lambda x: mb.matmul(x=x, y=half(8, 3), transpose_x=True), (8, 5), 2 * 15 * 8),
    "batched_matmul": (lambda x: mb.matmul(x=x, y=x, transpose_y=True), (2, 4, 5, 8), 2 * 2 * 4 * 25 * 8),
    "linear": (lambda x: mb.linear(x=x, weight=half(16, 8), bias=half(16)), (4, 8), 2 * 4 * 16 * 8),
    # 6 channels of 3 × 4 positions, each a sum over 2 channels of 3 × 3.
    "conv": (lambda x: mb.conv(x=x, weight=half(6, 2, 3, 3)), (1, 2, 5, 6), 2 * 6 * 12 * 18),
    "grouped_conv": (lambda x: mb.conv(x=x, weight=half(6, 1, 3, 3), groups=2), (1, 2, 5, 6), 2 * 6 * 12 * 9),
    "conv_transpose": (lambda x: mb.conv_transpose(x=x, weight=half(2, 6, 3, 3)), (1, 2, 5, 6), 2 * 60 * 54),
    "attention": (
        lambda x: mb.scaled_dot_product_attention(query=x, key=x, value=x),
        (1, 4, 6, 16),
        2 * (4 * 6 * 6 * 16) * 2,
    ),
    "no_products": (lambda x: mb.softmax(x=x, axis=-1), (4, 8), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_flops_are_those_counted_by_hand(name, tmp_path):
    function, shape, want = CASES[name]
    package = build(tmp_path / "p.mlpackage", function, {"x": half(*shape)}, ct.target.iOS18)
    work = work_of(load_package(package))
    assert (work.flops, work.uncounted) == (want, {})


class Mapped(nn.Module):
    """64 → 128: 64 · 128 weights and 128 biases."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 128)

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear(x)


@pytest.mark.parametrize(
    ("precision", "weight_bytes"),
    # int8 adds a scale and an offset for each output; a palette of 16 holds 16 numbers and half a byte a weight.
    [("float32", 32768), ("float16", 16384), ("int8", 8192 + 128 * 2), ("palette4", 4096 + 32)],
)
def test_weights_count_as_they_are_stored(precision, weight_bytes, tmp_path):
    module = Mapped()
    mx.eval(module.parameters())
    coreml.convert(module, {"x": mx.ones((2, 64))}, tmp_path / "m.mlpackage", precision=precision, force=True)
    work = work_of(load_package(tmp_path / "m.mlpackage"))
    bias = 512 if precision == "float32" else 256
    few = 200  # axes, offsets, shapes
    assert weight_bytes + bias <= work.stored_bytes <= weight_bytes + bias + few
    assert work.read_bytes == work.stored_bytes
    assert work.flops == 2 * 2 * 64 * 128


def test_of_a_table_only_the_rows_taken_are_read(tmp_path):
    table = half(1000, 32)
    package = build(
        tmp_path / "p.mlpackage",
        lambda ids: mb.gather(x=table, indices=ids, axis=0),
        {"ids": np.zeros(6, np.int32)},
    )
    work = work_of(load_package(package))
    assert work.stored_bytes - work.read_bytes == 994 * 32 * 2


def test_a_bound_is_the_larger_of_two_quotients():
    chip = Chip("X", 10, 50, "", "", cpu_tflops=0.5)
    memory = bound(Work(200_000_000, 100_000_000, 1_000_000_000, {}), chip)
    assert memory["bound_ms"] == pytest.approx(2.0)
    assert memory["limited_by"] == "memory"
    assert memory["cautious_ms"] == pytest.approx(0.19 + 8.0)
    assert memory["times_below_10_ms"] == pytest.approx(10 / 8.19)
    assert memory["cpu_ms"] == pytest.approx(2.0)
    arithmetic = bound(Work(1000, 1000, 50_000_000_000, {}), chip)
    assert (arithmetic["bound_ms"], arithmetic["limited_by"]) == (pytest.approx(5.0), "arithmetic")
    assert arithmetic["cautious_ms"] == pytest.approx(0.19 + 50.0)
    assert arithmetic["cpu_ms"] == pytest.approx(100.0)


def test_every_figure_has_a_source_or_says_that_it_is_assumed():
    for chip in CHIPS:
        assert "https://" in chip.tops_source, chip.name
        assert "https://" in chip.bandwidth_source or chip.bandwidth_source.startswith("assumed"), chip.name
        assert chip.cpu_tflops is None or "https://" in chip.cpu_source, chip.name


def test_the_command_writes_a_file_and_a_table(tmp_path, capsys):
    package = build(tmp_path / "Small.mlpackage", lambda x: mb.relu(x=x), {"x": half(2, 3)})
    main([str(package), "--markdown", "--out", str(tmp_path / "bound.json")])
    content = json.loads((tmp_path / "bound.json").read_text())
    assert content["measured"] is False
    assert content["packages"]["Small"]["flops"] == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(CHIPS)
    assert lines[2].startswith("| Small | A14 | ")
