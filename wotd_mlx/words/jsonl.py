"""Words as JSON lines: one object a line, only ``word`` is required."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wotd_mlx.files import write_atomically
from wotd_mlx.schemas import Corpus, Word, WotdError

log = logging.getLogger("wotd_mlx")

KEYS = ("word", "labels", "corpus", "source", "cefr", "zipf", "evidence")


def read_jsonl(path: str | Path) -> Corpus:
    """Read a corpus named after its file. A word that comes again is dropped, and one log line counts these.

    Raises:
        WotdError: no such file, nothing in it, or a line that isn't a word; it names file and line.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WotdError(f"{path} can't be read ({error.strerror}); give a .jsonl file of words") from error
    words: dict[str, Word] = {}
    rows = 0
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            rows += 1
            word = _word(_row(line, f"{path}:{number}"), f"{path}:{number}")
            words.setdefault(word.text, word)
    if not words:
        raise WotdError(f'{path} holds no words; write one JSON object a line, such as {{"word": "felicity"}}')
    if rows > len(words):
        log.warning("%s: %d repeated words dropped; the first of each counts", path, rows - len(words))
    return Corpus(path.stem, tuple(words.values()))


def write_jsonl(path: str | Path, words: Iterable[Word]) -> None:
    """Write words, a line each; empty fields are left out.

    Raises:
        WotdError: a field can't be written as JSON in UTF-8; it names the word.
    """
    lines = []
    for word in words:
        row = {
            "word": word.text,
            "labels": dict(word.labels),
            "corpus": word.corpus,
            "source": word.source,
            "cefr": word.cefr,
            "zipf": word.zipf,
            "evidence": dict(word.evidence),
        }
        kept = {key: value for key, value in row.items() if key == "word" or value not in (None, "", {})}
        try:
            lines.append(json.dumps(kept, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        except (TypeError, ValueError) as error:
            raise WotdError(f"the word {word.text!r} can't be written as JSON ({error}); mend its fields") from error
    write_atomically(Path(path), b"".join(lines))


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WotdError(f"{where}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise WotdError(f"{where}: not JSON ({error}); write one JSON object a line") from error
    if not isinstance(row, dict):
        raise WotdError(f'{where}: got {type(row).__name__}, expected an object such as {{"word": "felicity"}}')
    if unknown := sorted(row.keys() - set(KEYS)):
        raise WotdError(f"{where}: unknown keys {unknown}; known keys are {list(KEYS)}. Fix or remove them.")
    return row


def _word(row: dict[str, Any], where: str) -> Word:
    text = row.get("word")
    if not isinstance(text, str) or not text.strip():
        raise WotdError(f"{where}: 'word' is {text!r}; expected a text that isn't empty")
    labels = row.get("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(v, str) and v for v in labels.values()):
        raise WotdError(f"{where}: 'labels' is {labels!r}; expected an object of attribute → value, both texts")
    for key in ("corpus", "source", "cefr"):
        if not isinstance(row.get(key) or "", str):
            raise WotdError(f"{where}: {key!r} is {row[key]!r}; expected a text")
    zipf = row.get("zipf")
    if zipf is not None and (isinstance(zipf, bool) or not isinstance(zipf, int | float) or not math.isfinite(zipf)):
        raise WotdError(f"{where}: 'zipf' is {zipf!r}; expected a number")
    evidence = row.get("evidence") or {}
    if not isinstance(evidence, dict):
        raise WotdError(f"{where}: 'evidence' is {evidence!r}; expected an object")
    texts = (text, *labels, *labels.values(), *(row.get(key) or "" for key in ("corpus", "source", "cefr")))
    if any("\ud800" <= letter <= "\udfff" for value in texts for letter in value):
        raise WotdError(f"{where}: half of a surrogate pair in {text!r}; write whole characters")
    corpus, source = row.get("corpus") or "", row.get("source") or ""
    return Word(text, labels, corpus, source, row.get("cefr") or None, zipf if zipf is None else float(zipf), evidence)
