"""Fourier's transforms against NumPy's, of even and odd lengths, along every axis, there and back."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.converters.ops.agree import agree, normal
from tests.tolerances import close

FUNCTIONS = {
    "rfft": mx.fft.rfft,
    "rfft_first": lambda x: mx.fft.rfft(x, axis=0),
    "fft_first": lambda x: mx.fft.fft(x, axis=0),
    "fft": mx.fft.fft,
    "fft2": mx.fft.fft2,
    "ifft": lambda x: mx.fft.ifft(x * (1 + 2j)),
    "ifft2": lambda x: mx.fft.ifft2(x * (1 + 2j)),
    "rfft2": mx.fft.rfft2,
    "longer": lambda x: mx.fft.fft(x, n=11),
    "shorter": lambda x: mx.fft.fft(x, n=4),
}


@pytest.mark.parametrize("shape", [(3, 8), (4, 7)])
def test_spectra(tmp_path, shape):
    x = normal(*shape)
    functions = {}
    for name, fn in FUNCTIONS.items():
        functions |= {f"{name}_re": lambda x, f=fn: mx.real(f(x)), f"{name}_im": lambda x, f=fn: mx.imag(f(x))}
    agree(tmp_path, functions, x)
    numpy = np.fft.fft2(np.array(x).astype(np.float64))
    close(functions["fft2_re"](x), numpy.real, "sum_order")


@pytest.mark.parametrize("n", [7, 8])
def test_back_to_real_numbers(tmp_path, n):
    """The half that is missing mirrors the other, but for the first and, of an even number, the last frequency."""
    agree(
        tmp_path,
        {
            "turned": lambda x: mx.fft.irfft(mx.fft.rfft(x) * (1 - 1j), n=n),
            "real": lambda x: mx.fft.irfft(mx.abs(mx.fft.rfft(x)).astype(mx.complex64), n=n),
            "first": lambda x: mx.fft.irfft(mx.fft.rfft(x.T, axis=0) * (1 - 1j), n=n, axis=0),
            "both": lambda x: mx.fft.irfft2(mx.fft.rfft2(x) * (2 + 1j), s=(3, n)),
            "vector": lambda x: mx.fft.irfft(mx.fft.rfft(x[0]) * (1 + 1j), n=n),
        },
        normal(3, n),
    )
