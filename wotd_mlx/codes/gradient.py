r"""What training uses in place of quantising, whose own gradient is zero nearly everywhere: four estimators.

Each takes latents z to what the decoder sees in a training step; evaluation and encoding always use the hard codes.

================  =================================  =============================================
name              the decoder sees                   gradient with respect to z
================  =================================  =============================================
straight-through  the hard code                      the identity
rotation          the hard code                      the scaled rotation that takes z to its code
soft              a mean of codes, at last one code  its own; falls to zero with the temperature
noise             z, and noise as long as the error  the identity, and that of the error's length
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


def rotation(z: mx.array, code: mx.array) -> mx.array:
    r"""``code``, written as the rotation and scaling that takes ``z`` to it; both are constants to the gradient.

    .. math:: \mathrm{sg}(\lambda R)\, z, \quad \lambda = \lVert c \rVert / \lVert z \rVert, \quad
        R = I - 2 w w^\top + 2 \hat c \hat z^\top, \quad w = (\hat z + \hat c) / \lVert \hat z + \hat c \rVert

    Gradients thus turn with the angle between a latent and its code. A scalar has no angle but its sign, so FSQ
    rotates its whole (B, Q) vector.

    Shape:
        z, code (B, W) -> (B, W).
    Reference:
        Fifty et al. 2024, arXiv 2410.06424, section 4.2.
    """
    length, target = _length(mx.stop_gradient(z)), _length(mx.stop_gradient(code))
    source, goal = mx.stop_gradient(z) / length, mx.stop_gradient(code) / target
    between = source + goal
    between = between / _length(between)

    def along(direction: mx.array) -> mx.array:
        return (z * direction).sum(axis=-1, keepdims=True)

    return (z - 2 * along(between) * between + 2 * along(source) * goal) * (target / length)


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


def noise(z: mx.array, code: mx.array) -> mx.array:
    r"""``z`` plus noise in a random direction, as long as the quantisation error.

    .. math:: z + \lVert z - \mathrm{sg}(c) \rVert\, v / \lVert v \rVert, \quad v \sim \mathcal N(0, I)

    The error's length keeps its gradient. Scalars take :func:`uniform_noise`.

    Shape:
        z, code (B, W) -> (B, W).
    Reference:
        Vali and Bäckström 2022, NSVQ, doi 10.1109/ACCESS.2022.3147670; theirs trains the codebook by it too.
    """
    direction = mx.random.normal(z.shape)
    return z + _length(z - mx.stop_gradient(code)) * direction / _length(direction)


def uniform_noise(z: mx.array, step: mx.array) -> mx.array:
    r""":func:`noise` for scalars that are rounded to multiples of ``step``: as wide as a cell, whatever the code.

    .. math:: z + u, \quad u \sim \mathcal U(-\Delta/2, \Delta/2)

    Shape:
        z (B, Q), step (Q,) -> (B, Q).
    Reference:
        Ballé et al. 2016, arXiv 1611.01704.
    """
    return z + step * mx.random.uniform(-0.5, 0.5, z.shape)


# Those that need no more than a latent and its code.
BY_CODE = {"straight-through": straight_through, "rotation": rotation, "noise": noise}


def _length(x: mx.array) -> mx.array:
    """x (B, W) -> ‖x‖ (B, 1), never 0: neither a quotient nor the root's gradient may be infinite."""
    return mx.sqrt(mx.maximum((x * x).sum(axis=-1, keepdims=True), 1e-12))
