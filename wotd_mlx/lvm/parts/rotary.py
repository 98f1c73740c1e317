"""Rotary positions: queries and keys turned by angles that grow with their position, so that products see distances.

Reference: Su et al., "RoFormer", arXiv 2104.09864.
"""

from __future__ import annotations

import mlx.core as mx


def rotate(x: mx.array, offset: int, base: float, dims: int | None = None) -> mx.array:
    """Turn each vector by its position t: (x₁, x₂) -> (x₁ cos a − x₂ sin a, x₂ cos a + x₁ sin a).

    The angle of pair i is a = t · base^(−2i/dims).

    x₁ and x₂ are the two halves of the first ``dims`` numbers, as in GPT-NeoX and Llama; the paper pairs neighbours.

    Args:
        x: (B, H, L, W); its first vector stands at position ``offset``, the number of keys read before.
        dims: how many numbers of each vector are turned, an even number; None for all of them.
    """
    width = x.shape[-1] if dims is None else dims
    return mx.fast.rope(x, width, traditional=False, base=base, scale=1.0, offset=offset)
