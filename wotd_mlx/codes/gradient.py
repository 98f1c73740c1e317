r"""What training uses in place of quantising, whose own gradient is zero nearly everywhere: two estimators.

Each takes latents z to what the decoder sees in a training step; evaluation and encoding always use the hard codes.

================  =================================  =============================================
name              the decoder sees                   gradient with respect to z
================  =================================  =============================================
straight-through  the hard code                      the identity
soft              a mean of codes, at last one code  its own; falls to zero with the temperature
================  =================================  =============================================
"""

from __future__ import annotations

import mlx.core as mx

# In units of :func:`gap`, so that one schedule does for scalars and for any codebook.
HOT, COLD = 1.0, 0.1


def straight_through(z: mx.array, code: mx.array) -> mx.array:
    r"""The value of ``code``, to the bit, with the gradient of ``z``, as if quantising were the identity.

    .. math:: \mathrm{sg}(c) + (z - \mathrm{sg}(z))

    Shape:
        z, code (B, W) -> (B, W).
    Reference:
        Bengio et al. 2013, arXiv 1308.3432; for codebooks van den Oord et al. 2017, arXiv 1711.00937.
    """
    # Not z + stop(code − z), the usual form: that is only nearly ``code``.
    return mx.stop_gradient(code) + (z - mx.stop_gradient(z))


def soft(z: mx.array, book: mx.array, temperature: mx.array | float) -> mx.array:
    r"""The mean of all codes, weighted by their nearness to ``z``; at temperature 0 the nearest code.

    .. math:: \sum_k \mathrm{softmax}_k\bigl(-\lVert z - e_k \rVert^2 / T\bigr)\, e_k

    Args:
        temperature: T, in squared units of z: :func:`annealed` times :func:`gap`.
    Shape:
        z (B, W), book (K, W) -> (B, W).
    Reference:
        Agustsson et al. 2017, arXiv 1704.00648 (their :math:`\sigma = 1/T`).
    """
    return mx.softmax(_nearness(z, book) / temperature, axis=-1) @ book


def gap(z: mx.array, book: mx.array) -> mx.array:
    """z (B, W), book (K, W) -> by how much the second code's squared distance exceeds the nearest's, mean over B."""
    near = mx.stop_gradient(_nearness(z, book))
    best = near.max(axis=-1, keepdims=True)
    second = mx.where(near == best, -mx.inf, near).max(axis=-1, keepdims=True)  # on a CPU far faster than topk
    # Where all codes are alike, and none is second, any temperature will do.
    return mx.maximum(mx.where(mx.isinf(second), 0.0, best - second).mean(), 1e-12)


def _nearness(z: mx.array, book: mx.array) -> mx.array:
    """z (B, W), book (K, W) -> (B, K), −‖z − e‖² but for ‖z‖², the same for all codes."""
    return 2 * z @ book.T - (book * book).sum(axis=-1)


def annealed(progress: mx.array | float) -> mx.array:
    """How soft :func:`soft` is when ``progress``, 0 … 1, of training is done: geometrically from HOT to COLD."""
    return HOT * mx.power(COLD / HOT, progress)
