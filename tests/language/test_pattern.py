"""Patterns: every one of a small grid, the limits to the number, and errors to the letter."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.language.dsl import parse_request
from wotd_mlx.language.pattern import Cursor, Pattern, read_id, read_pattern
from wotd_mlx.schemas import SemanticID, WotdError

LEVELS = (8, 8, 8, 5)

CODES = st.integers(0, 12) | st.integers(0, 10**9 - 1)
FIELDS = st.none() | st.frozensets(st.integers(0, 12), min_size=1) | st.frozensets(CODES, min_size=1, max_size=6)
PATTERNS = st.builds(Pattern, st.lists(FIELDS, min_size=1, max_size=6).map(tuple))


def subsets(k: int) -> list[frozenset[int] | None]:
    """Every field of k codes."""
    return [None, *(frozenset(c) for n in range(1, k + 1) for c in itertools.combinations(range(k), n))]


GRID = (5, 2)
EVERY = [Pattern(fields) for fields in itertools.product(*map(subsets, GRID))]


def test_every_pattern_of_a_small_grid_is_printed_read_and_fitted():
    ids = np.array(list(itertools.product(*map(range, GRID))))
    printed = {}
    for pattern in EVERY:
        text = str(pattern)
        assert Pattern.parse(text, GRID) == pattern.checked(GRID) == pattern
        assert printed.setdefault(text, pattern) is pattern
        want = [all(f is None or n in f for f, n in zip(pattern.fields, row, strict=True)) for row in ids.tolist()]
        assert pattern.matches(ids).tolist() == [pattern.fits(row) for row in ids.tolist()] == want
        one = [len(field or ()) == 1 for field in pattern.fields]
        assert pattern.number == (SemanticID(ids[want.index(True)]) if all(one) else None)
    assert len(printed) == 32 * 4


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        ({3}, "3"), ({3, 4}, "{3,4}"), ({3, 4, 5}, "3-5"), ({0, 1, 2, 4}, "{0-2,4}"), ({0, 2, 4}, "{0,2,4}"),
        ({1, 2, 5, 6, 7}, "{1,2,5-7}"), ({9, 10, 11, 12}, "9-12"),
    ],
)  # fmt: skip
def test_runs_of_three_codes_and_more_are_ranges(codes, text):
    assert str(Pattern((frozenset(codes), None))) == f"[{text},*]"


@given(pattern=PATTERNS)
def test_a_pattern_comes_back(pattern):
    assert Pattern.parse(str(pattern)) == pattern
    assert Pattern.parse(str(pattern)[1:-1]) == pattern
    assert " " not in str(pattern)


@given(pattern=PATTERNS, seed=st.integers(0, 99))
def test_fits_and_matches_agree(pattern, seed):
    rng, q = random.Random(seed), len(pattern.fields)
    drawn = [
        [rng.choice([*(field or ()), rng.randrange(14)]) for field in pattern.fields] for _ in range(rng.randrange(20))
    ]
    ids = np.array(drawn, np.int32).reshape(len(drawn), q)
    assert pattern.matches(ids).tolist() == [pattern.fits(number) for number in drawn]
    for number in drawn:
        assert Pattern.of(number).matches(ids).tolist() == [other == number for other in drawn]
        assert Pattern.of(number).number == SemanticID(number)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "column 1: ends, expected a number, *, a range"),
        ("[2,1,3", "column 7: ends, expected ',' or ']'"),
        ("[2,1,3,*", "column 9: ends"),
        ("[2,1,3,*]]", "column 10: got ']', expected the end"),
        ("[2,1,3,*)", "column 9: got ')'"),
        ("[2,,3,*]", "column 4: got ','"),
        ("[2,-1,3,*]", "column 4: got '-1'"),
        ("[2,1.5,3,*]", "column 5: got '.'"),
        ("[2,٣,3,*]", "column 4: got '٣'"),
        ("[2,1,3]", "column 2: 3 fields; this run's IDs have 4"),
        ("[9,1,3,*]", "column 2: got 9; this run allows 0 to 7 there"),
        ("[0-3,1,{4,6-8},*]", "column 13: got 8; this run allows 0 to 7 there"),
        ("[{1,*},1,3,*]", "column 5: got '*', expected a number or a range"),
        ("[" + " " * 100 + "x]", "column 102: got 'x'"),
    ],
)
def test_a_bad_pattern_is_told_by_its_column(text, told):
    with pytest.raises(WotdError, match=r"^pattern ") as caught:
        Pattern.parse(text, LEVELS)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 260


@pytest.mark.parametrize(
    "text",
    [
        "[0-999999999]",
        "[{0-4000,5000-9000}]",
        "[" + "9" * 20_000 + "]",
        "[" + "*," * 20_000 + "*]",
        "[{" + ",".join(["0-4095"] * 20_000) + ",5000}]",
        "[{" + ",".join(map(str, range(20_000))) + "}]",
        "[" * 20_000,
    ],
)
def test_a_hostile_pattern_builds_nothing_large(text):
    for read in (Pattern.parse, lambda t: parse_request(f"Generate 5 words for {t}")):
        with pytest.raises(WotdError) as caught:
            read(text)
        assert len(str(caught.value)) < 260


def told(call) -> str:
    with pytest.raises(WotdError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ([None] * 64, [None] * 65, "a pattern has 1 to 64 fields; got 65"),
        ([None], [], "a pattern has 1 to 64 fields; got 0"),
        ([frozenset(range(4096))], [None, frozenset(range(4097))],
         "field 2 of a pattern holds 4097 codes; expected 1 to 4096, or None"),
        ([frozenset([0])], [frozenset()], "field 1 of a pattern holds 0 codes; expected 1 to 4096, or None"),
        ([frozenset([0])], [frozenset([-1, 3])], "field 1 of a pattern holds a code below 0 or of more than 9 digits"),
        ([frozenset([10**9 - 1])], [frozenset([10**9])],
         "field 1 of a pattern holds a code below 0 or of more than 9 digits"),
        ([frozenset([1])], [[1]], "field 1 of a pattern is [1]; expected a frozenset of codes, or None"),
        ([frozenset([1])], [frozenset([1.5])],
         "field 1 of a pattern is frozenset({1.5}); expected a frozenset of codes, or None"),
    ],
)  # fmt: skip
def test_a_pattern_of_too_much_is_refused_and_one_less_is_not(right, wrong, message):
    assert Pattern(tuple(right)).fields == tuple(right)
    assert told(lambda: Pattern(tuple(wrong))) == message


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("[" + ",".join("*" * 64) + "]", "[" + ",".join("*" * 65) + "]",
         "column 130: a pattern has at most 64 fields"),
        ("[0-4095]", "[0-4096]", "column 2: the range 0-4096 holds more than 4096 codes; write * for any code"),
        ("[{0-4094,7000}]", "[{0-4094,5,7000-7001}]", "column 2: a set of more than 4096 codes; write * for any code"),
        ("[123456789]", "[1234567890]", "column 2: a number of 10 digits; a code has at most 9"),
        ("[3-3]", "[3-2]", "column 2: the range 3-2 runs backwards; write 2-3"),
        ("[{1}]", "[1,{}]", "column 4: an empty set, which no ID fits; write its codes, or * for any code"),
        ("(1,2)", "(1,2]", "column 5: got ']', expected ',' or ')'"),
        ("1,2", "1,2]", "column 4: got ']', expected ',' or the end"),
        ("[1]", "[1] x", "column 5: got 'x', expected the end"),
        ("[{1,2}]", "[{1,2", "column 6: ends, expected ',' or '}'"),
        ("[{1-2}]", "[{1-}]", "column 5: got '}', expected the range's last number"),
    ],
)  # fmt: skip
def test_a_text_of_too_much_is_refused_and_one_less_is_not(right, wrong, message):
    Pattern.parse(right)
    assert told(lambda: Pattern.parse(wrong)).endswith(message)


def test_levels_are_checked_field_by_field():
    assert Pattern.parse("[4,0-1]", GRID).checked(GRID) == Pattern((frozenset([4]), frozenset([0, 1])))
    assert told(lambda: Pattern.parse("[5,0]", GRID)).endswith("column 2: got 5; this run allows 0 to 4 there")
    assert told(lambda: Pattern.parse("[4,2]", GRID)).endswith("column 4: got 2; this run allows 0 to 1 there")
    assert told(lambda: Pattern.parse("4,0,0", GRID)).endswith("column 1: 3 fields; this run's IDs have 2")
    assert told(lambda: Pattern.parse("[4,2]").checked(GRID)) == (
        "the pattern [4,2]: field 2 holds 2; this run allows 0 to 1 there"
    )
    assert told(lambda: Pattern.parse("[4]").checked(GRID)) == "the pattern [4] has 1 fields; this run's IDs have 2"
    assert told(lambda: Pattern.parse("[4]").fits((1, 2))) == "the pattern [4] has 1 fields, the ID 2 numbers"
    assert told(lambda: Pattern.parse("[4]").matches(np.zeros((3, 2), int))) == (
        "the pattern [4] has 1 fields, the ID 2 numbers"
    )


def test_the_codes_that_read_as_values():
    readings = [("size", ("small", "", "large", "small")), ("hue", ("red", "red", "blue"))]
    assert str(Pattern.reading_as({"size": "small"}, readings, 4)) == "[{0,3},*,*,*]"
    assert str(Pattern.reading_as({"hue": "red", "size": "large"}, readings, 3)) == "[2,{0,1},*]"
    assert str(Pattern.reading_as({}, readings, 2)) == "[*,*]"


def test_a_cursor_steps_over_blanks_and_what_it_takes():
    cursor = Cursor("request", "  ab  cd ")
    assert (cursor.next(), cursor.take("x"), cursor.at) == (2, None, 0)
    assert (cursor.take("ab"), cursor.at, cursor.next()) == ("ab", 4, 6)
    assert told(lambda: cursor.need("x", "an x")) == "request '  ab  cd ', column 7: got 'cd', expected an x"
    assert told(cursor.end) == "request '  ab  cd ', column 7: got 'cd', expected the end"
    assert cursor.need("c.", "c") == "cd"
    cursor.end()
    assert told(lambda: cursor.need("x", "an x")) == "request '  ab  cd ', column 10: ends, expected an x"


@pytest.mark.parametrize(
    ("length", "at", "shown"),
    [(60, 59, (0, 60)), (61, 10, (0, 60)), (61, 60, (30, 61)), (200, 29, (0, 60)), (200, 31, (1, 61)),
     (200, 150, (120, 180)), (200, 199, (169, 200))],
)  # fmt: skip
def test_of_a_long_text_sixty_letters_around_the_fault_are_shown(length, at, shown):
    text = "".join(chr(97 + n % 26) for n in range(length))
    low, high = shown
    part = "…" * (low > 0) + text[low:high] + "…" * (high < length)
    assert str(Cursor("answer", text).fault(at, "why")) == f"answer {part!r}, column {at + 1}: why"


def test_an_id_is_a_pattern_of_numbers_alone():
    assert read_id(Cursor("answer", " [4, 1]"), GRID) == SemanticID((4, 1))
    assert told(lambda: read_id(Cursor("answer", " [4,*]"), GRID)) == (
        "answer ' [4,*]', column 2: a pattern, expected one ID, numbers alone such as [2,1,3,0]"
    )
    assert told(lambda: read_id(Cursor("answer", "4,1"), GRID)).endswith(
        "column 1: got '4', expected an ID such as [2,1,3,0]"
    )
    assert read_pattern(Cursor("request", "[4,*] and more"), GRID) == Pattern((frozenset([4]), None))
    assert told(lambda: read_pattern(Cursor("request", "4"), None)).endswith(
        "column 1: got '4', expected a pattern such as [2,1,3,*]"
    )
