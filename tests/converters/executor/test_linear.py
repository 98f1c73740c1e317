"""Products against sums written out, and attention against torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.converters.executor.calls import call, needs, normal
from tests.tolerances import close

SHAPES = [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((3, 4), (2, 4, 5))]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left, right):
    x, y = normal(*left), normal(*right, seed=1)
    want = (x.astype(np.float64)[..., :, :, None] * y.astype(np.float64)[..., None, :, :]).sum(-2)
    for a, b in itertools.product((False, True), repeat=2):
        given = {"x": x.swapaxes(-1, -2) if a else x, "y": y.swapaxes(-1, -2) if b else y}
        close(call("matmul", **given, transpose_x=a, transpose_y=b), want, "executor")


def test_matmul_of_vectors():
    """What it foretells for them is an upper bound."""
    from converters.coreml.executor import OPS

    x, y = normal(4), normal(4, 5, seed=1)
    close(OPS["matmul"].function(x=x, y=y), [sum(x * y[:, j]) for j in range(5)], "executor")
    assert OPS["matmul"].makes(x=x, y=y) == 20
    assert OPS["matmul"].makes(x=y.T, y=x) == 20


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_linear(batch):
    x, weight, bias = normal(*batch, 4), normal(5, 4, seed=1), normal(5, seed=2)
    want = np.array([[sum(row * w) for w in weight] for row in x.reshape(-1, 4)]).reshape(*batch, 5)
    close(call("linear", x=x, weight=weight), want, "executor")
    close(call("linear", x=x, weight=weight, bias=bias), want + bias, "executor")
    close(call("linear", x=x, weight=weight, bias=bias[:1]), want + bias[:1], "executor")


def test_einsum():
    x, y = normal(2, 3, 4), normal(4, 3, 5, seed=1)
    want = np.zeros((2, 5, 3))
    for i, j, k, m in np.ndindex(2, 3, 4, 5):
        want[i, m, j] += x[i, j, k] * y[k, j, m]
    close(call("einsum", values=(x, y), equation="ijk, kjm -> imj"), want, "executor")


@pytest.mark.parametrize("equation", ["i...,i->", "ij,jk", "ij->ij->ij", "i1,1j->ij"])
def test_einsum_of_another_form_is_refused(equation):
    with pytest.raises(NotImplementedError, match="there is one of letters"):
        call("einsum", values=(normal(2, 2), normal(2, 2)), equation=equation)


@pytest.mark.parity
@pytest.mark.parametrize("mask", [None, "added", "kept", "of each head"])
def test_attention(mask):
    torch = pytest.importorskip("torch")
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 6, 4, seed=1), normal(2, 3, 6, 7, seed=2)
    masks = {
        "added": normal(5, 6, seed=3),
        "kept": np.tri(5, 6, 1, dtype=bool),
        "of each head": normal(2, 3, 5, 6, seed=4),
    }
    given = {} if mask is None else {"attn_mask": masks[mask]}
    want = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.from_numpy, (q, k, v)), **{name: torch.from_numpy(m) for name, m in given.items()}
    )
    close(call("scaled_dot_product_attention", query=q, key=k, value=v, **given), want.numpy(), "executor")
    assert needs("scaled_dot_product_attention", query=q, key=k, value=v, **given) == 2 * 3 * 5 * 6


def test_attention_of_one_key_for_all():
    """Batches broadcast, in what is made and in what is held."""
    q, k, v = normal(2, 3, 5, 4), normal(6, 4, seed=1), normal(6, 7, seed=2)
    scores = np.exp(q.astype(np.float64) @ k.T / 2)
    want = scores / scores.sum(-1, keepdims=True) @ v
    close(call("scaled_dot_product_attention", query=q, key=k, value=v), want, "executor")
    wide = np.zeros((9, 1, 1, 5, 6), np.float32)
    assert needs("scaled_dot_product_attention", query=q, key=k, value=v, attn_mask=wide) == 9 * 2 * 3 * 5 * 6
