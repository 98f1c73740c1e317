"""Numbers at their edges: ties, negatives, zeros, infinities, NaN, wraps. One package for each family of functions."""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import NamedTuple

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import coreml
from converters.front import runner
from converters.source import left
from tests.tolerances import close

N = 64
WIDTHS = ("int8", "uint8", "int16", "uint16", "int32")
DTYPES = (*WIDTHS, "uint32", "bool_", "float32", "float16")

FLOAT_UNARY = {
    f.__name__: f
    for f in (
        *(mx.abs, mx.negative, mx.sign, mx.square, mx.ceil, mx.floor, mx.round, mx.sqrt, mx.rsqrt, mx.exp, mx.expm1),
        *(mx.log, mx.log2, mx.log10, mx.log1p, mx.sigmoid, mx.erf, mx.erfinv, mx.sin, mx.cos, mx.tan, mx.sinh, mx.cosh),
        *(
            mx.tanh,
            mx.arcsin,
            mx.arccos,
            mx.arctan,
            mx.arcsinh,
            mx.arccosh,
            mx.arctanh,
            mx.isnan,
            mx.isinf,
            mx.isfinite,
        ),
        *(mx.nan_to_num, mx.reciprocal, mx.logical_not, mx.trunc),
    )
} | {
    "cube": lambda x: x**3,
    "root": lambda x: x**0.5,
    "tenth_power": lambda x: x**10,
    "inverse_square": lambda x: x**-2,
    "two_digits": lambda x: mx.round(x, 2),
    "bool": lambda x: x.astype(mx.bool_),
    "softplus": lambda x: mx.logaddexp(x, 0),
    "clip": lambda x: mx.clip(x, -1.5, 2),
}
ARITHMETIC = {f.__name__: f for f in (mx.add, mx.subtract, mx.multiply, mx.maximum, mx.minimum)}
ORDER = {f.__name__: f for f in (mx.equal, mx.not_equal, mx.less, mx.less_equal, mx.greater, mx.greater_equal)}
QUOTIENTS = {f.__name__: f for f in (mx.floor_divide, mx.remainder)} | {
    "divmod_whole": lambda x, y: mx.divmod(x, y)[0],
    "divmod_rest": lambda x, y: mx.divmod(x, y)[1],
}
LOGIC = {f.__name__: f for f in (mx.logical_and, mx.logical_or)} | {"select": lambda x, y: mx.where(x > y, x, y)}
FLOAT_BINARY = ARITHMETIC | ORDER | QUOTIENTS | LOGIC | {f.__name__: f for f in (mx.divide, mx.logaddexp, mx.arctan2)}
POWERS = {"power": mx.power}
BITS = {f.__name__: f for f in (mx.bitwise_and, mx.bitwise_or, mx.bitwise_xor)}
SHIFTS = {f.__name__: f for f in (mx.left_shift, mx.right_shift)}
WHOLE_UNARY = {f.__name__: f for f in (mx.abs, mx.negative, mx.sign, mx.square, mx.floor, mx.ceil, mx.round)} | {
    "cube": lambda x: x**3,
    "low_bits": lambda x: x & 7,
    "high_bits": lambda x: x & 0x60,
    "some_bits": lambda x: x | 0x2D,
    "doubled": lambda x: x << 1,
    "halved": lambda x: x >> 1,
    "sixteenth": lambda x: x >> 4,
    "whole": lambda x: mx.divmod(x, 3)[0],
    "rest": lambda x: mx.remainder(x, 3),
}
SCANS = {f.__name__: f for f in (mx.cumsum, mx.cumprod, mx.cummax, mx.cummin)}
REDUCTIONS = {f.__name__: f for f in (mx.sum, mx.prod, mx.max, mx.min, mx.all, mx.any, mx.argmax, mx.argmin)}

EDGES = (0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1.0, -1.0, 3.0, -3.0, math.inf, -math.inf, math.nan, 0.1, -0.1)
NEAR = (
    1e-30,
    -1e-30,
    1e-7,
    -1e-7,
    1e-4,
    -1e-4,
    0.9999999,
    -0.9999999,
    1.0000001,
    20.0,
    -20.0,
    88.0,
    -88.0,
    120.0,
    2.0**24,
)
PAIRED = (0.0, 1.0, -1.0, 2.5, -3.0, math.inf, -math.inf, math.nan)
UNDEFINED = {
    "sign": np.isnan,
    # −0 and −∞: the reciprocal root of the one is −∞ in MLX, a power of the other +∞.
    "rsqrt": lambda x: (x == 0) & np.signbit(x),
    "root": np.isneginf,
    # Above 88 MLX's exp is infinite, e^88.7 being the largest float32.
    "exp": lambda x: (x > 88) & (x < 89),
    "arctan2": lambda y, x: (np.isinf(x) & np.isinf(y)) | ((y == 0) & np.signbit(y)),
    # C's rules for a pair of infinities and zeros; MLX follows them on one system and not on another.
    "power": lambda x, y: ~np.isfinite(x) | ~np.isfinite(y),
}


class Family(NamedTuple):
    """Functions of one signature, in one package."""

    functions: dict
    dtypes: tuple[str, ...]

    def __call__(self, **x):
        return {f"y_{name}": function(*x.values()) for name, function in self.functions.items()}


FAMILIES = {
    "float_unary": Family(FLOAT_UNARY, ("float32",)),
    "float_binary": Family(FLOAT_BINARY | POWERS, ("float32",) * 2),
    **{f"{d}_unary": Family(WHOLE_UNARY, (d,)) for d in WIDTHS},
    **{f"{d}_binary": Family(ARITHMETIC | ORDER | BITS, (d,) * 2) for d in WIDTHS},
    **{f"{d}_quotients": Family(QUOTIENTS, (d,) * 2) for d in WIDTHS},
    **{f"{d}_shifts": Family(SHIFTS, (d,) * 2) for d in WIDTHS},
    # What orders them is refused: test_ranges.py.
    "uint32_bits": Family(
        {n: f for n, f in (ARITHMETIC | BITS | SHIFTS).items() if n not in ("maximum", "minimum")}, ("uint32",) * 2
    ),
    "bool_binary": Family(ARITHMETIC | ORDER | BITS | LOGIC, ("bool_",) * 2),
    "float_along": Family(SCANS | REDUCTIONS, ("float32",)),
    "int8_along": Family(SCANS | REDUCTIONS, ("int8",)),
    "bool_along": Family(SCANS | REDUCTIONS, ("bool_",)),
    **{f"{d}_to": Family({t: partial(mx.array.astype, dtype=getattr(mx, t)) for t in DTYPES}, (d,)) for d in DTYPES},
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Family → its package's outputs for some arrays, and MLX's; converted once."""
    made = {}

    def both(name, *arrays):
        family = FAMILIES[name]
        inputs = {
            key: mx.array(np.asarray(a)).astype(getattr(mx, d))
            for key, a, d in zip("ab", arrays, family.dtypes, strict=False)
        }
        if name not in made:
            path = tmp_path_factory.mktemp("numerics") / f"{name}.mlpackage"
            # Whatever the package gives for these first arrays, the tests below judge it.
            coreml.convert(family, inputs, path, force=True)
            made[name] = runner(path, "reference")
        with mx.stream(mx.cpu):
            want = {key: left(array) for key, array in family(**inputs).items()}
        return made[name](inputs), want

    return both


def agree(got, want, arrays, row):
    """Each output, without the numbers for which MLX has no rule."""
    faults = []
    for key, array in want.items():
        undefined = UNDEFINED.get(key.removeprefix("y_"))
        keep = slice(None) if undefined is None or array.size != N else ~undefined(*arrays)
        try:
            close(got[key].reshape(array.shape)[keep], array[keep], "exact" if array.dtype.kind in "iub" else row)
        except AssertionError as error:
            faults.append(f"{key}: {error}")
    assert not faults, "\n".join(faults)


def filled(values):
    return np.resize(np.array(values, np.float32), N)


def test_float_edges(packages):
    x = filled((*EDGES, *NEAR))
    agree(*packages("float_unary", x), (x,), "functions")


def test_float_pairs(packages):
    pairs = np.array(list(product(PAIRED, PAIRED)), np.float32)
    x, y = pairs.T
    agree(*packages("float_binary", x, y), (x, y), "functions")


floats = st.lists(st.floats(-100, 100, width=32, allow_subnormal=False), min_size=N, max_size=N)
examples = settings(max_examples=10, derandomize=True)


@examples
@given(x=floats)
def test_any_float(packages, x):
    x = np.array(x, np.float32)
    agree(*packages("float_unary", x), (x,), "functions")


@examples
@given(x=floats, y=floats)
def test_any_two_floats(packages, x, y):
    x, y = np.array(x, np.float32), np.array(y, np.float32)
    y[np.abs(y) < 1e-3] = 0.5
    agree(*packages("float_binary", np.abs(x), np.clip(y, -9, 9)), (x, y), "functions")
    signed, want = packages("float_binary", x, y)
    agree(signed, {key: array for key, array in want.items() if key != "y_power"}, (x, y), "functions")


def whole(dtype):
    info = np.iinfo(dtype)
    numbers = st.integers(info.min, info.max) | st.sampled_from((0, 1, info.min, info.max))
    return st.lists(numbers, min_size=N, max_size=N)


@pytest.mark.parametrize("dtype", WIDTHS)
def test_any_integer(packages, dtype):
    @examples
    @given(
        x=whole(dtype),
        y=whole(dtype),
        shifts=st.lists(st.integers(0, np.iinfo(dtype).bits - 1), min_size=N, max_size=N),
    )
    def check(x, y, shifts):
        x, y, shifts = (np.array(a, dtype) for a in (x, y, shifts))
        divisor = np.where((y == 0) | (y == -1), 1, y).astype(dtype)
        agree(*packages(f"{dtype}_unary", x), (x,), "exact")
        agree(*packages(f"{dtype}_binary", x, y), (x, y), "exact")
        agree(*packages(f"{dtype}_quotients", x, divisor), (x, divisor), "exact")
        agree(*packages(f"{dtype}_shifts", x, shifts), (x, shifts), "exact")

    check()


@examples
@given(x=whole("uint32"), y=st.lists(st.integers(0, 31), min_size=N, max_size=N))
def test_uint32_is_its_bits(packages, x, y):
    got, want = packages("uint32_bits", np.array(x, np.uint32), np.array(y, np.uint32))
    for key, array in want.items():
        close(got[key], array, "exact")


def test_booleans(packages):
    x, y = np.resize([0, 0, 1, 1], N), np.resize([0, 1, 0, 1], N)
    agree(*packages("bool_binary", x, y), (x, y), "exact")
    for signs in (x, np.ones(N), np.zeros(N)):
        agree(*packages("bool_along", signs), (signs,), "exact")


def test_scans_and_reductions(packages):
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(1, 0.2, N).astype(np.float32)
        agree(*packages("float_along", x), (x,), "running")
        whole = rng.integers(-128, 128, N).astype(np.int8)
        agree(*packages("int8_along", whole), (whole,), "exact")


@pytest.mark.parametrize("source", DTYPES)
def test_every_cast(packages, source):
    rng = np.random.default_rng(0)
    if source in ("float32", "float16"):
        # Beyond a signed type's range C has no rule; MLX's unsigned ones take the low bits of int32.
        x = np.concatenate([rng.uniform(-120, 120, N - 8), [0.0, -0.0, 0.5, -0.5, 0.99, -0.99, 1.0, 127.0]])
    elif source == "bool_":
        x = np.resize([0, 1, 1], N)
    else:
        info = np.iinfo(source)
        x = np.concatenate([rng.integers(info.min, min(info.max, 2**31 - 1), N - 3), [0, 1, info.min]])
    got, want = packages(f"{source}_to", x)
    small = np.abs(x) < 65504
    got["y_float16"], want["y_float16"] = got["y_float16"][small], want["y_float16"][small]
    agree(got, want, (x,), "half" if source != "float16" else "exact")


def test_saturation_beyond_int32(packages):
    """What the op table says: floats beyond int32 saturate."""
    x = filled((3e9, -3e9, math.inf, -math.inf))
    got, _ = packages("float32_to", x)
    assert got["y_int32"][:4].tolist() == [2**31 - 1, -(2**31), 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("where", ["input", "output"])
def test_complex_at_the_edge_is_refused(tmp_path, where):
    example = {"x": mx.ones(4) * (1j if where == "input" else 1)}
    with pytest.raises(coreml.ConversionError, match="complex"):
        coreml.convert(lambda x: mx.fft.fft(x, axis=-1), example, tmp_path / "complex.mlpackage")


def test_complex_op_without_lowering_names_those_that_have(tmp_path):
    with pytest.raises(coreml.ConversionError, match=r"Tanh of complex numbers .* Multiply"):
        coreml.convert(lambda x: mx.real(mx.tanh(mx.fft.fft(x))), {"x": mx.ones(4)}, tmp_path / "tanh.mlpackage")


def test_bits_of_a_float_cannot_be_seen(tmp_path):
    with pytest.raises(coreml.ConversionError, match="reinterpret"):
        coreml.convert(lambda x: x.view(mx.int32), {"x": mx.ones(4)}, tmp_path / "view.mlpackage")
