"""GGUF files made byte by byte: what the format says of them, and the tiny Llama as one."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlx.utils import tree_flatten
from numpy.typing import NDArray

from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.gguf import _LAYER, _TOP, _mlx_name
from wotd_mlx.language.gguf_header import _SCALARS

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


def typed(value: Any) -> tuple[int, bytes]:
    """A metadata value's type, and its bytes."""
    if isinstance(value, str):
        return 8, text(value)
    if isinstance(value, list):
        parts = [typed(one) for one in value]
        return 9, struct.pack("<IQ", parts[0][0], len(parts)) + b"".join(stored for _, stored in parts)
    kind = 7 if isinstance(value, bool) else 6 if isinstance(value, float) else 4
    return kind, struct.pack(f"<{_SCALARS[kind]}", value)


@dataclass
class File:
    """A file's parts as they are stored, whatever they say: (key, type, bytes) of values, (name, sides, type, offset)
    of tensors, and their data."""

    values: Sequence[tuple[str, int, bytes]]
    tensors: Sequence[tuple[str, Sequence[int], int, int]]
    data: bytes
    version: int = 3
    align: int = 32

    def stored(self) -> bytes:
        head = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors), len(self.values))
        for key, kind, value in self.values:
            head += text(key) + struct.pack("<I", kind) + value
        for name, sides, kind, offset in self.tensors:
            head += text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, offset)
        return head + bytes(-len(head) % self.align) + self.data


def gguf_file(
    metadata: dict[str, Any], tensors: dict[str, tuple[str, Floats]], align: int = 32
) -> tuple[File, dict[str, Floats]]:
    """The file, and what its tensors stand for."""
    means, infos, data = {}, [], b""
    for name, (kind, values) in tensors.items():
        stored, means[name] = packed(kind, values)
        infos.append((name, values.shape[::-1], NUMBERS[kind], len(data)))
        data += stored + bytes(-len(stored) % align)
    return File([(key, *typed(value)) for key, value in metadata.items()], infos, data, align=align), means


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, tuple[str, Floats]]) -> dict[str, Floats]:
    """Write the file; what its tensors stand for."""
    file, means = gguf_file(metadata, tensors)
    path.write_bytes(file.stored())
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


def llama_tensors(language: LoadedModel, kind: str) -> dict[str, tuple[str, Floats]]:
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
