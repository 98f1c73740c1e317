"""The dictionary: its search against a search by hand, its grid, its labels, and what it does with odd data."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.test_train import ATTRIBUTES, split_rows, toy
from tests.tolerances import close
from wotd_mlx.codes import hvq
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.hvq import CANDIDATES, HVQ, MAX_CHILDREN, MIX, WORTH, _Entries, _means
from wotd_mlx.codes.labels import read_labels_off_codes
from wotd_mlx.codes.metrics import relative_mse
from wotd_mlx.codes.train import fit
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


@pytest.mark.parametrize("levels", [(4, 6, 4, 8), (3, 4, 3, 2)])
def test_each_id_stands_for_the_vector_of_its_entry_and_child(levels):
    q = trained(levels)[0].quantizer
    known = points(q)
    ids = mx.array(list(known), mx.int32)
    close(q.ids_to_codes(ids), np.stack([vector for _, vector in known.values()]), "sum_order")


@pytest.mark.parametrize(("levels", "labelled"), [((4, 6, 4, 8), True), ((3, 4, 3, 2), True), ((4, 4, 8), False)])
def test_the_search_finds_the_best_of_all_ids_that_read_as_the_vector_does(levels, labelled):
    model, x, _ = trained(levels, labelled)
    q = model.quantizer
    known = points(q)
    entries = np.array([entry for entry, _ in known.values()])
    vectors = np.stack([vector for _, vector in known.values()])
    z = np.array(model.latents(mx.array(x[-100:])))
    cost = ((z[:, None] - vectors) ** 2).sum(axis=2)
    if labelled:
        told = model.told(mx.array(x[-100:]))
        assert len(np.unique(np.array(told), axis=0)) > 4
        cost += apart(q, told, exact=False)[:, entries]
    ids = np.array(model.encode(mx.array(x[-100:])))
    rows = {number: row for row, number in enumerate(known)}
    found = np.array([cost[n, rows[tuple(i.tolist())]] for n, i in enumerate(ids)])
    # Entries are searched by what they cost alone, their children only for the best eight: now and then one is missed.
    assert (found <= cost.min(axis=1) + 1e-3).mean() > 0.9
    assert found.mean() <= cost.min(axis=1).mean() + 0.01 * cost.min(axis=1).std()


def test_more_ids_than_words_give_every_word_an_id_and_fewer_use_every_id():
    for levels, words in (((4, 6, 4, 64), 600), ((3, 4, 3, 2), 72)):
        model, x, labels = trained(levels)
        assert len(np.array(model.quantizer.atoms)) == words
        ids = model.know(x[:600], labels[:600], 0)
        assert (ids >= 0).all()
        assert (ids < levels).all()
        assert all(len(np.unique(ids[:, q])) == k for q, k in enumerate(levels[:-1]))


def test_every_known_word_owns_an_id_that_says_its_labels_and_stands_for_it():
    model, x, labels = trained((4, 6, 4, 64))
    ids = model.know(x, labels, 0)
    assert len(np.unique(ids, axis=0)) == len(x) == len(model.quantizer.atoms)
    read_labels_off_codes(model, ids, labels)
    for a, table in enumerate(map(np.array, model.tables)):
        told = np.where(table.any(axis=1), table.argmax(axis=1), -1)[ids[:, a]]
        assert told.tolist() == labels[:, a].tolist()
    decoded = np.array(model.decode(mx.array(ids, mx.int32)))
    decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
    assert (decoded @ x.T).argmax(axis=1).tolist() == list(range(len(x)))
    # Its vector alone, with its labels, leads to an ID that says the same and is as near or nearer.
    again = model.encode(mx.array(x), mx.array(np.where(labels < 0, [2, 3], labels), mx.int32))
    values = model.quantizer.code_values()
    assert all((values[a][np.array(again)[:, a]] == values[a][ids[:, a]]).all() for a in range(2))
    z = np.array(model.latents(mx.array(x)))
    far, near = (np.array(model.quantizer.ids_to_codes(mx.array(i, mx.int32))) for i in (ids, np.array(again)))
    assert (((z - near) ** 2).sum(axis=1) <= ((z - far) ** 2).sum(axis=1) + 1e-3).all()


def test_more_known_words_than_ids_share_those_that_say_their_labels():
    model, x, labels = trained((3, 4, 3, 2))
    ids = model.know(x, labels, 0)
    values = model.quantizer.code_values()
    assert [v.tolist() for v in values] == [[0, 1, 2], [0, 1, 2, 3]]
    for a, none in enumerate((2, 3)):
        assert values[a][ids[:, a]].tolist() == np.where(labels[:, a] < 0, none, labels[:, a]).tolist()
    assert len(np.unique(ids, axis=0)) == 72


def test_without_attributes_no_code_has_a_value_and_any_entry_may_stand_for_a_vector():
    model, x, _ = trained((4, 4, 8), labelled=False)
    q, z = model.quantizer, model.latents(mx.array(x[:5]))
    assert not q.laid_out
    assert q.code_values() == []
    known = points(q)
    found = np.array(q.candidates(z, q(z).ids))
    best = ((np.array(z)[:, None] - MIX[0] * np.array(q.atoms.astype(mx.float32))) ** 2).sum(axis=2)
    for row, nearest in zip(found.tolist(), np.argsort(best, axis=1)[:, :CANDIDATES], strict=True):
        assert {known[tuple(number)][0] for number in row} == set(nearest.tolist())


def test_codes_of_none_are_kept_where_every_word_is_labelled_and_no_id_claims_a_label_without_any():
    x, labels = toy()
    for known, want in (
        (np.abs(labels), [[0, 1, 1, 2], [0, 1, 1, 1, 2, 3]]),
        (np.full_like(labels, -1), [[2] * 4, [3] * 6]),
    ):
        cfg = CodesConfig("hvq", (4, 6, 4, 64))
        model = Autoencoder(16, cfg, ATTRIBUTES)
        list(fit(model, x, known, split_rows(len(x)), cfg, seed=0))
        assert [sorted(v.tolist()) for v in model.quantizer.code_values()] == want
        read_labels_off_codes(model, np.array(model.encode(mx.array(x))), known)
        for table, values in zip(model.tables, want, strict=True):
            assert np.array(table).any(axis=1).sum() == sum(value < table.shape[1] for value in values)


def test_codes_of_an_attribute_run_through_its_values_in_order(model):
    q = model.quantizer
    for a in range(2):
        values = [set(np.array(q.readings)[np.array(q.grid)[:, a] == code, a].tolist()) for code in range(q.levels[a])]
        assert all(len(found) == 1 for found in values)
        order = [found.pop() for found in values]
        assert order == sorted(order) == q.code_values()[a].tolist()


def error(model: Autoencoder, x: np.ndarray) -> float:
    return relative_mse(x, np.array(model.decode(model.encode(mx.array(x)))), np.array(model.mean))


def test_labels_cost_little_and_children_gain():
    (plain, x, _), labelled = trained(labelled=False), trained()[0]
    both = error(plain, x[900:])
    assert both <= error(labelled, x[900:]) < 1.3 * both
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


def made(levels: tuple[int, ...], sizes: tuple[int, ...], entries: int, width: int = 6) -> HVQ:
    """A dictionary of random entries, labels and reader, laid out at random: cells of one, of several, of none."""
    rng = np.random.default_rng(1)
    q = HVQ(levels, width, sizes).eval()
    # As many to a cell, at most, as the last number tells apart.
    cells = rng.permutation(np.repeat(np.arange(int(np.prod(levels[:-1]))), min(levels[-1], entries)))[:entries]
    grid = np.stack(np.unravel_index(cells, levels[:-1]), axis=1) if len(levels) > 1 else np.zeros((entries, 0), int)
    values = np.array([rng.integers(0, v + 1, entries) for v in sizes], int).reshape(len(sizes), entries).T
    entered = _Entries(normal(entries, width, seed=2), values, np.arange(entries))
    place = q._store(entered, rng.normal(size=entries).astype(np.float32), grid)
    close(np.array(q.readings)[place], values, "ids")
    q._link()
    q.prepare()
    return q


def asked(q: HVQ, rows: int) -> mx.array | None:
    """Values (rows, A) to ask for, none of them for some; nothing where there are no attributes."""
    rng = np.random.default_rng(7)
    return mx.array(np.stack([rng.integers(0, v + 1, rows) for v in q.sizes], axis=1), mx.int32) if q.sizes else None


def apart(q: HVQ, values: mx.array | None, exact: bool) -> np.ndarray:
    """(N, entries): what the attributes that an entry reads otherwise cost, less what those are worth that it has; one
    that reads as none does no harm, unless all are to be as asked."""
    if values is None:
        return np.zeros((1, len(q.atoms)))
    wanted, read, none = np.array(values)[:, None], np.array(q.readings), np.array(q.sizes)
    far = float(q._ready["apart"])
    if exact:
        return far * (wanted != read).sum(axis=2)
    worth = WORTH * (np.array(q.atoms.astype(mx.float32)) ** 2).sum(axis=1).mean()
    return far * ((wanted != read) & (read != none)).sum(axis=2) - worth * (wanted == read).sum(axis=2)


SMALL = [((3, 2, 5), (3, 2), 17), ((4, 40), (2,), 9), ((3, 2, 2), (), 12), ((40,), (), 7), ((5, 3, 2), (3,), 15)]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("levels", "sizes", "entries"), SMALL)
def test_a_cost_is_the_distance_and_more_where_an_entry_reads_otherwise(levels, sizes, entries, exact):
    q, z = made(levels, sizes, entries), normal(11, 6, seed=3)
    values = asked(q, 11)
    best, cost = map(np.array, q.costs(mx.array(z), values, exact=exact))
    atoms, graph = np.array(q.atoms.astype(mx.float32)), np.array(q.graph)
    more = np.broadcast_to(apart(q, values, exact), (11, entries))
    alone, own, other = MIX
    near = ((z[:, None] - alone * atoms) ** 2).sum(axis=2) - (z**2).sum(axis=1)[:, None]
    single = near + more
    want_best = np.argsort(single, axis=1)[:, :CANDIDATES]
    close(np.sort(best, axis=1), np.sort(want_best, axis=1), "ids")
    assert cost.shape == (11, min(CANDIDATES, entries), graph.shape[1] + 1)
    for b in range(11):
        for m, entry in enumerate(best[b]):
            number, count = np.array(q.place)[entry].tolist()
            for child in range(cost.shape[2]):
                if number + child * count >= levels[-1]:
                    assert cost[b, m, child] == np.inf
                    continue
                vector = own * atoms[entry] + other * atoms[graph[entry, child - 1]] if child else alone * atoms[entry]
                want = ((z[b] - vector) ** 2).sum() - (z[b] ** 2).sum() + more[b, entry]
                close(cost[b, m, child], want, "beside_large")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("levels", "sizes", "entries"), SMALL)
def test_with_all_entries_tried_the_search_is_exact(levels, sizes, entries, exact, monkeypatch):
    monkeypatch.setattr(hvq, "CANDIDATES", 100)
    monkeypatch.setattr(hvq, "ROWS", 8)
    q, z = made(levels, sizes, entries), normal(20, 6, seed=3)
    known = points(q)
    ids, owners = list(known), np.array([entry for entry, _ in known.values()])
    vectors = np.stack([vector for _, vector in known.values()])
    values = asked(q, 20)
    plain = ((z[:, None] - vectors) ** 2).sum(axis=2)
    close(q(mx.array(z)).ids, np.array([ids[n] for n in plain.argmin(axis=1)]), "ids")
    cost = plain + apart(q, values, exact)[:, owners]
    want = np.array([ids[n] for n in cost.argmin(axis=1)])
    close(q.codes_to_ids(mx.array(z), values, exact=exact), want, "ids")
    close(q.ids_to_codes(mx.array(want)), vectors[cost.argmin(axis=1)], "sum_order")
    assert len(np.unique(want, axis=0)) > 3


@pytest.mark.parametrize(("levels", "sizes", "entries"), [((3, 2, 5), (3, 2), 17), ((4, 40), (2,), 9)])
def test_what_is_left_over_is_so_without_the_word_s_own_entry(levels, sizes, entries, monkeypatch):
    monkeypatch.setattr(hvq, "CANDIDATES", entries - 1)
    monkeypatch.setattr(hvq, "ROWS", 8)
    q = made(levels, sizes, entries)
    atoms = np.array(q.atoms.astype(mx.float32))
    # Words that are entries, words very near to one (1e-5 of its square away), and words a little farther.
    off = normal(entries, 6, seed=4)
    off *= np.linalg.norm(atoms, axis=1, keepdims=True) / np.linalg.norm(off, axis=1, keepdims=True)
    z = np.concatenate([atoms, atoms + 3e-3 * off, atoms + 3e-2 * off]).astype(np.float32)
    known = points(q)
    owners = np.array([entry for entry, _ in known.values()])
    vectors = np.stack([vector for _, vector in known.values()])
    cost = ((z[:, None] - vectors) ** 2).sum(axis=2)
    itself = ((z[:, None] - atoms) ** 2).sum(axis=2) < 1e-4 * (z**2).sum(axis=1)[:, None]
    assert itself.sum() == 2 * entries
    best = np.where(itself[:, owners], np.inf, cost).argmin(axis=1)
    close(q.left_over(z), z - vectors[best], "sum_order")


def test_the_candidates_of_a_vector_are_all_children_of_its_best_entries_that_read_as_its_id(monkeypatch):
    monkeypatch.setattr(hvq, "CANDIDATES", 3)
    q, z = made((3, 2, 5), (3, 2), 17), normal(9, 6, seed=3)
    q.shares = mx.array([1, 1, 1, 0, 1, 1, 0], mx.int32)  # codes read as 0, 1, 2 and as 0, 1
    ids = q(mx.array(z)).ids
    values = mx.minimum(ids[:, :2], mx.array([2, 1]))
    found = np.array(q.candidates(mx.array(z), ids))
    atoms = np.array(q.atoms.astype(mx.float32))
    single = ((z[:, None] - MIX[0] * atoms) ** 2).sum(axis=2) + apart(q, values, exact=True)
    best = np.argsort(single, axis=1)[:, :3]
    known = points(q)
    for b in range(9):
        want = {number for number, (entry, _) in known.items() if entry in best[b]}
        assert set(map(tuple, found[b].tolist())) == want


@pytest.mark.parametrize(("levels", "sizes", "entries"), SMALL)
def test_entries_lie_by_cell_and_score_and_know_their_nearest(levels, sizes, entries):
    q = made(levels, sizes, entries)
    grid, place = np.array(q.grid), np.array(q.place)
    cells = [tuple(cell) for cell in grid.tolist()]
    assert cells == sorted(cells)
    for cell in set(cells):
        rows = [row for row, other in enumerate(cells) if other == cell]
        assert place[rows].tolist() == [[n, len(rows)] for n in range(len(rows))]
        home = int(np.ravel_multi_index(cell, levels[:-1])) if len(levels) > 1 else 0
        assert int(q.home[home]) == rows[0]
    atoms = np.array(q.atoms.astype(mx.float32))
    distances = ((atoms[:, None] - atoms) ** 2).sum(axis=2) + 1e9 * np.eye(entries)
    children = -(-levels[-1] // place[:, 1].min()) - 1
    wanted = max(0, min(children, entries - 1, MAX_CHILDREN - 1))
    graph = np.array(q.graph)
    close(graph, np.argsort(distances, axis=1)[:, :wanted], "ids")
    close(q.closeness, (atoms[:, None] * atoms[graph]).sum(axis=2), "sum_order")


def test_components_are_scaled_by_how_much_words_differ_along_them():
    q = HVQ((4, 4), 3, neighbour_weight=0.7)
    variances = np.array([5.0, 2.0, -1.0])
    close(q.component_scales(variances), np.sqrt([1 + 0.7 * 5 / 2, 1 + 0.7 * 2 / 2, 1.0]), "sum_order")


def test_means_are_those_of_what_is_nearest_to_each():
    x = np.concatenate([normal(40, 3), normal(40, 3, seed=1) + 9]).astype(np.float32)
    found = _means(x, 4, 0)
    nearest = ((x[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
    close(found, np.stack([x[nearest == k].mean(axis=0) for k in range(4)]), "sum_order")
    # Equal words leave one mean of those that were asked for.
    assert _means(np.ones((50, 3), np.float32), 4, 0).shape == (1, 3)
