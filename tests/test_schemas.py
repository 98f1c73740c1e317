"""Semantic IDs parse, print and are checked; corpora group their words."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wotd_mlx.schemas import BusyError, Corpus, MissingError, SemanticID, TooLargeError, Word, WotdError

LEVELS = (8, 8, 8, 5)


@given(st.tuples(*(st.integers(0, k - 1) for k in LEVELS)))
def test_what_is_printed_parses_back(numbers):
    number = SemanticID(numbers)
    assert SemanticID.parse(str(number), LEVELS) == number
    assert SemanticID.parse(", ".join(map(str, numbers)), LEVELS) == number
    assert SemanticID.parse(f" ({','.join(map(str, numbers))}) ", LEVELS) == number


@given(st.text(max_size=20))
@example("0,0,0,0\x1f")  # a blank to the parser, none to int
def test_any_text_parses_to_an_id_in_range_or_is_refused_in_one_line(text):
    message = ""
    try:
        number = SemanticID.parse(text, LEVELS)
    except WotdError as error:
        message = str(error)
    else:
        number.checked(LEVELS)
    assert "\n" not in message


@pytest.mark.parametrize(
    "text", ["", "2,1,3", "2,1,3,0,0", "[2,1,3,0", "2 1 3 0", "a,b,c,d", "1.0,2,3,4", "-1,0,0,0", "٢,1,3,0"]
)
def test_malformed_ids_are_refused(text):
    with pytest.raises(WotdError):
        SemanticID.parse(text, LEVELS)


def test_an_id_out_of_range_names_the_number_and_the_range():
    with pytest.raises(WotdError, match=r"number 4 is 5; this run allows 0 to 4 there"):
        SemanticID.parse("0,0,0,5", LEVELS)


def test_groups_keep_the_order_of_words():
    corpus = Corpus("c", (Word("b", corpus="x"), Word("a", corpus="y"), Word("c", corpus="x")))
    assert {name: [w.text for w in words] for name, words in corpus.groups.items()} == {
        "x": ["b", "c"],
        "y": ["a"],
    }


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (WotdError, ValueError),
        (MissingError, FileNotFoundError),
        (BusyError, BlockingIOError),
        (TooLargeError, MemoryError),
    ],
)
def test_an_error_is_also_what_python_calls_it_and_stays_one_line(error, also):
    raised = error("no file a\nb\x1b[2J é; give one")
    assert isinstance(raised, also)
    assert isinstance(raised, WotdError)
    assert str(raised) == "no file a\\nb\\x1b[2J é; give one"
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)
