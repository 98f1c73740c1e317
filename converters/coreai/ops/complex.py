"""Complex numbers, which Core AI has inside a graph: what makes them, and what takes them apart."""

from __future__ import annotations

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers


@lowers("Real")
def real(ctx: Context, x: Value) -> Value:
    return b.cast(dialect.real_part(x), ctx.real)


@lowers("Imag")
def imag(ctx: Context, x: Value) -> Value:
    return b.cast(dialect.imaginary_part(x), ctx.real)


@lowers("Conjugate")
def conjugate(ctx: Context, x: Value) -> Value:
    return dialect.create_complex(dialect.real_part(x), b.mul(dialect.imaginary_part(x), -1))


def size(x: Value) -> Value:
    """|x|, by the larger part first: its square may be too large for a float."""
    a, i = b.absolute(dialect.real_part(x)), b.absolute(dialect.imaginary_part(x))
    larger = b.maximum(a, i)
    none = b.either(b.equal(larger, 0), b.equal(larger, float("inf")))
    by = b.select(none, 1, larger)
    a, i = b.divide(a, by), b.divide(i, by)
    return b.mul(dialect.sqrt(b.add(b.mul(a, a), b.mul(i, i))), by)
