"""Functions of each number, of two that broadcast, casts and bits."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from tests.converters.fuzz.draft import INTEGERS, Draft, Value, dtype_of, makes
from tests.converters.fuzz.inputs import POSITIVE, Role

BOTH = {f.__name__: f for f in (mx.add, mx.subtract, mx.multiply, mx.maximum, mx.minimum)}
FLOATS = {f.__name__: f for f in (mx.sqrt, mx.rsqrt, mx.exp, mx.expm1, mx.log, mx.log2, mx.log10, mx.log1p, mx.sigmoid)}
FLOATS |= {f.__name__: f for f in (mx.sin, mx.cos, mx.tan, mx.sinh, mx.cosh, mx.tanh, mx.arctan, mx.arcsinh, mx.erf)}
WITHIN = {f.__name__: f for f in (mx.arcsin, mx.arccos, mx.arctanh, mx.erfinv)}
ORDERS = {f.__name__: f for f in (mx.greater, mx.greater_equal, mx.less, mx.less_equal, mx.equal, mx.not_equal)}


@makes("Add", "Subtract", "Multiply", "Maximum", "Minimum")
def two_numbers(d: Draft) -> Value:
    name, x = d.pick(*BOTH), d.any()
    operands = [x, d.beside(x)]
    return d.apply(name, BOTH[name], *(operands if d.chance() else reversed(operands)))


@makes("Maximum", "Minimum")
def clip(d: Draft) -> Value:
    x = d.numbers()
    low, high = sorted((d.number(-3, 3), d.number(-3, 3)))
    if x.dtype.startswith("u"):
        low, high = 0, 7
    return d.apply(f"clip {low} {high}", lambda x: mx.clip(x, low, high), x)


@makes("Divide")
def divide(d: Draft) -> Value:
    x = d.any()
    return d.apply("divide", mx.divide, x, d.beside(x))


@makes("FloorDivide", "Remainder", "DivMod")
def quotient(d: Draft) -> Value:
    name = d.pick("floor_divide", "remainder", "divmod")
    fn = {"floor_divide": mx.floor_divide, "remainder": mx.remainder, "divmod": lambda x, y: tuple(mx.divmod(x, y))}[
        name
    ]
    x = d.numbers()
    if x.is_float:
        return d.apply(name, fn, x, d.beside(x, Role(0.25, 4) if d.chance(0.7) else Role()))
    # Integers by 0, and the least by −1, end MLX's process.
    role = Role(-90, -2) if d.chance(0.3) and not x.dtype.startswith("u") else Role(1, None)
    return d.apply(name, fn, x, d.beside(x, role))


@makes("Negative", "Abs", "Sign", "Square")
def one_number(d: Draft) -> Value:
    fn = d.pick(mx.negative, mx.abs, mx.sign, mx.square)
    return d.apply(fn.__name__, fn, d.numbers() if d.chance(0.9) or fn in (mx.negative,) else d.truths())


@makes("Ceil", "Floor", "Round")
def rounded(d: Draft) -> Value:
    fn = d.pick(mx.ceil, mx.floor, mx.round)
    return d.apply(fn.__name__, fn, d.numbers())


@makes("Power")
def power(d: Draft) -> Value:
    x = d.numbers()
    if x.is_float:
        if d.chance():
            exponent = d.pick(2, 3, 0.5, -1, -2, 0, 1, 1.5, 2.0)
            return d.apply(f"power {exponent}", lambda x: x**exponent, x)
        return d.apply("power", mx.power, x, d.beside(x, Role(-3, 3)))
    if d.chance():
        exponent = d.number(-2 if not x.dtype.startswith("u") else 0, 9)
        return d.apply(f"power {exponent}", lambda x: x**exponent, x)
    return d.apply("power", mx.power, x, d.beside(x, Role(-3 if not x.dtype.startswith("u") else 0, 99)))


@makes("Sqrt", "Exp", "Expm1", "Log", "Log1p", "Sigmoid", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "ArcTan")
def function(d: Draft) -> Value:
    name = d.pick(*FLOATS)
    positive = name in ("sqrt", "rsqrt", "log", "log2", "log10") and d.chance(0.7)
    return d.apply(name, FLOATS[name], d.floats(role=POSITIVE) if positive else d.floats())


@makes("Erf", "ArcSinh")
def odd_function(d: Draft) -> Value:
    fn = d.pick(mx.erf, mx.arcsinh)
    return d.apply(fn.__name__, fn, d.floats())


@makes("ArcSin", "ArcCos", "ArcTanh", "ErfInv")
def within(d: Draft) -> Value:
    name = d.pick(*WITHIN)
    return d.apply(name, WITHIN[name], d.floats(role=Role(-1, 1)) if d.chance(0.8) else d.floats())


@makes("ArcCosh")
def above_one(d: Draft) -> Value:
    return d.apply("arccosh", mx.arccosh, d.floats(role=Role(1, None)) if d.chance(0.8) else d.floats())


@makes("ArcTan2", "LogAddExp")
def two_floats(d: Draft) -> Value:
    fn, x = d.pick(mx.arctan2, mx.logaddexp), d.floats()
    return d.apply(fn.__name__, fn, x, d.beside(x))


@makes("GELU", "SiLU", "ReLU")
def activation(d: Draft) -> Value:
    fn = d.pick(nn.gelu, nn.gelu_approx, nn.gelu_fast_approx, nn.silu, nn.relu, nn.relu6, nn.leaky_relu, nn.softplus)
    fn = fn if d.chance(0.7) else d.pick(nn.mish, nn.hardswish, nn.elu, nn.selu, nn.celu, nn.log_sigmoid, nn.hard_tanh)
    return d.apply(getattr(fn, "__name__", "activation"), fn, d.floats())


@makes("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual")
def comparison(d: Draft) -> Value:
    name, x = d.pick(*ORDERS), d.any()
    return d.apply(name, ORDERS[name], x, d.beside(x))


@makes("Equal", "Reduce")
def nan_aware(d: Draft) -> Value:
    x = d.floats()
    fn = d.pick(mx.isnan, mx.isinf, mx.isfinite, mx.isposinf, mx.isneginf, mx.nan_to_num)
    if d.chance(0.3):
        return d.apply("array_equal", lambda x, y: mx.array_equal(x, y, equal_nan=True), x, d.input(x.shape, x.dtype))
    return d.apply(fn.__name__, fn, x)


@makes("LogicalNot", "LogicalAnd", "LogicalOr")
def logic(d: Draft) -> Value:
    x, fn = d.any(), d.pick(mx.logical_not, mx.logical_and, mx.logical_or)
    return d.apply(fn.__name__, fn, *([x] if fn is mx.logical_not else [x, d.beside(x)]))


@makes("Select")
def where(d: Draft) -> Value:
    x = d.any()
    condition = d.beside(x, dtype="bool")
    if d.chance(0.2):
        return d.apply("where 1", lambda c, x: mx.where(c, x, 1), condition, x)
    return d.apply("where", mx.where, condition, x, d.beside(x))


def _bits(dtype: str) -> int:
    return 32 if dtype.endswith(("32", "64")) else int(dtype.strip("uint"))


@makes("BitwiseBinary")
def bits(d: Draft) -> Value:
    if d.chance(0.15):
        x, fn = d.truths(), d.pick(mx.bitwise_and, mx.bitwise_or, mx.bitwise_xor)
        return d.apply(fn.__name__, fn, x, d.beside(x))
    x = d.whole()
    fn = d.pick(mx.bitwise_and, mx.bitwise_or, mx.bitwise_xor, mx.left_shift, mx.right_shift)
    # A shift by the width or more is open in C++, and so in MLX.
    role = Role(0, _bits(x.dtype) - 1) if fn in (mx.left_shift, mx.right_shift) else Role()
    if d.chance(0.4):
        info = {"low": 0 if x.dtype.startswith("u") else -128, "high": 127}
        k = d.number(0, _bits(x.dtype) - 1) if role.high is not None else d.number(info["low"], info["high"])
        return d.apply(f"{fn.__name__} {k}", lambda x: fn(x, mx.array(k, x.dtype)), x)
    return d.apply(fn.__name__, fn, x, d.beside(x, role))


@makes("AsType")
def cast(d: Draft) -> Value:
    x = d.any()
    target = d.pick("float32", "bool", "float16", *INTEGERS)
    if x.is_float and target in INTEGERS:
        # Beyond the integers' range, and of NaN, MLX has no rule.
        most = 2.0 ** (_bits(target) - 1) if not target.endswith(("32", "64")) else 1e9
        least = 0.0 if target.startswith("u") else -most
        return d.apply(
            f"astype {target}", lambda x: mx.where((x > least) & (x < most), x, 1).astype(dtype_of(target)), x
        )
    return d.apply(f"astype {target}", lambda x: x.astype(dtype_of(target)), x)


@makes("View", "Depends")
def view(d: Draft) -> Value:
    if d.chance(0.3):
        x = d.any()
        return d.apply("depends", mx.depends, x, d.any())
    dtype = d.pick("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float16")
    x = d.floats(dtype=dtype) if "float" in dtype else d.whole(dtype=dtype)
    width = dtype.strip("uintfloa")
    target = d.pick(f"int{width}", f"uint{width}", "int8" if x.rank else f"int{width}")
    if target == "int8" and dtype.endswith("32"):
        target = "int32"
    return d.apply(f"view {target}", lambda x: x.view(dtype_of(target)), x)
