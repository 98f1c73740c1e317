"""A step of a training: the loss and the gradients of mlx-lm, however they are computed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import optimizers as optim
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import llama
from mlx_lm.tuner import trainer as mlx_lm_trainer
from mlx_lm.tuner.datasets import CacheDataset, ChatDataset

from tests.language.training.conftest import RECIPE, Made
from tests.tolerances import close
from wotd_mlx.config.language import LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.training import prefix
from wotd_mlx.language.training.batches import Rows
from wotd_mlx.language.training.checkpointing import checkpointed
from wotd_mlx.training.schedule import warmup_cosine

PLAIN = {"form_weight": 1.0, "unlikelihood": 0.0}
"""The loss of mlx-lm."""


def their_batch(rows: Rows, numbers: Any) -> tuple[mx.array, mx.array]:
    """Rows as mlx-lm's batch. Its mask counts the token after the last one, which is padding: hence the −1."""
    tokens = np.zeros((len(numbers), int(rows.lengths[numbers].max())), np.int32)
    for line, n in zip(tokens, numbers, strict=True):
        line[: rows.lengths[n]] = rows.tokens[n]
    return mx.array(tokens), mx.array(np.array([[rows.starts[n], rows.lengths[n] - 1] for n in numbers]))


def test_rows_are_those_of_mlx_lm(make: Callable[..., Made], folder: Path) -> None:
    """Beside the newline that the template writes after the end, which no answer needs."""
    trainer = make()
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    theirs = CacheDataset(ChatDataset(lines, trainer.task.language.tokenizer, mask_prompt=True))
    for i, (tokens, start) in enumerate(zip(trainer.train.tokens, trainer.train.starts, strict=True)):
        assert theirs[i][0][:-1] == tokens.tolist()
        assert theirs[i][1] == start


def test_loss_and_gradient_are_those_of_mlx_lm(make: Callable[..., Made]) -> None:
    trainer = make(**PLAIN)
    numbers = trainer.task.numbers(0)
    assert len(trainer.task.shared)
    loss, gradients = trainer.gradients(numbers)

    def theirs(parameters: Any) -> mx.array:
        trainer.model.update(parameters)
        return mlx_lm_trainer.default_loss(trainer.model, *their_batch(trainer.train, numbers))[0]

    want, want_gradients = mx.value_and_grad(theirs)(trainer.step.parameters)
    close(loss, want, "language")
    for (name, got), (_, expected) in zip(tree_flatten(gradients), tree_flatten(want_gradients), strict=True):
        assert float(mx.abs(expected).max()) > 0, name
        close(got, expected, "language")


@pytest.mark.parametrize("compiled", [False, True])
def test_form_counts_more_and_repeats_are_unlikely(make: Callable[..., Made], compiled: bool) -> None:
    """The loss by its formula, position by position, from the logits of whole rows."""
    trainer = make(form_weight=3.0, unlikelihood=0.7, compile=compiled)
    numbers, rows = trainer.task.numbers(0), trainer.train
    batch = rows.batch(numbers)
    assert (np.array(batch.repeats) >= 0).sum() > 5

    def formula(parameters: Any) -> mx.array:
        trainer.model.update(parameters)
        logits = trainer.model(batch.tokens)
        chances = mx.softmax(logits.reshape(-1, logits.shape[-1])[batch.positions], axis=-1)
        total = mx.array(0.0)
        for position, (target, before) in enumerate(zip(batch.targets.tolist(), batch.repeats.tolist(), strict=True)):
            loss = -mx.log(chances[position, target])
            for repeat in before:
                loss = loss - (0.7 * mx.log(1 - chances[position, repeat]) if repeat >= 0 else 0.0)
            total = total + batch.weights[position] * loss
        return total / batch.weights.sum()

    loss, gradients = trainer.gradients(numbers)
    want, slopes = mx.value_and_grad(formula)(trainer.step.parameters)
    close(loss, want, "language")
    for (_, got), (_, expected) in zip(tree_flatten(gradients), tree_flatten(slopes), strict=True):
        close(got, expected, "language")


def test_training_is_that_of_mlx_lm(make: Callable[..., Made], tmp_path: Path) -> None:
    """Its own loop, given the same batches, rates and optimiser, ends with the same adapters."""
    ours, theirs = make(clip=1e9, **PLAIN), make(**PLAIN)
    for _ in ours.trainer.evaluations():
        pass
    rates = RECIPE.learning_rate * mx.array(
        [warmup_cosine(i, RECIPE.steps, RECIPE.warmup) for i in range(RECIPE.steps)]
    )
    optimizer = optim.AdamW(lambda step: rates[step], weight_decay=0.0, bias_correction=True)

    def batches(**_: Any) -> Iterator[tuple[mx.array, mx.array]]:
        for i in range(RECIPE.steps):
            yield their_batch(theirs.train, theirs.task.numbers(i))

    args = mlx_lm_trainer.TrainingArgs(iters=RECIPE.steps, adapter_file=str(tmp_path / "theirs.safetensors"))
    mlx_lm_trainer.train(theirs.model, optimizer, [], args=args, iterate_batches=batches)
    want = lora.trained(theirs.model)
    moved = max(
        float(mx.abs(w - s).max()) for w, s in zip(want.values(), lora.trained(make().model).values(), strict=True)
    )
    assert moved > 0.01
    for name, got in lora.trained(ours.model).items():
        close(got, want[name], "adamw_steps")


@pytest.mark.parametrize(
    "given",
    [
        {"micro_batch": 3},
        {"checkpointing": True},
        {"compile": True},
        {"micro_batch": 1, "checkpointing": True},
        {"micro_batch": 4, "checkpointing": True},
    ],
)
def test_how_it_is_computed_changes_nothing(make: Callable[..., Made], given: dict[str, Any]) -> None:
    one, other = make(), make(**given)
    numbers = one.task.numbers(0)
    loss, gradients = one.gradients(numbers)
    got, others = other.gradients(numbers)
    close(got, loss, "language")
    for (_, a), (_, b) in zip(tree_flatten(gradients), tree_flatten(others), strict=True):
        close(b, a, "language")
    close(other.validate(), one.validate(), "language")


def test_checkpointing_is_undone_and_drops_the_same_twice(make: Callable[..., Made]) -> None:
    """The directional derivative under dropout agrees with differences, so both passes dropped the same numbers."""
    own = llama.TransformerBlock.__call__
    trainer = make(checkpointing=True, lora=LoraConfig(rank=4, dropout=0.5))
    numbers = trainer.task.numbers(0)
    rng = np.random.default_rng(1)
    direction = tree_map(lambda w: mx.array(rng.normal(0, 1, w.shape).astype("float32")), trainer.step.parameters)
    start = trainer.step.parameters

    def loss_at(t: float) -> float:
        mx.random.seed(5)
        trainer.step.parameters = tree_map(lambda w, d: w + t * d, start, direction)
        return trainer.gradients(numbers)[0]

    mx.random.seed(5)
    _, gradients = trainer.gradients(numbers)
    products = tree_map(lambda g, d: (g * d).sum(), gradients, direction)
    slope = sum(float(p) for _, p in tree_flatten(products))
    step = 1e-3
    close((loss_at(step) - loss_at(-step)) / (2 * step), slope, "dropout_slope")
    assert loss_at(0.0) == loss_at(0.0)
    with checkpointed(trainer.model):
        assert all(type(layer) is not llama.TransformerBlock for layer in trainer.model.layers)
        assert llama.TransformerBlock.__call__ is own
    assert all(type(layer) is llama.TransformerBlock for layer in trainer.model.layers)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_gradient_below_the_adapters(make: Callable[..., Made], checkpointing: bool) -> None:
    """A product a linear layer forward, one back: the lower layer has only those forward."""

    def products(layers: int) -> int:
        trainer = make(lora=LoraConfig(rank=4, layers=layers, keys=("mlp.down_proj",)), checkpointing=checkpointing)
        (args,) = trainer.task.parts(trainer.task.numbers(0))
        with trainer.task.computing():
            found = trainer.step._gradients(trainer.step.parameters, *args)
        dot = io.StringIO()
        mx.export_to_dot(dot, found[0][0], *[g for _, g in tree_flatten(found[1])])
        return dot.getvalue().count("Matmul")

    # Adapters of one layer fewer, and nothing back through the upper part of the lower one: at least its down_proj.
    assert products(1) < products(2) - 5


def test_sharing_that_does_not_work_is_said(make: Callable[..., Made], caplog: pytest.LogCaptureFixture) -> None:
    trainer = make()
    tokens, hidden = mx.array([[5, 6], [7, 8]]), trainer.task.head.hidden
    assert prefix.may_share(trainer.task.head, trainer.model, trainer.task.shared, tokens)
    assert not prefix.may_share(trainer.task.head, trainer.model, trainer.task.shared[:0], tokens)

    class Stateful:
        """Layers that keep something else than keys and values; then some that look at what they shouldn't."""

        def __init__(self, fails: bool):
            self.fails = fails

        def hidden(self, tokens: mx.array, cache: Any = None) -> mx.array:
            if cache and self.fails:
                raise AttributeError("ssm_state")
            return hidden(tokens, cache) * (2 if cache else 1)

    with caplog.at_level("INFO", "wotd_mlx"):
        assert not prefix.may_share(Stateful(True), trainer.model, trainer.task.shared, tokens)
        assert not prefix.may_share(Stateful(False), trainer.model, trainer.task.shared, tokens)
    assert "doesn't work with its layers (AttributeError)" in caplog.text
    assert "gives other numbers" in caplog.text
