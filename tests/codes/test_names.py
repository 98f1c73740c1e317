"""Names of codes, what moving along a coordinate changes, IDs of their own."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.test_hvq import normal, trained
from tests.codes.test_train import ATTRIBUTES
from wotd_mlx.codes.metrics import collision_rate
from wotd_mlx.codes.names import coordinate_names, moves, name_codes
from wotd_mlx.codes.plot import draw
from wotd_mlx.codes.train import read_labels_off_codes
from wotd_mlx.codes.unique import make_unique
from wotd_mlx.schemas import Word


@pytest.fixture(scope="module")
def coded():
    model, x, labels = trained((4, 6, 4, 8), label_share=0.97)
    ids = np.array(model.encode(mx.array(x)))
    read_labels_off_codes(model, ids, labels)
    return model, x, ids


def test_coordinates_without_an_attribute_are_variations():
    assert coordinate_names((4, 4, 4, 4), ATTRIBUTES) == ["size", "hue", "variation", "variation 2"]


def test_every_code_has_a_name_of_its_own_made_from_its_words(coded):
    model, x, ids = coded
    words = [Word(f"w{n}", zipf=2.0 if n % 2 else 4.0) for n in range(len(x))]
    rows = name_codes(model, words, x, ids, ATTRIBUTES)
    assert [(r.coordinate, r.code) for r in rows] == [
        (c, k) for c, n in zip(("size", "hue", "variation", "variation 2"), (4, 6, 4, 8), strict=True) for k in range(n)
    ]
    for q, coordinate in enumerate(("size", "hue", "variation", "variation 2")):
        mine = [r for r in rows if r.coordinate == coordinate]
        assert len({r.name for r in mine}) == len(mine)
        for row in mine:
            members = {f"w{n}" for n in np.flatnonzero(ids[:, q] == row.code)}
            assert row.members == len(members)
            assert set(row.words) <= members
            assert all(word in row.name for word in row.words[:2])
            assert len(row.words) == min(8, len(members))
            # Words that a reader knows come first, where there are enough.
            if sum(int(w[1:]) % 2 == 0 for w in members) >= 8:
                assert all(int(w[1:]) % 2 == 0 for w in row.words)
    assert rows[0].name.startswith("small: ")
    assert rows[4].name.startswith("red: ")


def test_a_code_that_no_word_has_says_so(coded):
    model, x, ids = coded
    kept = np.flatnonzero(ids[:, 3] != 5)
    rows = name_codes(model, [Word(str(n)) for n in kept], x[kept], ids[kept], ATTRIBUTES)
    lonely = [r for r in rows if r.members == 0]
    assert [(r.coordinate, r.code, r.name, r.words) for r in lonely] == [("variation 2", 5, "no word yet", ())]


def test_moving_a_coordinate_moves_its_attribute_and_little_else(coded):
    model, _, ids = coded
    # In the toy data the two attributes are known directions of the vectors; these read them off exactly.
    probes = [lambda v, d=d: mx.stack([mx.zeros(len(v)), 30 * v[:, d] - 10], axis=1) for d in (0, 1)]
    found = moves(model, probes, ids, 64)
    assert found.shape == (4, 2)
    for a in range(2):
        assert found[a, a] > 0.4
        assert np.abs(np.delete(found[:, a], a)).max() < 0.5 * found[a, a]


def test_words_get_ids_of_their_own_within_the_budget(coded):
    model, x, ids = coded
    few, mine = x[:60], ids[:60]
    mine[30:] = mine[:30]  # half of them collide
    few = np.concatenate([few[:30], few[:30] + 0.01 * normal(30, 16)])
    mine = np.array(model.encode(mx.array(few)))
    generous = make_unique(model, few, mine, budget=10.0)
    assert generous.before == collision_rate(mine) > 0.5
    assert generous.after == collision_rate(generous.ids) == 0
    assert (generous.ids >= 0).all()
    assert (generous.ids < model.quantizer.levels).all()
    assert make_unique(model, few, mine, budget=0.0).cost <= 1e-6
    tight = make_unique(model, few, mine, budget=0.02)
    assert tight.cost <= 0.02
    assert 0 <= tight.after <= tight.before


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_other_kinds_find_ids_of_their_own_too(kind):
    from tests.codes.test_train import train

    model, _, x, _ = train(kind, epochs=2, levels=(8, 8, 8, 8))
    twice = np.concatenate([x[:40], x[:40]])
    ids = np.array(model.encode(mx.array(twice)))
    found = make_unique(model, twice, ids, budget=10.0)
    assert (found.before, found.after) == (1.0, 0.0)
    # Who keeps the first choice keeps it exactly.
    assert (found.ids == ids).all(axis=1).sum() >= len(np.unique(ids, axis=0))


def test_a_picture_a_coordinate_is_drawn(coded, tmp_path):
    pytest.importorskip("matplotlib")
    model, x, ids = coded
    rows = name_codes(model, [Word(f"w{n}") for n in range(len(x))], x, ids, ATTRIBUTES)
    files = draw(rows, model.tables, ATTRIBUTES, tmp_path / "pictures")
    assert [f.name for f in files] == ["size.png", "hue.png", "variation.png", "variation-2.png"]
    assert all(f.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for f in files)


def test_words_taken_a_few_at_a_time_get_the_same_ids(coded, monkeypatch):
    from wotd_mlx.codes import unique

    model, x, _ = coded
    few = np.concatenate([x[:30], x[:30] + 0.01 * normal(30, 16)])
    mine = np.array(model.encode(mx.array(few)))
    whole = make_unique(model, few, mine, budget=1.0)
    monkeypatch.setattr(unique, "_AT_ONCE", 1)
    assert (make_unique(model, few, mine, budget=1.0).ids == whole.ids).all()
    assert whole.after < whole.before


def test_of_very_many_candidates_the_nearest_are_kept(monkeypatch):
    from tests.codes.test_train import train
    from wotd_mlx.codes import unique

    model, _, x, _ = train("fsq", epochs=1, levels=(8, 8, 2, 600))
    twice = np.concatenate([x[:20], x[:20]])
    ids = np.array(model.encode(mx.array(twice)))
    kept = make_unique(model, twice, ids, budget=10.0)
    monkeypatch.setattr(unique, "_KEPT", 10_000)
    every = make_unique(model, twice, ids, budget=10.0)
    assert kept.after == every.after == 0
    assert kept.cost == pytest.approx(every.cost, abs=1e-6)
