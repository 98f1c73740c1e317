"""The table of known words: what is written is read back, and every damage is told in one line."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.known_tables import ERA, STYLE, WORDS, small_table, stored, unit
from tests.tolerances import close
from wotd_mlx.codes.packed import AdditiveRows, Books, Int8Rows
from wotd_mlx.io.safetensors import write_parts
from wotd_mlx.known import KnownWords
from wotd_mlx.schemas import MissingError, SemanticID, WotdError
from wotd_mlx.words.families import family
from wotd_mlx.words.normal import normal

HINT = "train again"
texts = st.lists(st.text(min_size=1, max_size=6).map(normal).filter(bool), min_size=1, max_size=20, unique=True)


@given(words=texts, seed=st.integers(0, 99), width=st.integers(1, 20))
def test_what_is_written_is_read_back(tmp_path_factory, words, seed, width):
    file = tmp_path_factory.mktemp("known") / "known.safetensors"
    made = small_table(seed, width, tuple(words))
    digest = made.write(file, {"codes": "c"})
    found = KnownWords.read(file, HINT, {"codes": "c"})
    for field in dataclasses.fields(KnownWords):
        was, now = getattr(made, field.name), getattr(found, field.name)
        if field.name == "probability":
            assert np.abs(was - now).max() <= 0.5 / 255 + 1e-6
            assert ((now > 0.5) <= (was > 0.5)).all()
            assert (now[made.labels >= 0] == 1).all()
        elif field.name == "heads":
            assert now.tolist() == [next(n for n, w in enumerate(words) if family(w) == family(word)) for word in words]
        elif not field.name.endswith("_rows"):
            assert type(was) is type(now), field.name
            assert np.array_equal(was, now), field.name
    close(found.vectors, made.vectors, "ids")
    close(found.senses, made.senses, "ids")
    assert found.write(file, {"codes": "c"}) == digest


def additive(n: int, seed: int, books: Books) -> AdditiveRows:
    return AdditiveRows(np.random.default_rng(seed).integers(0, 256, (n, 3)).astype(np.uint8), books)


def some_books(width: int = 16) -> Books:
    rng = np.random.default_rng(5)
    directions = np.linalg.qr(rng.normal(size=(width, width)))[0][:6].astype(np.float16)
    return Books(rng.integers(-127, 128, (4, 256, 6)).astype(np.int8), np.float32([1e-2, 5e-3, 2e-3, 1e-3]), directions)


def test_a_small_table_is_a_fraction_and_reads_back(tmp_path):
    words = tuple(f"word{n:05}" for n in range(3000))
    books = some_books()
    large = small_table(0, 16, words)
    small = small_table(
        0, 16, words, word_rows=additive(3000, 1, books), sense_rows=additive(len(large.owner), 2, books)
    )
    large.write(tmp_path / "large")
    digest = small.write(tmp_path / "small", small=True)
    found = KnownWords.read(tmp_path / "small", HINT)
    assert (tmp_path / "small").stat().st_size < 0.5 * (tmp_path / "large").stat().st_size
    for name in ("words", "levels"):
        assert getattr(found, name) == getattr(small, name)
    for name in ("ids", "labels", "guesses", "owner", "meet", "difficulty", "families", "vectors", "senses"):
        assert np.array_equal(getattr(found, name), getattr(small, name)), name
    assert found.write(tmp_path / "again", small=True) == digest


def test_a_vector_is_the_sum_of_its_codes():
    books = some_books()
    packed = additive(50, 1, books)
    sums = np.stack([sum(books.codes[m, c] * books.scales[m] for m, c in enumerate(row)) for row in packed.codes])
    whole = sums @ books.back.astype(np.float32)
    query = unit(np.random.default_rng(3).normal(size=16))
    assert packed.shape == (50, 16)
    close(packed.rows(np.array([7, 3])), unit(whole[[7, 3]]), "forms")
    close(packed.cosines(query), whole @ query, "forms")
    with pytest.raises(WotdError, match=r"rows of codes \(50, 5\) don't fit 4 codebooks"):
        AdditiveRows(np.zeros((50, 5), np.uint8), books)
    with pytest.raises(WotdError, match="aren't finite"):
        Books(books.codes, books.scales * np.nan, books.back)
    with pytest.raises(WotdError, match="don't fit codes of width 6"):
        Books(books.codes, books.scales, books.back[:5])


def test_a_word_is_found_however_it_was_typed():
    known = small_table()
    assert [known.row(text) for text in ("Joy", " joy ", "\ufeffjoy", "CAFE\u0301", "A  quiet joy", "sorrow", "")] == [
        0, 0, 0, 5, 4, None, None,
    ]  # fmt: skip


def test_each_id_names_its_word():
    known = small_table()
    assert [known.owner_of(known.id_of(row)) for row in range(len(known))] == list(range(len(WORDS)))
    assert known.owner_of((7, 2, 2047)) is None
    assert known.id_of(3) == SemanticID((3, 0, 3))


def test_what_evidence_and_guess_say_of_a_word():
    labels, guesses = np.full((8, 2), -1, np.int8), np.full((8, 2), -1, np.int8)
    labels[1] = 2, -1
    guesses[1] = 2, 1
    probability = np.zeros((8, 2), np.float32)
    probability[1] = 1, 0.75
    known = small_table(labels=labels, guesses=guesses, probability=probability)
    assert known.evidence_of(1) == {"style": "romantic"}
    assert known.labels_of(1) == ({"style": "romantic", "era": None}, {"style": 1.0, "era": None})
    assert known.guess_of(1) == {"era": ("contemporary", 0.75)}
    assert known.guess_of(0) == {}
    assert known.evidence_of(0) == {}
    assert known.labels_of(0) == ({"style": None, "era": None}, {"style": None, "era": None})
    assert known.readings == (("", "romantic", *[""] * 6), ("", "", ""))


def test_senses_belong_to_their_word():
    known = small_table()
    assert [list(known.senses_of(row)) for row in range(6)] == [[], [0], [1, 2], [], [3], [4, 5]]
    assert all(known.owner[sense] == row for row in range(8) for sense in known.senses_of(row))
    rows = np.array([7, 3, 5, 1, 0])
    want = [known.senses[known.senses_of(row).start] if row % 3 else known.vectors[row] for row in rows]
    close(known.first_senses(rows), np.stack(want), "exact")


@given(seed=st.integers(0, 50), n=st.integers(0, 9), distinct=st.booleans(), exclude=st.sets(st.integers(0, 7)))
def test_the_nearest_are_those_of_a_full_search(seed, n, distinct, exclude):
    known = small_table(seed)
    query = unit(np.random.default_rng(seed + 1).normal(size=16))
    found = known.nearest(query, n, distinct=distinct, exclude=exclude)
    cosines = known.vectors @ query
    want, families = [], {family(WORDS[row]) for row in exclude}
    for row in sorted(range(8), key=lambda row: -cosines[row]):
        if row not in exclude and not (distinct and family(WORDS[row]) in families):
            want.append(row)
            families.add(family(WORDS[row]))
    assert [near.row for near in found] == want[:n]
    close(np.array([near.cosine for near in found]), cosines[want[:n]], "forms")


def test_many_words_are_ranked_as_few_are():
    words = tuple(f"w{n}x" for n in range(1000))
    known = small_table(3, 4, words)
    scores = np.repeat(np.random.default_rng(0).normal(size=250), 4).astype(np.float32)
    scores[7] = -np.inf
    found = [near.row for near in known.best(scores, 999, distinct=False)]
    assert found == sorted(set(range(1000)) - {7}, key=lambda row: (-scores[row], row))


def test_relatives_are_of_one_family():
    assert [WORDS[row] for row in small_table().relatives(0)] == ["joys", "joyful"]


def test_the_first_of_each_family_stays():
    known, rows = small_table(), np.array([7, 1, 0, 4, 2, 6])
    assert known.one_a_family(rows).tolist() == [7, 1, 4, 6]
    assert known.one_a_family(rows, taken=[6, 0]).tolist() == [7, 4]
    assert known.one_a_family(rows[:0]).tolist() == []


def test_a_byte_a_number_keeps_the_direction():
    x = unit(np.random.default_rng(0).normal(size=(9000, 24)))
    packed = Int8Rows.of(x)
    assert (packed.rows(np.arange(9000)) * x).sum(axis=1).min() > 0.9998
    close(packed.cosines(x[5]), packed.rows(np.arange(9000)) @ x[5], "forms")
    with pytest.raises(WotdError, match="vector 1 of 2 is zero or not finite"):
        Int8Rows.of(np.array([[1, 0], [0, 0]], np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": ("joy", *WORDS[:7])}, "'joy' comes twice"),
        ({"words": ("", *WORDS[:7])}, "word 0 is empty"),
        ({"ids": np.zeros((7, 3), np.int32)}, r"ids has the shape \(7, 3\), expected \(8, 3\)"),
        ({"ids": np.full((8, 3), 8, np.int32)}, r"an ID lies outside the levels \[8, 3, 2048\]"),
        ({"ids": np.full((8, 3), -1, np.int32)}, "an ID lies outside"),
        ({"labels": np.full((8, 2), 2, np.int8)}, "labels holds a number that is none"),
        ({"guesses": np.full((8, 2), -2, np.int8)}, "guesses holds a number that is none"),
        ({"probability": np.full((8, 2), np.nan, np.float32)}, "a probability lies outside 0 to 1"),
        ({"owner": np.array([1, 0, 2, 3, 4, 5, 6], np.int32)}, r"owner isn't ascending"),
        ({"owner": np.array([0, 1, 2, 3, 4, 5, 8], np.int32)}, r"owner isn't ascending"),
        ({"centre": np.zeros(15, np.float32)}, "the centre isn't 16 finite numbers"),
        ({"centre": np.full(16, np.nan, np.float32)}, "the centre isn't 16 finite numbers"),
        ({"heads": np.arange(8, dtype=np.int32)[::-1]}, "heads aren't the first rows of the 8 words' families"),
        ({"heads": np.array([0, 0, 1, 3, 4, 5, 6, 7], np.int32)}, "heads aren't the first rows"),
        ({"heads": np.zeros(7, np.int32)}, "heads aren't the first rows"),
        ({"owner": np.zeros(3, np.int32)}, r"sense_rows has the shape \(7, 16\), expected \(3, 16\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(WotdError, match=message):
        small_table(**changes)


def test_words_that_nobody_would_find_are_not_written(tmp_path):
    with pytest.raises(WotdError, match="'Joy' isn't in its normal form, 'joy'"):
        small_table(words=("Joy", *WORDS[1:])).write(tmp_path / "k")


def rewritten(file, **changes) -> None:
    """The file with some of its arrays changed, or with other texts, as a damaged writer would leave it."""
    arrays, metadata = stored(file)
    metadata |= {k: v for k, v in changes.items() if k == "known"}
    arrays |= {k: v for k, v in changes.items() if k != "known"}
    write_parts(file, {k: v for k, v in arrays.items() if v is not None}, metadata)


def everything(file) -> tuple:
    known = KnownWords.read(file, HINT)
    return known.words, known.levels, len(known.vectors), len(known.senses)


def about(**changes) -> np.ndarray:
    held = {"attributes": [], "levels": [2], "embedding": "e", "glosses": "", "source": ""}
    return np.frombuffer(json.dumps(held | changes).encode(), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": np.frombuffer(b"joy\njoy", np.uint8)}, r"ids is uint16 \(8, 3\), expected uint16 or int32 \(2, 3\)"),
        ({"words": np.frombuffer("\n".join(["joy", *WORDS[:7]]).encode(), np.uint8)}, "'joy' comes twice"),
        ({"words": np.frombuffer(b"\xff\n\n\n\n\n\n\n", np.uint8)}, "can't decode byte 0xff"),
        ({"senses": None}, "lacks the array senses"),
        ({"vectors": None, "centre": None}, "is empty; expected words"),
        ({"vectors": np.ones((8, 15), np.int8), "centre": None}, r"senses is int8 \(7, 16\), expected int8 \(7, 15\)"),
        ({"vectors": np.zeros((8, 16), np.int8)}, "a stored vector is zero"),
        ({"senses_of_word": np.full(8, 9, np.uint16)}, r"senses is int8 \(7, 16\), expected int8 \(72, 16\)"),
        ({"labels": np.full((8, 2), 9, np.int8)}, "labels holds a number that is none"),
        ({"family_back": np.arange(8, dtype=np.uint8) + 1}, "heads aren't the first rows"),
        ({"known": "7"}, "of version '7', expected 1"),
        ({"about": np.frombuffer(b"[]", np.uint8)}, "about: it is"),
        ({"about": np.frombuffer(b"{", np.uint8)}, "about: not JSON"),
        ({"about": about(more=1)}, "unknown keys 'more'"),
        ({"about": about(levels=[])}, "expected a count of codes"),
        ({"about": about()}, r"ids is uint16 \(8, 3\), expected uint16 or int32 \(8, 1\)"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, changes, message):
    file = tmp_path / "known.safetensors"
    small_table().write(file)
    rewritten(file, **changes)
    with pytest.raises(WotdError, match=message) as caught:
        everything(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_of_other_codes_are_told(tmp_path):
    with pytest.raises(MissingError, match="train again"):
        KnownWords.read(tmp_path / "absent", HINT)
    small_table().write(tmp_path / "k", {"codes": "a"})
    with pytest.raises(WotdError, match="doesn't belong to the codes here"):
        KnownWords.read(tmp_path / "k", HINT, {"codes": "b"})


def test_a_flipped_bit_is_told_when_its_array_is_read(tmp_path):
    file = tmp_path / "k"
    small_table().write(file)
    content, told = file.read_bytes(), 0
    for at in range(8, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            found = everything(file)
        except WotdError:
            told += 1
            continue
        # Nothing but a text that this reader has no use for may have changed.
        assert found == (WORDS, (8, 3, 2048), 8, 7)
    assert told > 0.9 * len(content) / 7


def test_a_word_is_looked_up_without_mlx(tmp_path):
    small_table().write(tmp_path / "k")
    code = (
        "import sys; from pathlib import Path; from wotd_mlx.known import KnownWords;"
        f"k = KnownWords.read(Path({str(tmp_path / 'k')!r}), ''); assert k.row('JOY') == 0;"
        "sys.exit('mlx.core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_attributes_read_back(tmp_path):
    small_table().write(tmp_path / "k")
    assert KnownWords.read(tmp_path / "k", HINT).attributes == (STYLE, ERA)
