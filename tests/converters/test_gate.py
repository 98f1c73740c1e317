"""The gate: inputs of the converter's own, errors place by place, and what rounding explains of them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from converters import coreml
from converters.capture import capture
from converters.gate import probed
from converters.passes import PASSES
from converters.probes import constant_inputs, probes
from converters.report import Sum
from converters.rounding import Trial, Unexplained, noise, unexplained
from converters.source import left
from tests.tolerances import close

HALF_MASK = mx.array([[0.0, 0.0, -1e9], [0.0, -1e9, -1e9]])


def drawn(fn, **example):
    found = probes(capture(fn, example), example)
    return [({name: np.array(a) for name, a in probe.inputs.items()}, probe) for probe in found]


def test_draws_look_like_the_example():
    """Signs, sizes, order and indices stay; a mask stays one, and once masks a whole row."""
    example = {
        "x": mx.array([[0.5, 2.0, 8.0], [1.0, 4.0, 1.0]]),
        "rising": mx.array([1.0, 2.0, 5.0]),
        "mask": mx.array([[1, 1, 0], [1, 0, 0]]),
        "added": HALF_MASK,
        "token": mx.array([3, 1]),
        "age": mx.array([20, 35]),
    }
    table = mx.zeros((9, 3))

    def fn(x, rising, mask, added, token, age):
        return (x * mask + added) @ table[token].T + mx.searchsorted(rising, x[:, :2]) + age.sum()

    found = drawn(fn, **example)
    assert [probe.told for _, probe in found] == [
        *["numbers like the example's"] * 3,
        "a row that is masked whole",
        "100 times the example",
        "1,000 times the example",
        "the limits of its integers",
    ]
    for arrays, probe in found[:3]:
        assert probe.ordinary
        assert (arrays["x"] > 0).all()
        assert arrays["x"].max() < 200
        assert (np.diff(arrays["rising"]) >= 0).all()
        assert set(arrays["mask"].flat) <= {0, 1}
        assert set(arrays["added"].flat) <= {0.0, np.float32(-1e9)}
        assert ((arrays["token"] >= 0) & (arrays["token"] < 9)).all()
        assert ((arrays["age"] >= 20) & (arrays["age"] <= 35)).all()
        assert {name: probe.inputs[name].dtype for name in example} == {n: a.dtype for n, a in example.items()}
    assert not np.array_equal(found[0][0]["x"], found[1][0]["x"])
    np.testing.assert_array_equal(found[3][0]["mask"], [[0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found[3][0]["added"][0], np.full(3, -1e9, np.float32))
    np.testing.assert_allclose(found[5][0]["x"], 1000 * found[0][0]["x"], rtol=1e-6)
    np.testing.assert_array_equal(found[5][0]["mask"], found[0][0]["mask"])
    np.testing.assert_array_equal(found[6][0]["age"], [-(2**31), 2**31 - 1])
    np.testing.assert_array_equal(found[6][0]["token"], found[0][0]["token"])
    again = drawn(fn, **example)
    assert all(np.array_equal(a[n], b[n]) for (a, _), (b, _) in zip(found, again, strict=True) for n in example)


def test_whole_numbers_that_divide_stay_what_they_are():
    """MLX's CPU stops the process where a whole number is divided by 0, or the least one by −1."""
    example = {"x": mx.array([7, -9, 0]), "y": mx.array([2, 1, 3])}
    found = drawn(lambda x, y: x // y, **example)
    assert [list(arrays["y"]) for arrays, _ in found] == [[2, 1, 3]] * 3


def test_places_that_are_computed_stay_within_the_example():
    found = drawn(lambda x, at: mx.slice(x, at + 1, (0,), (2,)), x=mx.arange(5.0), at=mx.array([1]))
    assert {int(arrays["at"][0]) for arrays, _ in found} == {1}


def trial(want, got):
    return Trial({"x": mx.zeros(1)}, {"y": np.array(want, np.float32)}, {"y": np.array(got, np.float32)})


def still():
    """A function whose outputs no rounding moves."""
    return capture(lambda x: {"y": mx.zeros(3) + (x[0] > 5).astype(mx.float32)}, {"x": mx.zeros(1)})


def test_a_small_number_that_is_wrong_beside_large_ones():
    """97 dB by the peak, and the third number is another one."""
    wrong = trial([16384, 32768, 0.355], [16384, 32768, -0.594])
    (found,) = unexplained([wrong], "float16", still)
    assert (found.output, found.place) == ("y", (2,))
    assert (found.want, found.got) == (pytest.approx(0.355), pytest.approx(-0.594))


@pytest.mark.parametrize(
    ("want", "got", "precision"),
    [
        ([1, 2, 3], [1, 2.0001, 3], "float32"),
        ([1, 2, 0], [1, 2, 3e-7], "float32"),  # beside 2, the last bit
        ([np.nan, np.inf, 3e38], [5, 2e38, np.inf], "float32"),  # MLX has no number, or leaves float32
        ([1, 2, 3], [1.04, 2, 3], "float16"),
        ([1, 2, 3e-5], [1, 2, 0], "float16"),  # smaller than float16 holds in full
    ],
)
def test_what_needs_no_explanation(want, got, precision):
    assert unexplained([trial(want, got)], precision, still) == []


@pytest.mark.parametrize(
    ("want", "got"), [([1, 2, 3], [1, 2.1, 3]), ([1, 2, 3], [1, np.nan, 3]), ([1, np.inf, 3], [1, -np.inf, 3])]
)
def test_what_does(want, got):
    (found,) = unexplained([trial(want, got)], "float32", still)
    assert found.place == (1,)


def test_rounding_explains_what_is_left_of_large_numbers():
    """(x + 10³)² − x² − 2·10³ x − 10⁶ is 0, but for an error of 0.06 in float32 whatever computes it; 2x has none."""
    example = {"x": mx.array([370.7, 110.3])}

    def fn(x):
        return {"y": (x + 1e3).square() - x.square() - 2e3 * x - 1e6, "twice": 2 * x}

    graph = capture(fn, example)
    moved = noise(graph, example, "float32")
    assert moved["y"].max() > 1e-2
    assert moved["twice"].max() < 1e-3
    want = {name: np.array(array) for name, array in fn(**example).items()}
    got = {"y": want["y"] + np.float32(0.03), "twice": want["twice"] + np.float32(2)}
    (found,) = unexplained([Trial(example, want, got)], "float32", lambda: graph)
    assert found.output == "twice"


def test_a_whole_number_that_a_near_tie_decides():
    example = {"x": mx.array([[1.0, 1.0000001, 0.5]]), "k": mx.array([4])}

    def fn(x, k):
        return {"first": mx.argmax(x, axis=1), "k": k + 1}

    want = {name: left(array) for name, array in fn(**example).items()}
    got = {"first": np.array([0]), "k": np.array([6])}
    (found,) = unexplained([Trial(example, want, got)], "float16", lambda: capture(fn, example))
    assert found == Unexplained("k", (0,), 5.0, 6.0)


def gate(fn, example, call=None, precision="float32"):
    graph = capture(fn, example)

    def right(inputs):
        return {"output": left(fn(**inputs))}

    return probed(call or right, fn, graph, graph, [example], precision)


def test_a_fault_that_the_example_hides():
    """Right wherever fewer than three numbers are masked, as in the example."""

    def fn(x, mask):
        return mx.softmax(x + mask, axis=-1)

    def wrong(inputs):
        whole = np.array(inputs["mask"]).min(axis=1, keepdims=True) < 0
        got = np.array(fn(**inputs))
        masked = (np.array(inputs["mask"]) < 0).all(axis=1, keepdims=True)
        return {"output": np.where(whole & masked, 0, got)}

    example = {"x": mx.random.normal((2, 3)), "mask": HALF_MASK}
    assert gate(fn, example) == ([], [])
    faults, _ = gate(fn, example, wrong)
    assert len(faults) == 1
    assert "is 0 where MLX has 0." in faults[0]


def test_what_float16_does_not_hold_is_named(tmp_path):
    class Energy(nn.Module):
        def __call__(self, x):
            return mx.exp(x.square() * 1e-9)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = Energy()

        def __call__(self, x):
            return self.energy(x)

    example = {"x": mx.array([1.0, 20.0, -8.0])}
    with pytest.warns(coreml.ConversionWarning, match=r"100 times.* in energy reaches .*float16 ends at 65,504"):
        report = coreml.convert(Model(), example, tmp_path / "half.mlpackage", "float16")
    assert len(report.warnings) == 1
    assert coreml.convert(Model(), example, tmp_path / "full.mlpackage").warnings == []
    assert coreml.convert(Model(), example, tmp_path / "kept.mlpackage", "float16", float32=["energy"]).warnings == []


@pytest.mark.parametrize(
    ("array", "told"),
    [(mx.zeros((2, 2)), ["input x of the example is 0"]), (mx.ones(3), ["is 1 throughout"]), (mx.arange(2.0), [])],
)
def test_an_example_that_shows_nothing(array, told):
    found = list(constant_inputs({"x": array, "token": mx.zeros(3, mx.int32)}))
    assert len(found) == len(told)
    assert all(part in sentence for part, sentence in zip(told, found, strict=True))


def test_a_function_that_writes_into_its_argument(tmp_path):
    def fn(x):
        x += 1.0
        return x * 2

    x = mx.array([1.0, 2.0])
    assert coreml.convert(fn, {"x": x}, tmp_path / "m.mlpackage").psnr_db == float("inf")
    assert x.tolist() == [1.0, 2.0]


def test_attention_whose_scores_lie_below_any_constant(tmp_path):
    """A masked score of −30,000 would be chosen among others of −40,000."""
    q = mx.array(np.full((1, 1, 2, 2), 300.0, np.float32))
    k = mx.array(np.array([[[[-300.0, -300.0], [300.0, 300.0]]]], np.float32))
    v = mx.array([[[[1.0, 2.0], [3.0, 4.0]]]])

    def fn(q, k, v):
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5, mask="causal")

    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"q": q, "k": k, "v": v}, out)
    got = coreml.run(out, {"q": np.array(q), "k": np.array(k), "v": np.array(v)})["output"]
    np.testing.assert_array_equal(got, [[[[1, 2], [3, 4]]]])


def test_layers_are_compared_with_what_was_captured(tmp_path, monkeypatch):
    """A pass that doubles a weight is found where it does so, not only at the output."""

    def doubling(graph):
        doubled = {name: a * 2 if a.shape == (4, 3) else a for name, a in graph.constants.items()}
        return graph.with_nodes(graph.nodes, doubled)

    monkeypatch.setattr("converters.passes.PASSES", (*PASSES, doubling))
    weight = mx.array(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))

    def fn(x):
        return mx.tanh(mx.exp(x) @ weight)

    with pytest.raises(coreml.GateError):
        coreml.convert(fn, {"x": mx.ones((2, 4)) * 0.1}, tmp_path / "m.mlpackage")
    report = coreml.convert(fn, {"x": mx.ones((2, 4)) * 0.1}, tmp_path / "m.mlpackage", force=True, layers=True)
    decibels = {d.name: d.psnr_db for d in report.layers}
    assert decibels["fn_exp"] > 120
    assert decibels["fn_matmul"] < 20
    assert report.unexplained


def test_rows_and_places_beside_the_peak():
    """Two rows over two examples: 1 beside 1,000 is wrong by a half."""
    total = Sum(True)
    total.add(np.array([[1000.0, 500.0], [1.0, 2.0]]), np.array([[1000.0, 500.0], [1.5, 2.0]]))
    total.add(np.array([[900.0, 400.0], [4.0, 2.0]]), np.array([[900.0, 400.0], [4.0, 2.0]]))
    found = total.deviation("y")
    assert found.psnr_db == pytest.approx(20 * np.log10(1000 / np.sqrt(0.25 / 8)))
    assert found.row_db == pytest.approx(20 * np.log10(2 / np.sqrt(0.25 / 2)))
    assert found.relative == pytest.approx(0.5 / 4)


@pytest.mark.parametrize("low", [-1e9, -3.4e38])
def test_a_mask_that_comes_as_an_input_of_half_precision(low, tmp_path):
    """Below −65,504 it would be −inf, and a row of nothing else NaN."""
    x = mx.array(np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32))
    out = tmp_path / "m.mlpackage"

    def fn(x, mask):
        return mx.softmax(x + mask, axis=-1)

    coreml.convert(fn, {"x": x, "mask": mx.array([[0, 0, low], [0, low, low]])}, out, "float16")
    got = coreml.run(out, {"x": np.array(x), "mask": np.array([[low, low, low], [0, 0, low]], np.float32)})["output"]
    np.testing.assert_allclose(got[0].sum(), 1, atol=2e-3)
    close(got[1], np.array(mx.softmax(x[1] + mx.array([0, 0, low]))), "half_function")


def test_a_whole_number_of_no_axes_among_the_layers(tmp_path):
    def fn(x):
        return x * mx.argmax(x)

    report = coreml.convert(fn, {"x": mx.array([1.0, 3.0, 2.0])}, tmp_path / "m.mlpackage", layers=True)
    assert {d.equal for d in report.layers if not d.is_float} == {1.0}
