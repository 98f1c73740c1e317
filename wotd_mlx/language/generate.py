"""Words for a request: the language model chooses, within what fits, and the encoder's cosine weighs in."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.interpolate import slerp
from wotd_mlx.codes.metrics import unit
from wotd_mlx.config.generate import METHODS, GenerateConfig
from wotd_mlx.config.language import MAX_WORDS
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.io.files import append_lines, read_text
from wotd_mlx.io.records import shown
from wotd_mlx.language.adapters import CONFIG, check_weights, read_config
from wotd_mlx.language.chat import LoadedModel, end_token
from wotd_mlx.language.constrain import AnswerGrammar
from wotd_mlx.language.decode import PromptCache, decode, decode_together
from wotd_mlx.language.dsl import ByAttributes, ByPattern, Like, WordRequest, can_write, parse_request
from wotd_mlx.language.head import Head
from wotd_mlx.language.models import load_language
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.language.trie import word_tries
from wotd_mlx.language.word_index import Rows, WordIndex
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import MissingError, SemanticID, WotdError
from wotd_mlx.words.normal import normal

log = logging.getLogger("wotd_mlx")

NEAR = 200
"""Words that a request without a pattern chooses from: those nearest to what it stands for."""


class Goal(NamedTuple):
    """What a request asks for: a pattern if it names one, the vector (D,) it stands for, the words to choose from."""

    pattern: Pattern | None
    target: Embeddings
    rows: Rows


@dataclass(frozen=True)
class Generated:
    """An answer: words with their IDs, milliseconds from request to last word, and what had to be said of it."""

    request: WordRequest
    pattern: Pattern | None
    words: tuple[tuple[str, SemanticID], ...]
    latency_ms: float
    note: str = ""


def words_wanted(text: str, known: WordIndex) -> WordRequest:
    """Read a request for words: any such of the DSL, or a bare pattern, which asks for five.

    Raises:
        WotdError: another request, or one that can't be read; it names the column.
    """
    if text.lstrip().startswith("["):
        return ByPattern(Pattern.parse(text, known.levels))
    request = parse_request(text, known.levels, known.attributes)
    if isinstance(request, WordRequest):
        return request
    raise WotdError(f"{text!r} doesn't ask for words; expected a pattern, attributes, examples or two IDs")


def goal_of(known: WordIndex, request: WordRequest) -> Goal:
    """What the words of an answer should be near to, and which may be.

    Raises:
        WotdError: a pattern or an attribute that this run lacks.
    """
    if isinstance(request, ByPattern | ByAttributes):
        given = request.pattern if isinstance(request, ByPattern) else known.pattern_of(request.values)
        pattern = given.checked(known.levels)
        return Goal(pattern, known.target(pattern), known.fitting(pattern))
    if isinstance(request, Like):
        target = unit(known.embed(request.words).mean(axis=0, keepdims=True))[0]
        return Goal(None, target, known.nearest(target, NEAR + len(request.words)))
    ends = unit(known.coder.decode([request.a.checked(known.levels), request.b.checked(known.levels)]))
    target = unit(slerp(ends[0], ends[1], np.array([request.share])))[0]
    return Goal(None, target, known.nearest(target, NEAR))


class Generator:
    """Writes words for requests with one model and one run; a prompt's beginning is read once and kept.

    One request at a time: callers from several threads wait for each other.
    """

    def __init__(self, known: WordIndex, language: LoadedModel | None, best: str = "encoder"):
        self.known, self.language, self.best = known, language, best
        self._lock = threading.RLock()
        self._writable = np.array([can_write(word) for word in known.words])
        if language is not None:
            self.head = Head(language.model)
            self.cache = PromptCache(self.head)

    def stream(self, request: WordRequest, options: GenerateConfig | None = None) -> Iterator[tuple[str, SemanticID]]:
        """Words and their IDs, each as soon as it is determined.

        Raises:
            WotdError: what :func:`goal_of` refuses, or fewer words than asked for.
        """
        options = options or GenerateConfig()
        goal, _ = self._widened(goal_of(self.known, request), request, options)
        return self._stream(request, goal, options)

    def generate(self, request: WordRequest, options: GenerateConfig | None = None) -> Generated:
        """A whole answer."""
        options = options or GenerateConfig()
        started = time.perf_counter()
        with self._lock:
            goal, note = self._widened(goal_of(self.known, request), request, options)
            words = tuple(self._stream(request, goal, options))
        return Generated(request, goal.pattern, words, 1e3 * (time.perf_counter() - started), note)

    def _widened(self, goal: Goal, request: WordRequest, options: GenerateConfig) -> tuple[Goal, str]:
        """The goal with words enough, and one line about those that don't fit."""
        known, n = self.known, request.n
        free = self._free([*options.exclude, *(request.words if isinstance(request, Like) else ())])
        if options.any_word:
            return goal._replace(rows=np.flatnonzero(free)), ""
        rows = goal.rows[free[goal.rows]]
        if len(rows) >= n:
            return goal._replace(rows=rows), ""
        excluded = len(goal.rows) - len(rows)
        fit = f"{len(goal.rows)} known words fit {goal.pattern or 'the request'}"
        fit += f", {excluded} excluded" if excluded else ""
        if options.strict:
            nearest = known.nearest_pattern(goal.pattern) if goal.pattern else None
            hint = f"; the nearest ID with words is {nearest}" if nearest and not len(goal.rows) else ""
            raise WotdError(f"{fit}, {n} were asked for{hint}; ask for fewer, widen the pattern, or leave out --strict")
        # All that fit and as many of the nearest as are missing: which of those is then the encoder's choice.
        free[rows] = False
        added = known.nearest(goal.target, n - len(rows), np.flatnonzero(free))
        if len(rows) + len(added) < n:
            raise WotdError(f"{len(rows) + len(added)} known words are left, {n} were asked for; ask for fewer")
        note = f"{fit}; {len(added)} more are the nearest to it"
        log.warning("%s", note)
        return goal._replace(rows=np.concatenate([rows, added])), note

    def _free(self, exclude: Collection[str]) -> NDArray[np.bool_]:
        """Of all known words, those that may be answered (N,)."""
        free = self._writable.copy()
        rows = (self.known.row.get(normal(word)) for word in exclude)
        free[[row for row in rows if row is not None]] = False
        return free

    def _stream(self, request: WordRequest, goal: Goal, options: GenerateConfig) -> Iterator[tuple[str, SemanticID]]:
        known, n = self.known, request.n
        if options.method == "encoder":
            yield from (self._named(row) for row in known.nearest(goal.target, n, goal.rows))
            return
        if self.language is None:
            raise WotdError(f"{known.coder.run.path} has no language model; train one, or choose by the encoder")
        wanted = min(n * options.rerank, len(goal.rows), MAX_WORDS)
        words = [known.words[row] for row in goal.rows]
        bias = self.biases(goal, options)
        tokenizer = self.language.tokenizer
        grammar = AnswerGrammar(word_tries(tokenizer, words), wanted, end_token(tokenizer))
        prompt = self.language.prompt(str(replace(request, n=wanted)))
        key = None if options.seed is None else mx.random.key(options.seed)
        with self._lock:
            write = decode if options.sequential else decode_together
            written = write(
                self.head, prompt, grammar, cache=self.cache, temperature=options.temperature, key=key, bias=bias
            )
            if options.rerank == 1:
                yield from (self._named(known.row[word]) for word in written)
                return
            rows = np.array([known.row[word] for word in written])
        yield from (self._named(row) for row in known.nearest(goal.target, n, rows))

    def biases(self, goal: Goal, options: GenerateConfig) -> dict[str, float] | None:
        """The log-bias of each word in a blend: the weighted cosine to what the request stands for."""
        if options.method != "blend":
            return None
        cosines = self.known.vectors[goal.rows] @ goal.target
        return {self.known.words[row]: options.weight * float(c) for row, c in zip(goal.rows, cosines, strict=True)}

    def _named(self, row: int) -> tuple[str, SemanticID]:
        return self.known.words[row], SemanticID(self.known.ids[row])


def read_excluded(path: Path) -> tuple[str, ...]:
    """Words not to come again, a line each, in their normal form; none where the file isn't there yet.

    Raises:
        WotdError: it can't be read, is no plain file, or isn't UTF-8.
    """
    try:
        text = read_text(path, "give a file with a word a line")
    except MissingError:
        return ()
    return tuple(word for line in text.splitlines() if (word := normal(line)))


def append_excluded(path: Path, words: Sequence[str]) -> None:
    """Add words that were given, a line each, behind those in the file and whatever others add to it.

    Raises:
        WotdError: it can't be written.
    """
    append_lines(path, "".join(f"{word}\n" for word in words).encode())


def load_generator(run: str | Path = "runs/default") -> Generator:
    """The generator of a finished run, with the model and adapters that its language stage trained; kept for the next
    caller, until the run is trained anew.

    Raises:
        MissingError: no such run, or a model that isn't on this machine: no hub is asked for what a run names.
        WotdError: a damaged file, or adapters of other codes than the run's.
    """
    folder = RunFolder(run)
    files = (folder.model, folder.adapters, folder.language / CONFIG, folder.metrics)
    return _load_generator(folder.path, tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files))


@lru_cache(maxsize=1)
def _load_generator(run: Path, when: tuple[int, ...]) -> Generator:
    known = WordIndex.of(SemanticEncoder.load(run))
    folder = known.coder.run
    if not folder.adapters.exists():
        return Generator(known, None)
    config = read_config(folder.language)
    check_weights(folder.language, config)
    if config.wotd and config.wotd.codes != known.codes:
        raise WotdError(
            f"{folder.adapters} was trained for other codes than the run's; train it anew with `wotd-mlx language "
            f"train --run {run} --fresh`"
        )
    if config.wotd and not config.wotd.finished:
        log.warning("%s isn't trained to its end; go on with `wotd-mlx language train --run %s`", folder.adapters, run)
    trained_on = config.wotd.model if config.wotd else known.coder.config.language.model
    best = folder.read_metrics().get("language", {}).get("best", "blend")
    if best not in METHODS:
        raise WotdError(f"{folder.metrics}: language.best is {shown(best)}, expected one of {', '.join(METHODS)}")
    return Generator(known, load_language(trained_on, folder.language, download=False), best)


async def generate_words_from_id(
    number: Sequence[int], n: int = 5, run: str | Path = "runs/default", options: GenerateConfig | None = None
) -> list[str]:
    """Words for a semantic ID, without blocking the event loop; the model stays loaded for the next call.

    >>> words = await generate_words_from_id((2, 1, 3, 0))

    Raises:
        WotdError: an ID that is none of the run's, or a run without a language model.
    """

    def answer() -> list[str]:
        generator = load_generator(run)
        pattern = Pattern.of(SemanticID(number).checked(generator.known.levels))
        return [word for word, _ in generator.generate(ByPattern(pattern, n), options).words]

    return await asyncio.to_thread(answer)
