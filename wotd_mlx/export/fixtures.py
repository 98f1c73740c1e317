"""Parity fixtures: inputs and what MLX makes of them, for tests on the other side."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.targets import Example, Target, tokens

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


def fixtures(coder: SemanticEncoder, target: Target, length: int) -> list[dict[str, Any]]:
    """A case for :data:`COUNT` of the target's texts, evenly chosen, and, where text goes in, for the odd ones."""
    rows = np.unique(np.linspace(0, len(target.texts) - 1, COUNT).round().astype(int))
    texts, examples = [target.texts[r] for r in rows], [target.examples[r] for r in rows]
    if target.name == "text-encoder":
        texts += ODD_TEXTS
        examples += tokens(coder, ODD_TEXTS, length)
    return [_case(target, text, example) for text, example in zip(texts, examples, strict=True)]


def _case(target: Target, text: str, example: Example) -> dict[str, Any]:
    with mx.stream(mx.cpu):
        values = {**example, **target.function(**example)}
    rows = {name: np.asarray(array)[0].tolist() for name, array in values.items()}
    if "token_ids" in rows:
        rows["tokens"] = rows.pop("token_ids")
    return {"text": text} | {k: [round(n, 7) if isinstance(n, float) else n for n in row] for k, row in rows.items()}
