"""Bits of integers, for which MIL has no operation: quotients and remainders by powers of two."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import BITS, held, settled
from converters.graph import MAX_RANK, Array

LOGIC = (mb.logical_and, mb.logical_or, mb.logical_xor)


AND, OR, LEFT = 0, 1, 3


POWERS = np.array([1 << min(k, 30) for k in range(32)], np.int32)
"""2ᵏ, as two factors: int32 has no 2³¹."""


LAST = np.array([1] * 31 + [2], np.int32)


FACTORS = np.array([1 << k for k in range(32)], np.uint32).astype(np.int32)
"""2ᵏ as the int32 of the same bits."""


LIFTS = np.array([0] + [1 << (32 - k) for k in range(1, 32)], np.uint32).astype(np.int32)
"""What a right shift by k of an unsigned number has more than that of the signed one of the same bits."""


@lowers(
    "BitwiseBinary",
    emits={"and_mask": ["mod"], "left_constant": ["mul"], "right_constant": ["floor_div"], "bools": ["logical_xor"]},
    raw=True,
    note="constant shifts and masks are a product or a quotient; two variables are taken apart into bits",
)
def bitwise(ctx: LoweringContext, x: Var | Array, y: Var | Array) -> Var:
    kind = ctx.args[0]
    if ctx.out.dtype == "bool":
        return LOGIC[kind](x=x, y=y, name=ctx.name)
    if kind > LEFT:
        return _right(ctx, held(x), held(y))
    if kind == LEFT:
        return settled(ctx, mb.mul, x=held(x), y=_entry(FACTORS, held(y)))
    both = _and(ctx, held(x), held(y))
    if kind == AND:
        return mb.identity(x=both, name=ctx.name)
    either = mb.sub(x=mb.add(x=held(x), y=held(y)), y=both)
    return mb.identity(x=either, name=ctx.name) if kind == OR else mb.sub(x=either, y=both, name=ctx.name)


def _entry(table: Array, k: Var | Array) -> Var | Array:
    """table[k]."""
    return mb.gather(x=table, indices=k, axis=0, validate_indices=False) if isinstance(k, Var) else table[k]


def _right(ctx: LoweringContext, x: Var, k: Var | Array) -> Var:
    shifted = mb.floor_div(x=x, y=_entry(POWERS, k))
    if isinstance(k, Var) or (k > 30).any():
        shifted = mb.floor_div(x=shifted, y=_entry(LAST, k))
    if ctx.out.dtype not in ("uint32", "uint64"):
        return mb.identity(x=shifted, name=ctx.name)
    lifted = mb.add(x=shifted, y=_entry(LIFTS, k))
    return mb.select(cond=mb.less(x=shifted, y=0), a=lifted, b=shifted, name=ctx.name)


def _and(ctx: LoweringContext, x: Var | Array, y: Var | Array) -> Var:
    if not isinstance(x, Var):
        x, y = y, x
    if not isinstance(y, Var) and (np.ravel(y) == np.ravel(y)[0]).all() and tuple(x.shape) == ctx.out.shape:
        masked = _masked(x, int(np.ravel(y)[0]))
        if masked is not None:
            return masked
    if len(ctx.out.shape) == MAX_RANK:
        x, y = (mb.reshape(x=mb.add(x=v, y=np.zeros(ctx.out.shape, np.int32)), shape=[-1]) for v in (x, y))
    width = min(BITS[ctx.out.dtype], 32)
    common = mb.mul(x=_bits(x, width), y=_bits(y, width))
    whole = mb.reduce_sum(x=mb.mul(x=common, y=FACTORS[:width]), axes=[-1])
    if width < 32 and not ctx.out.dtype.startswith("u"):
        whole = mb.sub(x=mb.mod(x=mb.add(x=whole, y=1 << width - 1), y=1 << width), y=1 << width - 1)
    return reshaped(whole, ctx.out.shape)


def _bits(x: Var | Array, width: int) -> Var:
    """x (…) → its bits (…, width), lowest first."""
    wide = mb.floor_div(x=mb.expand_dims(x=x, axes=[-1]), y=POWERS[:width])
    if width == 32:
        wide = mb.floor_div(x=wide, y=LAST)
    return mb.mod(x=wide, y=2)


def _masked(x: Var, mask: int) -> Var | None:
    """x & mask where the mask's ones stand in one run, or reach up from some bit on to the sign."""
    if mask < 0:
        low = -mask
        return mb.sub(x=x, y=mb.mod(x=x, y=low)) if low & low - 1 == 0 and low < 1 << 31 else None
    start = (mask & -mask).bit_length() - 1
    span = (mask >> max(start, 0)) + 1
    if mask == 0 or span & span - 1 or span >= 1 << 31:
        return None
    run = mb.mod(x=x if start == 0 else mb.floor_div(x=x, y=1 << start), y=span)
    return run if start == 0 else mb.mul(x=run, y=1 << start)
