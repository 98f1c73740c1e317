"""A limit of memory that is kept, while it is measured too."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from tests.language.training.conftest import WORDS, Made, row
from wotd_mlx.language.training import memory
from wotd_mlx.schemas import TooLargeError
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts


def test_the_limit_of_memory_is_kept(make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_outside", lambda: 0)
    trainer = make(depth=6, batch=32, compile=False)
    task, step = trainer.task, trainer.step
    whole, longest = memory.fit_into(task, step, 1 << 40).peak, int(task.train.lengths.max())
    assert (task.micro, task.checkpointing) == (32, False)
    least = memory.peak_of_longest(task, step, True, 1, longest)
    one = memory.peak_of_longest(task, step, False, 1, longest)
    assert least < one < whole
    for room in (0.2 * one + 0.8 * whole, 0.6 * one + 0.4 * whole, 0.4 * least + 0.6 * one):
        limit = int(room / memory.SHARE)
        task.compute(32, False)
        mx.reset_peak_memory()
        peak = memory.fit_into(task, step, limit).peak
        assert 1 <= task.micro < 32
        assert peak <= memory.SHARE * limit
        mx.reset_peak_memory()
        trainer.trainer.step(task.parts(task.numbers(0)))
        assert mx.get_peak_memory() <= limit
    assert task.checkpointing
    task.compute(32, False)
    with pytest.raises(TooLargeError, match=r"one row of \d+ tokens takes .* GB or more, the limit is 0.00 GB; lower"):
        memory.fit_into(task, step, 1 << 20)


def test_measuring_keeps_to_the_limit_too(
    make: Callable[..., Made], folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Long rows are tried in part first: those that wouldn't fit are never computed whole."""
    long = [row(n) for n in range(4)]
    for line in long:
        line["messages"][1]["content"] = " ".join(WORDS * 20)
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in long))
    monkeypatch.setattr(memory, "_outside", lambda: 0)
    trainer = make(depth=6, batch=4, longest=2048, compile=False)
    task, step, longest = trainer.task, trainer.step, int(trainer.train.lengths.max())
    assert longest > 400
    one = memory.peak_of_longest(task, step, False, 1, longest)
    # As in a training: MLX then waits for what is under way before it takes more, however busy the machine is.
    request.addfinalizer(partial(mx.set_memory_limit, mx.set_memory_limit(int(0.8 * one))))
    tried: list[tuple[int, int]] = []
    gradients = Step.gradients

    def watched(self: Step, parts: Parts) -> Any:
        ((batch, _),) = parts = list(parts)
        tried.append(batch.tokens.shape)
        found = gradients(self, parts)
        assert mx.get_peak_memory() < 0.8 * one
        return found

    monkeypatch.setattr(Step, "gradients", watched)
    task.compute(4, False)
    memory.fit_into(task, step, int(0.8 * one))
    assert task.checkpointing
    assert tried[0][1] <= longest // 2
