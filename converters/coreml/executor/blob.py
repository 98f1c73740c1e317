"""MIL blob storage, version 2: the file behind the large constants of a package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HEADER = np.dtype([("count", "<u4"), ("version", "<u4")])
RECORD = np.dtype([("sentinel", "<u4"), ("dtype", "<u4"), ("size", "<u8"), ("offset", "<u8"), ("padding_bits", "<u8")])
# What the file's header takes, and each record's metadata, which its data follow.
RECORD_BYTES = 64
SENTINEL = 0xDEADBEEF
VERSION = 2

# The number a record carries for each MIL dtype.
BLOB_DTYPES: Mapping[int, str] = MappingProxyType(
    {
        1: "fp16",
        2: "fp32",
        3: "uint8",
        4: "int8",
        5: "bf16",
        6: "int16",
        7: "uint16",
        8: "int4",
        9: "uint1",
        10: "uint2",
        11: "uint4",
        12: "uint3",
        13: "uint6",
        14: "int32",
        15: "uint32",
    }
)

# How each MIL dtype lies in memory here; sub-byte integers take one byte each, bf16 is read as its bits.
STORAGE: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "bool": np.dtype(np.bool_),
        "fp16": np.dtype("<f2"),
        "fp32": np.dtype("<f4"),
        "fp64": np.dtype("<f8"),
        "bf16": np.dtype("<u2"),
        "int8": np.dtype("i1"),
        "int16": np.dtype("<i2"),
        "int32": np.dtype("<i4"),
        "int64": np.dtype("<i8"),
        "int4": np.dtype("i1"),
        "uint8": np.dtype("u1"),
        "uint16": np.dtype("<u2"),
        "uint32": np.dtype("<u4"),
        "uint64": np.dtype("<u8"),
        "uint1": np.dtype("u1"),
        "uint2": np.dtype("u1"),
        "uint3": np.dtype("u1"),
        "uint4": np.dtype("u1"),
        "uint6": np.dtype("u1"),
    }
)
SUB_BYTE: Mapping[str, int] = MappingProxyType({"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6})


def unpack_bits(packed: Array, bits: int, count: int, signed: bool = False) -> Array:
    """Read ``count`` integers of ``bits`` bits from bytes; the first one holds the lowest bits of the first byte."""
    flat = np.unpackbits(np.ascontiguousarray(packed, dtype=np.uint8).reshape(-1), bitorder="little")
    if flat.size < bits * count:
        raise ValueError(f"{count} integers of {bits} bits need {-(-bits * count // 8)} bytes, got {flat.size // 8}")
    shifted = flat[: bits * count].reshape(count, bits).astype(np.int16) << np.arange(bits, dtype=np.int16)
    value = shifted.sum(axis=1, dtype=np.int16)
    if signed:
        value = np.where(value >= 1 << (bits - 1), value - (1 << bits), value)
    return np.asarray(value, dtype=np.int8 if signed else np.uint8)


def decode(raw: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """Turn bytes into an array of a MIL dtype: sub-byte integers are unpacked, bf16 becomes fp32."""
    count = math.prod(shape)
    if dtype in SUB_BYTE:
        return unpack_bits(raw, SUB_BYTE[dtype], count, signed=dtype == "int4").reshape(shape)
    storage = STORAGE[dtype]
    if raw.nbytes != count * storage.itemsize:
        raise ValueError(f"{dtype} of shape {shape} takes {count * storage.itemsize} bytes, got {raw.nbytes}")
    values = raw.view(storage).reshape(shape)
    if dtype == "bf16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


class BlobFile:
    """A weight file, mapped into memory and read record by record."""

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the program names this weight file, but it is missing")
        self.size = path.stat().st_size
        if self.size < RECORD_BYTES:
            raise ValueError(f"{path.name} is truncated: {self.size} bytes, and the header alone takes {RECORD_BYTES}")
        self.data: Array = np.memmap(path, dtype=np.uint8, mode="r")
        version = int(self.data[: HEADER.itemsize].view(HEADER)[0]["version"])
        if version != VERSION:
            raise ValueError(f"{path.name} has blob storage version {version}; only version {VERSION} is known")

    def read(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """Read the record whose metadata starts at ``offset``; its dtype and size must be the declared ones."""
        where = f"{self.path.name}: record at byte {offset}"
        begin = offset + RECORD_BYTES
        if begin > self.size:
            raise ValueError(f"{where}: truncated: the file ends at byte {self.size}")
        record = self.data[offset : offset + RECORD.itemsize].view(RECORD)[0]
        if int(record["sentinel"]) != SENTINEL:
            raise ValueError(f"{where}: no metadata: got {int(record['sentinel']):#x}, expected {SENTINEL:#x}")
        stored = BLOB_DTYPES.get(int(record["dtype"]), f"number {int(record['dtype'])}")
        if stored != dtype:
            raise ValueError(f"{where}: holds {stored}, but the program declares {dtype}")
        start, length = int(record["offset"]), int(record["size"])
        if start != begin:
            raise ValueError(f"{where}: its data are said to begin at byte {start}; they follow at {begin}")
        if start + length > self.size:
            raise ValueError(f"{where}: truncated: data end at byte {start + length}, the file at {self.size}")
        try:
            return decode(self.data[start : start + length], dtype, shape)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
