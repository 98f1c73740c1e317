"""Whole numbers beyond int32: right, or refused; and the ranges by which that is decided."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import coreml
from converters.capture import capture
from converters.passes import run_passes
from converters.ranges import full, ranges

FUNCTIONS = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "larger": mx.maximum,
    "smaller": mx.minimum,
    "quotient": lambda x, y: x // mx.maximum(y, 3),
    "rest": lambda x, y: x % mx.maximum(y, 3),
    "total": lambda x, y: x.sum() + y.sum(axis=1),
    "running": lambda x, y: mx.cumsum(x, axis=1) - mx.cummax(y, axis=0),
    "places": lambda x, y: mx.argsort(x, axis=1) * 3 + mx.argmax(y, axis=1)[:, None],
    "choice": lambda x, y: mx.where(x > y, x, -y),
    "joined": lambda x, y: mx.concatenate([x, mx.pad(y, 1)[:2, :3]], axis=0),
    "steps": lambda x, y: mx.arange(5, 2, -1) + x[:1] * 0 + y[0, 0] * 0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_range_holds_what_is_computed(name, data):
    dtype = data.draw(st.sampled_from(["uint8", "int8", "uint16", "int32", "uint32"]))
    low, high = full(dtype)
    numbers = st.integers(low, high) | st.sampled_from([low, high, 0, 1])
    x, y = (
        mx.array(np.array(data.draw(st.lists(numbers, min_size=6, max_size=6)), dtype).reshape(2, 3)) for _ in range(2)
    )

    def fn(x: mx.array, y: mx.array) -> mx.array:
        return FUNCTIONS[name](x, y)

    graph = run_passes(capture(fn, {"x": x, "y": y}))
    least, most = ranges(graph)[graph.outputs["output"]]
    made = np.array(fn(x, y)).astype(object)
    assert least <= made.min()
    assert made.max() <= most


def test_what_is_bounded_is_known():
    def fn(x):
        return mx.argmax(x, axis=-1) * 8 + mx.argmin(x, axis=-1)

    graph = run_passes(capture(fn, {"x": mx.ones((2, 5))}))
    assert ranges(graph)[graph.outputs["output"]] == (0, 90)


BIG = mx.array([4_000_000_000, 7, 2**31, 0], mx.uint32)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x + 5,
        lambda x: x * 3 - 1,
        lambda x: (x - 9).astype(mx.float32),
        lambda x: x >> 3,
        lambda x: x == 7,
        lambda x: mx.cumsum(x) + 0,
        lambda x: x.astype(mx.int32) // 2,
        lambda x: x[::-1],
        lambda x: x.astype(mx.uint8),
    ],
)
def test_unsigned_numbers_are_right(tmp_path, fn):
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.array([3, 4, 5, 6], mx.uint32)}, out)
    got, want = coreml.run(out, {"x": BIG})["output"], np.array(fn(BIG))
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (lambda x: mx.maximum(x, 5), "Maximum reads uint32 from 0 to 4,294,967,295"),
        (lambda x: x // 2, "FloorDivide reads uint32"),
        (lambda x: x % 3, "Remainder reads uint32"),
        (lambda x: x > 5, "Greater reads uint32"),
        (lambda x: mx.sort(x)[:1], "Sort reads uint32"),
        (lambda x: x.max(), "Reduce reads uint32"),
        (lambda x: mx.minimum(mx.argmax(x.astype(mx.float32)) - 1, 3), "Minimum reads uint32"),
        (lambda x: x.astype(mx.int64) + 1, "output output is int64 from 1 to 4,294,967,296"),
    ],
)
def test_what_would_tell_other_numbers_is_refused(tmp_path, fn, says):
    with pytest.raises(coreml.ConversionError, match=says):
        coreml.convert(fn, {"x": mx.array([3, 4], mx.uint32)}, tmp_path / "m.mlpackage")


def test_indices_of_known_range_are_no_fault(tmp_path):
    def fn(x):
        best = mx.argmax(x, axis=-1)
        return mx.maximum(best, 1) // 2 + mx.sort(mx.argsort(x, axis=-1), axis=-1)[:, 0]

    out = tmp_path / "m.mlpackage"
    x = mx.random.normal((3, 5), key=mx.random.key(0))
    assert coreml.convert(fn, {"x": x}, out).codes_equal == 1


def test_64_bits_are_compared_before_they_are_cut(tmp_path):
    with pytest.raises(coreml.ConversionError, match="output output is int64"):
        coreml.convert(lambda x: x.astype(mx.int64) * 100_000, {"x": mx.array([100_000, 2])}, tmp_path / "m.mlpackage")
    out = tmp_path / "n.mlpackage"
    coreml.convert(lambda x: x.astype(mx.int32) + 1, {"x": mx.array([1, 2], mx.int64)}, out)
    with pytest.raises(coreml.PackageError, match="from 0 to 3000000000; Core ML's integers are int32"):
        coreml.run(out, {"x": np.array([0, 3_000_000_000])})
