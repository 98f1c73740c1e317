"""Arithmetic on each number."""

from __future__ import annotations

import mlx.core as mx

from converters.primitives.registry import Case, booleans, given, integers, plain, primitive, typed, uniform

PAIR = ((2, 3, 4), (3, 1))


BYTES, SIGNED = typed("uint8", 4, 5), typed("int8", 4, 5)


BOOLS = (booleans(4, 5), booleans(4, 5))


primitive(
    "Add",
    plain(mx.add),
    [
        Case("broadcast", mx.add, PAIR),
        Case("ints", mx.add, [integers(3), integers(3)]),
        Case("uint8", mx.add, [BYTES, BYTES]),
        Case("int8", mx.add, [SIGNED, SIGNED]),
        Case("bools", mx.add, BOOLS),
    ],
)


primitive(
    "Subtract",
    plain(mx.subtract),
    [
        Case("broadcast", mx.subtract, PAIR),
        Case("uint8", mx.subtract, [BYTES, BYTES]),
        Case("bools", mx.subtract, BOOLS),
    ],
)


primitive(
    "Multiply",
    plain(mx.multiply),
    [
        Case("broadcast", mx.multiply, PAIR),
        Case("int8", mx.multiply, [SIGNED, SIGNED]),
        Case("uint16", mx.multiply, [typed("uint16", 9), typed("uint16", 9)]),
        Case("bools", mx.multiply, BOOLS),
    ],
)


primitive("Divide", plain(mx.divide), [Case("broadcast", mx.divide, [(2, 3), uniform(3)])])


for _name, _function in (("Maximum", mx.maximum), ("Minimum", mx.minimum)):
    primitive(
        _name,
        plain(_function),
        [
            Case("broadcast", _function, PAIR),
            Case("ints", _function, [integers(5), integers(5)]),
            Case("bools", _function, BOOLS),
        ],
    )


primitive(
    "Negative",
    plain(mx.negative),
    [
        Case("floats", mx.negative, [(2, 3)]),
        Case("ints", mx.negative, [integers(4)]),
        Case("uint8", mx.negative, [BYTES]),
    ],
)


primitive(
    "Abs",
    plain(mx.abs),
    [Case("floats", mx.abs, [(2, 3)]), Case("int8", mx.abs, [SIGNED]), Case("bools", mx.abs, BOOLS[:1])],
)


primitive(
    "Sign",
    plain(mx.sign),
    [
        Case("floats", mx.sign, [given(-2.0, -0.0, 0.0, 3.5, float("nan"))]),
        Case("ints", mx.sign, [integers(4)]),
        Case("uint8", mx.sign, [BYTES]),
        Case("bools", mx.sign, BOOLS[:1]),
    ],
)


primitive(
    "Square",
    plain(mx.square),
    [Case("floats", mx.square, [(2, 3)]), Case("ints", mx.square, [integers(4)]), Case("int8", mx.square, [SIGNED])],
)


primitive(
    "Power",
    plain(mx.power),
    [
        Case("variable", mx.power, [uniform(2, 3), (3,)]),
        Case("square", lambda x: x**2, [(2, 3)]),
        Case("cube", lambda x: x**3, [(2, 3)]),
        Case("root", lambda x: x**0.5, [uniform(2, 3)]),
        Case("base", lambda x: 2.0**x, [(2, 3)]),
        Case("negative", lambda x: x**-2, [uniform(2, 3)]),
        Case("ints", lambda x: x**5, [integers(6)]),
        Case("int8", lambda x: x**3, [SIGNED]),
        Case("int_exponents", mx.power, [integers(9), integers(9, low=-9, high=9)]),
        Case("int_minus_one", lambda x: x**-1, [integers(9)]),
        Case("bools", mx.power, BOOLS),
    ],
)


QUOTIENTS = [
    Case("floats", mx.floor_divide, [(4, 5), uniform(5)]),
    Case("ints", mx.floor_divide, [integers(50), integers(50, low=1, high=9)]),
    Case("negative", mx.floor_divide, [integers(50), integers(50, low=-9, high=0)]),
    Case("uint8", mx.floor_divide, [BYTES, typed("uint8", 4, 5, low=1)]),
]


primitive("FloorDivide", plain(mx.floor_divide), QUOTIENTS)


primitive(
    "Remainder",
    plain(mx.remainder),
    [
        Case("floats", mx.remainder, [(4, 5), uniform(5)]),
        Case("negative", lambda x: mx.remainder(x, -0.75), [(4, 5)]),
        Case("ints", mx.remainder, [integers(50), integers(50, low=1, high=9)]),
        Case("negative_ints", mx.remainder, [integers(50), integers(50, low=-9, high=0)]),
    ],
)


primitive(
    "DivMod",
    plain(mx.divmod),
    [
        Case("floats", lambda x, y: tuple(mx.divmod(x, y)), [(4, 5), uniform(5)]),
        Case("ints", lambda x: tuple(mx.divmod(x, 3)), [integers(50)]),
    ],
)


HALVES = given(-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 2.7)


primitive("Ceil", plain(mx.ceil), [Case("floats", mx.ceil, [HALVES]), Case("ints", mx.ceil, [integers(3)])])


primitive("Floor", plain(mx.floor), [Case("floats", mx.floor, [HALVES]), Case("ints", mx.floor, [integers(3)])])


primitive("Round", plain(mx.round), [Case("halves_to_even", mx.round, [HALVES]), Case("ints", mx.round, [integers(3)])])
