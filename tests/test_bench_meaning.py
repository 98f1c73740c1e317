"""What bench_meaning counts by itself: definitions, look-alikes, folds, and ranks beside those that find gives."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from benchmarks.meaning_find import Asked, Ranks, definitions, read_gcide
from benchmarks.meaning_prediction import FOLDS, folds
from benchmarks.meaning_similarity import WordNet, likeness
from tests.known_tables import small_table, unit
from wotd_mlx.find import find

ENTRIES = """\
Joy \\Joy\\ (joi), n. [OF. joye,
   fr. L. gaudium.]
   1. (Metaph.) What makes a heart beat higher; delight, as in
      spring; as, he jumped for it. See {Delight}.
      [1913 Webster]

            A line of verse that is nobody's definition.

   2. Gladness.
      [1913 Webster]

Moon \\Moon\\, n.; pl. {Moons} (-z).
   The moon's own light, seen here at night.

   Syn: The satellite of our own earth.

Grief \\Grief\\, n.
   Sorrow that a loss brings with it.
   [WordNet 1.5]
"""


@pytest.fixture
def gcide(tmp_path):
    file = tmp_path / "gcide.dict.dz"
    file.write_bytes(gzip.compress(ENTRIES.encode()))
    return file


def test_definitions_are_read_without_what_stands_around_them(gcide):
    found = list(read_gcide(gcide, lambda word: True))
    assert found == [
        ("joy", "What makes a heart beat higher; delight, as in spring"),
        ("moon", "The moon's own light, seen here at night"),
    ]


def test_a_definition_that_names_its_word_is_left_out(gcide):
    known = small_table()
    found = definitions(gcide, known, 10)
    assert [(known.words[asked.row], asked.text[:10]) for asked in found] == [("joy", "What makes")]


@pytest.mark.parametrize(("a", "b", "want"), [("joy", "joy", 1), ("kitten", "sitting", 4 / 7), ("ab", "cd", 0)])
def test_likeness_counts_edits(a, b, want):
    assert likeness(a, b) == likeness(b, a) == pytest.approx(want)


def test_words_are_related_within_three_pointers(tmp_path):
    chain = []
    for n in range(1, 6):
        others = [other for other in (n - 1, n + 1) if 1 <= other <= 5]
        pointers = " ".join(f"@ {other:08d} n 0000" for other in others)
        chain.append(f"{n:08d} 00 n 01 w{n} 0 {len(others):03d} {pointers} | no gloss\n")
    for part in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text("  1 a licence\n" + "".join(chain if part == "noun" else []))
    net = WordNet(tmp_path)
    assert "w1" in net
    assert "w9" not in net
    assert [net.related("w1", f"w{n}") for n in range(1, 6)] == [True, True, True, True, False]


def test_every_labelled_word_is_tested_once_and_no_family_is_in_two_parts():
    families = np.random.default_rng(0).integers(0, 60, 200)
    labelled = np.flatnonzero(np.random.default_rng(1).random(200) < 0.7)
    found = folds(families, labelled)
    assert len(found) == FOLDS
    assert sorted(np.concatenate([fold.test for fold in found]).tolist()) == labelled.tolist()
    for fold in found:
        parts = [set(families[rows].tolist()) for rows in fold]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_ranks_are_those_of_find():
    known = small_table()
    texts = ["a", "moon grief", "thou", "some thing", "abcdefg"]
    queries = {text: unit(np.random.default_rng(len(text)).normal(size=16)) for text in texts}
    for text in texts:
        if known.row(text) is not None:
            continue
        answers = [known.families[known.row(f.word)] for f in find(known, lambda t: queries[t[0]][None], text, 99)]
        centred = unit(queries[text] - known.centre)[None]
        for row in range(len(known)):
            if known.families[row] in answers:
                (rank,) = Ranks(known, [Asked(row, text)])(centred, known.vectors, known.senses)
                assert rank == answers.index(known.families[row]) + 1
