"""GGUF files: header, configuration, tokenizer, and of those that pass, the model."""

from __future__ import annotations

import logging
import random
import struct
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx

from tests.fuzz.mutate import damaged, number, real, text
from tests.language import gguf_files
from tests.language.conftest import load_folder, write_folder
from tests.language.gguf_files import File, gguf_file, llama_metadata, llama_tensors
from wotd_mlx.language.gguf import llama_config, read_header, read_llama, read_tokenizer
from wotd_mlx.language.gguf_header import _FIELDS
from wotd_mlx.schemas import WotdError

documented = (WotdError,)
quick = 300

TOKENS = mx.array([[1, 50, 7]])
# A text may well be longer than the context that a damaged file tells of.
logging.getLogger("transformers").setLevel(logging.ERROR)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-gguf-")


def _folder() -> Path:
    return Path(_temporary().name)


@cache
def _whole() -> list[File]:
    """A file of each kind of storage."""
    folder = write_folder(_folder() / "tiny")
    language, metadata = load_folder(folder), llama_metadata(folder)
    return [gguf_file(metadata, llama_tensors(language, kind))[0] for kind in ("F32", "F16", "Q4_0", "Q4_1", "Q8_0")]


def make(rng: random.Random) -> bytes:
    """A tiny Llama's file, damaged in its structure, its bytes or both."""
    file = rng.choice(_whole())
    how = rng.random()
    if how < 0.8:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            file = rng.choice([_value, _value, _value, _tensor, _tensor, _rest])(rng, file)
    stored = file.stored()
    if how > 0.7:
        head = len(stored) - len(file.data)
        stored = damaged(rng, stored, *rng.choice([(0, head), (0, 700), (head - 1500, head), (head, len(stored))]))
    return stored


def read(made: bytes) -> None:
    """Read the file as a model, and use what comes of it."""
    file = _folder() / "made.gguf"
    file.write_bytes(made)
    header = read_header(file)
    config = llama_config(header)
    tokenizer: Any = read_tokenizer(header)
    tokenizer.decode(tokenizer.encode("naïve words, 12"))
    model = read_llama(header, config, quantised=len(made) % 2 == 0)
    mx.eval(model(mx.minimum(TOKENS, config["vocab_size"] - 1)))


def _stored(rng: random.Random, kind: int, depth: int = 0) -> bytes:
    """Some value of a type, as it is stored."""
    codes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
    if kind in codes:
        width = struct.calcsize(codes[kind])
        return struct.pack(f"<{codes[kind]}", number(rng, 8 * width, codes[kind].islower()))
    if kind in (6, 12):
        return struct.pack("<f" if kind == 6 else "<d", real(rng))
    if kind == 7:
        return bytes([rng.choice([0, 1, 1, 2, 255])])
    if kind == 8:
        return gguf_files.text(text(rng))
    if kind == 9:
        inner = rng.choice([*range(9), 10, 11, 12, 9 if depth < 3 else 0])
        parts = [_stored(rng, inner, depth + 1) for _ in range(rng.choice([0, 1, 1, 2, 5]))]
        return struct.pack("<IQ", inner, len(parts)) + b"".join(parts)
    return rng.randbytes(8)


def _value(rng: random.Random, file: File) -> File:
    """A metadata value of another type or value, lost, twice, or another's."""
    values = list(file.values)
    at = rng.randrange(len(values))
    key, kind, stored = values[at]
    match rng.randrange(9):
        case 0 | 1:
            values[at] = key, kind, _stored(rng, kind)
        case 2 | 3:
            other = rng.randrange(14)
            values[at] = key, other, _stored(rng, other)
        case 4:
            values[at] = (key, *values[rng.randrange(len(values))][1:])
        case 5:
            del values[at]
        case 6:
            values.insert(at, (rng.choice([key, text(rng)]), kind, stored))
        case 7:
            other = rng.choice([4, 4, 6, 7, 8, 9])
            values.append((rng.choice(list(_FIELDS)), other, _stored(rng, other)))
        case _:
            values[at] = key, kind, _list(rng, stored) if kind == 9 else damaged(rng, stored)
    return replace(file, values=values)


def _list(rng: random.Random, stored: bytes) -> bytes:
    """A list of texts or numbers with a few of them changed, lost or twice."""
    inner, count = struct.unpack_from("<IQ", stored)
    if inner != 8:
        return damaged(rng, stored, 12)
    parts, at = [], 12
    for _ in range(count):
        end = at + 8 + struct.unpack_from("<Q", stored, at)[0]
        parts.append(stored[at:end])
        at = end
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(parts))
        match rng.randrange(4):
            case 0:
                parts[at] = gguf_files.text(text(rng))
            case 1:
                parts[at] = rng.choice(parts)
            case 2:
                del parts[at]
            case _:
                parts.insert(at, gguf_files.text(f"{text(rng)} {text(rng)}"))
    return struct.pack("<IQ", inner, len(parts)) + b"".join(parts)


def _tensor(rng: random.Random, file: File) -> File:
    """A tensor of another name, shape, type or place, lost or twice."""
    tensors = list(file.tensors)
    at = rng.randrange(len(tensors))
    name, sides, kind, offset = tensors[at]
    match rng.randrange(8):
        case 0:
            name = rng.choice([text(rng), rng.choice(tensors)[0], "rope_freqs.weight", "output.weight", "blk.9.x"])
        case 1 | 2:
            sides = [*sides] or [1]
            sides[rng.randrange(len(sides))] = number(rng)
        case 3:
            sides = [number(rng) if rng.random() < 0.3 else 1 for _ in range(rng.randrange(6))]
        case 4:
            sides = sides[::-1]
        case 5:
            kind = rng.choice([*range(16), 30, 39, number(rng, 32)])
        case 6:
            offset = rng.choice([number(rng), offset + 1, offset + 32, rng.choice(tensors)[3]])
        case _:
            return replace(file, tensors=rng.choice([tensors[:at] + tensors[at + 1 :], [*tensors, tensors[at]]]))
    tensors[at] = name, sides, kind, offset
    return replace(file, tensors=tensors)


def _rest(rng: random.Random, file: File) -> File:
    """Another version or alignment, less data, data that are no numbers, or tensors and values in another order."""
    match rng.randrange(5):
        case 0:
            return replace(file, version=number(rng, 32))
        case 1:
            return replace(file, align=rng.choice([1, 2, 8, 48, 64, 4096]))
        case 2:
            return replace(file, data=file.data[: rng.randrange(len(file.data))])
        case 3:
            data = bytearray(file.data)
            for _ in range(50):
                at = rng.randrange(0, len(data) - 2, 2)
                data[at : at + 2] = rng.choice([b"\xff\xff", b"\x00\x7c", b"\xff\x7b", b"\x00\x00"])
            return replace(file, data=bytes(data))
        case _:
            return replace(file, values=rng.sample(list(file.values), len(file.values)), tensors=file.tensors[::-1])
