"""Silent differences that generated functions showed (``tests/converters/fuzz``), each in its smallest form."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from converters import coreml
from converters.source import left
from tests.tolerances import close

INF, NAN = math.inf, math.nan
EYE = mx.array([[True, False], [False, True]])


def _numbers(*values: float, dtype: str = "float32") -> np.ndarray:
    return np.array(values, dtype)


def _complex(x: mx.array, y: mx.array) -> mx.array:
    return x + 1j * y


def _standardised(x: mx.array) -> mx.array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * mx.rsqrt(mx.var(x, axis=-1, keepdims=True) + 1e-5)


FOUND = {
    "sign of NaN": ("float32", mx.sign, [_numbers(NAN, -3, 0)]),
    "angle of infinities": ("float32", mx.arctan2, [_numbers(INF, -INF, INF, 2), _numbers(INF, INF, -INF, INF)]),
    "NaN among places": (
        "float32",
        lambda v: mx.searchsorted(mx.array([0.0, 1.0, NAN]), v),
        [_numbers(NAN, 0.5, INF)],
    ),
    "NaN after places": (
        "float32",
        lambda v: mx.searchsorted(mx.array([0.0, 1.0, NAN]), v, side="right"),
        [_numbers(NAN, 0.5, INF)],
    ),
    "windows of booleans": (
        "float32",
        lambda x: mx.as_strided(x, (2, 2), (1, 1), 0),
        [_numbers(1, 0, 1, dtype="bool")],
    ),
    "computed kernel with gaps": (
        "float32",
        lambda x, w: mx.conv1d(x.reshape(1, -1, 1), w.reshape(1, -1, 1), dilation=2),
        [_numbers(1, 2, 3, 4, 5, 6), _numbers(1, -1)],
    ),
    "quotient of large complex numbers": (
        "float16",
        lambda x, y: mx.real(_complex(x, y) / _complex(y, x)),
        [_numbers(3000, -2000, 0.5), _numbers(1000, 4000, 2)],
    ),
    "size of large complex numbers": (
        "float16",
        lambda x, y: mx.abs(_complex(x, y)),
        [_numbers(3000, 0, 0.5, INF), _numbers(4000, 0, -2, 1)],
    ),
    "bound beyond float16": ("float16", lambda x: x < 1e9, [_numbers(65504, 1, -65504)]),
    "scale beyond float16": ("float16", lambda x: x * 1e6, [_numbers(0.0625, 0.03, -1e-4)]),
    "zero of a wave": ("float16", lambda x: mx.imag(mx.fft.fft(x)), [_numbers(60000, 60000)]),
    "masked keys beside low scores": (
        "float16",
        lambda q, v: mx.fast.scaled_dot_product_attention(
            q.reshape(1, 1, 2, 1), -q.reshape(1, 1, 2, 1), v.reshape(1, 1, 2, 1), scale=1.0, mask=EYE
        ),
        [_numbers(200, 210), _numbers(1, 2)],
    ),
    "masked keys beside lower scores": (
        "float32",
        lambda q, v: mx.fast.scaled_dot_product_attention(
            q.reshape(1, 1, 2, 1), -q.reshape(1, 1, 2, 1), v.reshape(1, 1, 2, 1), scale=1.0, mask=EYE
        ),
        [_numbers(2000, 2100), _numbers(1, 2)],
    ),
    "powers of large exponents": (
        "float32",
        lambda x, n: x**n,
        [_numbers(3, -1, 2, 1, 0, dtype="int32"), _numbers(33, 33, 33, 99, 40, dtype="int32")],
    ),
    "norm by hand in bfloat16": (
        "float16",
        lambda x: _standardised(x.reshape(1, -1).astype(mx.bfloat16)).astype(mx.float32),
        [_numbers(1000, -1000, 512, 256, -512, 2000, 3)],
    ),
    "norm beside an infinity": (
        "float16",
        lambda x: mx.fast.rms_norm(x, None, 1e-5),
        [_numbers(1, INF, -2)],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_right(tmp_path, name):
    precision, fn, odd = FOUND[name]
    example = {
        f"x{n}": mx.array(np.where(np.isfinite(a), np.clip(a, -4, 4), 1).astype(a.dtype)) for n, a in enumerate(odd)
    }
    out = tmp_path / "m.mlpackage"
    coreml.convert(lambda **given: fn(*given.values()), example, out, precision)
    got = coreml.run(out, {f"x{n}": array for n, array in enumerate(odd)})["output"]
    want = left(fn(*map(mx.array, odd)))
    close(got, want, "executor_half" if precision == "float16" else "sum_order")


def test_rows_without_a_key_are_means(tmp_path):
    """Core ML's own attention, from iOS 18 on, makes NaN of a row that a boolean mask hides whole."""

    def attend(q: mx.array, mask: mx.array) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, q, q, scale=1.0, mask=mask)

    q = mx.array([[[[1.0], [3.0]]]])
    out = tmp_path / "m.mlpackage"
    coreml.convert(attend, {"q": q, "mask": EYE}, out, target="iOS18")
    got = coreml.run(out, {"q": q, "mask": np.array([[False, False], [True, False]])})["output"]
    close(got, np.array([[[[2.0], [1.0]]]], np.float32), "sum_order")


@pytest.mark.parametrize("how", ["maximum", "minimum"])
def test_larger_of_what_is_there_is_refused_beyond_int32(tmp_path, how):
    x = mx.array([3, 4], mx.uint32)
    for fn in (lambda x: getattr(x.at[:1], how)(x[1:]), lambda x: getattr(x.at[mx.array([0])], how)(x[1:])):
        with pytest.raises(coreml.ConversionError, match="whole numbers may lie beyond int32"):
            coreml.convert(fn, {"x": x}, tmp_path / "m.mlpackage")
