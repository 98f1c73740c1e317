"""The figures of metrics.json about codes and corpora, against loops over their words."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import normal
from tests.codes.test_hvq import trained
from tests.codes.test_train import ATTRIBUTES, split_rows, toy
from tests.tolerances import close
from wotd_mlx.codes import metrics
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights, read_labels_off_codes
from wotd_mlx.codes.probe import linear_probe
from wotd_mlx.codes.report import calibration, codes_metrics, corpus_ids, corpus_metrics, known_metrics
from wotd_mlx.config import CodesConfig
from wotd_mlx.schemas import Attribute, Corpus, SemanticID, Word

X = normal(120, 12)
UNSEEN = Attribute("mood", ("glad", "sad"))


@pytest.fixture(scope="module")
def reported():
    """Figures of an autoencoder at its start, with tables at random; no word is labelled with the third attribute."""
    x, labels = toy(240)
    labels = np.concatenate([labels, np.full((240, 1), -1)], axis=1)
    model = Autoencoder(16, CodesConfig("fsq", (4, 3, 5, 2), detail=16), (*ATTRIBUTES, UNSEEN))
    split = split_rows(240)
    model.start(x, seed=0)
    model.fit_detail(x, 0, lambda n: None)
    rng = np.random.default_rng(0)
    model.tables = [mx.array(rng.random((k, v)), mx.float32) for k, v in ((4, 2), (3, 3), (5, 2))]
    ids = np.array(model.encode(mx.array(x)))
    return codes_metrics(model, "fsq", x, ids, labels, split, (*ATTRIBUTES, UNSEEN)), model, x, ids, labels, split


def test_figures_are_of_held_out_words(reported):
    found, model, x, ids, _, split = reported
    held, decoded = split.test, np.array(model.decode(mx.array(ids[split.test])))
    assert (found["kind"], found["levels"], found["words_train"], found["words_held_out"]) == (
        "fsq", [4, 3, 5, 2], 120, 60
    )  # fmt: skip
    close(found["bits"], np.log2(120), "sum_order")
    mean = x.mean(axis=0)
    close(found["relative_mse"], ((x[held] - decoded) ** 2).sum() / ((x[held] - mean) ** 2).sum(), "sum_order")
    close(found["cosine"], metrics.cosine(x[held], decoded), "exact")
    close(found["spearman"], metrics.pairwise_spearman(x[held], decoded), "exact")
    close(found["recall_at_10"], metrics.recall_at(x[held], decoded, 10), "exact")
    close(found["usage"], [len(set(ids[held, q])) / k for q, k in enumerate((4, 3, 5, 2))], "sum_order")
    shared = [(ids[held] == row).all(axis=1).sum() > 1 for row in ids[held]]
    close(found["collision_rate"], np.mean(shared), "sum_order")


def test_label_accuracy_is_what_a_coordinate_s_table_tells_balanced_over_values(reported):
    found, model, x, ids, labels, split = reported
    for a, attribute in enumerate(ATTRIBUTES):
        train, held = (rows[labels[rows, a] >= 0] for rows in (split.train, split.test))
        weights = balanced_weights(labels[train][:, [a]])[:, 0]
        probe = linear_probe(x[train], labels[train, a], weights, len(attribute.values))
        told = {
            "label_accuracy": np.array(model.tables[a])[ids[held, a]].argmax(axis=1),
            "label_probe": np.array(probe(mx.array(x[held]))).argmax(axis=1),
        }
        for name, values in told.items():
            right = [np.mean(values[labels[held, a] == v] == v) for v in range(len(attribute.values))]
            close(found[name][attribute.name], np.mean(right), "sum_order")
    assert found["label_accuracy"]["mood"] is None
    assert found["label_probe"]["mood"] is None


def test_moves_are_of_the_attributes_that_a_probe_was_trained_for(reported):
    found, *_ = reported
    assert list(found["moves"]) == ["size", "hue", "mood", "variation"]
    assert all(list(row) == ["size", "hue"] for row in found["moves"].values())
    # The attributes are directions of the vectors, but coordinates at the start are principal axes: some coordinate
    # moves each.
    assert max(abs(row["size"]) for row in found["moves"].values()) > 0.3


def test_detail_has_figures_of_its_own(reported):
    found, model, x, ids, _, split = reported
    held = split.test
    numbers = np.array(model.encode_detail(mx.array(x[held]), mx.array(ids[held])))
    decoded = np.array(model.decode_detail(mx.array(ids[held]), mx.array(numbers)))
    detail = found["detail"]
    close(detail["bits"], np.log2(120) + np.log2(np.prod(model.detail.levels)), "sum_order")
    mean = x.mean(axis=0)
    close(detail["relative_mse"], ((x[held] - decoded) ** 2).sum() / ((x[held] - mean) ** 2).sum(), "sum_order")
    whole = np.concatenate([ids[held], numbers], axis=1)
    close(detail["collision_rate"], np.mean([(whole == row).all(axis=1).sum() > 1 for row in whole]), "sum_order")
    assert detail["relative_mse"] < found["relative_mse"]


def test_similarity_within_and_distance_between_corpora():
    vectors = X / np.linalg.norm(X, axis=1, keepdims=True)
    words = tuple(Word(str(i), corpus="abc"[i % 3]) for i in range(30))
    found = corpus_metrics(Corpus("t", words), vectors[:30])
    cosines, same = vectors[:30] @ vectors[:30].T, np.equal.outer(np.arange(30) % 3, np.arange(30) % 3)
    within = cosines[same & ~np.eye(30, dtype=bool)].mean()
    close(found["similarity_within"], within, "sum_order")
    close(found["distance_between"], 1 - cosines[~same].mean(), "sum_order")
    assert (found["words"], found["corpora"], found["lexicon"]) == (30, 3, 0)


def test_one_corpus_has_no_distance_to_others_and_one_word_no_fellow():
    vectors = X / np.linalg.norm(X, axis=1, keepdims=True)
    found = corpus_metrics(Corpus("t", (Word("a", corpus="x"),), (Word("b"), Word("c"))), vectors[:1])
    assert set(found) == {"words", "corpora", "lexicon", "similarity_within"}
    assert (found["words"], found["corpora"], found["lexicon"]) == (1, 1, 2)
    close(found["similarity_within"], 0.0, "sum_order")


def test_a_corpus_has_the_codes_that_speak_for_its_labels_else_those_of_most_words():
    model = Autoencoder(4, CodesConfig("fsq", (3, 2, 4)), ATTRIBUTES)
    # Of size, code 2 speaks most for "large"; of hue nothing is known.
    model.tables = [mx.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]), mx.zeros((2, 3))]
    words = (
        Word("a", {"size": "large", "hue": "red"}, "mine"),
        Word("b", {"size": "large", "hue": "red"}, "mine"),
        Word("c", {"size": "small"}, "mine"),
        Word("d", {}, "mine"),
    )
    ids = {"a": (0, 1, 3), "b": (0, 0, 1), "c": (1, 1, 3), "d": (1, 0, 1)}
    groups = {"mine": words, "plain": words[3:], "odd": (Word("a", {"size": "huge"}),)}
    found = corpus_ids(groups, {word: SemanticID(number) for word, number in ids.items()}, model, ATTRIBUTES)
    # Size from its label; hue and the free one are ties, of which the smallest code counts.
    assert found == {"mine": SemanticID((2, 0, 1)), "plain": SemanticID((1, 0, 1)), "odd": SemanticID((0, 1, 3))}


def test_calibration_is_that_of_the_likeliest_value_of_words_whose_value_is_known():
    model, x, labels = trained((4, 6, 4, 64))
    labels = np.concatenate([labels, np.full((len(x), 1), -1)], axis=1)[900:]
    z = mx.array(x[900:])
    found = calibration(model, z, None, labels[:, :2], ATTRIBUTES)
    # With the texts' own embeddings it is that of the reader that takes them, here with nothing learnt.
    assert calibration(model, z, z, labels[:, :2], ATTRIBUTES)["size"]["told"] == 0
    for a, part in enumerate(map(np.array, model.posteriors(z))):
        known = [n for n in range(300) if labels[n, a] >= 0]
        sure, right = part[known].max(axis=1), part[known].argmax(axis=1) == labels[known, a]
        mine = found[ATTRIBUTES[a].name]
        close(mine["told"], (sure > 0.5).mean(), "sum_order")
        close(mine["right"], right[sure > 0.5].mean(), "sum_order")
        assert sum(row["words"] for row in mine["bins"]) == len(known)
        close(mine["ece"], metrics.expected_calibration_error(metrics.reliability(sure, right)), "exact")
    nothing = calibration(model, z[:5], None, np.full((5, 2), -1), ATTRIBUTES)
    assert nothing["size"] == {"ece": None, "told": None, "right": None, "bins": []}


def test_known_words_read_back_all_their_labels_or_are_counted():
    model, x, labels = trained((4, 6, 4, 64))
    ids = model.know(x, labels, 0)
    read_labels_off_codes(model, ids, labels)
    assert known_metrics(model, x, ids, labels, 100) | {"labels_read_back_by_vector": 0} == {
        "labels_read_back": 1.0,
        "labels_read_back_own": 1.0,
        "labels_read_back_by_vector": 0,
        "own_word_first": 1.0,
    }
    some = np.flatnonzero((labels >= 0).any(axis=1))
    # The IDs of four labelled words are another's, whose labels differ; one of the four is the corpus's own.
    own = int((some < 100).sum())
    wrong = [some[0], *some[-3:]]
    other = [
        next(n for n in some[own:-3] if (labels[n] != labels[row]).all() and (labels[n] >= 0).all()) for row in wrong
    ]
    ids[wrong] = ids[other]
    found = known_metrics(model, x, ids, labels, 100)
    close(found["labels_read_back"], 1 - 4 / len(some), "sum_order")
    close(found["labels_read_back_own"], 1 - 1 / own, "sum_order")
    assert found["own_word_first"] == 1 - 4 / len(x)
    assert known_metrics(model, x[:9], ids[:9], np.full((9, 2), -1), 4)["labels_read_back"] is None
