"""A tiny GGUF file, written here byte by byte, against the formulas of its formats and the model it was made from."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.rope_utils import Llama3RoPE

from tests.language.conftest import SHAPE
from tests.language.gguf_files import File, gguf_file, llama_metadata, llama_tensors, text, write_gguf
from tests.tolerances import close
from wotd_mlx.kernels import choice
from wotd_mlx.language.chat import LoadedModel, chat, end_token
from wotd_mlx.language.gguf import _mlx_name, load_gguf, read_header, read_tokenizer
from wotd_mlx.schemas import WotdError

TOKENS = mx.array([[1, 50, 7, 8, 95, 300]])


@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q8_0"])
def test_weights_are_what_the_format_says(
    kind: str, tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    means = write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, kind))
    model, tokenizer = load_gguf(file, quantised=False)
    flat: Any = dict(tree_flatten(model.parameters()))
    assert len(flat) == len(means)
    for name, mean in means.items():
        close(flat[f"{_mlx_name(name)}.weight"], mean, "exact")
    kept, _ = load_gguf(file, quantised=True)
    assert any("scales" in name for name, _ in tree_flatten(kept.parameters())) == kind.startswith("Q")
    close(kept(TOKENS), model(TOKENS), "quantised")
    if kind == "F32":
        close(model(TOKENS), tiny_language.model(TOKENS), "parts")
    ids = chat(tiny_language.tokenizer, "Words matching pattern [2,1,0-3,*]:", "ephemeral, café 42")
    assert chat(tokenizer, "Words matching pattern [2,1,0-3,*]:", "ephemeral, café 42") == ids
    assert end_token(tokenizer) == 2
    assert tokenizer.eos_token_ids == {2}
    assert tokenizer.decode(tokenizer.encode("naïve 日本")) == "naïve 日本"


def test_a_matrix_of_its_own_and_kinds_mixed(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "mixed.gguf"
    tensors = llama_tensors(tiny_language, "Q4_1")
    tensors["token_embd.weight"] = ("Q8_0", tensors["token_embd.weight"][1])
    tensors["output.weight"] = ("F16", -tensors["token_embd.weight"][1])
    means = write_gguf(file, llama_metadata(tiny_folder), tensors)
    model, _ = load_gguf(file)
    close(model.lm_head.weight, means["output.weight"], "exact")
    kept, _ = load_gguf(file, quantised=True)
    assert kept.model.embed_tokens.bits == 8
    assert kept.layers[1].mlp.up_proj.bits == 4
    close(kept(TOKENS), model(TOKENS), "quantised")


def test_a_cpu_dequantises_and_a_gpu_does_not(
    tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q8_0"))
    for on_cpu, types in ((True, {mx.float32}), (False, {mx.uint32, mx.float16})):
        monkeypatch.setattr(choice, "on_cpu", lambda here=on_cpu: here)
        model, _ = load_gguf(file)
        assert {value.dtype for _, value in tree_flatten(model.parameters())} == types


def test_stretched_positions(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    want = Llama3RoPE(16, 512, True, 10000.0, scaling)
    plain = 10000.0 ** (mx.arange(0, 16, 2) / 16)
    tensors = llama_tensors(tiny_language, "F32")
    tensors["rope_freqs.weight"] = ("F32", np.array(want._freqs / plain))
    write_gguf(tmp_path / "long.gguf", llama_metadata(tiny_folder), tensors)
    rope = load_gguf(tmp_path / "long.gguf")[0].layers[1].self_attn.rope
    x = mx.random.normal((1, 4, 5, 16), key=mx.random.key(0))
    close(rope(x, offset=100), want(x, offset=100), "sum_order")
    write_gguf(
        tmp_path / "linear.gguf",
        llama_metadata(tiny_folder) | {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
        llama_tensors(tiny_language, "F32"),
    )
    assert load_gguf(tmp_path / "linear.gguf")[0].layers[0].self_attn.rope.scale == 0.25


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"general.architecture": "phi3"}, "architecture 'phi3'; expected llama"),
        ({"llama.expert_count": 8}, "llama.expert_count = 8; expected a dense Llama"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type = 'yarn'"),
        ({"llama.rope.dimension_count": 8}, "llama.rope.dimension_count = 8"),
        ({"llama.block_count": 9999}, "tensors that don't fit a Llama of 9999 layers, such as 'blk.10.attn_k"),
        ({"llama.block_count": 2**31}, "block_count is 2147483648 in its .* expected a whole number from 1 to 10,000"),
        ({"llama.block_count": "two"}, "llama.block_count is 'two' in its metadata; expected a whole number from 1"),
        ({"llama.block_count": True}, "llama.block_count is True in its metadata; expected a whole number"),
        ({"llama.attention.head_count": 0}, "head_count is 0 in its metadata; expected a whole number from 1 to"),
        (
            {"llama.attention.key_length": 15, "llama.rope.dimension_count": 15},
            "has 4 heads of 15 numbers, 2 of keys; expected heads of an even width",
        ),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "epsilon is nan in its metadata"),
        ({"llama.rope.freq_base": float("inf")}, "freq_base is inf in its metadata; expected a number from 1 to"),
        ({"llama.attention.head_count_kv": 3}, "has 4 heads of 16 numbers, 3 of keys; expected .* a whole number"),
        ({"llama.attention.head_count_kv": 4}, r"such as 'blk.0.attn_k.weight' \(32, 64\), expected \(64, 64\)"),
        ({"tokenizer.ggml.model": "llama"}, "tokenizer of kind 'llama'; expected gpt2"),
        ({"tokenizer.ggml.pre": "tekken"}, "rule 'tekken'; expected one of gpt-2, default, smollm, llama-bpe"),
        ({"tokenizer.ggml.pre": ["gpt-2"]}, r"tokenizer.ggml.pre is \['gpt-2'\] in its metadata; expected a text"),
        ({"tokenizer.ggml.tokens": [1, 2]}, r"tokens is \[1, 2\] in its metadata; expected a list, each a text"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, "has tokens twice, or 384 types for 2 tokens"),
        ({"tokenizer.ggml.token_type": [1]}, "has tokens twice, or 1 types for 384 tokens"),
        (
            {"tokenizer.ggml.merges": ["a zzz"]},
            "merges or special tokens don't fit its tokens: .*zzz.*; fetch",
        ),
        ({"tokenizer.ggml.merges": ["az"]}, "has a merge of 'az'; expected two tokens"),
        ({"tokenizer.ggml.eos_token_id": 2.0}, "eos_token_id is 2.0 in its metadata; expected a whole number"),
        ({"tokenizer.ggml.eos_token_id": 384}, "has eos_token_id 384; expected one of its 384 tokens"),
        ({"general.alignment": 0}, "general.alignment is 0"),
        ({"general.alignment": 48}, "general.alignment is 48, no power of two"),
    ],
)
def test_what_is_not_read_is_named(
    change: dict[str, Any], told: str, tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path
) -> None:
    file = tmp_path / "other.gguf"
    write_gguf(file, llama_metadata(tiny_folder) | change, llama_tensors(tiny_language, "F16"))
    with pytest.raises(WotdError, match=told) as caught:
        load_gguf(file)
    assert "\n" not in str(caught.value)


def with_value(kind: int, stored: bytes) -> Callable[[File], File]:
    return lambda file: replace(file, values=[*file.values, ("x", kind, stored)])


def with_tensor(at: int, **changes: Any) -> Callable[[File], File]:
    """The file with another name, ``sides``, ``kind`` or ``offset`` of a tensor."""

    def change(file: File) -> File:
        tensors = list(file.tensors)
        old = dict(zip(("name", "sides", "kind", "offset"), tensors[at], strict=True))
        tensors[at] = tuple((old | changes).values())
        return replace(file, tensors=tensors)

    return change


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: replace(file, version=4), "GGUF version 4; expected 2 or 3"),
        (lambda file: replace(file, values=[*file.values, file.values[0]]), "two values of 'general.architecture'"),
        (lambda file: replace(file, tensors=[*file.tensors, file.tensors[0]]), "two tensors 'blk.0.attn_k.weight'"),
        # MLX's reader takes four bytes of these eight, reads on from the wrong place and ends the process.
        (with_value(12, struct.pack("<d", 1.0)), "'x' is of type 12, expected one of 0 to 11"),
        (with_value(9, struct.pack("<IQd", 12, 1, 1.0)), "'x' is of type 12"),
        (with_value(9, struct.pack("<IQIQ", 9, 1, 4, 0)), "'x' is of type 9"),
        (with_value(9, struct.pack("<IQ", 4, 2**62)), "4611686018427387904 values at byte .* pass the end"),
        (with_value(8, struct.pack("<Q", 2**62)), "a string at byte .* passes the end"),
        (with_value(8, struct.pack("<Q", 1) + b"\xff"), "truncated or damaged .*utf-8"),
        (with_tensor(0, sides=()), "'blk.0.attn_k.weight' has 0 dimensions"),
        (with_tensor(0, sides=(1,) * 5), "'blk.0.attn_k.weight' has 5 dimensions"),
        (with_tensor(0, sides=(2**63, 2**63)), "begins at byte .*, expected"),
        (with_tensor(0, sides=(64, 0)), r"of shape \(0, 64\) has no whole Q4_0 blocks in a row"),
        (with_tensor(0, sides=(16, 128)), r"of shape \(128, 16\) has no whole Q4_0 blocks in a row"),
        (with_tensor(1, offset=2**63), "'blk.0.attn_norm.weight' begins at byte .*, expected"),
        (with_tensor(1, offset=0), "'blk.0.attn_norm.weight' begins at byte .*, expected"),
        (with_tensor(0, kind=8), "'blk.0.attn_norm.weight' begins at byte .*, expected"),
        (with_tensor(0, name="a\nb"), r"such as 'a\\nb' \(32, 64\), expected none"),
        (
            with_tensor(0, name="odd"),
            "don't fit a Llama of 2 layers, such as 'blk.0.attn_k.weight' missing",
        ),
        (
            with_tensor(-1, sides=(64, 2**40)),
            r"is truncated: it holds .* bytes, its header tells of .* \(1 tensors are",
        ),
    ],
)
def test_damaged_structure_is_named(
    damage: Callable[[File], File], told: str, tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path
) -> None:
    whole, _ = gguf_file(llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q4_0"))
    file = tmp_path / "damaged.gguf"
    file.write_bytes(damage(whole).stored())
    with pytest.raises(WotdError, match=told):
        load_gguf(file)


def test_quantised_norms_are_refused(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "norm.gguf"
    tensors = llama_tensors(tiny_language, "Q8_0")
    tensors["blk.1.ffn_norm.weight"] = ("Q4_1", np.arange(64, dtype=np.float32))
    write_gguf(file, llama_metadata(tiny_folder), tensors)
    with pytest.raises(WotdError, match=r"blk.1.ffn_norm.weight' as Q4_1; expected F32 or F16"):
        load_gguf(file)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_kept_weights_are_as_mlx_reads_them(
    kind: str, tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, kind))
    kept: Any = dict(tree_flatten(load_gguf(file, quantised=True)[0].parameters()))
    read: Any = mx.load(str(file), format="gguf")
    for name, value in read.items():
        stem, _, part = name.rpartition(".")
        close(kept[f"{_mlx_name(stem)}.{part}"], value, "exact")


def test_other_kinds_of_storage_are_listed(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "k.gguf"
    write_gguf(file, {"general.architecture": "llama"}, {"a": ("F32", np.zeros(32, np.float32))})
    data = bytearray(file.read_bytes())
    data[data.index(text("a")) + 9 + 4 + 8] = 14
    file.write_bytes(data)
    with pytest.raises(WotdError, match="stores tensors as Q6_K; expected F32, F16, Q4_0, Q4_1, Q8_0"):
        read_header(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WotdError, match="can't be read: No such file"):
        read_header(tmp_path / "none.gguf")
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(WotdError, match="truncated or damaged"):
        read_header(tmp_path / "empty.gguf")
    (tmp_path / "text.gguf").write_text("a model, they said")
    with pytest.raises(WotdError, match="begins with b'a mo'; expected GGUF"):
        read_header(tmp_path / "text.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(WotdError, match=r"pipe\.gguf is no file; expected a GGUF file"):
        read_header(tmp_path / "pipe.gguf")


def test_truncated_anywhere(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q4_0"))
    data = file.read_bytes()
    for length in [*range(1, len(data), 997), len(data) - 300]:
        file.write_bytes(data[:length])
        with pytest.raises(WotdError):
            read_header(file)


def test_infinite_scales_are_damage(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q8_0"))
    data = bytearray(file.read_bytes())
    data[-34 * 4 * SHAPE["num_hidden_layers"] : -34] = b"\xff" * (34 * 7)
    file.write_bytes(data)
    with pytest.raises(WotdError, match="infinities"):
        load_gguf(file)


def test_words_are_split_as_each_rule_says(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", llama_metadata(tiny_folder), llama_tensors(tiny_language, "F16"))
    header = read_header(tmp_path / "tiny.gguf")

    def split(rule: str, words: str) -> list[str]:
        changed = replace(header, metadata={**header.metadata, "tokenizer.ggml.pre": rule})
        tokenizer: Any = read_tokenizer(changed)._tokenizer
        return [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(words)]

    assert split("gpt-2", "It's 2024.") == ["It", "'s", "Ġ2024", "."]
    assert split("smollm", "It's 2024.") == ["It", "'s", "Ġ", "2", "0", "2", "4", "."]
    assert split("llama-bpe", "It's 2024.") == ["It", "'s", "Ġ", "202", "4", "."]
    bos = replace(header, metadata={**header.metadata, "tokenizer.ggml.add_bos_token": True})
    assert read_tokenizer(bos).encode("a")[0] == 1
