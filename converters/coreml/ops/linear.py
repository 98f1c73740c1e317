"""Products of matrices."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.index import wrapped
from converters.coreml.ops.registry import LoweringContext, lowers, operand
from converters.coreml.ops.shape import reshaped
from converters.graph import Array

LINEAR_RANK = 3
"""Ranks that MIL's ``linear`` takes, at most."""


def dense(x: Var | Array, weight: Array, name: str, bias: Array | None = None) -> Var:
    """x (…, D) times weight (N, D) transposed, plus bias (N,): (…, N)."""
    if not isinstance(x, Var):
        x = mb.const(val=np.asarray(x, np.float32))
    if x.rank <= LINEAR_RANK:
        return mb.linear(x=x, weight=weight, bias=bias, name=name)
    flat = mb.linear(x=reshaped(x, (math.prod(x.shape[:-1]), x.shape[-1])), weight=weight, bias=bias)
    return reshaped(flat, (*x.shape[:-1], len(weight)), name=name)


@lowers("Matmul", emits={"batched": ["matmul"]})
def matmul(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.matmul(x=x, y=y, name=ctx.name)


@lowers("AddMM")
def addmm(ctx: LoweringContext, x: Var, y: Var, c: Var) -> Var:
    alpha, beta = ctx.args
    product = mb.matmul(x=x, y=y)
    product = product if alpha == 1 else mb.mul(x=product, y=alpha)
    return mb.add(x=product, y=c if beta == 1 else mb.mul(x=c, y=beta), name=ctx.name)


@lowers(
    "GatherMM",
    emits={"many": ["matmul", "gather"]},
    raw=True,
    note="every matrix times every row where more products are asked for than there are matrices",
)
def gather_mm(ctx: LoweringContext, x: Var | Array, w: Var | Array, left: Var | Array, right: Var | Array) -> Var:
    return gathered_product(ctx, operand(x, np.float32), operand(w, np.float32), left, right)


def gathered_product(
    ctx: LoweringContext, x: Var | Array, w: Var | Array, left: Var | Array, right: Var | Array
) -> Var:
    """x[left] @ w[right]: x (*X, M, K), w (*W, K, N), indices (*I) -> (*I, M, N).

    Gathering matrices copies one for each product, so where there are more products than matrices, all are
    multiplied, and the results gathered.
    """
    rows, inner = x.shape[-2:]
    matrices, columns, asked = math.prod(w.shape[:-2]), w.shape[-1], math.prod(left.shape)
    groups = math.prod(x.shape[:-2])
    w = _stacked(w, (matrices, inner, columns))
    ours, theirs = (_flat(i, size, asked) for i, size in ((left, groups), (right, matrices)))
    if asked > matrices:
        each = mb.matmul(x=_stacked(x, (1, groups * rows, inner)), y=w)
        each = reshaped(each, (matrices * groups, rows * columns))
        index = mb.add(x=mb.mul(x=theirs, y=groups), y=ours) if groups > 1 else theirs
        picked = mb.gather(x=each, indices=index, axis=0, validate_indices=False)
        return reshaped(picked, ctx.out.shape, name=ctx.name)
    x = mb.gather(x=_stacked(x, (groups, rows, inner)), indices=ours, axis=0, validate_indices=False)
    w = mb.gather(x=w, indices=theirs, axis=0, validate_indices=False)
    return reshaped(mb.matmul(x=x, y=w), ctx.out.shape, name=ctx.name)


def _stacked(x: Var | Array, shape: tuple[int, ...]) -> Var | Array:
    return reshaped(x, shape) if isinstance(x, Var) else np.ascontiguousarray(x.reshape(shape))


def _flat(index: Var | Array, size: int, count: int) -> Var | Array:
    index = wrapped(index if isinstance(index, Var) else mb.const(val=index.astype(np.int32)), size)
    return reshaped(index, (count,)) if isinstance(index, Var) else index.reshape(count)


@lowers("BlockMaskedMM")
def block_masked_mm(ctx: LoweringContext, x: Var, y: Var, *masks: Var) -> Var:
    block = ctx.args[0]
    if len(masks) > 1:
        x, y = _kept(x, masks[-2], block), _kept(y, masks[-1], block)
    if len(masks) == 2:
        return mb.matmul(x=x, y=y, name=ctx.name)
    return _kept(mb.matmul(x=x, y=y), masks[0], block, name=ctx.name)


def _kept(x: Var, mask: Var, block: int, **name: str) -> Var:
    """x where a mask (.., R, C) of blocks is True, else 0, whatever x is there; or times its numbers."""
    grown = mb.gather(x=mb.cast(x=mask, dtype="fp32"), indices=np.arange(x.shape[-2]) // block, axis=-2)
    grown = mb.gather(x=grown, indices=np.arange(x.shape[-1]) // block, axis=-1)
    if mask.dtype != types.bool:
        return mb.mul(x=x, y=grown, **name)
    return mb.select(cond=mb.cast(x=grown, dtype="bool"), a=x, b=0.0, **name)


@lowers("Hadamard", emits={"power_of_two": ["linear"], "scaled": ["linear"]}, note="a product with its matrix")
def hadamard(ctx: LoweringContext, x: Var) -> Var:
    matrix = np.array(mx.hadamard_transform(mx.eye(x.shape[-1]), ctx.args[0]))
    return dense(x, np.ascontiguousarray(matrix.T), ctx.name)
