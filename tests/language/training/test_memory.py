"""A limit of memory that is kept, while it is measured too."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from tests.language.training.conftest import WORDS, row
from wotd_mlx.language.training import memory
from wotd_mlx.language.training.batches import Rows
from wotd_mlx.language.training.loop import LanguageTrainer
from wotd_mlx.schemas import TooLargeError


def test_the_limit_of_memory_is_kept(make: Callable[..., LanguageTrainer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_outside", lambda: 0)
    trainer = make(depth=8, batch=32)
    whole = memory.fit_into(trainer, 1 << 40)
    assert (trainer.micro, trainer.checkpointing) == (32, False)
    least = memory.peak_of_longest(trainer, True, 1)
    one = memory.peak_of_longest(trainer, False, 1)
    assert least < one < whole
    for room in (0.2 * one + 0.8 * whole, 0.6 * one + 0.4 * whole, 0.4 * least + 0.6 * one):
        limit = int(room / memory._SHARE)
        trainer.compute(32, False)
        mx.reset_peak_memory()
        peak = memory.fit_into(trainer, limit)
        assert 1 <= trainer.micro < 32
        assert peak <= memory._SHARE * limit
        mx.reset_peak_memory()
        trainer.step(trainer.numbers(0))
        assert mx.get_peak_memory() <= limit
    assert trainer.checkpointing
    trainer.compute(32, False)
    with pytest.raises(TooLargeError, match=r"one row of \d+ tokens takes .* GB or more, the limit is 0.00 GB; lower"):
        memory.fit_into(trainer, 1 << 20)


def test_measuring_keeps_to_the_limit_too(
    make: Callable[..., LanguageTrainer], folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Long rows are tried in part first: those that wouldn't fit are never computed whole."""
    long = [row(n) for n in range(4)]
    for line in long:
        line["messages"][1]["content"] = " ".join(WORDS * 20)
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in long))
    monkeypatch.setattr(memory, "_outside", lambda: 0)
    trainer = make(depth=8, batch=4, longest=2048)
    assert trainer.train.lengths.max() > 400
    one = memory.peak_of_longest(trainer, False, 1)
    # As in a training: MLX then waits for what is under way before it takes more, however busy the machine is.
    request.addfinalizer(partial(mx.set_memory_limit, mx.set_memory_limit(int(0.8 * one))))
    tried: list[tuple[int, int]] = []
    gradients = LanguageTrainer.gradients

    def watched(self: LanguageTrainer, numbers: Any, rows: Rows | None = None) -> Any:
        assert rows is not None
        tried.append((len(numbers), int(rows.lengths[numbers].max())))
        found = gradients(self, numbers, rows)
        assert mx.get_peak_memory() < 0.8 * one
        return found

    monkeypatch.setattr(LanguageTrainer, "gradients", watched)
    trainer.compute(4, False)
    memory.fit_into(trainer, int(0.8 * one))
    assert trainer.checkpointing
    assert tried[0][1] <= int(trainer.train.lengths.max()) // 2
