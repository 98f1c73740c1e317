"""Complex numbers inside a package: each operation on both parts, on one part, and on constants."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal

X, Y = normal(3, 4), normal(3, 4, seed=1)
C = mx.array([[2 + 1j, -1j, 0.5 + 0j, -2 + 0.25j]])
OPERATIONS = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "quotient": lambda a, b: a / (b + 3),
    "with_constant": lambda a, b: a * C + C - b / C,
    "with_real": lambda a, b: a * 2.5 + mx.real(b) - b / 4,
    "real_first": lambda a, b: mx.real(b) - a * mx.real(b),
    "over_complex": lambda a, b: mx.real(a) / (b + 3),
    "square": lambda a, b: mx.square(a) - mx.square(mx.real(b).astype(mx.complex64)),
    "power_of_e": lambda a, b: mx.exp(a) * mx.exp(mx.real(b).astype(mx.complex64)),
    "conjugate": lambda a, b: mx.conjugate(a) * b,
    "conjugate_of_real": lambda a, b: mx.conjugate(mx.real(a).astype(mx.complex64)) + b,
    "size": lambda a, b: mx.abs(a).astype(mx.complex64) + mx.abs(mx.real(b).astype(mx.complex64)),
    "product_of_matrices": lambda a, b: a @ b.T,
    "with_real_matrix": lambda a, b: a @ mx.real(b).T,
    "negative": lambda a, b: -a,
    "moved": lambda a, b: mx.concatenate([a, b]).T.reshape(6, 4)[1:5, ::-1],
    "padded": lambda a, b: mx.pad(a, [(1, 0), (0, 2)]),
    "parts": lambda a, b: mx.split(a, 2, axis=1)[1],
    "wide": lambda a, b: mx.broadcast_to(a[:, None], (3, 2, 4)),
    "sum_of_rows": lambda a, b: a.sum(0),
    "chosen": lambda a, b: mx.where(mx.real(a) > 0, a, b),
    "taken": lambda a, b: mx.stack([a, b])[:, 1],
}


@pytest.mark.parametrize("part", [mx.real, mx.imag], ids=["real", "imag"])
def test_operations(tmp_path, part):
    agree(
        tmp_path,
        {name: lambda x, y, fn=fn: part(fn(x + 1j * y, mx.fft.fft(y, axis=1) - x)) for name, fn in OPERATIONS.items()},
        X,
        Y,
    )


def test_types(tmp_path):
    agree(
        tmp_path,
        {
            "imaginary_part_of_a_real_number": lambda x, y: mx.imag(x.astype(mx.complex64)),
            "whole": lambda x, y: mx.real((x * 9).astype(mx.int32).astype(mx.complex64) * 1j * 1j),
            "same": lambda x, y: mx.imag((x + 1j * y).astype(mx.complex64)),
        },
        X,
        Y,
    )
