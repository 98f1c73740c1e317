"""Training adapters: the loss of mlx-lm's own trainer, one curve whatever happens on the way, a limit that is kept."""

from __future__ import annotations

import io
import itertools
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
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

from tests.language.conftest import SHAPE, load_folder
from tests.tolerances import close
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.rows import read_exchanges
from wotd_mlx.language.training import memory, prefix, train
from wotd_mlx.language.training.batches import Rows, prepare
from wotd_mlx.language.training.checkpointing import checkpointed
from wotd_mlx.language.training.loop import LanguageTrainer, Line, Progressed
from wotd_mlx.language.training.train import train_language
from wotd_mlx.schemas import WotdError

WORDS = ("calm", "serene", "thou", "gleam", "ennui", "verdant", "hark", "zeal")
RECIPE = LanguageRecipe(LoraConfig(rank=4), steps=8, batch=8, learning_rate=5e-3, evaluations=2, valid_rows=12)


def row(n: int) -> dict[str, Any]:
    """A request for a pattern, and words that depend on it."""
    a, b = n % 8, n * 5 % 8
    answer = ", ".join(WORDS[(a + i) % 8] for i in range(1 + b % 4))
    request = f"Words matching pattern [{a},{b},*,*]:"
    return {"messages": [{"role": "user", "content": request}, {"role": "assistant", "content": answer}], "task": "x"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A language folder with 40 rows to train on and 16 to validate on."""
    for name, numbers in (("train", range(40)), ("valid", range(40, 56))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in numbers))
    return tmp_path


@pytest.fixture
def make(tiny_folder: Path, folder: Path) -> Callable[..., LanguageTrainer]:
    """A trainer on the rows, its adapters away from their start of zero."""

    def made(depth: int = 0, **changes: Any) -> LanguageTrainer:
        recipe, language = replace(RECIPE, **changes), load_folder(tiny_folder)
        if depth:
            shape = {**SHAPE, "num_hidden_layers": depth}
            language = replace(language, model=llama.Model(llama.ModelArgs.from_dict(shape)))
        mx.random.seed(0)
        lora.apply(language.model, recipe.lora)
        rng = np.random.default_rng(0)
        weights = lora.trained(language.model)
        lora.put_in(language.model, {n: w + mx.array(rng.normal(0, 0.05, w.shape)) for n, w in weights.items()})
        rows: dict[str, Rows] = {}
        for name in ("train", "valid"):
            rows[name] = prepare(read_exchanges(folder / f"{name}.jsonl"), language.tokenizer, recipe.longest)
        trainer = LanguageTrainer(language, rows["train"], rows["valid"], recipe)
        trainer.plan(recipe.steps)
        return trainer

    return made


def their_batch(rows: Rows, numbers: Any) -> tuple[mx.array, mx.array]:
    """Rows as mlx-lm's batch. Its mask counts the token after the last one, which is padding: hence the −1."""
    tokens = np.zeros((len(numbers), int(rows.lengths[numbers].max())), np.int32)
    for line, n in zip(tokens, numbers, strict=True):
        line[: rows.lengths[n]] = rows.tokens[n]
    return mx.array(tokens), mx.array(np.array([[rows.starts[n], rows.lengths[n] - 1] for n in numbers]))


def test_rows_are_those_of_mlx_lm(make: Callable[..., LanguageTrainer], folder: Path) -> None:
    """Beside the newline that the template writes after the end, which no answer needs."""
    trainer = make()
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    theirs = CacheDataset(ChatDataset(lines, trainer.language.tokenizer, mask_prompt=True))
    for i, (tokens, start) in enumerate(zip(trainer.train.tokens, trainer.train.starts, strict=True)):
        assert theirs[i][0][:-1] == tokens.tolist()
        assert theirs[i][1] == start


def test_loss_and_gradient_are_those_of_mlx_lm(make: Callable[..., LanguageTrainer]) -> None:
    trainer = make()
    numbers = trainer.numbers(0)
    assert len(trainer.shared)
    loss, gradients = trainer.gradients(numbers)

    def theirs(parameters: Any) -> mx.array:
        trainer.model.update(parameters)
        return mlx_lm_trainer.default_loss(trainer.model, *their_batch(trainer.train, numbers))[0]

    want, want_gradients = mx.value_and_grad(theirs)(trainer.parameters)
    close(loss, want, "language")
    for (name, got), (_, expected) in zip(tree_flatten(gradients), tree_flatten(want_gradients), strict=True):
        assert float(mx.abs(expected).max()) > 0, name
        close(got, expected, "language")


def test_training_is_that_of_mlx_lm(make: Callable[..., LanguageTrainer], tmp_path: Path) -> None:
    """Its own loop, given the same batches, rates and optimiser, ends with the same adapters."""
    ours, theirs = make(clip=1e9), make()
    for _ in ours.lines(lambda n, note: None, lambda: None):
        pass
    rates = mx.array([RECIPE.rate(i, RECIPE.steps) for i in range(RECIPE.steps)])
    optimizer = optim.AdamW(lambda step: rates[step], weight_decay=0.0, bias_correction=True)

    def batches(**_: Any) -> Iterator[tuple[mx.array, mx.array]]:
        for i in range(RECIPE.steps):
            yield their_batch(theirs.train, theirs.numbers(i))

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
def test_how_it_is_computed_changes_nothing(make: Callable[..., LanguageTrainer], given: dict[str, Any]) -> None:
    one, other = make(), make(**given)
    numbers = one.numbers(0)
    loss, gradients = one.gradients(numbers)
    got, others = other.gradients(numbers)
    close(got, loss, "language")
    for (_, a), (_, b) in zip(tree_flatten(gradients), tree_flatten(others), strict=True):
        close(b, a, "language")
    close(other.validate(), one.validate(), "language")


def test_checkpointing_is_undone_and_drops_the_same_twice(make: Callable[..., LanguageTrainer]) -> None:
    """The directional derivative under dropout agrees with differences, so both passes dropped the same numbers."""
    own = llama.TransformerBlock.__call__
    trainer = make(checkpointing=True, lora=LoraConfig(rank=4, dropout=0.5))
    numbers = trainer.numbers(0)
    rng = np.random.default_rng(1)
    direction = tree_map(lambda w: mx.array(rng.normal(0, 1, w.shape).astype("float32")), trainer.parameters)
    start = trainer.parameters

    def loss_at(t: float) -> float:
        mx.random.seed(5)
        trainer.parameters = tree_map(lambda w, d: w + t * d, start, direction)
        return trainer.gradients(numbers)[0]

    mx.random.seed(5)
    _, gradients = trainer.gradients(numbers)
    products = tree_map(lambda g, d: (g * d).sum(), gradients, direction)
    slope = sum(float(p) for _, p in tree_flatten(products))
    step = 1e-3
    close((loss_at(step) - loss_at(-step)) / (2 * step), slope, "dropout_slope")
    assert loss_at(0.0) == loss_at(0.0)
    assert llama.TransformerBlock.__call__ is own
    with checkpointed(trainer.model):
        assert llama.TransformerBlock.__call__ is not own
    assert llama.TransformerBlock.__call__ is own


@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_gradient_below_the_adapters(make: Callable[..., LanguageTrainer], checkpointing: bool) -> None:
    """A product a linear layer forward, one back: the lower layer has only those forward."""

    def products(layers: int) -> int:
        trainer = make(lora=LoraConfig(rank=4, layers=layers, keys=("mlp.down_proj",)), checkpointing=checkpointing)
        batch = trainer._batch(trainer.train, trainer.numbers(0))
        with checkpointed(trainer.model, checkpointing):
            found = trainer._gradients(trainer.parameters, batch, mx.array(1.0))
        dot = io.StringIO()
        mx.export_to_dot(dot, found[0], *[g for _, g in tree_flatten(found[1])])
        return dot.getvalue().count("Matmul")

    # Adapters of one layer fewer, and nothing back through the upper part of the lower one: at least its down_proj.
    assert products(1) < products(2) - 5


def figures(lines: list[Line]) -> list[Any]:
    """What of a history depends on the training alone."""
    return [
        (line.step, line.loss, line.valid_loss, line.learning_rate, line.gradient_norm, line.best) for line in lines
    ]


def history(folder: Path) -> list[Line]:
    """The file's lines."""
    return [Line(**line) for line in json.loads((folder / train.HISTORY).read_text())]


class Killed(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize(
    ("at", "saving", "compiled"),
    [(1, True, False), (3, True, False), (5, True, True), (6, False, False), (8, True, False)],
)
def test_killed_and_gone_on_is_the_same(
    tiny_folder: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    saving: bool,
    compiled: bool,
) -> None:
    recipe = replace(RECIPE, lora=LoraConfig(rank=4, dropout=0.2), compile=compiled)
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    for name in ("train.jsonl", "valid.jsonl"):
        (unbroken / name).write_bytes((folder / name).read_bytes())
    want = list(train_language(unbroken, load_folder(tiny_folder), recipe))
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0 if saving else 1e9)
    step = LanguageTrainer.step

    def dying(self: LanguageTrainer, numbers: Any) -> tuple[float, float]:
        if self.progressed.step == at - 1:
            raise Killed
        return step(self, numbers)

    with monkeypatch.context() as dangerous:
        dangerous.setattr(LanguageTrainer, "step", dying)
        with pytest.raises(Killed):
            list(train_language(folder, load_folder(tiny_folder), recipe))
    got = list(train_language(folder, load_folder(tiny_folder), recipe))
    assert figures(history(folder)) == figures(want)
    assert len(got) < len(want) or at == 1
    assert (folder / lora.ADAPTERS).read_bytes() == (unbroken / lora.ADAPTERS).read_bytes()
    assert not (folder / train.CHECKPOINT).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import wotd_mlx  # before MLX: another BLAS rounds otherwise
from tests.language.conftest import load_folder
from tests.language.test_train import RECIPE
from wotd_mlx.language.training import train
from wotd_mlx.language.training.loop import LanguageTrainer
train.SAVE_SECONDS, step = 0.0, LanguageTrainer.step
def dying(self, numbers):
    if self.progressed.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, numbers)
LanguageTrainer.step = dying
list(train.train_language(Path(sys.argv[1]), load_folder(Path(sys.argv[2])), RECIPE))
"""


def test_a_process_that_was_killed(tiny_folder: Path, folder: Path, tmp_path: Path) -> None:
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    for name in ("train.jsonl", "valid.jsonl"):
        (unbroken / name).write_bytes((folder / name).read_bytes())
    want = list(train_language(unbroken, load_folder(tiny_folder), RECIPE))
    command = [sys.executable, "-c", KILLED, str(folder), str(tiny_folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    got = list(train_language(folder, load_folder(tiny_folder), RECIPE))
    assert [line.step for line in got] == [8]
    close([line.valid_loss for line in history(folder)], [line.valid_loss for line in want], "language")
    close([line.loss for line in history(folder)[1:]], [line.loss for line in want[1:]], "language")


def trained(generator: Any) -> tuple[list[Line], Any]:
    """The lines of a training and its language."""
    lines = []
    while True:
        try:
            lines.append(next(generator))
        except StopIteration as stop:
            return lines, stop.value


def test_best_weights_are_kept_and_training_ends_early(tiny_folder: Path, folder: Path) -> None:
    """The validation answers contradict the training's, so more steps make them worse."""
    wrong = [row(n) for n in range(16)]
    for line in wrong:
        line["messages"][1]["content"] = "hark hark hark"
    (folder / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in wrong))
    recipe = replace(RECIPE, steps=60, learning_rate=2e-2, evaluations=30, patience=3)
    lines, language = trained(train_language(folder, load_folder(tiny_folder), recipe))
    best = min(lines, key=lambda line: line.valid_loss)
    assert lines[-1].step < 60
    assert [line.best for line in lines[-3:]] == [False] * 3
    assert lines[-4] == best
    rows = prepare(read_exchanges(folder / "valid.jsonl"), language.tokenizer, 512)
    fresh = load_folder(tiny_folder)
    for found in (language, lora.read_adapters(fresh, folder)):
        trainer = LanguageTrainer(found, rows, rows, recipe)
        chosen = np.sort(np.random.default_rng([0, 1]).permutation(16)[:12])
        some = replace(rows, tokens=tuple(rows.tokens[i] for i in chosen), starts=rows.starts[chosen])
        trainer.valid = some
        close(trainer.validate(), best.valid_loss, "language")


def test_training_learns_and_says_what_it_did(tiny_folder: Path, folder: Path) -> None:
    recipe = replace(RECIPE, steps=40, evaluations=4, learning_rate=1e-2)
    lines = list(train_language(folder, load_folder(tiny_folder), recipe))
    assert [line.step for line in lines] == [0, 10, 20, 30, 40]
    assert lines[0].loss is None
    assert lines[-1].valid_loss < 0.5 * lines[0].valid_loss
    assert lines[1].learning_rate > lines[-1].learning_rate > 0
    assert all(line.peak_bytes > 0 and line.tokens_per_second > 0 for line in lines[1:])
    assert history(folder) == lines
    config = json.loads((folder / lora.CONFIG).read_text())
    assert config["wotd"]["finished"]
    assert config["wotd"]["model"] == "tiny"
    # Trained already: nothing more, the same language. With other settings or rows: no, unless told so.
    more, language = trained(train_language(folder, load_folder(tiny_folder), recipe))
    assert more == []
    assert any(name.endswith("lora_a") for name, _ in tree_flatten(language.model.parameters()))
    with pytest.raises(WotdError, match=r"other settings \(recipe batch 8, now 4\); give --fresh"):
        next(train_language(folder, load_folder(tiny_folder), replace(recipe, batch=4)))
    (folder / "train.jsonl").write_text((folder / "train.jsonl").read_text() + json.dumps(row(99)) + "\n")
    with pytest.raises(WotdError, match=r"other settings \(rows "):
        next(train_language(folder, load_folder(tiny_folder), recipe))
    assert next(train_language(folder, load_folder(tiny_folder), recipe, fresh=True)).step == 0


def test_code_tokens_are_trained_and_read_again(tiny_folder: Path, folder: Path) -> None:
    recipe = replace(RECIPE, steps=30, learning_rate=1e-2, code_tokens=(8, 8, 8, 5))
    lines, language = trained(train_language(folder, load_folder(tiny_folder), recipe))
    assert lines[-1].valid_loss < 0.7 * lines[0].valid_loss
    again = lora.read_adapters(load_folder(tiny_folder), folder)
    tokens = mx.array([again.tokenizer.encode("[<a2>,<b1>,*,*]")])
    assert int(tokens.max()) >= 384
    close(again.model(tokens), language.model(tokens), "exact")


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
    with pytest.raises(WotdError, match=r"one row of \d+ tokens takes .* GB or more, the limit is 0.00 GB; lower the"):
        memory.fit_into(trainer, 1 << 20)


def test_measuring_keeps_to_the_limit_too(
    make: Callable[..., LanguageTrainer], folder: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_loss_that_is_no_number(tiny_folder: Path, folder: Path) -> None:
    recipe = replace(RECIPE, learning_rate=1e30, warmup=0.0)
    with pytest.raises(WotdError, match=r"the loss is .* lower the learning rate"):
        list(train_language(folder, load_folder(tiny_folder), recipe))


def test_minutes_become_steps(
    make: Callable[..., LanguageTrainer], tiny_folder: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make(steps=0, minutes=1.0)
    trainer.progressed = Progressed(step=10, planned=100, seconds=30.0)
    trainer._follow_time()
    assert trainer.progressed.planned == 20
    with caplog.at_level("INFO", "wotd_mlx"):
        lines = list(train_language(folder, load_folder(tiny_folder), replace(RECIPE, steps=0, minutes=0.03)))
    assert "0.0 minutes hold some" in caplog.text
    assert lines[-1].step > 0
    with pytest.raises(WotdError, match="allow more minutes"):
        next(train_language(folder, load_folder(tiny_folder), replace(RECIPE, steps=0, minutes=1e-6), fresh=True))


def test_rate_rises_and_falls() -> None:
    rates = [replace(RECIPE, warmup=0.1, learning_rate=1.0).rate(i, 100) for i in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 0}, "batch is 0; expected 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate is 0; expected more than 0"),
        ({"warmup": 1.0}, "expected a share"),
        ({"minutes": 3.0}, "give one of the two"),
        ({"longest": 3}, "expected 8 tokens or more"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WotdError, match=said):
        replace(RECIPE, **changes)


def test_a_folder_without_rows(tiny_folder: Path, folder: Path) -> None:
    (folder / "valid.jsonl").unlink()
    with pytest.raises(WotdError, match=r"has no valid\.jsonl"):
        next(train_language(folder, load_folder(tiny_folder), RECIPE))
    assert math.isinf(Progressed().best)


def test_sharing_that_does_not_work_is_said(
    make: Callable[..., LanguageTrainer], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make()
    tokens, hidden = mx.array([[5, 6], [7, 8]]), trainer.head.hidden
    assert prefix.may_share(trainer.head, trainer.model, trainer.shared, tokens)
    assert not prefix.may_share(trainer.head, trainer.model, trainer.shared[:0], tokens)

    class Stateful:
        """Layers that keep something else than keys and values; then some that look at what they shouldn't."""

        def __init__(self, fails: bool):
            self.fails = fails

        def hidden(self, tokens: mx.array, cache: Any = None) -> mx.array:
            if cache and self.fails:
                raise AttributeError("ssm_state")
            return hidden(tokens, cache) * (2 if cache else 1)

    with caplog.at_level("INFO", "wotd_mlx"):
        assert not prefix.may_share(Stateful(True), trainer.model, trainer.shared, tokens)
        assert not prefix.may_share(Stateful(False), trainer.model, trainer.shared, tokens)
    assert "doesn't work with its layers (AttributeError)" in caplog.text
    assert "gives other numbers" in caplog.text
