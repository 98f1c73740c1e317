"""Names of codes, and what moving along a coordinate changes."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import normal
from tests.codes.test_hvq import trained
from tests.codes.test_train import ATTRIBUTES
from tests.tolerances import close
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import read_labels_off_codes
from wotd_mlx.codes.names import coordinate_names, moves, name_codes
from wotd_mlx.codes.plot import draw
from wotd_mlx.config import CodesConfig


@pytest.fixture(scope="module")
def coded():
    model, x, labels = trained((4, 6, 4, 8))
    ids = model.know(x, labels, 0)
    read_labels_off_codes(model, ids, labels)
    return model, x, ids


def named(model, words, common, x, ids, attributes, **options):
    tables = [np.array(table) for table in model.tables]
    pairs = list(zip(attributes, tables, strict=False))
    readings = [[a.values[row.argmax()] if row.any() else "" for row in table] for a, table in pairs]
    return name_codes(model.quantizer.levels, attributes, readings, words, np.array(common, bool), x, ids, **options)


def test_coordinates_without_an_attribute_are_variations():
    assert coordinate_names((4, 4, 4, 4), ATTRIBUTES) == ["size", "hue", "variation", "variation 2"]


def test_every_code_has_a_name_of_its_own_made_from_its_words(coded):
    model, x, ids = coded
    words, common = [f"w{n}" for n in range(len(x))], np.arange(len(x)) % 2 == 0
    rows = named(model, words, common, x, ids, ATTRIBUTES)
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


def test_a_coordinate_of_thousands_of_codes_is_an_address_without_names():
    model, x, labels = trained((4, 6, 2048))
    ids = model.know(x, labels, 0)
    read_labels_off_codes(model, ids, labels)
    rows = named(model, [f"w{n}" for n in range(len(x))], np.ones(len(x)), x, ids, ATTRIBUTES)
    assert [(r.coordinate, r.code) for r in rows] == [("size", k) for k in range(4)] + [("hue", k) for k in range(6)]
    assert rows[3].name.startswith("none: ")
    assert moves(model, [lambda v: v[:, :2]], ids, 8)[2].tolist() == [0]


def test_a_code_that_no_word_has_says_so(coded):
    model, x, ids = coded
    kept = np.flatnonzero(ids[:, 3] != 5)
    rows = named(model, list(map(str, kept)), np.ones(len(kept)), x[kept], ids[kept], ATTRIBUTES)
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


def test_a_picture_a_coordinate_is_drawn(coded, tmp_path):
    pytest.importorskip("matplotlib")
    model, x, ids = coded
    rows = named(model, [f"w{n}" for n in range(len(x))], np.ones(len(x)), x, ids, ATTRIBUTES)
    files = draw(rows, model.tables, ATTRIBUTES, tmp_path / "pictures")
    assert [f.name for f in files] == ["size.png", "hue.png", "variation.png", "variation-2.png"]
    assert all(f.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for f in files)


def test_a_picture_shows_all_words_of_a_code_those_of_none_too(coded, tmp_path, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    model, x, ids = coded
    rows = named(model, [f"w{n}" for n in range(len(x))], np.ones(len(x)), x, ids, ATTRIBUTES)
    drawn = []
    monkeypatch.setattr(plt, "close", drawn.append)
    draw([row for row in rows if row.coordinate == "hue"], model.tables, ATTRIBUTES, tmp_path)
    (axes,) = drawn[0].axes
    shown = np.array([[bar.get_width() for bar in bars] for bars in axes.containers])  # (values and none, K)
    close(shown.sum(axis=0), [row.members for row in rows if row.coordinate == "hue"], "sum_order")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["red", "green", "blue", "none"]
    none = [row.name.startswith("none: ") for row in rows if row.coordinate == "hue"]
    assert (shown[3] > 0).tolist() == none
    assert any(none)


def test_names_are_those_of_the_members_farthest_along_their_mean():
    """By hand: 12 words, one coordinate of an attribute and a free one; five words are unknown to readers."""
    model = Autoencoder(3, CodesConfig("fsq", (2, 3)), ATTRIBUTES[:1])
    model.tables = [mx.array([[0.2, 0.8], [0.7, 0.3]])]
    x, rng = normal(12, 3), np.random.default_rng(0)
    ids = np.stack([rng.integers(0, 2, 12), rng.integers(0, 2, 12)], axis=1)
    known = np.array([1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 0], bool)
    words = [f"w{n}" for n in range(12)]
    rows = named(model, words, known, x, ids, ATTRIBUTES[:1], examples=3)
    for row in rows:
        q = 0 if row.coordinate == "size" else 1
        members = np.flatnonzero(ids[:, q] == row.code)
        shown = members[known[members]] if known[members].sum() >= 3 else members
        toward = x[members].mean(axis=0) - x.mean(axis=0) if len(members) else x[0]
        order = sorted(shown, key=lambda n: -float((x[n] - x.mean(axis=0)) @ toward))
        texts = [f"w{n}" for n in order[:3]]
        value = {0: "large: ", 1: "small: "}[row.code] if q == 0 else ""
        assert (row.members, list(row.words)) == (len(members), texts)
        assert row.name == value + ("·".join(texts[:2]) or "no word yet")
    assert [(row.coordinate, row.code) for row in rows] == [
        ("size", 0), ("size", 1), ("variation", 0), ("variation", 1), ("variation", 2)
    ]  # fmt: skip


def test_a_move_is_the_slope_of_the_expected_value_over_the_codes():
    model = Autoencoder(4, CodesConfig("fsq", (3, 5)), ())
    model.decoder.linear.weight = mx.array(normal(4, 2))
    weights = [normal(4, 2, seed=1), normal(4, 4, seed=2), normal(4, 1, seed=3)]
    ids = np.array([[0, 1], [2, 4], [1, 3], [0, 0], [2, 2]])
    found = moves(model, [lambda v, w=w: v @ mx.array(w) for w in weights], ids, words=4)
    for q, k in enumerate((3, 5)):
        for a, w in enumerate(weights):
            slopes = []
            for row in ids[:4]:
                expected = []
                for code in range(k):
                    number = row.copy()
                    number[q] = code
                    logits = np.array(model.decode(mx.array(number[None], mx.int32)))[0].astype(np.float64) @ w
                    p = np.exp(logits) / np.exp(logits).sum()
                    expected.append(p @ np.arange(len(p)))
                slopes.append(np.polyfit(np.arange(k), expected, 1)[0])
            values = w.shape[1]
            close(found[q, a], np.mean(slopes) * (k - 1) / max(values - 1, 1), "sum_order")
