"""Bits of whole numbers of every width, shifted and masked by constants and by each other."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, whole

RANGES = {"int8": (-128, 128), "uint8": (0, 256), "int16": (-(2**15), 2**15), "uint16": (0, 2**16)}
RANGES |= {"int32": (-(2**31), 2**31), "uint32": (0, 2**31)}
MASKS = (0, 1, 2, 3, 5, 6, 7, 12, 0x0F, 0x70, 127)


def numbers(dtype, seed):
    low, high = RANGES[dtype]
    return whole(low, high, 3, 7, seed=seed, dtype=getattr(mx, dtype))


@pytest.mark.parametrize("dtype", RANGES)
def test_bits(tmp_path, dtype):
    bits = 8 if "8" in dtype else 16 if "16" in dtype else 32
    kind = getattr(mx, dtype)
    functions = {
        "and": lambda x, y: x & y,
        "or": lambda x, y: x | y,
        "xor": lambda x, y: x ^ y,
        "row": lambda x, y: x & y[:1],
        **{f"mask{m}": lambda x, y, m=m: x & mx.array(m, kind) for m in MASKS},
        **{f"or{m}": lambda x, y, m=m: x | mx.array(m, kind) for m in (1, 6, 127)},
        **{f"left{k}": lambda x, y, k=k: x << mx.array(k, kind) for k in (0, 1, bits // 2, bits - 1)},
        **{f"right{k}": lambda x, y, k=k: x >> mx.array(k, kind) for k in (0, 1, bits // 2, bits - 1)},
        "right": lambda x, y: x >> (y & mx.array(7, kind)),
        "left": lambda x, y: x << (y & mx.array(7, kind)),
    }
    if dtype.startswith("i"):
        functions |= {f"below{m}": lambda x, y, m=m: x & mx.array(-m, kind) for m in (1, 2, 3, 8, 64, 128)}
    agree(tmp_path, functions, numbers(dtype, 0), numbers(dtype, 1))


def test_shifts_up_to_the_sign(tmp_path):
    """By every distance at once, computed and constant, signed and not."""
    steps = mx.arange(32)
    mx.eval(steps)
    x, y = numbers("int32", 0)[:, :1], numbers("int32", 1)[:, :1].astype(mx.uint32)
    agree(
        tmp_path,
        {
            "left": lambda x, y, k: x << k,
            "right": lambda x, y, k: x >> k,
            "right_of_unsigned": lambda x, y, k: y >> k.astype(mx.uint32),
            "left_constant": lambda x, y, k: x << steps,
            "right_constant": lambda x, y, k: x >> steps,
            "unsigned_constant": lambda x, y, k: y >> steps.astype(mx.uint32),
        },
        x,
        y,
        steps,
    )


def test_truth_values(tmp_path):
    agree(
        tmp_path,
        {
            "and": lambda x, y: (x > 0) & (y > 0),
            "or": lambda x, y: (x > 0) | (y > 0),
            "xor": lambda x, y: (x > 0) ^ (y > 0),
        },
        numbers("int8", 0),
        numbers("int8", 1),
    )


def test_five_axes(tmp_path):
    x, y = whole(-99, 99, 2, 1, 2, 1, 3), whole(-99, 99, 1, 2, 2, 3, 3, seed=1)
    agree(tmp_path, {"and": lambda x, y: x & y, "xor": lambda x, y: x ^ y}, x, y)
