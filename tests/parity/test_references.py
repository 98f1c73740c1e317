"""Each predictor against its reference implementation, of a third party's layers: weights, outputs and gradients."""

from __future__ import annotations

from importlib import import_module

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm import NAMES, build, preset

pytestmark = pytest.mark.parity

DIMS, L = 24, 13


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """(our model, the reference, the rules between them) with the reference's random weights in both."""
    torch = pytest.importorskip("torch")
    names = import_module("converters.torch.names")
    module = import_module(f"converters.torch.{request.param}")
    # Not 0: there one of RWKV's first receptances is nearly orthogonal to its key, and the norm of a head magnifies the
    # rounding of their product: in shares of the largest gradient ours is 2.6e-5 off from float64, torch's 1.4e-5.
    torch.manual_seed(1)
    cfg = preset(request.param, "tiny", dims=DIMS)
    reference = module.Reference(cfg).eval()
    rules = module.rules(cfg)
    ours = build(request.param, cfg).eval()
    weights = {name: weight.numpy() for name, weight in reference.state_dict().items()}
    ours.load_weights([(name, mx.array(w)) for name, w in names.to_mlx(weights, rules).items()], strict=True)
    device = "cuda" if torch.cuda.is_available() and mx.default_device() == mx.gpu else "cpu"
    return ours, reference.to(device), rules


def inputs(torch, reference):
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=(2, L, DIMS)).astype("float32") for _ in range(2))
    device = next(reference.parameters()).device
    return x, weight, torch.tensor(x, device=device, requires_grad=True), torch.tensor(weight, device=device)


def test_outputs_are_the_references(pair):
    import torch

    ours, reference, _ = pair
    x, _, tx, _ = inputs(torch, reference)
    close(ours(mx.array(x))[0], reference(tx).detach().cpu().numpy(), "reference")


def test_gradients_are_the_references(pair):
    """Of a weighted mean of the outputs, in the inputs and in every weight."""
    import torch

    ours, reference, rules = pair
    names = import_module("converters.torch.names")
    x, weight, tx, tw = inputs(torch, reference)
    reference.zero_grad()
    (reference(tx) * tw).mean().backward()
    theirs = {name: p.grad.cpu().numpy() for name, p in reference.named_parameters() if p.grad is not None}

    def loss(parameters, x):
        ours.update(parameters)
        return (ours(x)[0] * mx.array(weight)).mean()

    found, in_x = mx.grad(loss, argnums=(0, 1))(ours.trainable_parameters(), mx.array(x))
    wanted = {**names.to_mlx(theirs, rules), "x": tx.grad.cpu().numpy()}
    got = {**dict(tree_flatten(found)), "x": in_x}
    assert wanted.keys() == got.keys()
    # A mean makes all gradients small: they are told apart beside the largest of them.
    largest = max(np.abs(gradient).max() for gradient in wanted.values())
    for name, want in wanted.items():
        close(np.asarray(got[name]) / largest, want / largest, "reference_gradient")


def test_weights_go_both_ways_bit_for_bit(pair):
    ours, reference, rules = pair
    names = import_module("converters.torch.names")
    weights = {name: weight.cpu().numpy() for name, weight in reference.state_dict().items()}
    back = names.to_torch({k: np.array(v) for k, v in tree_flatten(ours.parameters())}, rules)
    assert back.keys() == weights.keys()
    for name, weight in weights.items():
        assert back[name].dtype == weight.dtype
        np.testing.assert_array_equal(back[name], weight)


def test_a_weight_without_a_name_is_refused(pair):
    names = import_module("converters.torch.names")
    with pytest.raises(ValueError, match=r"1 of 1 PyTorch weights have no name.*odd \(2,\)"):
        names.to_mlx({"odd": np.zeros(2)}, pair[2])
