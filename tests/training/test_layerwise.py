"""Training block by block is ordinary training, in less memory."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn, optimizers
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.parts.blocks import Stage
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.layerwise import Layerwise, blocks_of, materialise, round_to_bfloat16

DIMS = 24


def mean_square(y, target):
    return mx.square(y - target).mean()


def model_and_data(**changes):
    mx.random.seed(0)
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, width=32, inner=64, **changes))
    mx.eval(model.parameters())
    x, target = (mx.random.normal((2, 9, DIMS), key=mx.random.key(seed)) for seed in (1, 2))
    return model.train(), x, target


def weights_of(model):
    return dict(tree_flatten(model.parameters()))


@pytest.mark.parametrize("make", [lambda: optimizers.SGD(0.1), lambda: optimizers.AdamW(1e-3)])
def test_three_steps_are_three_ordinary_steps(make):
    """Dropout included: a block computed again draws what it drew before."""
    model, x, target = model_and_data()
    trainer = Layerwise(model, make, clip=None)
    mx.random.seed(7)
    losses = [trainer.step(x, target)[0][0] for _ in range(3)]

    ordinary, _, _ = model_and_data()
    optimizer = make()
    loss_and_gradient = nn.value_and_grad(ordinary, lambda x, target: mean_square(ordinary(x)[0], target))
    mx.random.seed(7)
    for wanted in losses:
        loss, gradients = loss_and_gradient(x, target)
        optimizer.update(ordinary, gradients)
        mx.eval(ordinary.parameters(), optimizer.state)
        close(wanted, loss.item(), "sum_order")
    found = weights_of(model)
    for name, weight in weights_of(ordinary).items():
        close(found[name], weight, "sum_order")


def test_each_block_is_clipped_by_its_own_norm():
    model, x, target = model_and_data(dropout=0.0)
    before = weights_of(model)
    _, norms = Layerwise(model, lambda: optimizers.SGD(1.0), clip=0.05).step(x, target)
    after = weights_of(model)
    moved = [
        np.sqrt(sum(float(mx.square(after[name] - before[name]).sum()) for name in before if name.startswith(prefix)))
        for prefix in ("embed.", *(f"layers.{i}." for i in range(4)))
    ]
    assert min(norms) > 0.05
    close(np.array(moved), np.full(5, 0.05), "sum_order")


def test_bfloat16_weights_learn_from_updates_smaller_than_their_rounding():
    """An update of 2⁻¹⁰ of a weight is lost by rounding to the nearest; here it arrives on average."""
    x = mx.full((200_000,), 1 + 2**-10)
    rounded = round_to_bfloat16(x, mx.random.key(0)).astype(mx.float32)
    assert set(np.unique(np.asarray(rounded))) == {1.0, 1 + 2**-7}
    assert mx.array_equal(x.astype(mx.bfloat16).astype(mx.float32), mx.ones_like(x))
    close((np.asarray(rounded, np.float64).mean() - 1) * 2**10, np.float64(1.0), "sampled_mean")
    kept = mx.array([0.0, -0.0, 1.5, -3.0, float("inf"), -float("inf")])
    assert mx.array_equal(round_to_bfloat16(kept, mx.random.key(1)).astype(mx.float32), kept)


def test_a_bfloat16_model_stays_one_and_learns():
    model, x, target = model_and_data(dropout=0.0)
    materialise(model, mx.bfloat16)
    trainer = Layerwise(model, lambda: optimizers.Adafactor(1e-2, relative_step=False))
    losses = [trainer.step(x, target, n)[0][0] for n in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    dtypes = {name: weight.dtype for name, weight in weights_of(model).items()}
    assert dtypes.pop("centre") == dtypes.pop("spread") == mx.float32
    assert set(dtypes.values()) == {mx.bfloat16}


def test_memory_is_the_weights_and_one_block_at_work():
    """12 blocks of 0.8M numbers in bf16, and of one the weights and gradients in fp32 and what updates one matrix."""
    mx.random.seed(0)
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, width=256, inner=704, depth=12))
    mx.reset_peak_memory()
    start = mx.get_active_memory()
    materialise(model, mx.bfloat16)
    number_bytes = 2 * model.size
    assert mx.get_peak_memory() - start < 1.2 * number_bytes
    trainer = Layerwise(model, lambda: optimizers.Adafactor(1e-3, relative_step=False))
    x, target = (mx.random.normal((1, 5, DIMS), key=mx.random.key(seed)) for seed in (1, 2))
    trainer.step(x, target)
    mx.reset_peak_memory()
    trainer.step(x, target)
    at_work = 8 * sum(weight.size for _, weight in tree_flatten(model.layers[0].parameters()))
    peak = mx.get_peak_memory() - start
    assert peak < number_bytes + 1.5 * at_work, f"{(peak - number_bytes) / at_work:.2f} blocks above the weights"


def test_a_loss_that_is_no_number_changes_no_weight():
    model, x, target = model_and_data()
    before = weights_of(model)
    with pytest.raises(WotdError, match="the loss is nan; no weight was changed"):
        Layerwise(model, lambda: optimizers.SGD(0.1)).step(x, target * float("nan"))
    after = weights_of(model)
    assert all(mx.array_equal(after[name], before[name]) for name in before)


class Chain(nn.Module):
    """A model whose blocks can be told to leave a weight out, or to name one twice."""

    def __init__(self, order):
        super().__init__()
        self.layers = [nn.Linear(4, 4) for _ in range(2)]
        self.order = tuple(order)

    def blocks(self):
        return [Stage([self.layers[i]], self.layers[i].__call__) for i in self.order]


def test_blocks_that_are_not_the_whole_model_are_refused():
    assert len(blocks_of(Chain([0, 1]))) == 2
    with pytest.raises(WotdError, match=r"layers\.1\.bias, layers\.1\.weight in none of its 1 blocks"):
        blocks_of(Chain([0]))
    with pytest.raises(WotdError, match="a weight stands in two of its 3 blocks"):
        blocks_of(Chain([0, 1, 0]))
    with pytest.raises(WotdError, match=r"offers no blocks\(\)"):
        blocks_of(nn.Linear(2, 2))
