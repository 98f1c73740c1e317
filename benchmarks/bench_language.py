"""LoRA training through us and through mlx-lm itself: the same model, rows, rank, layers and batch, in turns.

    python -m benchmarks.bench_language [--model ID] [--steps 12] [--layers 16] [--batch 16] [--rows train.jsonl]

The peer is ``mlx_lm.tuner.trainer.train`` with its own batches and loss, prompt masked, which is what ``mlx_lm.lora``
runs. After each of its steps we take one of ours, so that a slow minute of the machine hits both. Both read the same
tokens: mlx-lm's rows have an empty system message, as our prompts do, where the template would put in one of its own.

Tokens a second count those of prompts and answers without padding; the median of single steps. Written: ``training`` in
``results/language.json``; other parts of that file stay as they are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import wotd_mlx.kernels  # noqa: F401  # before MLX: it brings the BLAS
from benchmarks.timing import RESULTS, write_results
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.language import dsl
from wotd_mlx.language.chat import _format
from wotd_mlx.language.lora import apply
from wotd_mlx.language.models import load_language
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.language.rows import Exchange, read_exchanges
from wotd_mlx.language.training.batches import prepare
from wotd_mlx.language.training.history import LanguageState
from wotd_mlx.language.training.task import LanguageTask
from wotd_mlx.schemas import SemanticID
from wotd_mlx.training.trainer import Trainer
from wotd_mlx.words.builtin import load_builtin

LEVELS = (8, 8, 8, 5)
WARMUP = 2
"""Steps of each side that aren't counted: they compile."""


@dataclass
class Side:
    """Seconds and sizes of one trainer's steps."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    """Tokens with padding, as the layers see them."""
    peaks: list[int] = field(default_factory=list)

    def figures(self, first: int) -> dict[str, Any]:
        """Medians, of the steps after the first ones."""
        part = slice(first, None)
        speeds = [t / s for t, s in zip(self.tokens[part], self.seconds[part], strict=True)]
        answers = [t / s for t, s in zip(self.answers[part], self.seconds[part], strict=True)]
        return {
            "tokens_per_second": statistics.median(speeds),
            "answer_tokens_per_second": statistics.median(answers),
            "step_ms": statistics.median(self.seconds[part]) * 1e3,
            "computed_per_token": sum(self.computed[part]) / sum(self.tokens[part]),
            "peak_bytes_of_a_step": max(self.peaks[part]),
        }


def exchanges(count: int, seed: int = 0) -> list[Exchange]:
    """Requests of the DSL with answers of the built-in words, in about the shares of a run's dataset."""
    rng = np.random.default_rng(seed)
    words = [word.text for word in load_builtin().words]
    made: list[Exchange] = []
    for _ in range(count):
        number = [int(rng.integers(k)) for k in LEVELS]
        if rng.random() < 0.3:
            made.append(Exchange(str(dsl.Encode(str(rng.choice(words)))), str(SemanticID(number))))
            continue
        fields = tuple(None if rng.random() < 0.35 else frozenset({n}) for n in number)
        n = int(rng.integers(3, 8))
        answer = dsl.Words(tuple(map(str, rng.choice(words, n, replace=False))))
        made.append(Exchange(str(dsl.ByPattern(Pattern(fields), n)), str(answer)))
    return made


def training(args: argparse.Namespace) -> dict[str, Any]:
    """Both trainers on the same rows, a step each in turn."""
    import mlx.core as mx
    import mlx.optimizers as optim
    from mlx_lm.tuner import trainer as peer
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.datasets import CacheDataset, ChatDataset

    rows = read_exchanges(args.rows) if args.rows else exchanges(args.batch * 40)
    lora = LoraConfig(rank=args.rank, layers=args.layers)
    # The peer's loss: every token of an answer counts the same.
    plain = {"form_weight": 1.0, "unlikelihood": 0.0}
    recipe = LanguageRecipe(lora, steps=args.steps, batch=args.batch, learning_rate=1e-4, **plain)
    ours, theirs = Side(), Side()

    language = load_language(args.model)
    apply(language.model, lora)
    prepared = prepare(rows, language.tokenizer, recipe.longest)
    task = LanguageTask(language, prepared, prepared, recipe)
    trainer = Trainer(task, task.step(), LanguageState(planned=args.steps))
    language.model.train()

    def step() -> None:
        numbers = task.numbers(trainer.state.step)
        held = mx.get_active_memory()
        mx.reset_peak_memory()
        begun = time.perf_counter()
        trainer.step(task.parts(numbers))
        ours.seconds.append(time.perf_counter() - begun)
        ours.peaks.append(mx.get_peak_memory() - held)
        ours.tokens.append(int(prepared.lengths[numbers].sum()))
        ours.answers.append(int(prepared.answers[numbers].sum()))
        ours.computed.append(sum(batch.tokens.size for batch, _ in task.parts(numbers)) + len(task.shared))

    other = load_language(args.model)
    apply(other.model, lora)
    system, _ = _format(other.tokenizer, other.tokenizer.chat_template)
    lines = [
        {
            "messages": [
                *system,
                {"role": "user", "content": row.request},
                {"role": "assistant", "content": row.answer},
            ]
        }
        for row in rows
    ]
    dataset = CacheDataset(ChatDataset(lines, other.tokenizer, mask_prompt=True))
    held = 0

    def batches(**given: Any) -> Iterator[tuple[mx.array, mx.array]]:
        nonlocal held
        for tokens, lengths in peer.iterate_batches(**given):
            bounds = np.array(lengths)
            theirs.tokens.append(int(bounds[:, 1].sum()))
            theirs.answers.append(int((bounds[:, 1] - bounds[:, 0]).sum()))
            theirs.computed.append(tokens.shape[0] * (tokens.shape[1] - 1))
            held = mx.get_active_memory()
            mx.reset_peak_memory()
            yield tokens, lengths

    class Turn(TrainingCallback):
        """After each of their steps, one of ours."""

        def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
            theirs.peaks.append(mx.get_peak_memory() - held)
            theirs.seconds.append(1 / train_info["iterations_per_second"])
            step()

    settings = peer.TrainingArgs(
        batch_size=args.batch, iters=args.steps, steps_per_report=1, adapter_file=str(args.scratch)
    )
    np.random.seed(0)  # mlx-lm's batches draw from it
    optimizer = optim.AdamW(1e-4)
    peer.train(other.model, optimizer, dataset, args=settings, iterate_batches=batches, training_callback=Turn())
    args.scratch.unlink(missing_ok=True)
    mine, its = ours.figures(WARMUP), theirs.figures(WARMUP)
    return {
        "command": f"python -m benchmarks.bench_language --steps {args.steps} --layers {args.layers} "
        f"--batch {args.batch}",
        "model": language.name,
        "rows": str(args.rows or "synthetic"),
        "tokens_a_row": float(prepared.lengths.mean()),
        "answer_tokens_a_row": float(prepared.answers.mean()),
        "shared_tokens": len(task.shared),
        "rank": args.rank,
        "layers": args.layers,
        "batch": args.batch,
        "steps": args.steps - WARMUP,
        "ours": mine,
        "mlx_lm": its,
        "ratio": mine["tokens_per_second"] / its["tokens_per_second"],
    }


def merge(part: str, figures: dict[str, Any]) -> Path:
    """Write one part of ``results/language.json``; the others stay."""
    file = RESULTS / "language.json"
    there = json.loads(file.read_text()) if file.exists() else {}
    kept = {key: value for key, value in there.items() if key not in ("date", "machine", part)}
    return write_results("language", {**kept, part: figures})


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/mlx-lm-adapters.safetensors"))
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    found = training(args)
    print(json.dumps(found, indent=2))
    if not args.dry:
        merge("training", found)


if __name__ == "__main__":
    main()
