"""The language stage of a run: dataset, adapters, what they are worth; each part kept whole before the next begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from wotd_mlx.config.generate import GenerateConfig
from wotd_mlx.config.language import LanguageConfig
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.dataset import SPLITS, build_dataset
from wotd_mlx.language.dsl import DEFAULT_COUNT, SEPARATOR, Request, WordRequest
from wotd_mlx.language.evaluate import (
    Asked,
    adherence,
    correct,
    free_answers,
    perplexity,
    random_words,
    read_asked,
    relevance,
)
from wotd_mlx.language.generate import Generator, Goal, goal_of
from wotd_mlx.language.head import Head
from wotd_mlx.language.models import load_language
from wotd_mlx.language.rows import read_glosses, write_exchanges
from wotd_mlx.language.training.train import train_language
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.progress import Advance, progress
from wotd_mlx.words.normal import normal

log = logging.getLogger("wotd_mlx")

ENOUGH = 0.95
"""Of the nearest words' cosine that a blend must reach to be the default."""
SAMPLES = 6
"""Answers that are shown at the end of a training."""


class DSLTrainer:
    """Makes a run's language model: dataset, adapters, figures.

    >>> trainer = DSLTrainer(WordIndex.of(SemanticEncoder.load("runs/default")), LanguageConfig())
    >>> trainer.make_dataset()
    >>> language = trainer.train()
    >>> trainer.evaluate(language, requests=100)

    Args:
        known: the run's words.
        config: the language model, its dataset and its training.
    """

    def __init__(self, known: WordIndex, config: LanguageConfig):
        self.known, self.config = known, config
        self.folder = known.coder.run.language

    def make_dataset(self) -> None:
        """Write ``train.jsonl``, ``valid.jsonl`` and ``test.jsonl`` of the run's words; the same each time."""
        known, coder = self.known, self.known.coder
        own = {normal(text) for text in coder.own_ids}
        zipf = {normal(word.text): word.zipf for word in reversed(coder.words[0]) if word.zipf is not None}
        made = build_dataset(
            known.words,
            known.ids,
            known.vectors,
            coder.decode,
            self.config.dataset,
            levels=known.levels,
            attributes=known.attributes,
            readings=coder.readings,
            own=np.array([word in own for word in known.words]),
            zipf=np.array([zipf.get(word, np.nan) for word in known.words]),
            glosses=read_glosses(self.config.glosses) if self.config.glosses else None,
        )
        write_exchanges(self.folder, {split: getattr(made, split) for split in SPLITS})

    def train(self, fresh: bool = False, *, download: bool = True) -> LoadedModel:
        """The language with adapters for the dataset, trained, or gone on with.

        Args:
            fresh: start over, whatever the run's folder holds.
            download: the hub may be asked for the model: only for one that the user named.

        Raises:
            WotdError: what :func:`~wotd_mlx.language.training.train.train_language` refuses, or no such model.
        """
        language = load_language(self.config.model, download=download)
        lines = train_language(self.folder, language, self.config.recipe, fresh=fresh, codes=self.known.codes)
        while True:
            try:
                log.debug("%s", next(lines))
            except StopIteration as end:
                trained: LoadedModel = end.value
                return trained

    def evaluate(self, language: LoadedModel, requests: int) -> dict[str, Any]:
        """What :func:`evaluate` finds."""
        return evaluate(self.known, language, requests)


def evaluate(known: WordIndex, language: LoadedModel, requests: int) -> dict[str, Any]:
    """The figures of ``metrics.json["language"]``, from the rows of the run's dataset that training never saw.

    ``perplexity`` is that of what a request determines (separators, ends, patterns); words, IDs and all tokens stand
    beside it, and the untuned model's under the same names with ``_base``. ``choosers`` has what each way to choose
    words gives, for IDs that training saw and for held-out ones. ``best`` is the blend, which varies its answers, as
    long as it comes about as near to what was asked for as the nearest words do, else the encoder, which takes those.

    Args:
        requests: how many are answered for each figure of form and meaning, half of them about held-out IDs; perplexity
            takes three times as many rows.
    """
    asked = read_asked(known.coder.run.language / "test.jsonl", known)
    generator = Generator(known, language)
    some = _half_held_out(asked, requests)
    wanted = [one for one in some if isinstance(one.request, WordRequest)]
    with progress("language evaluation", len(some) + 3 * len(wanted)) as advance:
        rows = _half_held_out(asked, 3 * requests)
        found: dict[str, Any] = {"model": language.name, "rows": len(rows), "requests": len(some)}
        found |= _perplexities(generator, rows)
        free = free_answers(language, [one.request for one in some], advance=advance)
        found["format_adherence"] = adherence(known, some, free)
        found["correct_free"] = float(
            np.mean([correct(known, one.request, t) for one, t in zip(some, free, strict=True)])
        )
        choosers, constrained, took = _choosers(generator, wanted, dict(zip(map(id, some), free, strict=True)), advance)
        held = [correct(known, one.request, text) for one, text in zip(wanted, constrained, strict=True)]
        found["format_adherence_constrained"] = float(np.mean(held))
    near = {way: np.mean([figures[way]["cosine"] for figures in choosers.values()]) for way in ("blend", "encoder")}
    best = "blend" if near["blend"] >= ENOUGH * near["encoder"] else "encoder"
    fits = [figures[best]["fits"] for figures in choosers.values() if figures[best]["fits"] is not None]
    found["semantic_consistency"] = float(np.mean(fits))
    shown = wanted[:: max(1, len(wanted) // SAMPLES)][:SAMPLES]
    samples = [_sample(generator, one.request, GenerateConfig(best, seed=0)) for one in shown]
    found |= {"latency_ms_p50": took, "best": best, "choosers": choosers, "samples": samples}
    return found


def _sample(generator: Generator, request: Request, options: GenerateConfig) -> dict[str, Any]:
    assert isinstance(request, WordRequest)
    return {"request": str(request), "words": [answer.word for answer in generator.generate(request, options).words]}


def _half_held_out(asked: Sequence[Asked], n: int) -> list[Asked]:
    """The first rows about seen and about held-out IDs, as many of each; their order is random already."""
    return [one for held in (False, True) for one in [one for one in asked if one.held_out == held][: n // 2]]


def _perplexities(generator: Generator, asked: Sequence[Asked]) -> dict[str, float]:
    """Perplexities of the tuned model and of the untuned one."""
    language = generator.language
    assert language is not None
    base = load_language(language.name, download=False)
    out = {}
    for suffix, one, head in (("", language, generator.writer.head), ("_base", base, Head(base.model))):
        for kind, value in perplexity(head, one, asked).items():
            out["perplexity" + ("" if kind == "structure" else f"_{kind}") + suffix] = value
    return out


def _choosers(
    generator: Generator, wanted: Sequence[Asked], free: dict[int, str], advance: Advance
) -> tuple[dict[str, Any], list[str], float]:
    """Relevance by IDs (seen, held out) and way of choosing; the answers under the grammar; median milliseconds."""
    known = generator.known
    ways = {
        "model, any word": GenerateConfig("model", any_word=True),
        "model": GenerateConfig("model"),
        "blend": GenerateConfig("blend"),
        "encoder": GenerateConfig("encoder"),
    }
    random, rng = {"random, fitting": True, "random": False}, np.random.default_rng(0)
    constrained, took, out = list[str](), list[float](), dict[str, Any]()
    for part, held in (("seen", False), ("held_out", True)):
        rows = [one for one in wanted if one.held_out == held]
        answers: dict[str, list[Sequence[str]]] = {name: [] for name in ("model, free text", *ways, *random)}
        goals = list[Goal]()
        for seed, one in enumerate(rows):
            request = one.request
            assert isinstance(request, WordRequest)
            goals.append(goal_of(known, request))
            answers["model, free text"].append([word for word in map(str.strip, free[id(one)].split(",")) if word])
            for name, options in ways.items():
                made = generator.generate(request, replace(options, seed=seed))
                answers[name].append([answer.word for answer in made.words])
                if name == "blend" and request.n == DEFAULT_COUNT:
                    took.append(made.latency_ms)
                if name == "model, any word":
                    constrained.append(SEPARATOR.join(answers[name][-1]))
                advance(name != "encoder")
            for name, fitting in random.items():
                answers[name].append(random_words(known, goals[-1], request.n, rng, fitting))
        out[part] = {name: asdict(relevance(known, goals, found)) for name, found in answers.items()}
    return out, constrained, float(np.median(took)) if took else float("nan")
