"""What a GGUF file says of itself: its metadata, each value checked for its kind and range, and its tensors' offsets.

It is read here, though MLX and llama.cpp's own Python package have readers too. Both trust the file, so that a damaged
one ends the process or is read from the wrong bytes, and that package needs two seconds where this needs .05.

Reference:
    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wotd_mlx.schemas import WotdError

# Values in a block, bytes of a block; the other types are there to be named when they are refused.
SIZES = {"F32": (1, 4), "F16": (1, 2), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q8_0": (32, 34)}
_TYPES = dict(
    enumerate(
        ("F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
    )
)
_TYPES |= {15: "Q8_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}
# Type 12, float64, is left out: no model has it, and MLX's reader dies of it.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_STRING, _ARRAY, _MAX_SIDES = 8, 9, 4


@dataclass(frozen=True)
class _Field:
    """What a metadata value must be: a kind, a range where it is a number, and many of these where it is a list."""

    kind: type[Any]
    least: float = -math.inf
    most: float = math.inf
    many: bool = False

    def fits(self, value: object) -> bool:
        if self.many:
            return isinstance(value, list) and all(map(self._fits, value))
        return self._fits(value)

    def _fits(self, value: Any) -> bool:
        return type(value) is self.kind and (self.kind is str or self.least <= value <= self.most)

    def __str__(self) -> str:
        named = {int: "whole number", float: "number", bool: "yes or no", str: "text"}[self.kind]
        bounds = f" from {self.least:,} to {self.most:,}" if self.most < math.inf else ""
        return f"{'a list, each a ' if self.many else 'a '}{named}{bounds}"


_COUNT, _WIDTH, _ID = _Field(int, 1, 10_000), _Field(int, 1, 1_000_000), _Field(int, 0, 2**31 - 1)
_TEXT = _Field(str)
_FIELDS = {
    "general.alignment": _Field(int, 1, 2**20),
    "general.architecture": _TEXT,
    "llama.attention.head_count": _COUNT,
    "llama.attention.head_count_kv": _COUNT,
    "llama.attention.key_length": _WIDTH,
    "llama.attention.layer_norm_rms_epsilon": _Field(float, 1e-30, 1),
    "llama.block_count": _COUNT,
    "llama.context_length": _Field(int, 1, 10**9),
    "llama.embedding_length": _WIDTH,
    "llama.expert_count": _Field(int, 0, 10_000),
    "llama.feed_forward_length": _WIDTH,
    "llama.rope.dimension_count": _WIDTH,
    "llama.rope.freq_base": _Field(float, 1, 1e12),
    "llama.rope.scaling.factor": _Field(float, 1e-3, 1e6),
    "llama.rope.scaling.type": _TEXT,
    "tokenizer.chat_template": _TEXT,
    "tokenizer.ggml.add_bos_token": _Field(bool),
    "tokenizer.ggml.bos_token_id": _ID,
    "tokenizer.ggml.eos_token_id": _ID,
    "tokenizer.ggml.merges": _Field(str, many=True),
    "tokenizer.ggml.model": _TEXT,
    "tokenizer.ggml.padding_token_id": _ID,
    "tokenizer.ggml.pre": _TEXT,
    "tokenizer.ggml.token_type": _Field(int, 0, 2**31 - 1, many=True),
    "tokenizer.ggml.tokens": _Field(str, many=True),
    "tokenizer.ggml.unknown_token_id": _ID,
}


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape, rows first, how it is stored, such as ``Q4_1``, and the byte of the file that it begins at."""

    shape: tuple[int, ...]
    kind: str
    begin: int

    @property
    def size(self) -> int:
        """Its bytes in the file; 0 where it is stored in a type that isn't read here."""
        values, width = SIZES.get(self.kind, (1, 0))
        return math.prod(self.shape) // values * width


@dataclass(frozen=True)
class Header:
    """A file's metadata and its tensors by llama.cpp's names."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    def get(self, key: str, default: Any = None) -> Any:
        """The metadata's value of ``key``, of its kind and in its range, or the default where it has none."""
        if key not in self.metadata:
            return default
        if not _FIELDS[key].fits(value := self.metadata[key]):
            raise WotdError(f"{self.path}: {key} is {short(value)} in its metadata; expected {_FIELDS[key]}")
        return value

    def need(self, key: str) -> Any:
        """:meth:`get` of a value that must be there."""
        if (value := self.get(key)) is None:
            raise WotdError(f"{self.path}: {key} is missing in its metadata; expected {_FIELDS[key]}")
        return value


def short(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) < 60 else text[:57] + "…"


class _Reader:
    """Reads little-endian values one after the other; what lies past the end is a ``struct.error``."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def scalars(self, code: str, count: int = 1) -> tuple[Any, ...]:
        width = struct.calcsize(code)
        if count * width > len(self.data) - self.at:
            raise struct.error(f"{count} values at byte {self.at} pass the end")
        values = struct.unpack_from(f"<{count}{code}", self.data, self.at)
        self.at += count * width
        return values

    def one(self, code: str) -> Any:
        return self.scalars(code)[0]

    def string(self) -> str:
        (length,) = struct.unpack_from("<Q", self.data, self.at)
        begin = self.at + 8
        self.at = begin + length
        if self.at > len(self.data):
            raise struct.error(f"a string at byte {begin} passes the end")
        return self.data[begin : self.at].decode("utf-8")

    def value(self, name: str) -> Any:
        kind, count = self.one("I"), 0
        if several := kind == _ARRAY:
            kind, count = self.one("I"), self.one("Q")
        if kind == _STRING:
            return [self.string() for _ in range(count)] if several else self.string()
        if kind not in _SCALARS:
            raise ValueError(f"{short(name)} is of type {kind}, expected one of 0 to 11")
        return list(self.scalars(_SCALARS[kind], count)) if several else self.one(_SCALARS[kind])


def read_header(path: Path) -> Header:
    """Read a GGUF file's header, and check that every tensor it lists lies inside the file.

    Raises:
        WotdError: no such file, not GGUF, truncated or damaged, or stored in a type that isn't read here.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
            raise WotdError(f"{path} is no file; expected a GGUF file")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise WotdError(f"{path} begins with {data[:4]!r}; expected GGUF, a model in llama.cpp's file format")
            return _parse(path, _Reader(data), len(data))
    except OSError as error:
        raise WotdError(f"{path} can't be read: {error.strerror or error}; expected a GGUF file") from error
    except (struct.error, ValueError, OverflowError, MemoryError) as error:  # an empty file is a ValueError
        raise WotdError(
            f"{path} is truncated or damaged ({error}); expected a whole GGUF file: fetch it again"
        ) from error


def _parse(path: Path, read: _Reader, size: int) -> Header:
    read.at = 4
    if (version := read.one("I")) not in (2, 3):
        raise WotdError(f"{path} is GGUF version {version}; expected 2 or 3")
    tensors, values = read.one("Q"), read.one("Q")
    metadata: dict[str, Any] = {}
    for _ in range(values):
        if (name := read.string()) in metadata:
            raise ValueError(f"two values of {short(name)}")
        metadata[name] = read.value(name)
    found: dict[str, Tensor] = {}
    for _ in range(tensors):
        if (name := read.string()) in found:
            raise ValueError(f"two tensors {short(name)}")
        if not 1 <= (sides := read.one("I")) <= _MAX_SIDES:
            raise ValueError(f"{short(name)} has {sides} dimensions")
        shape = tuple(reversed(read.scalars("Q", sides)))
        number, offset = read.one("I"), read.one("Q")
        found[name] = Tensor(shape, _TYPES.get(number) or f"type {number}", offset)
    if others := sorted({t.kind for t in found.values()} - SIZES.keys()):
        raise WotdError(f"{path} stores tensors as {', '.join(others[:8])}; expected {', '.join(SIZES)}")
    step = Header(path, metadata, {}).get("general.alignment", 32)
    return Header(path, metadata, _placed(path, found, read.at, step, size))


def _placed(path: Path, tensors: Mapping[str, Tensor], head: int, step: int, size: int) -> dict[str, Tensor]:
    """The tensors with their offsets in the file, behind the header, one after another, each at a multiple of step."""
    if step.bit_count() != 1:
        raise ValueError(f"general.alignment is {step}, no power of two")
    begin = -(-head // step) * step
    at, cut, placed = begin, 0, {}
    for name, tensor in tensors.items():
        if 0 in tensor.shape or tensor.shape[-1] % SIZES[tensor.kind][0]:
            raise ValueError(f"{short(name)} of shape {tensor.shape} has no whole {tensor.kind} blocks in a row")
        if begin + tensor.begin != at:
            raise ValueError(f"{short(name)} begins at byte {begin + tensor.begin:,}, expected {at:,}")
        placed[name] = Tensor(tensor.shape, tensor.kind, at)
        cut += at + tensor.size > size
        end, at = at + tensor.size, at + -(-tensor.size // step) * step
    if cut:
        raise WotdError(
            f"{path} is truncated: it holds {size:,} bytes, its header tells of {end:,} "
            f"({cut} tensors are cut off); fetch it again"
        )
    return placed
