"""GELU, SiLU and ReLU are put together from their own constants and no others near them."""

from __future__ import annotations

import math

import mlx.core as mx
import pytest

from tests.converters.passes.graphs import normal, ops

X = normal(3, 5) * 2
ROOT, HALF_ROOT, SHARPNESS = math.sqrt(2), math.sqrt(0.5), math.sqrt(2 / math.pi)


def exact(x, root=ROOT, one=1.0, two=2.0):
    return x * (mx.erf(x / root) + one) / two


def halved(x, root=HALF_ROOT, one=1.0, half=0.5):
    return x * (one + mx.erf(x * root)) * half


def half_first(x, root=HALF_ROOT, one=1.0, half=0.5):
    return half * x * (mx.erf(root * x) + one)


def tanh_form(x, three=3.0, c=0.044715, s=SHARPNESS, half=0.5, one=1.0):
    return half * x * (one + mx.tanh(s * (x + c * x**three)))


def cubed(x, c=0.044715, s=SHARPNESS, half=0.5, one=1.0):
    return half * x * (one + mx.tanh(s * (x + c * (x * x * x))))


def fast(x, k=1.702):
    return x * mx.sigmoid(k * x)


FORMS = {
    exact: ("root", "one", "two"),
    halved: ("root", "one", "half"),
    half_first: ("root", "one", "half"),
    tanh_form: ("three", "c", "s", "half", "one"),
    cubed: ("c", "s", "half", "one"),
    fast: ("k",),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_gelu(form):
    assert ops(form, X) == {"GELU": 1}


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, names in FORMS.items() for name in names])
@pytest.mark.parametrize("share", [1.002, 0.998])
def test_no_constant_may_be_another(form, name, share):
    index = list(form.__defaults__)
    names = form.__code__.co_varnames[1 : 1 + len(index)]
    value = index[names.index(name)] * share
    assert "GELU" not in ops(lambda x: form(x, **{name: value}), abs(X))


def test_silu_and_relu():
    assert ops(lambda x: mx.sigmoid(x) * x, X) == {"SiLU": 1}
    assert ops(lambda x: mx.maximum(0.0, x), X) == {"ReLU": 1}
    assert "SiLU" not in ops(lambda x, y: x * mx.sigmoid(y), X, X + 1)
    assert "ReLU" not in ops(lambda x: mx.maximum(x, 1e-6), X)
    assert "ReLU" not in ops(lambda x: mx.maximum(x, mx.zeros((3, 1))), X)
    assert "ReLU" not in ops(lambda x: mx.maximum(x, 0), mx.array([-1, 0, 1]))
    assert "ReLU" not in ops(lambda x: mx.minimum(x, 0.0), X)


def test_gelu_of_two_tensors_is_none():
    assert "GELU" not in ops(lambda x, y: x * (mx.erf(y / math.sqrt(2)) + 1) / 2, X, X + 1)
    assert "GELU" not in ops(lambda x, y: x * mx.sigmoid(1.702 * y), X, X + 1)
