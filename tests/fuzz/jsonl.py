"""JSON lines: words of a corpus, rows of a dataset, definitions, a dictionary; and a run's own JSON, of any form."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import damaged, number, text
from wotd_mlx.config import TrainingConfig
from wotd_mlx.io.json import parse_json
from wotd_mlx.io.records import checked
from wotd_mlx.language.rows import read_exchanges, read_glosses
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary import Dictionary
from wotd_mlx.words.dictionary.entries import Source
from wotd_mlx.words.dictionary.own import Own
from wotd_mlx.words.jsonl import read_jsonl, write_jsonl

documented = (WotdError,)
quick = 1500

ROWS: dict[str, dict[str, Any]] = {
    "words": {
        "word": "joy",
        "labels": {"style": "modern", "era": "victorian"},
        "corpus": "c",
        "source": "s",
        "cefr": "A1",
        "zipf": 4.5,
        "evidence": {"count": 3},
    },
    "exchanges": {
        "messages": [{"role": "user", "content": "[1,2,3,*]"}, {"role": "assistant", "content": "joy, grief"}],
        "kind": "by_pattern",
        "held_out": False,
    },
    "glosses": {"word": "joy", "definition": "a great pleasure", "examples": ["with joy", "for joy"]},
    "dictionary": {
        "word": "joy",
        "gloss": "a great pleasure",
        "senses": [{"gloss": "a source of it", "pos": "noun", "examples": ["a joy"], "synonyms": ["treat"]}],
        "antonyms": ["sorrow"],
        "ipa": "dʒɔɪ",
        "etymology": "Old French joie",
    },
    "settings": {
        "seed": 1,
        "codes": {"kind": "fsq", "levels": [8, 8, 8, 5], "clip": 1.5},
        "cache": None,
        "held_out": 0.1,
    },
}


def look_up(path: Path) -> None:
    """Ask a user's dictionary all that can be asked of each of its words."""
    found = Dictionary([], user=Own(path, Source("mine", "", "", "")))
    for word in found.words():
        assert found.entry(word) is not None
        assert found.sense_texts(word)
        found.opposites(word), found.etymology(word)


READERS = {"words": read_jsonl, "exchanges": read_exchanges, "glosses": read_glosses, "dictionary": look_up}


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-jsonl-"))


def value(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value of any type, mostly an odd one."""
    match rng.randrange(8 if depth < 3 else 5):
        case 0:
            return rng.choice([None, True, False])
        case 1:
            return number(rng, signed=True)
        case 2:
            return rng.choice([0.5, -1.5, 1e300, float("nan"), float("inf")])
        case 3 | 4:
            return text(rng)
        case 5 | 6:
            return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def changed(rng: random.Random, row: Any) -> Any:
    """A copy with one of its values, somewhere within, replaced, lost or joined by another."""
    if not isinstance(row, dict | list) or not row or rng.random() < 0.2:
        return value(rng)
    keys = list(row) if isinstance(row, dict) else list(range(len(row)))
    key = rng.choice(keys)
    row = row.copy()
    match rng.randrange(5):
        case 0:
            del row[key]
        case 1 if isinstance(row, dict):
            row[text(rng)] = value(rng)
        case _:
            row[key] = changed(rng, row[key])
    return row


def make(rng: random.Random) -> dict[str, bytes]:
    """Lines for one of the readers, each damaged in its values, its bytes, or not."""
    kind = rng.choice(list(ROWS))
    lines = []
    for _ in range(1 if kind == "settings" else rng.randrange(1, 5)):
        row = changed(rng, ROWS[kind]) if rng.random() < 0.6 else ROWS[kind]
        line = json.dumps(row, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            line = line[:-1] + b', "word": "twice", "seed": 2}'
        if rng.random() < 0.03:
            line = rng.choice([b"[", b'{"a":']) * rng.choice([10, 1000, 100_000])
        lines.append(damaged(rng, line) if rng.random() < 0.3 else line)
    return {kind: rng.choice([b"\n", b"\n", b"\r\n", b"\n\n"]).join(lines)}


def read(made: dict[str, bytes]) -> None:
    """Read them; words that were taken are written and read back."""
    ((kind, content),) = made.items()
    if kind == "settings":
        checked(TrainingConfig, parse_json(content, "settings"), "settings")
        return
    file = _folder() / f"{kind}.jsonl"
    file.write_bytes(content)
    found = READERS[kind](file)
    if kind == "words":
        write_jsonl(_folder() / "again.jsonl", found.words)  # type: ignore[attr-defined]
        assert read_jsonl(_folder() / "again.jsonl").words == found.words  # type: ignore[attr-defined]
