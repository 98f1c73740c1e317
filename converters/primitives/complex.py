"""Complex numbers, of which Core ML has none: two real arrays each, inside a package alone."""

from __future__ import annotations

import mlx.core as mx

from converters.primitives.registry import Case, plain, primitive


def _spectrum(x: mx.array) -> mx.array:
    return mx.fft.rfft(x)


primitive("Real", plain(mx.real), [Case("spectrum", lambda x: mx.real(_spectrum(x)), [(3, 8)])])


primitive("Imag", plain(mx.imag), [Case("spectrum", lambda x: mx.imag(_spectrum(x)), [(3, 8)])])


ROTATION = mx.array(2 + 1j)


primitive(
    "Conjugate",
    plain(mx.conjugate),
    [
        Case("spectrum", lambda x: mx.imag(mx.conjugate(_spectrum(x))), [(3, 8)]),
        Case("power", lambda x: mx.real(_spectrum(x) * mx.conj(_spectrum(x))), [(3, 8)]),
        Case("quotient", lambda x: mx.real(mx.conj(_spectrum(x)) / (_spectrum(x) + 20) / ROTATION), [(3, 8)]),
        Case("phase", lambda x: mx.imag(mx.conj(mx.exp(1j * x))), [(3, 8)]),
        Case("size", lambda x: mx.abs(mx.conj(mx.square(_spectrum(x)))), [(3, 8)]),
        Case("positions", lambda x: mx.real(mx.conj(_spectrum(x)).T[1:3].reshape(-1)), [(3, 8)]),
        Case("sum", lambda x: mx.imag(mx.conj(_spectrum(x)).sum(0) - x[0, 0]), [(3, 8)]),
        Case("matmul", lambda x: mx.imag(mx.conj(_spectrum(x)).T @ _spectrum(x)), [(3, 8)]),
    ],
)
