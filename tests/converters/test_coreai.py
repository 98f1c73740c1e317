"""Core AI: primitives, models of mlx-lm, names and dtypes at the edges, damage; computed by Apple's own runtime."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from converters import coreml
from converters.capture import capture
from converters.front import runner
from converters.interpret import interpret
from converters.primitives import PRIMITIVES
from scripts.small_models import build, tokens
from tests.converters.test_models import DENSE, EXPERTS, RECURRENT
from tests.tolerances import close

pytest.importorskip("coreai", reason="needs the extra `coreai`")

from converters.coreai import backend, runtime

CASES = [pytest.param(case, id=f"{row.name}-{case.name}") for row in PRIMITIVES.values() for case in row.cases]
BEYOND_HALF = {
    "Arange-ints": "a million, where float16 ends at 65,504",
    "ArcSinh-wide": "1e10",
    "ArcCosh-floats": "1e10",
    "ErfInv-tails": "0.9999999 is 1 in float16, whose value is infinite",
    "Inverse-scaled": "rows and columns a million apart",
}
"""Cases of numbers that half precision doesn't hold."""


@pytest.mark.parametrize("case", CASES)
def test_case_converts(case, tmp_path):
    report = coreml.convert(case.call, case.example(), tmp_path / "op.aimodel")
    assert report.engine == "coreai"
    assert report.psnr_db >= 120
    assert report.codes_equal == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in BEYOND_HALF])
def test_case_converts_in_half_precision(case, tmp_path):
    report = coreml.convert(case.call, case.example(), tmp_path / "op.aimodel", "float16", force=True)
    assert report.psnr_db >= 50
    assert report.codes_equal == 1


def test_every_primitive_is_lowered():
    from converters.coreai.ops import OPS, lowers

    assert set(OPS) == set(PRIMITIVES)
    with pytest.raises(ValueError, match="Nothing, which is no primitive"):
        lowers("Nothing")(lambda *_: None)
    with pytest.raises(ValueError, match="Add is lowered twice"):
        lowers("Add")(lambda *_: None)


def prefill(name):
    model = build(name)
    return lambda **inputs: model(*inputs.values())


@pytest.mark.parametrize("name", [*DENSE, *RECURRENT, *EXPERTS])
def test_prefill_converts(name, tmp_path):
    report = coreml.convert(prefill(name), {"tokens": tokens()}, tmp_path / "model.aimodel")
    assert report.psnr_db >= 120


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral", "mamba2"])
def test_prefill_converts_in_half_precision(name, tmp_path):
    report = coreml.convert(prefill(name), {"tokens": tokens()}, tmp_path / "model.aimodel", "float16")
    assert report.psnr_db >= 50


@pytest.fixture(scope="module")
def net():
    mx.random.seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 16))
    mx.eval(net.parameters())
    return net


@pytest.fixture(scope="module")
def x():
    return mx.array(np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32))


@pytest.fixture(scope="module")
def made(net, x, tmp_path_factory):
    out = tmp_path_factory.mktemp("coreai") / "net.aimodel"
    coreml.convert(lambda x: {"logits": net(x)}, {"x": x}, out)
    return out


def test_run_is_what_mlx_computes(net, x, made):
    got = coreml.run(made, {"x": x})
    close(got["logits"], net(x), "sum_order")
    report = coreml.verify(made, lambda x: {"logits": net(x)}, {"x": x})
    assert report.engine == "coreai"
    assert report.psnr_db >= 120


def test_layers_are_those_of_the_captured_graph(net, x, made):
    def function(x):
        return {"logits": net(x)}

    graph = capture(function, {"x": x})
    want, got = interpret(graph, {"x": x}), backend.trace(made, graph, {"x": x})
    assert set(graph.outputs.values()) < set(got) < set(want)
    for name, array in got.items():
        close(array, want[name], "sum_order")
    report = coreml.verify(made, function, {"x": x}, layers=True)
    assert {layer.name for layer in report.layers} == set(got)
    assert min(layer.psnr_db for layer in report.layers) >= 120


def test_precisions_are_ordered_in_size_and_error(tmp_path):
    net = nn.Linear(256, 256, bias=False)
    mx.eval(net.parameters())
    example = {"x": mx.random.normal((4, 256))}
    sizes, errors = [], []
    for precision in ("float32", "float16", "int8"):
        out = tmp_path / f"{precision}.aimodel"
        errors.append(coreml.convert(net, example, out, precision).max_abs_error)
        sizes.append((out / "main.mlirb").stat().st_size)
    # 65,536 weights: 4, 2 and 1 byte each; 8 bits have scales, one in 64, and what is taken off before and after.
    assert [round(size / 65536, 1) for size in sizes] == [4.0, 2.0, 1.1]
    assert errors == sorted(errors)


def test_edges_keep_names_dtypes_and_shapes(tmp_path):
    example = {
        "a-b.c": mx.array([1, 255, 7], mx.uint8),
        "state": mx.array(True),
        "wide": mx.array([2**32 - 1, 5], mx.uint32),
        "far": mx.array([2**40, -(2**50)], mx.int64),
        "low": mx.array([0.5, 2.0], mx.bfloat16),
    }

    def function(**x):
        a, flag, wide, far, low = x.values()
        return {
            "sum of": a + a,
            "1": mx.where(flag, wide, 0 * wide) - 1,
            "far out": far // 3,
            "low": low * 2,
            "no": ~flag,
        }

    out = tmp_path / "edges.aimodel"
    coreml.convert(function, example, out)
    got = coreml.run(out, example)
    assert {name: (array.dtype.name, array.shape) for name, array in got.items()} == {
        "sum of": ("uint8", (3,)),
        "1": ("uint32", (2,)),
        "far out": ("int64", (2,)),
        "low": ("float32", (2,)),
        "no": ("bool", ()),
    }
    assert got["sum of"].tolist() == [2, 254, 14]
    assert got["1"].tolist() == [2**32 - 2, 4]
    assert got["far out"].tolist() == [2**40 // 3, -(2**50) // 3]
    assert got["low"].tolist() == [1, 4]
    assert not got["no"]


def test_two_conversions_are_equal_byte_by_byte(net, x, tmp_path):
    found = []
    for folder in ("one", "two"):
        out = tmp_path / folder / "net.aimodel"
        out.parent.mkdir()
        coreml.convert(net, {"x": x}, out)
        found.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert found[0] == found[1]
    # Neither the day, which both share, nor an order of keys that differs now and then.
    told = json.loads(found[0]["metadata.json"])
    assert told["creationDate"] == "19700101T000000Z"
    assert list(told) == sorted(told)


def test_a_package_of_another_version_is_one_line(x, made, tmp_path):
    package = tmp_path / "later.aimodel"
    shutil.copytree(made, package)
    file = package / "metadata.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "assetVersion": "99.0"}))
    with pytest.raises(coreml.PackageError, match=r"later\.aimodel: .*99") as caught:
        coreml.run(package, {"x": x})
    assert "\n" not in str(caught.value)


def test_inputs_are_checked_all_at_once(made):
    with pytest.raises(coreml.PackageError, match=r"input x has shape \(2,\); expected \(4, 64\); input y is unknown"):
        coreml.run(made, {"x": np.zeros(2, np.float32), "y": np.zeros(2)})
    with pytest.raises(coreml.PackageError, match=r"input x .* is missing"):
        coreml.run(made, {})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"precision": "palette6"},
            "'palette6' is unknown to Core AI here; expected one of float32, float16, int8",
        ),
        ({"target": "iOS17"}, "target 'iOS17' is unknown to Core AI here; expected one of iOS27"),
    ],
)
def test_wrong_wishes(net, x, tmp_path, change, says):
    with pytest.raises(coreml.ConversionError, match=says):
        coreml.convert(net, {"x": x}, tmp_path / "net.aimodel", **change)
    with pytest.raises(coreml.ConversionError, match="engine 'reference' is unknown to Core AI here"):
        coreml.run(tmp_path / "net.aimodel", {"x": x}, engine="reference")


def test_what_is_no_package_says_so(tmp_path, made):
    with pytest.raises(FileNotFoundError, match=r"no package .*gone\.aimodel"):
        runner(tmp_path / "gone.aimodel")
    empty = tmp_path / "empty.aimodel"
    empty.mkdir()
    with pytest.raises(coreml.PackageError, match=r"empty\.aimodel"):
        runner(empty)


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_one_line(made, x, tmp_path, seed):
    """Cut short, or with bytes changed: an error or other numbers, never the end of this process."""
    rng = np.random.default_rng(seed)
    copy = tmp_path / "damaged.aimodel"
    shutil.copytree(made, copy)
    content = bytearray((copy / "main.mlirb").read_bytes())
    if seed % 2:
        del content[int(rng.integers(len(content))) :]
    else:
        for place in rng.integers(0, len(content), 20):
            content[place] ^= int(rng.integers(1, 256))
    (copy / "main.mlirb").write_bytes(content)
    said = told(copy, x)
    assert said is None or (str(copy) in said and "\n" not in said)
    assert told(made, x) is None


def told(package, x):
    """What running a package says, or None where it runs."""
    try:
        coreml.run(package, {"x": x})
    except coreml.PackageError as error:
        return str(error)
    return None


def test_the_runtime_s_process_is_replaced(made, x):
    before = coreml.run(made, {"x": x})["logits"]
    assert runtime.WORKER.process
    runtime.WORKER.process.kill()
    runtime.WORKER.process.wait()
    call = runner(made)
    np.testing.assert_array_equal(call({"x": x})["logits"], before)
    assert runtime.WORKER.process.pid != os.getpid()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("1.0.0b2", "coreai-core 1.0.0b2 is installed; expected 1.0.0b3: pip install"),
        (None, r"need coreai-core 1\.0\.0b3, which isn't installed: pip install 'wotd-mlx\[coreai\]'"),
    ],
)
def test_another_wheel_or_none_is_told(monkeypatch, found, says):
    import converters.coreai

    def version(_):
        if found is None:
            raise importlib.metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(coreml.ConversionError, match=says):
        importlib.reload(converters.coreai)


def test_what_no_package_can_hold_is_refused_by_name(x, tmp_path):
    """The compiler's own complaint about half a program doesn't hide the reason."""
    with pytest.raises(coreml.ConversionError, match=r"views float32 .* as int32 .*Core AI can't reinterpret bits"):
        coreml.convert(lambda x: x.view(mx.int32), {"x": x}, tmp_path / "view.aimodel")
    with pytest.raises(coreml.ConversionError, match=r"is complex and an output; return mx\.real"):
        coreml.convert(lambda x: mx.fft.rfft(x) * 2, {"x": x}, tmp_path / "fft.aimodel")


def test_operations_are_those_that_were_written(made):
    assert runtime.load(made).operations == {
        "broadcasting_batch_matmul": 2,
        "broadcasting_add": 2,
        "gelu": 1,
    }
