"""What training uses in place of quantising, whose own gradient is zero nearly everywhere."""

from __future__ import annotations

import mlx.core as mx


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
