"""Whether the language model earns its place: perplexity, form, meaning and time, beside doing without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.config.generate import GenerateConfig
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.dsl import Define, Request, Use, WordRequest, can_write, parse_answer, parse_request
from wotd_mlx.language.generate import Goal
from wotd_mlx.language.head import Head
from wotd_mlx.language.rows import Exchange, exchanges_of
from wotd_mlx.language.training.batches import prepare
from wotd_mlx.language.trie import decode_each
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.schemas import WotdError

KINDS = ("structure", "words", "codes", "text")
"""What a token of an answer belongs to: what the request alone determines, words, the ID of a word, a definition."""
_NO_LIMIT = 1 << 20
_MAX_TOKENS = 96
"""An answer of ten words has some fifty; one that goes on longer has lost its form."""


@dataclass(frozen=True)
class Asked:
    """A row of test.jsonl: a request, and whether its words' IDs were held out of training."""

    request: Request
    answer: str
    held_out: bool


def read_asked(path: Path, known: WordIndex) -> list[Asked]:
    """The rows of a dataset's file.

    Raises:
        WotdError: a line that is no row of a dataset; file and line are named.
    """
    found = []
    for where, row in exchanges_of(path):
        try:
            request = parse_request(row.request, known.levels, known.attributes)
        except WotdError as error:
            raise WotdError(f"{where}: no row of this run's dataset ({error}); make it anew") from error
        found.append(Asked(request, row.answer, row.held_out))
    return found


def token_kinds(request: Request, texts: Sequence[str]) -> list[str]:
    """What each token of an answer belongs to, from its tokens' texts; the last one is the end.

    Separators, brackets and the end are structure, and so is all of a pattern: it follows from the request.
    """
    if isinstance(request, Define | Use):
        return ["text"] * (len(texts) - 1) + ["structure"]
    inner = "codes" if request.kind == "encode" else "structure" if request.kind == "pattern_of" else "words"
    return [inner if any(c.isalnum() for c in text) else "structure" for text in texts[:-1]] + ["structure"]


def perplexity(head: Head, language: LoadedModel, asked: Sequence[Asked], batch: int = 16) -> dict[str, float]:
    r"""exp of the mean negative log-likelihood a token of the answers, over all tokens and for each of :data:`KINDS`.

    .. math:: \exp\Bigl(-\frac{1}{|A|} \sum_{t \in A} \log p(a_t | \text{request}, a_{<t})\Bigr)
    """
    exchanges = [Exchange(str(one.request), one.answer) for one in asked]
    rows = prepare(exchanges, language.tokenizer, _NO_LIMIT)
    sums, counts = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    for chosen in rows.in_turn(batch):
        found = rows.batch(chosen)
        hidden = head.hidden(found.tokens)
        logits = head.logits(hidden.reshape(-1, hidden.shape[-1])[found.positions]).astype(mx.float32)
        losses = np.asarray(nn.losses.cross_entropy(logits, found.targets))
        at = 0
        for number in chosen:
            tokens = rows.tokens[number][rows.starts[number] :].tolist()
            texts = decode_each(language.tokenizer, tokens)
            for kind, loss in zip(
                token_kinds(asked[number].request, texts), losses[at : at + len(tokens)], strict=True
            ):
                sums[kind] += float(loss)
                counts[kind] += 1
            at += len(tokens)
    whole = {"all": float(np.exp(sum(sums.values()) / sum(counts.values())))}
    return whole | {kind: float(np.exp(sums[kind] / counts[kind])) for kind in KINDS if counts[kind]}


def free_answers(
    language: LoadedModel, requests: Sequence[Request], batch: int = 16, advance: Callable[[int], None] = lambda n: None
) -> list[str]:
    """What the model writes without any grammar, drawn at the usual temperature by mlx-lm's own batches."""
    from mlx_lm import batch_generate
    from mlx_lm.sample_utils import make_sampler

    mx.random.seed(0)
    sampler = make_sampler(GenerateConfig().temperature)
    texts: list[str] = []
    for start in range(0, len(requests), batch):
        prompts = [language.prompt(str(request)) for request in requests[start : start + batch]]
        response = batch_generate(
            language.model,
            language.tokenizer,
            prompts,
            max_tokens=_MAX_TOKENS,
            sampler=sampler,
        )
        texts += [text.strip() for text in response.texts]
        advance(len(prompts))
    return texts


def adherence(known: WordIndex, asked: Sequence[Asked], answers: Sequence[str]) -> float:
    """The share of answers in the form that was asked for: as many words, whatever they are, an ID or a pattern in
    range."""
    return float(np.mean([_well_formed(known, one.request, text) for one, text in zip(asked, answers, strict=True)]))


def _well_formed(known: WordIndex, request: Request, text: str) -> bool:
    if isinstance(request, WordRequest):
        words = [word.strip() for word in text.split(",")]
        return len(words) == request.n and all(map(can_write, words))
    return correct(known, request, text)


def correct(known: WordIndex, request: Request, text: str) -> bool:
    """Whether a text is an answer to a request: in its form, and its words all different."""
    try:
        parse_answer(request, text, known.levels)
    except WotdError:
        return False
    return True


@dataclass(frozen=True)
class Relevance:
    """How well words go with what was asked for: means over requests.

    Args:
        fits: share of the words whose own ID fits the pattern (consistency), of requests with one.
        cosine: of a word's vector to what the request stands for.
        known: share of the words that the run knows.
        different: share of all answers' words that are different ones.
    """

    fits: float | None
    cosine: float | None
    known: float | None
    different: float


def relevance(known: WordIndex, goals: Sequence[Goal], answers: Sequence[Sequence[str]]) -> Relevance:
    """The figures of some answers; a word that isn't known fits nothing, and counts 0 as cosine."""
    fits, cosines, there, words = [], [], [], []
    for goal, answer in zip(goals, answers, strict=True):
        rows = [known.row.get(word) for word in answer]
        words += list(answer)
        there += [row is not None for row in rows]
        cosines += [0.0 if row is None else float(known.vectors[row] @ goal.target) for row in rows]
        if goal.pattern is not None:
            fits += [row is not None and goal.pattern.fits(known.ids[row]) for row in rows]
    return Relevance(_mean(fits), _mean(cosines), _mean(there), len(set(words)) / max(len(words), 1))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def random_words(known: WordIndex, goal: Goal, n: int, rng: np.random.Generator, fitting: bool) -> list[str]:
    """``n`` different words of the run, all as likely; of those that fit, where they are enough."""
    rows = goal.rows if fitting and len(goal.rows) >= n else np.arange(len(known.words))
    return [known.words[row] for row in rng.choice(rows, n, replace=False)]
