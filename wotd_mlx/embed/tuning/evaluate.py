"""What a tuning does for words that it never saw: gloss → word and word → synonym among held-out families."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.embed.tuning.pairs import Thesaurus, is_held_out

Embed = Callable[[Sequence[str]], Embeddings]


def held_out_figures(embed: Embed, thesaurus: Thesaurus, held_out: float, most: int, seed: int) -> dict[str, float]:
    """Up to ``most`` held-out words with a gloss, all of them candidates: how often the word is first or among ten for
    its first gloss, and a synonym of it, held out too, for the word itself; each with its mean reciprocal rank.
    """
    words = sorted(word for word in thesaurus.glosses if is_held_out(word, held_out))
    order = np.random.default_rng(seed).permutation(len(words))[:most]
    words = [words[row] for row in sorted(order)]
    senses = [set(thesaurus.glosses[word]) for word in words]
    vectors = embed(words)
    of_gloss: dict[str, list[int]] = {}
    for row, found in enumerate(senses):
        for gloss in found:
            of_gloss.setdefault(gloss, []).append(row)
    right = [of_gloss[thesaurus.glosses[word][0]] for word in words]
    alike = [sorted({j for gloss in found for j in of_gloss[gloss]} - {i}) for i, found in enumerate(senses)]
    with_synonym = [row for row, others in enumerate(alike) if others]
    glosses = embed([thesaurus.glosses[word][0] for word in words])
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    to_word = ranks(glosses @ vectors.T, right)
    to_synonym = ranks(scores[with_synonym], [alike[row] for row in with_synonym])
    return {
        "words": float(len(words)),
        **{f"gloss_to_word_{name}": value for name, value in _figures(to_word).items()},
        **{f"word_to_synonym_{name}": value for name, value in _figures(to_synonym).items()},
    }


def ranks(scores: Embeddings, right: Sequence[Sequence[int]]) -> list[int]:
    """scores (N, M), the right columns of each row -> how many others score above the best of these."""
    out = []
    for row, columns in zip(scores, right, strict=True):
        out.append(int((np.delete(row, columns) > row[list(columns)].max()).sum()))
    return out


def _figures(found: Sequence[int]) -> dict[str, float]:
    rank = np.array(found)
    return {
        "first": float((rank == 0).mean()),
        "ten": float((rank < 10).mean()),
        "mrr": float((1 / (1 + rank)).mean()),
    }
