"""The dictionary: its search against a search by hand, its grid, its labels, and what it does with odd data."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.test_train import ATTRIBUTES, split_rows, toy
from tests.tolerances import close
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.hvq import HVQ, MAX_CHILDREN, MIX
from wotd_mlx.codes.metrics import balanced_accuracy, relative_mse
from wotd_mlx.codes.train import fit, read_labels_off_codes
from wotd_mlx.config import CodesConfig


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(levels=(4, 6, 4, 8), labelled: bool = True, **changes) -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    x, labels = toy()
    attributes = ATTRIBUTES if labelled else ()
    model = Autoencoder(16, CodesConfig("hvq", levels, **changes), attributes)
    labels = labels if labelled else labels[:, :0]
    history = list(fit(model, x, labels, split_rows(len(x)), CodesConfig("hvq", levels, **changes), seed=0))
    assert [epoch.epoch for epoch in history] == [1]
    return model, x, labels


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return trained()[0]


def points(q: HVQ) -> dict[tuple[int, ...], tuple[int, np.ndarray]]:
    """Every ID that an entry owns, with the entry and the vector that the formula gives it, by hand."""
    atoms, graph = np.array(q.atoms.astype(mx.float32)), np.array(q.graph)
    alone, own, other = MIX
    grid, place = np.array(q.grid), np.array(q.place)
    out = {}
    for i, (cell, (number, count)) in enumerate(zip(grid, place, strict=True)):
        for child, last in enumerate(range(number, q.levels[-1], count)):
            if child > graph.shape[1]:
                break
            vector = alone * atoms[i] if child == 0 else own * atoms[i] + other * atoms[graph[i, child - 1]]
            out[(*map(int, cell), int((last + i - number) % q.levels[-1]))] = (i, vector)
    return out


@pytest.mark.parametrize("levels", [(4, 6, 4, 8), (3, 3, 3, 2)])
def test_each_id_stands_for_the_vector_of_its_entry_and_child(levels):
    q = trained(levels)[0].quantizer
    known = points(q)
    ids = mx.array(list(known), mx.int32)
    close(q.ids_to_codes(ids), np.stack([vector for _, vector in known.values()]), "sum_order")


@pytest.mark.parametrize(("levels", "labelled"), [((4, 6, 4, 8), True), ((3, 3, 3, 2), True), ((4, 4, 8), False)])
def test_the_search_finds_the_best_of_all_ids(levels, labelled):
    model, x, _ = trained(levels, labelled)
    q = model.quantizer
    known = points(q)
    entries = np.array([entry for entry, _ in known.values()])
    vectors = np.stack([vector for _, vector in known.values()])
    z = np.array(model.latents(mx.array(x[-100:])))
    cost = ((z[:, None] - vectors) ** 2).sum(axis=2)
    for a, label_gain in enumerate(q.reader.label_gain(mx.array(z)) if labelled else []):
        cost -= float(q.pull[a]) * np.array(label_gain)[:, np.array(q.readings)[entries, a]]
    ids = np.array(q(mx.array(z)).ids)
    rows = {number: row for row, number in enumerate(known)}
    found = np.array([cost[n, rows[tuple(i.tolist())]] for n, i in enumerate(ids)])
    # Entries are searched by what they cost alone, their children only for the best eight: now and then one is missed.
    assert (found <= cost.min(axis=1) + 1e-3).mean() > 0.9
    assert found.mean() <= cost.min(axis=1).mean() + 0.01 * cost.min(axis=1).std()


def test_more_ids_than_words_give_every_word_an_id_and_fewer_use_every_id():
    for levels, words in (((4, 6, 4, 32), 600), ((3, 3, 3, 2), 54)):
        model, x, _ = trained(levels)
        assert len(np.array(model.quantizer.atoms)) == words
        ids = np.array(model.encode(mx.array(x[:600])))
        assert (ids >= 0).all()
        assert (ids < levels).all()
        assert all(len(np.unique(ids[:, q])) == k for q, k in enumerate(levels[:-1]))


def test_a_coordinate_tells_its_attribute_nearly_as_well_as_the_whole_vector():
    model, x, labels = trained(label_share=0.98)
    ids, z = np.array(model.encode(mx.array(x))), model.latents(mx.array(x))
    read_labels_off_codes(model, ids[:600], labels[:600])
    for a in range(2):
        known = 600 + np.flatnonzero(labels[600:, a] >= 0)
        whole = balanced_accuracy(np.array(model.quantizer.reader(z)[a]).argmax(axis=1)[known], labels[known, a])
        alone = balanced_accuracy(np.array(model.tables[a]).argmax(axis=1)[ids[known, a]], labels[known, a])
        assert whole > 0.75
        assert alone > 0.9 * whole


def test_codes_of_an_attribute_run_through_its_values_in_order(model):
    q = model.quantizer
    for a in range(2):
        values = [set(np.array(q.readings)[np.array(q.grid)[:, a] == code, a].tolist()) for code in range(q.levels[a])]
        assert all(len(found) == 1 for found in values)
        order = [found.pop() for found in values]
        assert order == sorted(order)


def error(model: Autoencoder, x: np.ndarray) -> float:
    return relative_mse(x, np.array(model.decode(model.encode(mx.array(x)))), np.array(model.mean))


def test_labels_cost_little_and_children_gain():
    (plain, x, _), labelled = trained(labelled=False), trained()[0]
    both = error(plain, x[900:])
    assert both <= error(labelled, x[900:]) < 1.15 * both
    plain.quantizer._ready["children"] = mx.ones_like(plain.quantizer._ready["children"])
    assert both < error(plain, x[900:])


def test_neighbours_are_weighed_more_when_asked():
    """κ turns error towards the directions of little variance."""
    x = normal(1200, 16) * np.linspace(3, 0.3, 16, dtype=np.float32)
    errors = []
    for kappa in (0.0, 3.0):
        cfg = CodesConfig("hvq", (4, 4, 4, 4), neighbour_weight=kappa)
        model = Autoencoder(16, cfg, ())
        list(fit(model, x, np.empty((1200, 0), np.int64), split_rows(1200), cfg, seed=0))
        error = (x[900:] - np.array(model.decode(model.encode(mx.array(x[900:]))))) ** 2
        errors.append([error[:, :4].mean(), error[:, 12:].mean()])
    assert errors[1][0] < errors[0][0]
    assert errors[1][1] > errors[0][1] * 0.999


def test_the_same_seed_gives_the_same_codes():
    codes = []
    for _ in range(2):
        mx.random.seed(0)
        model, x, _ = trained()
        codes.append(np.array(model.encode(mx.array(x))))
    close(codes[0], codes[1], "ids")


@pytest.mark.parametrize(
    "x",
    [np.full((60, 16), 0.25, np.float32), normal(12, 16), normal(60, 16)[:, :2] @ np.ones((2, 16), np.float32)],
    ids=["constant", "few", "rank one"],
)
def test_odd_data_gives_finite_codes_in_range(x):
    labels = np.full((len(x), 2), -1, np.int64)
    labels[: len(x) // 4, 0] = 1  # one attribute with one value only, one without any label
    cfg = CodesConfig("hvq", (4, 6, 4, 8))
    model = Autoencoder(16, cfg, ATTRIBUTES)
    rows = split_rows(len(x))
    assert np.isfinite([e.loss for e in fit(model, x, labels, rows, cfg, seed=0)]).all()
    ids = np.array(model.encode(mx.array(x)))
    assert (ids >= 0).all()
    assert (ids < cfg.levels).all()
    every = np.stack(np.meshgrid(*map(np.arange, cfg.levels), indexing="ij"), axis=-1).reshape(-1, 4)
    assert np.isfinite(np.array(model.decode(mx.array(every)))).all()


def test_many_rows_are_searched_as_each_alone(model):
    x = normal(700, 16, seed=5)
    together = np.array(model.encode(mx.array(x)))
    alone = np.concatenate([np.array(model.encode(mx.array(x[n : n + 1]))) for n in range(0, 700, 100)])
    close(together[::100], alone, "ids")
    assert model.encode(mx.array(x[:0])).shape == (0, 4)


def test_a_coordinate_of_thousands_of_codes_has_a_few_dozen_children_a_word():
    model, x, _ = trained((4, 6, 4, 2048))
    q = model.quantizer
    assert q.graph.shape == (len(q.atoms), MAX_CHILDREN - 1)
    assert 8 < np.array(model.encode(mx.array(x)))[:, 3].max() < 2048
    first = int(q.home[0])
    count = int(q.place[first, 1])

    def child(number: int) -> np.ndarray:
        row = np.array([[*np.array(q.grid[first]), (first + number * count) % 2048]])
        return np.array(q.ids_to_codes(mx.array(row)))

    # Numbers past the last child stand for it.
    assert (child(MAX_CHILDREN - 2) != child(MAX_CHILDREN - 1)).any()
    close(child(MAX_CHILDREN - 1), child(MAX_CHILDREN), "ids")
    close(child(MAX_CHILDREN - 1), child(MAX_CHILDREN + 3), "ids")
