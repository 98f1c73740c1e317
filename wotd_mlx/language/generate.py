"""Words for a request: known ones first, then likely ones; the language model chooses among them, or the encoder."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.interpolate import slerp
from wotd_mlx.codes.metrics import unit
from wotd_mlx.config.generate import METHODS, GenerateConfig
from wotd_mlx.config.language import MAX_WORDS
from wotd_mlx.encoder import NEAREST, SemanticEncoder
from wotd_mlx.find import having
from wotd_mlx.io.files import append_lines, read_text
from wotd_mlx.io.records import shown
from wotd_mlx.known import FILE, KNOWN, LIKELY, PREDICTED, UNKNOWN
from wotd_mlx.language.dsl import ByAttributes, ByPattern, Like, WordRequest, can_write, parse_request
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.language.word_index import Rows, WordIndex
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import MissingError, SemanticID, WotdError
from wotd_mlx.words.normal import normal

if TYPE_CHECKING:
    from wotd_mlx.language.chat import LoadedModel
    from wotd_mlx.language.write import Writer

log = logging.getLogger("wotd_mlx")

NEAR = 200
"""Words that a request without a pattern chooses from: those nearest to what it stands for."""
_POOL = 4
"""Where words are missing, the model chooses among so many of the nearest for each."""
_READINGS, _LONGEST_TYPED = 3, 80
"""Readings that are offered for a request that can't be read, and characters up to which one is looked at."""


class Goal(NamedTuple):
    """What a request asks for: a pattern if it names one, the vector (D,) it stands for, the words that are known to
    fit, and others that fit more likely than not, the likeliest first."""

    pattern: Pattern | None
    target: Embeddings
    rows: Rows
    likely: Rows


class Answer(NamedTuple):
    """A word, its ID, and why it came: it is ``known`` to fit, ``predicted`` to, or among the ``nearest`` to what was
    asked for."""

    word: str
    id: SemanticID
    source: str


class _Choice(NamedTuple):
    """Rows that are given in any case, and first; those that ``n`` more are chosen from, the nearest first; and one
    line about words that don't fit."""

    given: Rows
    among: Rows
    n: int
    note: str


@dataclass(frozen=True)
class Generated:
    """An answer: words with their IDs, milliseconds from request to last word, and what had to be said of it."""

    request: WordRequest
    pattern: Pattern | None
    words: tuple[Answer, ...]
    latency_ms: float
    note: str = ""


def words_wanted(text: str, known: WordIndex) -> WordRequest:
    """Read a request for words: any such of the DSL, or what people type, which asks for five: a pattern, with or
    without brackets, values such as ``style=romantic`` or ``romantic victorian``, or a few words to be like.

    Raises:
        WotdError: another request, or one that can't be read; it names the column, and the three readings nearest to
            it.
    """
    plain = text.strip()
    if re.match(r"[\[(]|[\d*{][\d\s,*{}-]*$", plain):
        return ByPattern(Pattern.parse(text, known.levels))
    if values := _typed_values(plain, known):
        return ByAttributes(values)
    words = tuple(dict.fromkeys(normal(part) for part in plain.split(",")))
    if words and all(word in known.row and can_write(word) for word in words):
        return Like(words)
    try:
        request = parse_request(text, known.levels, known.attributes)
    except WotdError as error:
        if near := _nearest_readings(plain, known):
            raise WotdError(f"{error}; did you mean {', '.join(map(repr, near))}?") from error
        raise
    if isinstance(request, WordRequest):
        return request
    raise WotdError(f"{text!r} doesn't ask for words; expected a pattern, attributes, examples or two IDs")


def _typed_values(text: str, known: WordIndex) -> tuple[tuple[str, str], ...]:
    """``style=Romantic era=victorian``, or values alone where each is of one attribute; none where it is neither."""
    found: dict[str, str] = {}
    for part in filter(None, re.split(r"[\s,]+", normal(text))):
        name, _, value = part.rpartition("=")
        has = [a.name for a in known.attributes if value in map(normal, a.values) and name in ("", normal(a.name))]
        if len(has) != 1 or has[0] in found:
            return ()
        values = next(a.values for a in known.attributes if a.name == has[0])
        found[has[0]] = next(v for v in values if normal(v) == value)
    return tuple(found.items())


def _nearest_readings(text: str, known: WordIndex) -> list[str]:
    """Three requests that are written nearly like ``text``: values and known words; none for one that begins as those
    of the DSL do, whose error says more."""
    if len(text) > _LONGEST_TYPED or re.match(r"[\[<(]|(generate|words|encode|decode)\b", text, re.IGNORECASE):
        return []
    values = [value for attribute in known.attributes for value in attribute.values]
    typed = [part for part in re.split(r"[\s,]+", normal(text)) if part]
    # A request of several values or words may have one of them misspelt.
    parts = [
        part
        if part in known.row or part in values
        else next(iter(get_close_matches(part, [*values, *known.row], 1)), "")
        for part in typed
    ]
    joined = [" ".join(parts) if all(part in values for part in parts) else ", ".join(parts)] if all(parts) else []
    found = dict.fromkeys([*joined, *get_close_matches(normal(text), [*values, *known.row], _READINGS)])
    return list(found)[:_READINGS]


def goal_of(known: WordIndex, request: WordRequest) -> Goal:
    """What the words of an answer should be near to, and which fit.

    Raises:
        WotdError: a pattern or an attribute that this run lacks.
    """
    none = np.zeros(0, np.int64)
    if isinstance(request, ByPattern):
        pattern = request.pattern.checked(known.levels)
        return Goal(pattern, known.target(pattern), known.fitting(pattern), _reading_so(known, pattern))
    if isinstance(request, ByAttributes):
        sure, likely = having(known.known, dict(request.values))
        rows, more = np.flatnonzero(sure), _likeliest_first(known, np.flatnonzero(likely), dict(request.values))
        # A word may be known to have a value that no code reads as.
        if len(rows) and not known.reads_as(request.values):
            return Goal(None, known.centre(rows), rows, more)
        pattern = known.pattern_of(request.values)
        return Goal(pattern, known.centre(rows) if len(rows) else known.target(pattern), rows, more)
    if isinstance(request, Like):
        target = unit(known.embed(request.words).mean(axis=0, keepdims=True))[0]
        return Goal(None, target, known.nearest(target, NEAR + len(request.words)), none)
    ends = [known.known.owner_of(number.checked(known.levels)) for number in (request.a, request.b)]
    # What a word's own ID stands for is the word.
    a, b = (
        unit(known.coder.decode([number]))[0] if row is None else known.known.word_rows.rows(np.array([row]))[0]
        for number, row in zip((request.a, request.b), ends, strict=True)
    )
    target = unit(slerp(a, b, np.array([request.share])))[0]
    return Goal(None, target, known.nearest(target, NEAR), none)


def _reading_so(known: WordIndex, pattern: Pattern) -> Rows:
    """Words that likely have the values that a pattern's codes read as, where it asks for nothing but such codes."""
    table, readings = known.known, known.coder.readings
    if any(field is not None for field in pattern.fields[len(readings) :]):
        return np.zeros(0, np.int64)
    likely, asked = np.ones(len(table), bool), list[str]()
    for a, (attribute, says) in enumerate(zip(known.attributes, readings, strict=True)):
        if (field := pattern.fields[a]) is not None:
            values = [attribute.values.index(value) for value in {says[code] for code in field} - {""}]
            likely &= np.isin(table.likeliest[:, a], values) & (table.probability[:, a] > LIKELY)
            asked.append(attribute.name)
    fits = pattern.matches(known.ids)
    return _likeliest_first(known, np.flatnonzero(likely & ~fits), asked) if asked else np.zeros(0, np.int64)


def _likeliest_first(known: WordIndex, rows: Rows, asked: Collection[str]) -> Rows:
    columns = [a for a, attribute in enumerate(known.attributes) if attribute.name in asked]
    table = known.known
    likelihood = np.where(table.likeliest[rows] == UNKNOWN, 0, table.probability[rows])[:, columns].prod(axis=1)
    return rows[np.argsort(-likelihood, kind="stable")]


class Generator:
    """Finds words for requests with one run, and, where it has one, its language model.

    One request at a time goes through the model: callers from several threads wait for each other.

    Args:
        known: the run's words.
        language: the model, or what loads it when it is first needed; None without one.
        best: the method that did best when the run was trained.
    """

    def __init__(
        self, known: WordIndex, language: LoadedModel | Callable[[], LoadedModel] | None, best: str = "encoder"
    ):
        self.known, self.best = known, best
        self._language = language
        self._lock = threading.RLock()

    @cached_property
    def language(self) -> LoadedModel | None:
        """The run's language model."""
        return self._language() if callable(self._language) else self._language

    @cached_property
    def writer(self) -> Writer:
        """The language model at work.

        Raises:
            WotdError: the run has none.
        """
        from wotd_mlx.language.write import Writer

        if self.language is None:
            where = self.known.coder.run.path
            raise WotdError(f"{where} has no language model; train one, or choose by the encoder")
        return Writer(self.language)

    @cached_property
    def _writable(self) -> NDArray[np.bool_]:
        return np.array([can_write(word) for word in self.known.words])

    def stream(self, request: WordRequest, options: GenerateConfig | None = None) -> Iterator[Answer]:
        """Words and their IDs, each as soon as it is determined.

        Raises:
            WotdError: what :func:`goal_of` refuses, or fewer words than asked for.
        """
        options = options or GenerateConfig()
        goal = goal_of(self.known, request)
        return self._stream(request, goal, self._choice(goal, request, options), options)

    def generate(self, request: WordRequest, options: GenerateConfig | None = None) -> Generated:
        """A whole answer."""
        options = options or GenerateConfig()
        started = time.perf_counter()
        with self._lock:
            goal = goal_of(self.known, request)
            choice = self._choice(goal, request, options)
            words = tuple(self._stream(request, goal, choice, options))
        return Generated(request, goal.pattern, words, 1e3 * (time.perf_counter() - started), choice.note)

    def _choice(self, goal: Goal, request: WordRequest, options: GenerateConfig) -> _Choice:
        """What may be answered, of each family one word: those that fit, where they are too few also those that likely
        do, and then the nearest."""
        known, n, nobody = self.known, request.n, np.zeros(0, np.int64)
        examples = request.words if isinstance(request, Like) else ()
        free = self._free([*options.exclude, *examples])
        taken = [row for word in examples if (row := known.known.row(word)) is not None]

        def distinct(rows: Rows, before: Rows) -> Rows:
            rows = rows[free[rows] & ~np.isin(rows, before)]
            return rows if options.forms else known.known.one_a_family(rows, [*taken, *before.tolist()])

        def nearest(rows: Rows) -> Rows:
            return rows[np.argsort(-known.cosines(goal.target, rows), kind="stable")]

        everything = np.arange(len(known.words))
        if options.any_word:
            return _Choice(nobody, distinct(nearest(everything), nobody), n, "")
        fit = distinct(nearest(goal.rows), nobody)
        if len(fit) >= n:
            return _Choice(nobody, fit, n, "")
        gone = len(goal.rows) - int(free[goal.rows].sum())
        told = f"{len(goal.rows)} known words fit {goal.pattern or 'the request'}"
        told += f", {gone} excluded" if gone else ""
        told += f", {forms} forms of others" if (forms := len(goal.rows) - gone - len(fit)) else ""
        if options.strict:
            offered = known.nearest_pattern(goal.pattern) if goal.pattern and not len(goal.rows) else None
            hint = f"; the nearest ID with words is {offered}" if offered else ""
            raise WotdError(
                f"{told}, {n} were asked for{hint}; ask for fewer, widen the pattern, or leave out --strict"
            )
        likely = distinct(goal.likely, fit)[: n - len(fit)]
        given = np.concatenate([fit, likely])
        missing = n - len(given)
        among = distinct(nearest(everything), given)[: _POOL * missing] if missing else nobody
        if len(among) < missing:
            raise WotdError(f"{len(given) + len(among)} known words are left, {n} were asked for; ask for fewer")
        note = told + (f"; {len(likely)} more are predicted to" if len(likely) else "")
        note += f"; {missing} more are the nearest to it" if missing else ""
        # Of one ID that is what there is to expect.
        if not (goal.pattern and goal.pattern.number):
            log.warning("%s", note)
        return _Choice(given, among, missing, note)

    def _free(self, exclude: Collection[str]) -> NDArray[np.bool_]:
        """Of all known words, those that may be answered (N,)."""
        free = self._writable.copy()
        free[[row for word in exclude if (row := self.known.known.row(word)) is not None]] = False
        return free

    def _stream(self, request: WordRequest, goal: Goal, choice: _Choice, options: GenerateConfig) -> Iterator[Answer]:
        known = self.known

        def told(row: int) -> Answer:
            fits = KNOWN if row in goal.rows else PREDICTED if row in goal.likely else NEAREST
            return Answer(known.words[row], known.known.id_of(row), fits)

        if options.method != "encoder" and choice.n:
            _ = self.writer  # a run without a model says so before it answers
        yield from map(told, choice.given.tolist())
        if not choice.n:
            return
        if options.method == "encoder":
            yield from map(told, choice.among[: choice.n].tolist())
            return
        words = [known.words[row] for row in choice.among]
        wanted = min(choice.n * options.rerank, len(words), MAX_WORDS)
        bias = None
        if options.method == "blend":
            cosines = known.cosines(goal.target, choice.among).tolist()
            bias = {word: options.weight * cosine for word, cosine in zip(words, cosines, strict=True)}
        with self._lock:
            written = self.writer.write(request, words, wanted, options, bias)
            if options.rerank == 1:
                yield from (told(known.row[word]) for word in written)
                return
            rows = np.array([known.row[word] for word in written])
        yield from map(told, known.nearest(goal.target, choice.n, rows).tolist())


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
    files = (folder.model, folder.adapters, folder.language / "adapter_config.json", folder.path / FILE, folder.metrics)
    return _load_generator(folder.path, tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files))


@lru_cache(maxsize=1)
def _load_generator(run: Path, when: tuple[int, ...]) -> Generator:
    known = WordIndex.of(SemanticEncoder.load(run))
    folder = known.coder.run
    if not folder.adapters.exists():
        return Generator(known, None)
    best = folder.read_metrics().get("language", {}).get("best", "blend")
    if best not in METHODS:
        raise WotdError(f"{folder.metrics}: language.best is {shown(best)}, expected one of {', '.join(METHODS)}")
    return Generator(known, lambda: _load_language(known), best)


def _load_language(known: WordIndex) -> LoadedModel:
    from wotd_mlx.language.adapters import check_weights, read_config
    from wotd_mlx.language.models import load_language

    folder, run = known.coder.run, known.coder.run.path
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
    return load_language(trained_on, folder.language, download=False)


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
        return [answer.word for answer in generator.generate(ByPattern(pattern, n), options).words]

    return await asyncio.to_thread(answer)
