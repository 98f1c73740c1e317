"""Where a model is most wrong, as text that a reader can judge."""

from __future__ import annotations

from typing import Any

import numpy as np

from wotd_mlx.lvm.data.sentences import Rows, Sentences
from wotd_mlx.lvm.evaluation.retrieval import Ranks
from wotd_mlx.lvm.evaluation.scores import Figures

SHOWN = 3
"""Newest sentences of the context that are shown."""


def worst(figures: Figures, ranks: Ranks, sentences: Sentences, targets: Rows, count: int = 10) -> list[dict[str, Any]]:
    """The targets of the worst ranks, the worst first: what was read, what came next, what was expected instead."""
    order = np.lexsort((figures.cosine, -ranks.context))[:count]
    return [
        {
            "title": sentences.titles[sentences.article[targets[n]]],
            "context": list(sentences.texts[targets[n] - min(SHOWN, sentences.position[targets[n]]) : targets[n]]),
            "wanted": sentences.texts[targets[n]],
            "got": sentences.texts[ranks.nearest[n]],
            "cosine": round(float(figures.cosine[n]), 6),
            "rank": float(ranks.context[n]),
        }
        for n in order
    ]
