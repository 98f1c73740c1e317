"""How well labels are predicted of families that were kept out, and how far the probabilities may be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.meaning_vectors import BARE, GLOSSED, MAPPED, Space
from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.labels import balanced_weights, label_matrix
from wotd_mlx.codes.metrics import balanced_accuracy, expected_calibration_error, reliability
from wotd_mlx.codes.probe import linear_probe
from wotd_mlx.codes.reader import Reader
from wotd_mlx.codes.train import fit_reader
from wotd_mlx.config.codes import ProbeConfig
from wotd_mlx.embed.meaning import Meaning
from wotd_mlx.known import LIKELY
from wotd_mlx.schemas import Attribute

FOLDS = 5
CALIBRATION = 0.08
"""Of the training families those that the probabilities are calibrated on."""
PROBE = ProbeConfig(epochs=100)
"""Half of the usual steps: they tell as much."""
FEW = 30
"""Words below which a bin says too little to be drawn."""
KINDS = {GLOSSED: "with its glosses", MAPPED: "as one that no dictionary has"}


class Told(NamedTuple):
    """Of a fold's words (n,): what they are, and what is said of them."""

    labels: Indices
    balanced: Indices
    likeliest: Indices
    probability: Embeddings


class Fold(NamedTuple):
    """Row numbers; no family is in two of them."""

    train: Indices
    calibration: Indices
    test: Indices


def folds(families: Indices, labelled: Indices) -> list[Fold]:
    """Whole families, dealt out at random; each labelled word is tested once."""
    rng, heads = np.random.default_rng(0), np.unique(families[labelled])
    number = dict(zip(rng.permutation(heads).tolist(), np.arange(len(heads)) % FOLDS, strict=True))
    of_word, out = np.array([number[head] for head in families[labelled].tolist()]), []
    for fold in range(FOLDS):
        rest, test = labelled[of_word != fold], labelled[of_word == fold]
        kept = np.isin(families[rest], rng.permutation(np.unique(families[rest]))[: int(CALIBRATION * len(heads))])
        out.append(Fold(rest[~kept], rest[kept], test))
    return out


def prediction(space: Space) -> dict[str, Any]:
    """Five-fold by family: balanced accuracy, calibration, and how much is told; and a linear probe's accuracy."""
    import mlx.core as mx

    known, attributes = space.coder.known, space.coder.config.attributes
    n = len(known)
    labels = label_matrix(space.coder.words[0], attributes)
    labelled = np.flatnonzero((labels >= 0).any(axis=1))
    means, counts = space.means
    said: dict[str, list[list[Told]]] = {kind: [] for kind in KINDS}
    probed: dict[str, list[list[Indices]]] = {BARE: []}
    for fold in folds(known.families, labelled):
        held = np.isin(known.families, known.families[np.concatenate([fold.calibration, fold.test])])
        taught = np.flatnonzero(~held & (counts[:n] > 0))
        meaning = Meaning(space.embedder.dims, space.coder.config.meaning.guessed_share)
        meaning.fit(space.bare[taught], means[taught], space.coder.config.meaning.ridge)
        vectors = {recipe: space.vectors(recipe, meaning)[:n] for recipe in (BARE, GLOSSED, MAPPED)}
        views = {kind: np.concatenate([vectors[kind], space.bare[:n]], axis=1) for kind in KINDS}
        mx.random.seed(0)
        reader = Reader(2 * space.embedder.dims, [len(attribute.values) for attribute in attributes])
        fit_reader(reader, [*views.values()], labels, fold.train, fold.calibration, 0, fuse=True)
        for kind, view in views.items():
            said[kind].append(_told(reader, view[fold.test], labels[fold.test]))
        for recipe, found in probed.items():
            found.append(_probed(vectors[recipe], labels, fold, attributes))
    out: dict[str, Any] = {"words": len(labelled), "folds": FOLDS}
    tested = np.concatenate([labels[fold.test] for fold in folds(known.families, labelled)])
    for kind, parts in said.items():
        out[kind] = {
            attribute.name: _figures([np.concatenate(column) for column in zip(*(p[a] for p in parts), strict=True)])
            for a, attribute in enumerate(attributes)
        }
    out["linear probe"] = {
        recipe: {
            attribute.name: _balanced(np.concatenate([f[a] for f in found]), tested[:, a])
            for a, attribute in enumerate(attributes)
        }
        for recipe, found in probed.items()
    }
    return out


def _told(reader: Reader, z: Embeddings, labels: Indices) -> list[Told]:
    import mlx.core as mx

    out = []
    for a, parts in enumerate(zip(reader.posteriors(mx.array(z)), reader.balanced(mx.array(z)), strict=True)):
        there = labels[:, a] >= 0
        odds, even = (np.asarray(part)[there] for part in parts)
        out.append(Told(labels[there, a], even.argmax(axis=1), odds.argmax(axis=1), odds.max(axis=1)))
    return out


def _probed(x: Embeddings, labels: Indices, fold: Fold, attributes: tuple[Attribute, ...]) -> list[Indices]:
    """What a linear probe says of each attribute of the fold's words."""
    import mlx.core as mx

    rows, out = np.concatenate([fold.train, fold.calibration]), []
    for a, attribute in enumerate(attributes):
        taught = rows[labels[rows, a] >= 0]
        weights = balanced_weights(labels[taught][:, a : a + 1])[:, 0]
        probe = linear_probe(x[taught], labels[taught, a], weights, len(attribute.values), PROBE)
        out.append(np.asarray(probe(mx.array(x[fold.test]))).argmax(axis=1))
    return out


def _balanced(said: Indices, labels: Indices) -> float:
    return balanced_accuracy(said[labels >= 0], labels[labels >= 0])


def _figures(columns: list[Any]) -> dict[str, Any]:
    told = Told(*columns)
    right = told.likeliest == told.labels
    bins, likely = reliability(told.probability, right), told.probability > LIKELY
    return {
        "words": len(told.labels),
        "balanced_accuracy": balanced_accuracy(told.balanced, told.labels),
        "accuracy": float(right.mean()),
        "ece": expected_calibration_error(bins),
        "told": float(likely.mean()),
        "right_of_told": float(right[likely].mean()),
        "bins": [row._asdict() for row in bins],
    }


def draw(found: dict[str, Any], names: list[str], file: Path) -> None:
    """A reliability diagram an attribute: the share that is right over the probability that was given."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shape = {"figsize": (3.6 * len(names), 4.8), "height_ratios": (3, 1), "layout": "constrained"}
    figure, rows = plt.subplots(2, len(names), sharex=True, squeeze=False, **shape)
    for name, above, below in zip(names, *rows, strict=True):
        above.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for side, ((kind, said), colour) in enumerate(zip(KINDS.items(), ("C0", "C1"), strict=True)):
            bins = found[kind][name]["bins"]
            x = np.array([b["probability"] for b in bins])
            right, words = (np.array([b[key] for b in bins]) for key in ("right", "words"))
            label = f"{said}, ECE {found[kind][name]['ece']:.3f}"
            many = words >= FEW
            above.plot(x[many], right[many], "o-", color=colour, label=label, markersize=4)
            below.bar((x * 10).astype(int) / 10 + 0.03 + 0.04 * side, words, width=0.038, color=colour)
        above.set_title(f"{name}, {found[GLOSSED][name]['words']:,} words", fontsize=10)
        above.legend(fontsize=7, loc="lower right", frameon=False)
        above.set_ylim(0, 1)
        below.set_xlim(0, 1)
        below.set_xlabel("probability of the likeliest value")
    rows[0][0].set_ylabel("share that is right")
    rows[1][0].set_ylabel("words")
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
