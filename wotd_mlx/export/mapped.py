"""Files that an app maps: a head, parts that start at multiples of 16 bytes, with zeros before each, and a checksum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

_ALIGNED = 16


def aligned(offset: int) -> int:
    """Where a part starts that follows one that ended there."""
    return -(-offset // _ALIGNED) * _ALIGNED


def joined(head: bytes, parts: Iterable[bytes | NDArray[Any]]) -> bytes:
    """The file's bytes; the last four are the Adler-32 of all before them."""
    file = bytearray(head)
    for part in parts:
        file += bytes(aligned(len(file)) - len(file))
        file += part if isinstance(part, bytes) else part.tobytes()
    file += bytes(aligned(len(file)) - len(file))
    return bytes(file) + struct.pack("<I", zlib.adler32(file))
