"""What runs on Metal and CUDA, computed on the CPU: each stage takes the GPU's path, and agrees with the CPU's."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_map

from converters.coreml.executor import Executor
from tests.language.conftest import write_folder
from tests.language.test_models import TOKENS, quantised_folder
from tests.language.training.conftest import RECIPE, made, write_rows
from tests.lvm.test_training import data, settings
from tests.tolerances import close
from wotd_mlx.config.generate import GenerateConfig
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export import targets
from wotd_mlx.export.bundle import ExportConfig, export
from wotd_mlx.kernels.choice import taking
from wotd_mlx.language.generate import Generator, words_wanted
from wotd_mlx.language.models import load_language
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.lvm import NAMES, build, preset
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.lvm.training import train as training
from wotd_mlx.lvm.training.task import computing_type
from wotd_mlx.schemas import RunInfo, SemanticID

__all__ = ["data"]  # a fixture

T = TypeVar("T")


def on_both(compute: Callable[[], T]) -> tuple[T, T]:
    """What the GPU's path gives, and the CPU's."""
    with taking("gpu"):
        got = compute()
    with taking("cpu"):
        return got, compute()


def some_texts() -> list[str]:
    """Of 1 to 40 letters, each a token."""
    rng = random.Random(0)
    return ["".join(rng.choices(string.ascii_lowercase, k=length)) for length in (1, 5, 6, 7, 14, 15, 33, 40, 3)]


def test_texts_are_padded_to_few_lengths_and_embedded_alike(checkpoint: Path) -> None:
    texts = some_texts()
    got, want = on_both(lambda: BertEmbedder(str(checkpoint)))
    lengths: list[tuple[int, ...]] = []
    group = got._group

    def seen(encoded: Any) -> Any:
        found = group(encoded)
        lengths.append(tuple(found.ids.shape))
        return found

    got._group = seen
    with taking("gpu"):
        vectors = got.embed(texts)
    # Letters and the two marks around them, up to a multiple of 8; texts of one length together.
    assert sorted(lengths) == [(1, 24), (1, 40), (1, 48), (2, 16), (4, 8)]
    close(vectors, want.embed(texts), "embedding")


def test_ids_are_the_same(finished: RunInfo) -> None:
    words = ["serendipity", "calm", "thou", "a longer text"]
    got, want = on_both(lambda: SemanticEncoder.load(finished.run).encode(words))
    assert got == want


@pytest.mark.parametrize("name", NAMES)
def test_predictors_and_their_gradients_agree(name: str) -> None:
    mx.random.seed(0)
    model = build(name, preset(name, "tiny", dims=8, dropout=0.0))
    # What begins at zero would hide what stands before it.
    model.update(tree_map(lambda w: w + 0.02 * mx.random.normal(w.shape), model.trainable_parameters()))
    x, weight = (mx.random.normal((2, 5, 8)) for _ in range(2))
    mx.eval(model.parameters(), x, weight)

    def loss(x: mx.array) -> tuple[mx.array, mx.array]:
        y = model(x)[0]
        return (y * weight).sum(), y

    (got, slope), (want, their_slope) = on_both(lambda: (loss(x)[1], mx.grad(lambda x: loss(x)[0])(x)))
    close(got, want, "reference")
    close(slope / mx.abs(their_slope).max(), their_slope / mx.abs(their_slope).max(), "path_gradient")


def test_a_predictor_trains_in_bfloat16(tmp_path: Path, data: Any) -> None:
    recipe = Recipe(context=6, epochs=1, batch=8, learning_rate=3e-3)
    sentences, vectors = data
    few = 12
    starts = sentences.starts[: few + 1]
    some = Sentences(sentences.texts[: starts[-1]], starts, sentences.titles[:few], sentences.topics[:few])

    def history(folder: Path) -> list[float]:
        (epoch,) = training.train(settings(recipe), some, vectors[: starts[-1]], folder, 8 << 30)
        return [epoch.train_loss, epoch.train_cosine, epoch.valid_loss, epoch.valid_cosine]

    with taking("gpu"):
        assert computing_type(recipe) == mx.bfloat16
        got = history(tmp_path / "gpu")
    with taking("cpu"):
        assert computing_type(recipe) == mx.float32
        want = history(tmp_path / "cpu")
    assert got != want
    close(got, want, "bfloat16")


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a language model in 4 bits and float16."""
    folder = write_folder(tmp_path_factory.mktemp("quantised"))
    quantised_folder(folder)
    return folder


def test_a_language_model_stays_in_four_bits(quantised: Path) -> None:
    got, want = on_both(lambda: load_language(str(quantised)).model)
    assert isinstance(got.layers[0].mlp.gate_proj, nn.QuantizedLinear)
    assert isinstance(want.layers[0].mlp.gate_proj, nn.Linear)
    with taking("gpu"):
        close(got(TOKENS).astype(mx.float32), want(TOKENS), "half_logits")


def test_adapters_are_trained_on_four_bits(quantised: Path, tmp_path: Path) -> None:
    write_rows(tmp_path)
    recipe = replace(RECIPE, batch=2, valid_rows=2)

    def step() -> tuple[list[float], dict[str, Any]]:
        trainer = made(load_language(str(quantised)), tmp_path, recipe)
        numbers = trainer.task.numbers(0)
        gradients = dict(tree_flatten(trainer.gradients(numbers)[1]))
        loss = trainer.step.take(trainer.task.parts(numbers), 1e-2, 0)[0]
        return [loss, trainer.validate()], gradients

    (losses, gradients), (their_losses, their_gradients) = on_both(step)
    close(losses, their_losses, "half_step")
    largest = max(float(mx.abs(g).max()) for g in their_gradients.values())
    for name, want in their_gradients.items():
        close(gradients[name].astype(mx.float32) / largest, want / largest, "half_step")


def test_generation_finds_the_same_words(finished: RunInfo, quantised: Path) -> None:
    known = WordIndex.of(SemanticEncoder.load(finished.run))
    request = words_wanted(str(SemanticID(known.ids[0])), known)

    def words() -> list[Any]:
        generator = Generator(known, load_language(str(quantised)))
        options = GenerateConfig("blend", weight=1e5, temperature=0.0)
        return [generator.generate(request, replace(options, sequential=s)).words for s in (False, True)]

    got, want = on_both(words)
    assert got == want


def test_an_export_is_the_same_on_both(finished: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "CHECKED", 20)
    coder = SemanticEncoder.load(finished.run)
    for path in ("gpu", "cpu"):
        with taking(path):
            export(coder, "text-encoder", tmp_path / path, ExportConfig("float32", length=16))
    packages = [Executor(tmp_path / path / "TextEncoder.mlpackage").op_counts() for path in ("gpu", "cpu")]
    assert packages[0] == packages[1]
    assert "gelu" in packages[0]
