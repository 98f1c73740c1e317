"""A word's meaning: its own vector and its dictionary glosses' together, and a map for what no dictionary has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.config.meaning import MeaningConfig
from wotd_mlx.words.normal import normal


class Meaning(nn.Module):
    r"""Vectors of known words and of texts that no dictionary has, in one space.

    .. math::
        v = \mathrm{unit}\bigl((1 - w)\,u + w\,\mathrm{unit}(g - \mu_g)\bigr), \qquad u = \mathrm{unit}(b - \mu_b)

    with b a word's own embedding and g the mean of its glosses'. For a text without glosses :math:`M u` stands for
    :math:`g - \mu_g`, M the ridge map that training words' own vectors and glosses teach, and w is ``share``. The same
    function serves training and use; the text encoder that is exported holds it too.

    Args:
        dims: D.
        share: w of a text without glosses.
    Shape:
        b (B, D) -> v (B, D) of unit length.
    Reference:
        Centring: Mu & Viswanath 2017, arXiv 1702.01417. Definitions as vectors: Hill et al. 2015, arXiv 1504.00548.
    """

    def __init__(self, dims: int, share: float = 0.5):
        super().__init__()
        self.own = mx.zeros((dims,))
        self.gloss = mx.zeros((dims,))
        self.map = mx.zeros((dims, dims))
        self.share = mx.array(share)
        self.freeze()

    def __call__(self, b: mx.array) -> mx.array:
        """Texts without glosses, by their embeddings."""
        own = _unit(b - self.own)
        return _unit((1 - self.share) * own + self.share * _unit(own @ self.map))

    def own_part(self, b: Embeddings) -> Embeddings:
        """Words' embeddings (B, D) -> u (B, D)."""
        return np.asarray(_unit(mx.array(b) - self.own))

    def centred(self, glosses: Embeddings) -> Embeddings:
        """Glosses' embeddings (B, D), less what all of them share, of unit length."""
        return np.asarray(_unit(mx.array(glosses) - self.gloss))

    def known(self, b: Embeddings, glosses: Embeddings, weight: NDArray[np.float32]) -> Embeddings:
        """Words by their embeddings b (B, D), their glosses' means (B, D), and the glosses' part of each (B,)."""
        own, told = mx.array(self.own_part(b)), mx.array(self.centred(glosses))
        part = mx.array(weight)[:, None]
        return np.asarray(_unit((1 - part) * own + part * told))

    def fit(self, b: Embeddings, glosses: Embeddings, ridge: float) -> None:
        """Learn the means and the map from words' embeddings b (N, D) and their glosses' means (N, D)."""
        self.own, self.gloss = mx.array(b.mean(axis=0)), mx.array(glosses.mean(axis=0))
        own, told = self.own_part(b).astype(np.float64), self.centred(glosses).astype(np.float64)
        penalty = ridge * np.eye(own.shape[1])
        self.map = mx.array(np.linalg.solve(own.T @ own + penalty, own.T @ told), mx.float32)
        mx.eval(self.parameters())


def gloss_means(senses: Embeddings, owner: Indices, words: int) -> tuple[Embeddings, Indices]:
    """Senses' vectors (S, D) and the word that each is of (S,) -> the means (N, D) of ``words`` words, zero where there
    are none, and how many each has (N,)."""
    counts = np.bincount(owner, minlength=words).astype(np.int64)
    sums = np.zeros((words, senses.shape[1]), np.float32)
    np.add.at(sums, owner, senses)
    return sums / np.maximum(counts, 1).astype(np.float32)[:, None], counts


def gloss_weights(pieces: Sequence[int], config: MeaningConfig) -> NDArray[np.float32]:
    """How much of each word's vector is its glosses': more the more word pieces (N,) the model sees in it."""
    far = np.clip((np.asarray(pieces) - 1) / max(config.rare_pieces - 1, 1), 0, 1)
    return (config.share + (config.rare_share - config.share) * far).astype(np.float32)


def senses_of(words: Sequence[str], told: Callable[[str], Sequence[str]]) -> tuple[list[str], Indices]:
    """The texts of the senses that words are ``told`` to have, and the number of the word that each is of (S,)."""
    senses = [told(word) for word in words]
    owner = np.repeat(np.arange(len(words)), [len(texts) for texts in senses])
    return [text for texts in senses for text in texts], owner.astype(np.int64)


def opposites_of(words: Sequence[str], told: Callable[[str], Sequence[str]]) -> list[list[int]]:
    """The rows of the antonyms that each of words, in normal form, is ``told`` to have."""
    rows = {word: row for row, word in enumerate(words)}
    return [[rows[other] for other in map(normal, told(word)) if other in rows] for word in words]


def word_vectors(
    meaning: Meaning,
    bare: Embeddings,
    glosses: tuple[Embeddings, Indices],
    weights: NDArray[np.float32],
    opposites: Sequence[Sequence[int]],
    opposite_share: float,
) -> Embeddings:
    """Words' vectors (N, D) by their embeddings (N, D): together with their glosses, as :func:`gloss_means` gives them,
    or through the map where there are none; and away from their opposites."""
    means, counts = glosses
    out, known = np.array(meaning(mx.array(bare))), np.flatnonzero(counts)
    out[known] = meaning.known(bare[known], means[known], weights[known])
    return away(out, opposites, opposite_share)


def away(vectors: Embeddings, opposites: Sequence[Sequence[int]], part: float) -> Embeddings:
    r"""Vectors (N, D) of unit length, moved away from those of their opposites, rows of the same vectors (N, …).

    .. math:: v_i' = \mathrm{unit}\Bigl(v_i - p\,\mathrm{unit}\sum_{j \in O_i} v_j\Bigr)

    Words of opposite meaning come in the same places of texts, so that an embedding has them close together.

    Reference:
        As counter-fitting does it in many steps: Mrkšić et al. 2016, arXiv 1603.00892.
    """
    out, rows = vectors.copy(), [row for row, others in enumerate(opposites) if others]
    if rows:
        sums = np.stack([vectors[list(opposites[row])].sum(axis=0) for row in rows])
        out[rows] = _unit(mx.array(vectors[rows]) - part * _unit(mx.array(sums)))
    return out


def _unit(x: mx.array) -> mx.array:
    return x / mx.maximum(mx.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
