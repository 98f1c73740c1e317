"""A step of the trainer is torch's: clipped gradients, AdamW, a schedule, a running average."""

from __future__ import annotations

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest
import torch

from tests.tolerances import close
from tests.training.toy import RATE, STEPS, WARMUP, Toy, X, Y
from wotd_mlx.training.step import Step

CLIP, DECAY, EMA = 1.3, 0.2, 0.8


@pytest.mark.parametrize(("parts", "compiled"), [(1, False), (3, True)])
def test_steps_are_those_of_torch(parts: int, compiled: bool) -> None:
    """The clip bites in some steps and not in others; micro-batches add up to the whole."""
    task = Toy(parts)
    step = Step(task, optim.AdamW(1.0, weight_decay=DECAY, bias_correction=True), clip=CLIP, ema=EMA, compiled=compiled)
    model = torch.nn.Linear(5, 3)
    with torch.no_grad():
        for ours, theirs in ((task.model.linear.weight, model.weight), (task.model.linear.bias, model.bias)):
            theirs.copy_(torch.tensor(np.array(ours)))
    average = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    rising = round(WARMUP * STEPS)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rising, 1.0, rising - 1),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS - rising),
        ],
        [rising],
    )
    mean, clipped = np.zeros(3, np.float32), []
    for number in range(STEPS):
        n = number % len(X)
        x, y = torch.tensor(X[n]), torch.tensor(Y[n])
        told = model(x) - 0.1 * torch.tensor(mean)
        loss, error = ((told - y) ** 2).sum() / 6, (told - y).abs().sum() / 6
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        clipped.append(float(norm) > CLIP)
        batch = [
            (mx.array(a), mx.array(b), mx.array(6.0))
            for a, b in zip(np.split(X[n], parts), np.split(Y[n], parts), strict=True)
        ]
        found = step.take(batch, optimizer.param_groups[0]["lr"], number)
        close(np.array(found), np.array([loss.item(), error.item(), norm.item()]), "adamw_steps")
        optimizer.step()
        schedule.step()
        average = [EMA * a + (1 - EMA) * p.detach() for a, p in zip(average, model.parameters(), strict=True)]
        for part in np.split(told.detach().numpy(), parts):
            mean = (0.9 * mean + 0.1 * part.mean(axis=0)).astype(np.float32)
        close(task.model.mean.value, mean, "adamw_steps")
    assert 2 < sum(clipped) < STEPS - 1
    linear = step.parameters["linear"]
    close(linear["weight"], model.weight.detach().numpy(), "adamw_steps")
    close(linear["bias"], model.bias.detach().numpy(), "adamw_steps")
    close(step.kept["linear"]["weight"], average[0].numpy(), "adamw_steps")
    with step.showing_kept():
        close(task.model.linear.weight, average[0].numpy(), "adamw_steps")
    close(task.model.linear.weight, model.weight.detach().numpy(), "adamw_steps")


def test_the_model_may_compute_in_half_precision_while_the_weights_stay_whole() -> None:
    task = Toy()
    step = Step(task, optim.SGD(0.0), dtype=mx.bfloat16, compiled=False)
    seen: list[mx.Dtype] = []
    loss = task.loss
    task.loss = lambda *args: (seen.append(task.model.linear.weight.dtype), loss(*args))[1]
    step.take(next(task.batches(1, 0)), 0.1, 0)
    assert set(seen) == {mx.bfloat16}
    assert task.model.linear.weight.dtype == step.parameters["linear"]["weight"].dtype == mx.float32
