"""Products of matrices."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from converters.graph import Node
from converters.primitives.registry import Case, integers, plain, primitive

primitive("Matmul", plain(mx.matmul), [Case("batched", mx.matmul, [(2, 3, 4), (4, 5)])])


primitive(
    "AddMM",
    lambda n, x, y, c: mx.addmm(c, x, y, *n.args),
    [Case("scaled", lambda c, x, y: mx.addmm(c, x, y, 2.0, 3.0), [(2,), (3, 4), (4, 2)])],
)


def _gather_mm(node: Node, x: mx.array, w: mx.array, left: mx.array, right: mx.array) -> mx.array:
    return mx.gather_mm(x, w, left, right)


def _right(x: mx.array, w: mx.array, i: mx.array) -> mx.array:
    return mx.gather_mm(x, w, rhs_indices=i)


primitive(
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
)


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


primitive(
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


primitive(
    "Hadamard",
    lambda n, x: mx.hadamard_transform(x, n.args[0]),
    [
        Case("power_of_two", mx.hadamard_transform, [(2, 3, 16)]),
        Case("scaled", lambda x: mx.hadamard_transform(x, 0.5), [(2, 12)]),
    ],
)
