"""Bits of integers, for which MIL has no operation: quotients and remainders by powers of two."""

from __future__ import annotations

import mlx.core as mx

from converters.primitives.registry import Case, booleans, integers, primitive, typed

KINDS = (mx.bitwise_and, mx.bitwise_or, mx.bitwise_xor, mx.left_shift, mx.right_shift)
"""MLX tells the operation by its number."""


WORDS = (integers(4, 5, low=-(2**31), high=2**31), integers(4, 5, low=-(2**31), high=2**31))


SHIFTS = integers(4, 5, low=0, high=31)


primitive(
    "BitwiseBinary",
    lambda n, x, y: KINDS[n.args[0]](x, y),
    [
        Case("and", mx.bitwise_and, WORDS),
        Case("or", mx.bitwise_or, WORDS),
        Case("xor", mx.bitwise_xor, WORDS),
        Case("left", mx.left_shift, [WORDS[0], SHIFTS]),
        Case("right", mx.right_shift, [WORDS[0], SHIFTS]),
        Case("and_mask", lambda x: (x & 15, x & 0xF0, x & ~7, x & -1), [WORDS[0]]),
        Case("and_other", lambda x: x & 0b1011, [WORDS[0]]),
        Case("left_constant", lambda x: (x << 3, x << 31), [WORDS[0]]),
        Case("right_constant", lambda x: (x >> 3, x >> 31), [WORDS[0]]),
        Case("unsigned", lambda x: (x >> 1, x >> mx.array([0, 4, 8, 28, 31], mx.uint32)), [typed("uint32", 4, 5)]),
        Case("uint8", lambda x, y: (x & y, x | y, x ^ y, x << 3, x >> 3), [typed("uint8", 9), typed("uint8", 9)]),
        Case("int8", lambda x, y: (x & y, x | y, x ^ y, x << 3, x >> 3), [typed("int8", 9), typed("int8", 9)]),
        Case("bools", lambda x, y: (x & y, x | y, x ^ y), [booleans(9), booleans(9)]),
        Case("five_axes", mx.bitwise_and, [integers(2, 1, 2, 1, 3), integers(3)]),
    ],
)
