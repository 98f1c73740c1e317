"""Parity fixtures: inputs and what MLX makes of them, for tests on the other side."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.dictionary import ids
from wotd_mlx.export.targets import Example, Target, tokens
from wotd_mlx.known import KNOWN, PREDICTED
from wotd_mlx.words.normal import normal

COUNT = 200
"""Words of the run, beside the odd texts."""
ODD_TEXTS = (
    *("", " ", "\t\n", "é", "e\u0301", "naïve", "NAÏVE", "Ångström", "ß", "İstanbul", "ΣΊΣΥΦΟΣ", "ﬁ", "½", "日本語"),
    *(
        "今日は good day",
        "한국어",
        "ไทย",
        "مرحبا",
        "שָׁלוֹם",
        "हिन्दी",
        "😀",
        "\U0001f469\u200d\U0001f467",
        "🇨🇭",
        "a\u200db",
    ),
    *("soft\u00adhyphen", "\x00", "a\x07b", "\ufffd", "\ufeffbom", "no\u00a0break", "ideographic\u3000space", "don't"),
    *("mother-in-law", "3.14", "$5!?", "[SEP]", "[MASK] word", "##ing", "_", "“quoted”", "…", "—", "¿qué?"),
    *("a" * 101, "word " * 300, "x" * 5000),
)
"""What a tokenizer may stumble over; the first is empty."""
TYPED: tuple[Callable[[str], str], ...] = (
    str.title,
    lambda word: unicodedata.normalize("NFD", word.upper()),
    lambda word: f"  {word.replace(' ', chr(0xA0) + chr(9))}\n",
    lambda word: f"\ufeff{word[:1]}\u200b{word[1:]}",
    lambda word: unicodedata.normalize("NFD", word.swapcase()).replace(" ", "\u2003"),
    lambda word: "\u00ad".join(word).replace("s\u00ads", "\u1e9e"),
)
"""Ways to type a word that leave it the same word."""
TYPED_COUNT = 49


def fixtures(coder: SemanticEncoder, target: Target, length: int) -> list[dict[str, Any]]:
    """A case for :data:`COUNT` of the target's texts, evenly chosen, and, where text goes in, for the odd ones, whose
    normal forms are read."""
    rows = np.unique(np.linspace(0, len(target.texts) - 1, COUNT).round().astype(int))
    texts, examples = [target.texts[r] for r in rows], [target.examples[r] for r in rows]
    if target.name == "text-encoder":
        texts += ODD_TEXTS
        examples += tokens(coder, [normal(text) for text in ODD_TEXTS], length)
    cases = [{"text": text, **case(target, example)} for text, example in zip(texts, examples, strict=True)]
    return cases if target.dictionary is None else _searched(coder, cases)


def _searched(coder: SemanticEncoder, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases with the IDs that MLX finds for their vectors and probabilities."""
    columns = (np.array([case[name] for case in cases], np.float32) for name in ("vector", "probabilities"))
    return [{**case, "id": row} for case, row in zip(cases, ids(coder.model, *columns).tolist(), strict=True)]


def case(target: Target, example: Example) -> dict[str, Any]:
    """Inputs and outputs of one example as lists, without the batch's axis; floats to 7 decimals."""
    with mx.stream(mx.cpu):
        values = {**example, **target.function(**example)}
    rows = {name: _listed(np.asarray(array)[0]) for name, array in values.items()}
    if "token_ids" in rows:
        rows["tokens"] = rows.pop("token_ids")
    return rows


def encoded(coder: SemanticEncoder, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What an app's ``encode`` gives: for known words, typed in every odd way, the ID that evidence gives them, and for
    texts of ``cases`` that aren't known the model's.

    They are :data:`TYPED_COUNT` of all words, and up to as many with an accent or a blank.
    """
    words = coder.known.words
    rows = np.unique(np.linspace(0, len(words) - 1, TYPED_COUNT).round().astype(int)).tolist()
    rows += [row for row, word in enumerate(words) if " " in word or not word.isascii()][:TYPED_COUNT]
    typed = [TYPED[n % len(TYPED)](words[row]) for n, row in enumerate(dict.fromkeys(rows))]
    found = [reading for reading in coder.read(typed) if reading.source == KNOWN]
    rest = [case for case in cases if coder.known.row(case["text"]) is None]
    return [
        *({"text": reading.text, "id": list(reading.id), "source": KNOWN} for reading in found),
        *({"text": case["text"], "id": case["id"], "source": PREDICTED} for case in rest),
    ]


def _listed(array: NDArray[Any]) -> Any:
    return (array.astype(np.float64).round(7) if array.dtype.kind == "f" else array).tolist()
