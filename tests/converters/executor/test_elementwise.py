"""Elementwise operations, casts and quantisation, number by number in Python."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np
import pytest

from converters.coreml.executor.steps import rounding_to
from tests.converters.executor.calls import call, normal, whole
from tests.tolerances import close

X, Y = 2 * normal(2, 3, 4), 2 * normal(2, 3, 4, seed=1)
INSIDE = np.tanh(X)
UNARY = {
    "abs": (X, abs),
    "acos": (INSIDE, math.acos),
    "asin": (INSIDE, math.asin),
    "atan": (X, math.atan),
    "atanh": (INSIDE, math.atanh),
    "ceil": (X, math.ceil),
    "cos": (X, math.cos),
    "cosh": (X, math.cosh),
    "erf": (X, math.erf),
    "exp": (X, math.exp),
    "exp2": (X, lambda n: 2.0**n),
    "floor": (X, math.floor),
    "identity": (X, float),
    "logical_not": (X > 0, operator.not_),
    "round": (np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.4, 2.6], np.float32), round),
    "sign": (np.array([-2.5, -0.0, 0.0, 3.0], np.float32), lambda n: (n > 0) - (n < 0)),
    "sin": (X, math.sin),
    "sinh": (X, math.sinh),
    "sqrt": (abs(X), math.sqrt),
    "square": (X, lambda n: n * n),
    "tan": (INSIDE, math.tan),
    "tanh": (X, math.tanh),
}
I, J = whole(-9, 9, 2, 3, 4), np.where(whole(0, 2, 2, 3, 4, seed=1), 1, -1) * whole(1, 5, 2, 3, 4, seed=2)  # noqa: E741  integers
BITS = (X > 0, Y > 0)
BINARY = {
    "add": (X, Y, operator.add),
    "equal": (I, J, operator.eq),
    "greater": (I, J, operator.gt),
    "greater_equal": (I, J, operator.ge),
    "less": (I, J, operator.lt),
    "less_equal": (I, J, operator.le),
    "logical_and": (*BITS, lambda a, b: a and b),
    "logical_or": (*BITS, lambda a, b: a or b),
    "logical_xor": (*BITS, operator.ne),
    "maximum": (X, Y, max),
    "minimum": (X, Y, min),
    "mul": (X, Y, operator.mul),
    "not_equal": (I, J, operator.ne),
    "sub": (X, Y, operator.sub),
    "real_div": (X, Y, operator.truediv),
    "real_div of whole numbers": (I, J, lambda a, b: int(a / b)),
    "pow": (abs(X), Y, operator.pow),
    "pow of whole numbers": (I, abs(J), operator.pow),
    "pow below zero": (np.array([1, 2, -1, -3]), np.array([-2, -1, -1, -1]), lambda a, b: int(a**b)),
    "floor_div": (X, Y, lambda a, b: math.floor(a / b)),
    "floor_div of whole numbers": (I, J, operator.floordiv),
    "mod": (X, Y, lambda a, b: a - b * math.floor(a / b)),
    "mod of whole numbers": (I, J, operator.mod),
}


@pytest.mark.parametrize("name", UNARY)
def test_of_one(name):
    x, function = UNARY[name]
    want = np.reshape([function(n) for n in x.reshape(-1).tolist()], x.shape)
    close(call(name, x=x), want, "executor")


@pytest.mark.parametrize("name", BINARY)
def test_of_two(name):
    x, y, function = BINARY[name]
    want = [function(a, b) for a, b in zip(x.reshape(-1).tolist(), y.reshape(-1).tolist(), strict=True)]
    close(call(name.partition(" ")[0], x=x, y=y), np.reshape(want, x.shape), "executor")


@pytest.mark.parametrize("name", ["add", "real_div", "pow", "floor_div", "mod", "select"])
def test_they_broadcast(name):
    x, y = abs(normal(2, 1, 4)) + 1, abs(normal(3, 1, seed=1)) + 1
    wide = np.broadcast_arrays(x, y)
    if name == "select":
        given = {"cond": x > 1.5, "a": x, "b": y}
        close(call(name, **given), np.where(given["cond"], *wide), "exact")
        return
    close(call(name, x=x, y=y), call(name, x=wide[0], y=wide[1]), "exact")


def test_a_condition_is_anything_but_zero():
    close(call("select", cond=np.array([2, 0, -1]), a=np.float32(1), b=np.float32(5)), [1, 5, 1], "exact")


@pytest.mark.parametrize(
    ("name", "default", "function"), [("log", 1e-45, math.log), ("rsqrt", 1e-12, lambda n: n**-0.5)]
)
def test_least_values(name, default, function):
    """ε is added to x; in float16 its default is nothing."""
    x = np.array([1e-11, 0.5, 3], np.float32)
    for dtype, given, epsilon in (
        ("fp32", {}, default),
        ("fp16", {}, 0.0),
        ("fp32", {"epsilon": 0.25}, 0.25),
        ("fp16", {"epsilon": 0.25}, 0.25),
    ):
        want = [function(float(n) + epsilon) for n in x]
        close(call(name, result=dtype, x=x, **given), want, "executor")
    assert np.isfinite(call(name, x=np.zeros(1, np.float32)))[0]
    with np.errstate(divide="ignore"):
        assert np.isinf(call(name, result="fp16", x=np.zeros(1, np.float32)))[0]


def test_inverse_clip_and_threshold():
    x = np.array([-0.6, -0.1, 0.0, 0.3, 2.0], np.float32)
    close(call("inverse", x=x), 1 / (x.astype(np.float64) + 1e-4), "executor")
    close(call("inverse", x=x, epsilon=0.5), 1 / (x.astype(np.float64) + 0.5), "executor")
    close(call("clip", x=x, alpha=-0.25, beta=0.5), [-0.25, -0.1, 0, 0.3, 0.5], "executor")
    close(call("threshold", x=x, alpha=0.2), [0.2, 0.2, 0.2, 0.3, 2], "executor")


RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1)}
RANGES |= {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}


@pytest.mark.parametrize("dtype", RANGES)
def test_floats_to_whole_numbers_saturate(dtype):
    """Towards zero, then to the nearest that there is; what is no number is 0."""
    low, high = RANGES[dtype]
    x = np.float32([1.9, -1.9, 0.5, 2.5, 127.9, 128, -128.5, 255.5, 256, 3e5, -3e5, 1e30, -1e30]).tolist()
    want = [min(max(math.trunc(n), low), high) for n in x]
    got = call("cast", x=np.array([*x, math.inf, -math.inf, math.nan], np.float32), dtype=dtype)
    assert got.dtype == dtype
    assert got.tolist() == [*want, high, low, 0]


def test_casts_of_other_kinds():
    """Whole numbers wrap round; anything but zero is True; floats stay fp32 in memory."""
    numbers = np.array([0, 1, -1, 300], np.int32)
    assert call("cast", x=numbers, dtype="uint8").tolist() == [0, 1, 255, 44]
    assert call("cast", x=numbers, dtype="bool").tolist() == [False, True, True, True]
    assert call("cast", x=np.array([0.0, 0.3], np.float32), dtype="bool").tolist() == [False, True]
    for dtype in ("fp32", "fp16", "fp64"):
        got = call("cast", x=numbers, dtype=dtype)
        assert got.dtype == np.float32
        close(got, [0, 1, -1, 300], "exact")
    assert call("cast", x=np.array([True, False]), dtype="int32").tolist() == [1, 0]


CENTRES = np.array([-3, 5, 0], np.int8)
STEPS = np.array([0.5, 0.25, 2], np.float32)


@pytest.mark.parametrize(("dtype", "axis"), itertools.product(["int8", "uint8"], [0, 1, -2]))
def test_quantisation(dtype, axis):
    """Halves go to the even number, then the zero point is added, then it saturates."""
    low, high = RANGES[dtype]
    x = np.moveaxis(np.arange(-84, 84).reshape(3, 7, 8).astype(np.float32) / 4, 0, axis)
    rows = np.moveaxis(x, axis, 0)
    given = {"input": x, "scale": STEPS, "axis": axis}
    for centre in (CENTRES, None):
        shift = [0, 0, 0] if centre is None else centre.tolist()
        want = [
            [[min(max(round(float(n) / float(s)) + c, low), high) for n in line] for line in row]
            for row, s, c in zip(rows, STEPS, shift, strict=True)
        ]
        more = {} if centre is None else {"zero_point": centre}
        got = call("quantize", **given, **more, output_dtype=dtype)
        close(got, np.moveaxis(np.array(want), 0, axis), "ids")
        whole_numbers = np.moveaxis(np.array(want), 0, axis).astype(dtype)
        back = [
            (row.astype(np.float64) - c) * s
            for row, s, c in zip(np.moveaxis(whole_numbers, axis, 0), STEPS, shift, strict=True)
        ]
        close(
            call("dequantize", input=whole_numbers, scale=STEPS, axis=axis, **more),
            np.moveaxis(np.stack(back), 0, axis),
            "executor",
        )


def test_quantisation_by_one_number():
    x = np.array([-300, -0.75, -0.25, 0.25, 0.75, 1.25, 300], np.float32)
    got = call("quantize", input=x, scale=np.float32(0.5), zero_point=np.int8(1), output_dtype="int8")
    close(got, [-128, -1, 1, 1, 3, 3, 127], "ids")
    close(call("dequantize", input=got.astype(np.int8), scale=0.5, zero_point=1), (got - 1) / 2, "exact")


@pytest.mark.parametrize("name", ["scale", "zero_point"])
def test_a_vector_needs_its_axis(name):
    given = {"scale": np.float32(1), "zero_point": np.int8(0), name: np.ones(4, np.float32)}
    with pytest.raises(ValueError, match=r"a vector of shape \(4,\) lacks its axis"):
        call("quantize", input=X, output_dtype="int8", **given)


def test_bfloat16_rounds_halves_to_even():
    """8 bits of fraction, as torch rounds; ties both ways, the largest, infinities, what is no number."""
    one = 0x3F80_0000
    bits = [one, one + 0x7FFF, one + 0x8000, one + 0x8001, one + 0x1_8000, one + 0x1_7FFF, one + 0x2_8000]
    bits += [0x7F7F_7FFF, 0x7F7F_8000, 0x7F80_0000, 0x8000_8000, 0x0000_8000, 0x0001_8000, 0xBF80_8000, 0xBF81_8000]
    want = [one, one, one, one + 0x1_0000, one + 0x2_0000, one + 0x1_0000, one + 0x2_0000]
    want += [0x7F7F_0000, 0x7F80_0000, 0x7F80_0000, 0x8000_0000, 0, 0x2_0000, 0xBF80_0000, 0xBF82_0000]
    got = rounding_to("bf16")(np.array(bits, np.uint32).view(np.float32))
    assert got.dtype == np.float32
    assert got.view(np.uint32).tolist() == want
    assert np.isnan(rounding_to("bf16")(np.array([0x7FFF_FFFF, 0x7F80_0001], np.uint32).view(np.float32))).all()


def test_float16_rounds_halves_to_even():
    got = rounding_to("fp16")(np.array([2049, 2051, 65519, 65520, -65520, 3e-8, 2.9e-8], np.float32))
    assert got.dtype == np.float32
    with np.errstate(over="ignore"):
        assert got.tolist() == [2048, 2052, 65504, math.inf, -math.inf, 2.0**-24, 0]
