"""The figures of ``metrics.json`` about codes, all on held-out words, and the IDs of corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes import metrics
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights
from wotd_mlx.codes.names import coordinate_names, moves
from wotd_mlx.codes.probe import linear_probe
from wotd_mlx.codes.split import Split
from wotd_mlx.known import LIKELY
from wotd_mlx.schemas import Attribute, Corpus, SemanticID, Word

_SEARCHED = 4000
"""Words whose vectors are searched for a figure that a sample tells."""


def codes_metrics(
    model: Autoencoder,
    kind: str,
    x: Embeddings,
    ids: Indices,
    labels: Indices,
    split: Split,
    attributes: Sequence[Attribute],
    own: Embeddings | None = None,
) -> dict[str, Any]:
    """``metrics.json["codes"]``: x (N, D), ids (N, Q), labels (N, A), own (N, D), embedded by no dictionary; a
    coordinate's label accuracy is balanced."""
    held = split.test
    decoded = np.asarray(model.decode(mx.array(ids[held])))
    levels = model.quantizer.levels
    usage, perplexity = metrics.usage_and_perplexity(ids[held], levels)
    accuracy, told, probes = {}, {}, {}
    for a, attribute in enumerate(attributes):
        known = held[labels[held, a] >= 0]
        accuracy[attribute.name] = metrics.balanced_accuracy(_read(model, x, own, ids, a, known), labels[known, a])
        probe = _probe(x, labels[:, a], split.train, len(attribute.values))
        predicted = np.asarray(probe(mx.array(x[known]))).argmax(axis=1) if probe else labels[known, a][:0]
        told[attribute.name] = metrics.balanced_accuracy(predicted, labels[known, a]) if probe else float("nan")
        if probe:
            probes[attribute.name] = probe
    changed = moves(model, list(probes.values()), ids[held])
    found = {
        "kind": kind,
        "levels": list(levels),
        "bits": model.quantizer.bits,
        "words_train": len(split.train),
        "words_held_out": len(held),
        **quality(x[held], decoded, np.asarray(model.mean)),
        "usage": usage,
        "perplexity": perplexity,
        "collision_rate": metrics.collision_rate(ids[held]),
        "label_accuracy": accuracy,
        "label_probe": told,
        "calibration": calibration(model, *_asked(x, own, held), labels[held], attributes),
        "moves": {
            coordinate: dict(zip(probes, row, strict=True))
            for coordinate, row in zip(
                coordinate_names(levels, attributes[: len(model.tables)]), changed.tolist(), strict=True
            )
        },
    }
    if model.detail is not None:
        rows = mx.array(ids[held])
        numbers = model.encode_detail(mx.array(x[held]), rows)
        found["detail"] = {
            "bits": model.quantizer.bits + float(np.log2(model.detail.levels).sum()),
            **quality(x[held], np.asarray(model.decode_detail(rows, numbers)), np.asarray(model.mean)),
            "collision_rate": metrics.collision_rate(np.concatenate([ids[held], np.asarray(numbers)], axis=1)),
        }
    return {name: _nan_to_none(value) for name, value in found.items()}


def _asked(x: Embeddings, own: Embeddings | None, rows: Indices) -> tuple[mx.array, mx.array | None]:
    return mx.array(x[rows]), None if own is None else mx.array(own[rows])


def _read(model: Autoencoder, x: Embeddings, own: Embeddings | None, ids: Indices, a: int, rows: Indices) -> Indices:
    """The value of attribute a that is read off words: as the reader says, values counted alike, where codes are laid
    out so that an ID says the same, or no ID says anything; else as the word's code does."""
    if not (model.quantizer.laid_out or model.quantizer.whole):
        found: Indices = np.asarray(model.tables[a]).argmax(axis=1)[ids[rows, a]]
        return found
    odds = model.balanced(*_asked(x, own, rows))[a]
    found = np.asarray(odds).argmax(axis=1)
    return np.asarray(found, np.int64)


def calibration(
    model: Autoencoder, x: mx.array, own: mx.array | None, labels: Indices, attributes: Sequence[Attribute]
) -> dict[str, dict[str, Any]]:
    """How far the probabilities of labels (N, A) that are read off x (N, D), and perhaps own (N, D), may be
    believed.

    For each attribute: ``ece``, the expected calibration error over ten bins of the likeliest value's probability (Guo
    et al. 2017, arXiv 1706.04599); ``bins``, each bin's words, mean probability and share that is right; ``told``, the
    share of words of which a value is told; ``right``, the share of those that is told rightly.
    """
    found = {}
    for a, part in enumerate(map(np.asarray, model.posteriors(x, own))):
        known = labels[:, a] >= 0
        sure, right = part[known].max(axis=1), part[known].argmax(axis=1) == labels[known, a]
        bins = metrics.reliability(sure, right)
        told = sure > LIKELY
        found[attributes[a].name] = {
            "ece": metrics.expected_calibration_error(bins),
            "told": float(told.mean()) if len(told) else float("nan"),
            "right": float(right[told].mean()) if told.any() else float("nan"),
            "bins": [row._asdict() for row in bins],
        }
    return {name: _nan_to_none(values) for name, values in found.items()}


def known_metrics(model: Autoencoder, x: Embeddings, ids: Indices, labels: Indices, own: int) -> dict[str, Any]:
    """What the IDs (N, Q) of known words with x (N, D) and labels (N, A) say.

    ``labels_read_back`` is the share of labelled words whose ID reads as all of their labels, and of the first ``own``;
    ``labels_read_back_by_vector`` the share, of some thousands, whose vectors are given such an ID without looking the
    word up;
    ``own_word_first`` the share, of some thousands, whose ID stands for a vector that no other word's is nearer to.
    """
    some = np.any(labels >= 0, axis=1)
    right = _read_back(model, ids[some], labels[some])
    few = np.flatnonzero(some)[:: max(1, np.count_nonzero(some) // _SEARCHED)]
    encoded = _read_back(model, np.asarray(model.encode(mx.array(x[few]))), labels[few])
    shown = np.arange(0, len(x), max(1, len(x) // _SEARCHED))
    if not model.tables:
        right = encoded = right[:0]  # an ID that reads as nothing
    shares = {
        "labels_read_back": right,
        "labels_read_back_own": right[: np.count_nonzero(some[:own])],
        "labels_read_back_by_vector": encoded,
    }
    return {
        **{name: float(share.mean()) if len(share) else None for name, share in shares.items()},
        "own_word_first": metrics.own_first(x, np.asarray(model.decode(mx.array(ids[shown], mx.int32))), shown),
    }


def _read_back(model: Autoencoder, ids: Indices, labels: Indices) -> NDArray[np.bool_]:
    """ids (N, Q), labels (N, A) -> whether each ID reads as all of the labels that there are (N,)."""
    right = np.ones(len(ids), bool)
    for a, table in enumerate(map(np.asarray, model.tables)):
        told = np.where(table.any(axis=1), table.argmax(axis=1), -1)[ids[:, a]]
        right &= (labels[:, a] < 0) | (told == labels[:, a])
    return right


def quality(x: Embeddings, decoded: Embeddings, mean: Embeddings) -> dict[str, float]:
    """The four figures of what x̂ (N, D) keeps of x (N, D), with μ (D,) the training mean."""
    return {
        "relative_mse": metrics.relative_mse(x, decoded, mean),
        "cosine": metrics.cosine(x, decoded),
        "spearman": metrics.pairwise_spearman(x, decoded),
        "recall_at_10": metrics.recall_at(x, decoded, 10),
    }


def _nan_to_none(value: Any) -> Any:
    """Undefined figures (no labels, two words) become null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_to_none(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def _probe(x: Embeddings, labels: Indices, train: Indices, values: int) -> nn.Linear | None:
    """A linear probe on the whole vector, trained on labelled ``train`` rows; None where there are none."""
    train = train[labels[train] >= 0]
    if not len(train):
        return None
    return linear_probe(x[train], labels[train], balanced_weights(labels[train][:, None])[:, 0], values)


def corpus_metrics(corpus: Corpus, vectors: Embeddings) -> dict[str, Any]:
    """``metrics.json["corpus"]``: counts; mean cosine of two words of one corpus, and mean distance (1 − cosine)
    between words of two corpora, over vectors (N, D) of ``corpus.words``, unit length."""
    names = [word.corpus for word in corpus.words]
    groups = sorted(set(names))
    sums = np.stack([vectors[[i for i, n in enumerate(names) if n == g]].sum(axis=0) for g in groups])
    sizes = np.array([names.count(g) for g in groups], np.float64)
    products = sums.astype(np.float64) @ sums.T
    pairs = np.outer(sizes, sizes)
    # A word's cosine with itself, 1, is not a pair's.
    own = (np.trace(products) - sizes.sum()) / max((sizes * (sizes - 1)).sum(), 1)
    apart = ~np.eye(len(groups), dtype=bool)
    out = {
        "words": len(names),
        "corpora": len(groups),
        "lexicon": len(corpus.lexicon),
        "similarity_within": float(own),
    }
    if len(groups) > 1:
        out["distance_between"] = float(1 - products[apart].sum() / pairs[apart].sum())
    return out


def corpus_ids(
    groups: dict[str, tuple[Word, ...]],
    ids: dict[str, SemanticID],
    model: Autoencoder,
    attributes: Sequence[Attribute],
) -> dict[str, SemanticID]:
    """Each corpus's own ID, from its labels: where most of its words bear one value of attribute q, coordinate q is the
    code that most speaks for that value; every other coordinate is the one most of its words have (ties: the smallest).
    """
    tables = [np.asarray(table) for table in model.tables]
    out = {}
    for name, words in groups.items():
        numbers = [_mode([ids[w.text][q] for w in words]) for q in range(len(model.quantizer.levels))]
        for q, attribute in enumerate(attributes[: len(tables)]):
            found = [w.labels[attribute.name] for w in words if w.labels.get(attribute.name) in attribute.values]
            if found and tables[q].any():
                numbers[q] = int(tables[q][:, attribute.values.index(_mode(found))].argmax())
        out[name] = SemanticID(numbers)
    return out


def _mode(values: Sequence[Any]) -> Any:
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))
