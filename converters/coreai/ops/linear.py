"""Products of matrices."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.index import from_start
from converters.coreai.ops.registry import Context, lowers
from converters.graph import Array


def dense(ctx: Context, x: Value, weight: Array) -> Value:
    """x (…, D) times a constant (D, N): (…, N)."""
    *some, width = b.shape_of(x)
    if not ctx.half:
        y = b.matmul(x if some else b.reshape(x, (1, width)), ctx.stored(weight, 0))
        return b.reshape(y, (*some, weight.shape[1]))
    kernel = ctx.stored(weight.T[:, :, None, None], 1)
    x = b.transpose(b.reshape(x, (1, 1, math.prod(some), width)), [0, 3, 1, 2])
    y = dialect.conv2d(x, kernel, b.sizes([1, 1]), b.sizes([1, 1]), b.const(1, np.uint32))
    return b.reshape(b.transpose(y, [0, 2, 3, 1]), (*some, weight.shape[1]))


@lowers("Matmul")
def matmul(ctx: Context, x: Value, y: Value) -> Value:
    return b.matmul(x, y)


@lowers("AddMM")
def addmm(ctx: Context, x: Value, y: Value, c: Value) -> Value:
    alpha, beta = ctx.args
    return b.add(b.mul(b.matmul(x, y), alpha), b.mul(c, beta))


@lowers("GatherMM", note="every matrix times every row where more products are asked for than there are matrices")
def gather_mm(ctx: Context, x: Value, w: Value, left: Value, right: Value) -> Value:
    return gathered_product(ctx, x, w, left, right)


def gathered_product(ctx: Context, x: Value, w: Value, left: Value, right: Value) -> Value:
    """x[left] @ w[right]: x (*X, M, K), w (*W, K, N), indices (*I) -> (*I, M, N).

    Gathering matrices copies one for each product, so where there are more products than matrices, all are
    multiplied, and the results gathered.
    """
    (*some, rows, inner), (*many, _, columns) = b.shape_of(x), b.shape_of(w)
    groups, matrices, asked = math.prod(some), math.prod(many), ctx.sources[-1].size
    w = b.reshape(w, (matrices, inner, columns))
    last = len(ctx.sources)
    ours = b.reshape(from_start(ctx, last - 2, left, groups), (asked,))
    theirs = b.reshape(from_start(ctx, last - 1, right, matrices), (asked,))
    if asked > matrices:
        each = b.matmul(b.reshape(x, (1, groups * rows, inner)), w)
        each = b.reshape(each, (matrices * groups, rows * columns))
        return b.reshape(b.rows(each, b.add(b.mul(theirs, groups), ours)), ctx.out.shape)
    x = b.rows(b.reshape(x, (groups, rows, inner)), ours)
    return b.reshape(b.matmul(x, b.rows(w, theirs)), ctx.out.shape)


@lowers("BlockMaskedMM")
def block_masked_mm(ctx: Context, x: Value, y: Value, *masks: Value) -> Value:
    block = ctx.args[0]
    if len(masks) > 1:
        x, y = _kept(x, masks[-2], block), _kept(y, masks[-1], block)
    product = b.matmul(x, y)
    return product if len(masks) == 2 else _kept(product, masks[0], block)


def _kept(x: Value, mask: Value, block: int) -> Value:
    """x where a mask (.., R, C) of blocks is True, else 0, whatever x is there; or times its numbers."""
    for axis in (b.rank(mask) - 2, b.rank(mask) - 1):
        side = b.shape_of(x)[axis - b.rank(mask) + b.rank(x)]
        mask = b.taken(mask, b.const(np.arange(side) // block, np.int32), axis)
    return b.select(mask, x, 0) if b.dtype_of(mask) == np.bool_ else b.mul(x, mask)


@lowers("Hadamard", note="a product with its matrix")
def hadamard(ctx: Context, x: Value) -> Value:
    matrix = np.array(mx.hadamard_transform(mx.eye(b.shape_of(x)[-1]), ctx.args[0]))
    return b.matmul(x, matrix)
