"""Language models of mlx-lm, small and with random weights, through the converter: one prefill each."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

pytest.importorskip("mlx_lm")

from converters import coreml
from converters.capture import capture
from converters.coreml.executor import Executor
from converters.passes import run_passes
from scripts.conversions import Cell, UnbuiltError
from scripts.model_table import COLUMNS, prepared
from scripts.small_models import HIDDEN, TOKENS, VOCAB, architectures, build, tokens

DENSE = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2", "starcoder2", "gpt2")
RECURRENT = ("mamba", "mamba2", "rwkv7", "recurrent_gemma", "qwen3_next")
EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v3")


def convert(model, tmp_path, precision="float32"):
    def prefill(tokens):
        return model(tokens)

    out = tmp_path / "model.mlpackage"
    return coreml.convert(prefill, {"tokens": tokens()}, out, precision=precision), Executor(out)


@pytest.mark.parametrize("name", [*DENSE, *RECURRENT, *EXPERTS])
def test_prefill_converts(name, tmp_path):
    report, package = convert(build(name), tmp_path)
    assert report.psnr_db >= 90
    assert package.outputs["output"] == ((1, TOKENS, VOCAB), "fp32")


@pytest.mark.parametrize("column", ["fp16 weights", "bf16 weights", "4-bit"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma"])
def test_low_precision_weights_convert(name, column, tmp_path):
    fn, example = prepared(Cell(name, column))
    assert capture(fn, example).is_low == (column != "4-bit")
    assert coreml.convert(fn, example, tmp_path / "model.mlpackage", COLUMNS[column].package.precision).psnr_db >= 90


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral", "mamba2"])
def test_prefill_converts_in_half_precision(name, tmp_path):
    report, _ = convert(build(name), tmp_path, "float16")
    assert report.psnr_db >= 50


@pytest.mark.parametrize(("name", "gone"), [("llama", "QuantizedMatmul"), ("mixtral", "GatherQMM")])
@pytest.mark.parametrize("mode", [{"bits": 4}, {"bits": 4, "mode": "mxfp4"}], ids=str)
def test_quantised_weights_are_dequantised_at_conversion(name, gone, mode, tmp_path):
    """The package agrees with the quantised model, and packs no integers."""
    model = build(name)
    nn.quantize(model, group_size=32, **mode)
    mx.eval(model.parameters())
    assert gone in capture(model.__call__, {"inputs": tokens()}).counts()
    report, package = convert(model, tmp_path)
    assert report.psnr_db >= 90
    assert not {"bitwise_and", "floor_div", "mod"} & set(package.op_counts())


def test_quantised_embedding_is_one_gather(tmp_path):
    table = nn.QuantizedEmbedding(VOCAB, HIDDEN, group_size=32, bits=4)
    mx.eval(table.parameters())
    graph = run_passes(capture(table.__call__, {"x": tokens()}))
    assert graph.counts() == {"Take": 1}
    (rows,) = [array for array in graph.constants.values() if array.ndim == 2]
    np.testing.assert_array_equal(
        rows, np.array(mx.dequantize(table.weight, table.scales, table.biases, group_size=32, bits=4))
    )


def test_rows_of_unlike_unpacking_stay(tmp_path):
    """Numbers unpacked another way than MLX's own are no quantised table."""
    packed = mx.arange(VOCAB * 4, dtype=mx.uint32).reshape(VOCAB, 4)
    graph = run_passes(capture(lambda x: (packed[x] * 3).astype(mx.float32), {"x": tokens()}))
    assert "Multiply" in graph.counts()


def test_architectures_are_those_of_mlx_lm():
    names = architectures()
    assert len(names) == len(set(names)) >= 100
    assert {"llama", "qwen2", "gemma", "mamba2"} <= set(names)


def test_unbuilt_architecture_says_why():
    with pytest.raises(UnbuiltError, match="no_such_model"):
        build("no_such_model")
