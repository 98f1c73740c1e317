"""Products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.graph import Array, Node
from converters.coreml.ops.index import wrapped
from converters.coreml.ops.registry import Case, LoweringContext, integers, op, operand, plain
from converters.coreml.ops.shape import reshaped

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


@op("Matmul", plain(mx.matmul), [Case("batched", mx.matmul, [(2, 3, 4), (4, 5)], ["matmul"])])
def matmul(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.matmul(x=x, y=y, name=ctx.name)


@op(
    "AddMM",
    lambda n, x, y, c: mx.addmm(c, x, y, *n.args),
    [Case("scaled", lambda c, x, y: mx.addmm(c, x, y, 2.0, 3.0), [(2,), (3, 4), (4, 2)])],
)
def addmm(ctx: LoweringContext, x: Var, y: Var, c: Var) -> Var:
    alpha, beta = ctx.args
    product = mb.matmul(x=x, y=y)
    product = product if alpha == 1 else mb.mul(x=product, y=alpha)
    return mb.add(x=product, y=c if beta == 1 else mb.mul(x=c, y=beta), name=ctx.name)


def _gather_mm(node: Node, x: mx.array, w: mx.array, left: mx.array, right: mx.array) -> mx.array:
    return mx.gather_mm(x, w, left, right)


def _right(x: mx.array, w: mx.array, i: mx.array) -> mx.array:
    return mx.gather_mm(x, w, rhs_indices=i)


@op(
    "GatherMM",
    _gather_mm,
    [
        Case(
            "few", lambda x, w, i: mx.gather_mm(x, w, rhs_indices=i), [(2, 1, 5), (4, 5, 3), integers(2, low=0, high=4)]
        ),
        Case(
            "many",
            _right,
            [(5, 1, 1, 6), (3, 6, 4), integers(5, 2, low=0, high=3)],
            ["matmul", "gather"],
        ),
        Case(
            "both_sides",
            mx.gather_mm,
            [(3, 2, 5), (4, 5, 3), integers(6, low=0, high=3), integers(6, low=0, high=4)],
        ),
        Case(
            "constant", lambda x: mx.gather_mm(x, mx.ones((4, 5, 3)), mx.array([0, 1]), mx.array([3, 1])), [(3, 2, 5)]
        ),
    ],
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


def _blocks(mask: mx.array, shape: tuple[int, ...], block: int) -> mx.array:
    grown = mx.repeat(mx.repeat(mask, block, -1), block, -2)[..., : shape[-2], : shape[-1]]
    return grown.astype(mx.float32)


def _block_masked(node: Node, x: mx.array, y: mx.array, *masks: mx.array) -> mx.array:
    block = node.args[0]
    # Out alone, left and right, or all three, in this order.
    if len(masks) > 1:
        x, y = x * _blocks(masks[-2], x.shape, block), y * _blocks(masks[-1], y.shape, block)
    product = x @ y
    return product * _blocks(masks[0], product.shape, block) if len(masks) != 2 else product


def _masked(*given: str) -> Callable[[mx.array, mx.array], mx.array]:
    masks = {
        "mask_out": mx.array([[True], [False]]),
        "mask_lhs": mx.array([[1.0, 0.0], [0.0, 1.0]]),
        "mask_rhs": mx.array([[0.5], [2.0]]),
    }
    out, left, right = (masks[name] if name in given else None for name in ("mask_out", "mask_lhs", "mask_rhs"))
    return lambda x, y: mx.block_masked_mm(x, y, 32, out, left, right)


@op(
    "BlockMaskedMM",
    _block_masked,
    [
        Case("out", _masked("mask_out"), [(64, 64), (64, 32)]),
        Case(
            "both",
            lambda x, y: mx.block_masked_mm(x, y, 32, None, mx.eye(2), mx.array([[0.5], [2.0]])),
            [(64, 64), (64, 32)],
        ),
        Case("ends", lambda x, y: mx.block_masked_mm(x, y, 32, mx.array([[True], [False]])), [(40, 50), (50, 20)]),
    ],
)
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


@op(
    "Hadamard",
    lambda n, x: mx.hadamard_transform(x, n.args[0]),
    [
        Case("power_of_two", mx.hadamard_transform, [(2, 3, 16)], ["linear"]),
        Case("scaled", lambda x: mx.hadamard_transform(x, 0.5), [(2, 12)], ["linear"]),
    ],
    note="a product with its matrix",
)
def hadamard(ctx: LoweringContext, x: Var) -> Var:
    matrix = np.array(mx.hadamard_transform(mx.eye(x.shape[-1]), ctx.args[0]))
    return dense(x, np.ascontiguousarray(matrix.T), ctx.name)
