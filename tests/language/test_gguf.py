"""A tiny GGUF file, written here byte by byte, against the formulas of its formats and the model it was made from."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.rope_utils import Llama3RoPE
from numpy.typing import NDArray

from tests.language.conftest import SHAPE
from tests.tolerances import close
from wotd_mlx import backend
from wotd_mlx.language.chat import Language, chat, end_token
from wotd_mlx.language.gguf import (
    _LAYER,
    _SCALARS,
    _TOP,
    _mlx_name,
    llama_config,
    load_gguf,
    read_header,
    read_llama,
    read_tokenizer,
)
from wotd_mlx.schemas import WotdError

NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q6_K": 14}
Floats = NDArray[np.float32]


def packed(kind: str, values: Floats) -> tuple[bytes, Floats]:
    """A tensor as the format stores it, and what that stands for: w = d·(q − 8), d·q + m, or d·q, in blocks of 32."""
    if kind in ("F32", "F16"):
        stored = values.astype("<f4" if kind == "F32" else "<f2")
        return stored.tobytes(), stored.astype(np.float32)
    blocks = values.reshape(-1, 32)
    low, high, size = blocks.min(1, keepdims=True), blocks.max(1, keepdims=True), np.abs(blocks).max(1, keepdims=True)
    if kind == "Q8_0":
        d, m, offset, most = size / 127, None, 0.0, (-127, 127)
    elif kind == "Q4_1":
        d, m, offset, most = (high - low) / 15, low.astype("<f2"), 0.0, (0, 15)
    else:
        d, m, offset, most = size / 7, None, 8.0, (0, 15)
    d = d.astype("<f2")
    scale = d.astype(np.float32)
    start = 0.0 if m is None else m.astype(np.float32)
    q = np.clip(np.round((blocks - start) / scale + offset), *most)
    means = scale * (q - offset) + start
    if kind == "Q8_0":
        body = q.astype(np.int8).view(np.uint8)
    else:
        q = q.astype(np.uint8)
        body = q[:, :16] | q[:, 16:] << 4
    head = d.view(np.uint8) if m is None else np.concatenate([d.view(np.uint8), m.view(np.uint8)], axis=1)
    return np.concatenate([head, body], axis=1).tobytes(), means.astype(np.float32).reshape(values.shape)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def typed(value: Any) -> bytes:
    """A metadata value with its type before it."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        return (
            struct.pack("<I", 9)
            + typed(value[0])[:4]
            + struct.pack("<Q", len(value))
            + b"".join(typed(one)[4:] for one in value)
        )
    number = 7 if isinstance(value, bool) else 6 if isinstance(value, float) else 4
    return struct.pack(f"<I{_SCALARS[number]}", number, value)


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, tuple[str, Floats]]) -> dict[str, Floats]:
    """Write the file; what its tensors stand for."""
    means, infos, data = {}, b"", b""
    for name, (kind, values) in tensors.items():
        stored, means[name] = packed(kind, values)
        sides = struct.pack(f"<I{values.ndim}Q", values.ndim, *reversed(values.shape))
        infos += text(name) + sides + struct.pack("<IQ", NUMBERS[kind], len(data))
        data += stored + bytes(-len(stored) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(key) + typed(value) for key, value in metadata.items()) + infos
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return means


def llama_metadata(folder: Path) -> dict[str, Any]:
    """What llama.cpp's converter would say of the tiny Llama and its tokenizer."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 128,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": 16,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * 3 + [1] * (len(tokens) - 3),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": (folder / "chat_template.jinja").read_text(),
    }


def llama_tensors(language: Language, kind: str) -> dict[str, tuple[str, Floats]]:
    """The model's weights by llama.cpp's names, the rows of q and k in its order."""
    names = {f"blk.{i}.{part}.weight" for i in range(2) for part in _LAYER} | {f"{part}.weight" for part in _TOP}
    flat: Any = dict(tree_flatten(language.model.parameters()))
    tensors = {}
    for name in sorted(names - {"output.weight"}):
        values = np.array(flat[f"{_mlx_name(name)}.weight"])
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            # Of a head's rows the halves turn together here, neighbours there.
            values = values.reshape(-1, 2, 8, 64).swapaxes(1, 2).reshape(values.shape)
        tensors[name] = ("F32" if values.ndim == 1 else kind, np.ascontiguousarray(values))
    return tensors


TOKENS = mx.array([[1, 50, 7, 8, 95, 300]])


@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q8_0"])
def test_weights_are_what_the_format_says(
    kind: str, tiny_folder: Path, tiny_language: Language, tmp_path: Path
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


def test_a_matrix_of_its_own_and_kinds_mixed(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
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
    tiny_folder: Path, tiny_language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q8_0"))
    for on_cpu, types in ((True, {mx.float32}), (False, {mx.uint32, mx.float16})):
        monkeypatch.setattr(backend, "on_cpu", lambda here=on_cpu: here)
        model, _ = load_gguf(file)
        assert {value.dtype for _, value in tree_flatten(model.parameters())} == types


def test_stretched_positions(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
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
        ({"llama.block_count": 2**31}, "tensors that don't fit a Llama of 2147483648 layers, such as blk.10.attn_k"),
        ({"llama.block_count": "two"}, "llama.block_count is 'two' in its metadata; expected int"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count is 0 in its metadata; expected more than 0"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "epsilon is nan in its metadata"),
        ({"llama.attention.head_count_kv": 3}, r"such as blk.0.attn_k.weight \(32, 64\), expected \(48, 64\)"),
        ({"tokenizer.ggml.model": "llama"}, "tokenizer of kind 'llama'; expected gpt2"),
        ({"tokenizer.ggml.pre": "tekken"}, "rule 'tekken'; expected one of gpt-2, default, smollm, llama-bpe"),
        ({"tokenizer.ggml.merges": ["a zzz"]}, "its merges don't fit its tokens"),
        ({"general.alignment": 0}, "general.alignment is 0"),
    ],
)
def test_what_is_not_read_is_named(
    change: dict[str, Any], told: str, tiny_folder: Path, tiny_language: Language, tmp_path: Path
) -> None:
    file = tmp_path / "other.gguf"
    write_gguf(file, llama_metadata(tiny_folder) | change, llama_tensors(tiny_language, "F16"))
    with pytest.raises(WotdError, match=told):
        load_gguf(file)


def test_other_kinds_of_storage_are_listed(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "k.gguf"
    write_gguf(file, {"general.architecture": "llama"}, {"a": ("F32", np.zeros(32, np.float32))})
    data = bytearray(file.read_bytes())
    data[data.index(text("a")) + 9 + 4 + 8] = NUMBERS["Q6_K"]
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


def test_truncated_anywhere(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q4_0"))
    data = file.read_bytes()
    for length in [*range(1, len(data), 997), len(data) - 300]:
        file.write_bytes(data[:length])
        with pytest.raises(WotdError):
            read_header(file)


def test_a_damaged_header_never_gets_through_to_mlx(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    metadata = llama_metadata(tiny_folder)
    # The words come last, so that most of what is changed is structure.
    write_gguf(
        file, dict(sorted(metadata.items(), key=lambda kv: len(str(kv[1])))), llama_tensors(tiny_language, "Q4_0")
    )
    data = file.read_bytes()
    head = data.index(b"token_embd.weight") + 60
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        changed = bytearray(data)
        changed[rng.integers(4, head)] ^= int(rng.integers(1, 256))
        file.write_bytes(changed)
        try:
            header = read_header(file)
            config = llama_config(header)
            read_tokenizer(header)
            read_llama(header, config, quantised=False)
        except WotdError:
            refused += 1
    assert refused > 0


def test_infinite_scales_are_damage(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "Q8_0"))
    data = bytearray(file.read_bytes())
    data[-34 * 4 * SHAPE["num_hidden_layers"] : -34] = b"\xff" * (34 * 7)
    file.write_bytes(data)
    with pytest.raises(WotdError, match="infinities"):
        load_gguf(file)


def test_words_are_split_as_each_rule_says(tiny_folder: Path, tiny_language: Language, tmp_path: Path) -> None:
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
