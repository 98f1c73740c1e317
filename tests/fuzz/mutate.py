"""Ways of damaging what parts have in common: bytes, and numbers."""

from __future__ import annotations

import random
import struct

NUMBERS = [0, 1, 2, 3, 7, 31, 32, 64, 255, 256, 1000, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62]
NUMBERS += [2**63 - 1, 2**63, 2**64 - 1]
TEXTS = ["", "x", "None", "-1", "\0", "\n", "a b", "é", "日本", "../../etc/passwd", "%s{}", "A" * 5000]


def number(rng: random.Random, bits: int = 64, signed: bool = False) -> int:
    """An integer of so many bits, mostly an odd one."""
    value = rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(bits)
    value %= 1 << bits
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def real(rng: random.Random) -> float:
    """A float32, mostly an odd one."""
    odd = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 3e38, 65504.0, 1e5, float("inf"), float("-inf"), float("nan")]
    return rng.choice(odd) if rng.random() < 0.8 else struct.unpack("<f", rng.randbytes(4))[0]


def text(rng: random.Random) -> str:
    """An odd text."""
    return rng.choice(TEXTS)


def damaged(rng: random.Random, stored: bytes, begin: int = 0, end: int | None = None) -> bytes:
    """The bytes with some of those from begin to end changed, lost or doubled."""
    data = bytearray(stored)
    end = min(len(data), end if end is not None else len(data))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if end <= begin:
            break
        at = rng.randrange(begin, end)
        match rng.randrange(7):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.randrange(256)
            case 3:
                data[at : at + 8] = struct.pack("<Q", number(rng))
            case 4:
                data[at : at + 4] = struct.pack("<I", number(rng, 32))
            case 5:
                del data[at : at + rng.choice([1, 4, 8, 100])]
            case _:
                data[at:at] = data[at : at + rng.choice([1, 4, 8, 100])]
        end = min(end, len(data))
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.05 else data)
