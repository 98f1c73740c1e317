"""The DSL: what is printed parses back, what is on its page is so, and bad text is told where it is bad."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.language.dsl import (
    KINDS,
    Answer,
    Between,
    ByAttributes,
    ByPattern,
    Define,
    Encode,
    Like,
    Pattern,
    PatternOf,
    Request,
    Use,
    Words,
    parse_answer,
    parse_request,
    print_answer,
)
from wotd_mlx.schemas import SemanticID, WotdError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dsl.md"
LEVELS = (8, 8, 8, 5)

CODES = st.integers(0, 12) | st.integers(0, 10**9 - 1)
PLACES = st.none() | st.frozensets(st.integers(0, 12), min_size=1) | st.frozensets(CODES, min_size=1, max_size=6)
PATTERNS = st.builds(Pattern, st.lists(PLACES, min_size=1, max_size=6).map(tuple))
LETTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters=",[]{}<>")
WORDS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda w: w == w.strip()) | st.sampled_from(
    ["locket", "ice cream", "will-o'-the-wisp", "and", "between", "5 words for", "Generate:", "*", ".25"]
)
NAMES = WORDS.filter(lambda w: "=" not in w)
SEVERAL = st.lists(WORDS, min_size=1, max_size=5, unique=True).map(tuple)
VALUES = st.dictionaries(NAMES, NAMES, min_size=1, max_size=4).map(lambda d: tuple(d.items()))
COUNTS = st.integers(1, 100)
IDS = st.lists(CODES, min_size=4, max_size=4).map(SemanticID)
REQUESTS = st.one_of(
    st.builds(ByPattern, PATTERNS, COUNTS),
    st.builds(ByAttributes, VALUES, COUNTS),
    st.builds(Like, SEVERAL, COUNTS),
    st.builds(Between, IDS, IDS, st.floats(0, 1), COUNTS),
    st.builds(Encode, WORDS),
    st.builds(PatternOf, VALUES),
    st.builds(Define, WORDS),
    st.builds(Use, WORDS),
)


@given(pattern=PATTERNS)
def test_a_pattern_comes_back(pattern):
    assert Pattern.parse(str(pattern)) == pattern
    assert Pattern.parse(str(pattern)[1:-1]) == pattern
    assert " " not in str(pattern)


@settings(max_examples=300)
@given(request=REQUESTS)
def test_a_request_comes_back(request):
    text = str(request)
    assert parse_request(text) == request
    assert str(parse_request(text)) == text


@given(request=REQUESTS, blanks=st.sampled_from([" ", "  ", "\t", "\n "]))
def test_blanks_and_case_are_free(request, blanks):
    if not isinstance(request, ByPattern | Between):
        return
    loose = re.sub(r"([\[\]{},-])", rf"{blanks}\1{blanks}", str(request)).replace(" ", blanks)
    assert parse_request(f"{blanks}{loose.upper()}{blanks}") == request


@given(numbers=IDS, pattern=PATTERNS, words=SEVERAL, text=WORDS)
def test_an_answer_comes_back(numbers, pattern, words, text):
    asked: list[tuple[Request, Answer]] = [
        (Encode("a"), numbers),
        (PatternOf((("a", "b"),)), pattern),
        (ByPattern(pattern, len(words)), Words(words)),
        (Like(("a",), len(words)), Words(words)),
        (Define("a"), text),
        (Use("a"), text),
    ]
    for request, answer in asked:
        assert parse_answer(request, print_answer(answer)) == answer


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


PIECES = [
    *(
        "Generate ",
        "5",
        "words",
        " for ",
        " like ",
        " with ",
        " between",
        " and ",
        "at .5",
        "Encode ",
        "a=b",
        "0-3",
        "-",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        "*",
        ",",
        ":",
        "<semantic>",
        "</semantic>",
        "Words matching pattern",
        " ",
        "\n",
        "é",
        "\ud800",
    ),
    "99999999999",
]


def calls(text, levels):
    """Every way to read a text."""
    yield lambda: Pattern.parse(text, levels)
    yield lambda: parse_request(text, levels, DEFAULT_ATTRIBUTES)
    yield lambda: parse_answer(ByPattern(Pattern((None,)), 2), text, levels)
    yield lambda: parse_answer(Encode("a"), text, levels)
    yield lambda: parse_answer(PatternOf((("a", "b"),)), text, levels)
    yield lambda: parse_answer(Define("a"), text, levels)


@settings(max_examples=500)
@given(text=st.text() | st.lists(st.sampled_from(PIECES)).map("".join) | st.text("[]{},*-0123456789 "))
def test_garbage_is_refused_in_one_line_or_read(text):
    for levels in (None, LEVELS):
        for call in calls(text, levels):
            try:
                found = call()
            except WotdError as error:
                told = str(error)
                # What is no UTF-8 can't be shown either.
                assert len(told.encode().splitlines()) == len(told.splitlines()) == 1
            else:
                parse = Pattern.parse if isinstance(found, Pattern) else parse_request
                printed = str(found)
                assert isinstance(found, str | SemanticID | Words) or str(parse(printed)) == printed


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
        "[" + "9" * 100_000 + "]",
        "[" + "*," * 100_000 + "*]",
        "[{" + ",".join(["0-4095"] * 100_000) + ",5000}]",
        "[{" + ",".join(map(str, range(100_000))) + "}]",
        "[" * 100_000,
    ],
)
def test_a_hostile_pattern_builds_nothing_large(text):
    for read in (Pattern.parse, lambda t: parse_request(f"Generate 5 words for {t}")):
        with pytest.raises(WotdError) as caught:
            read(text)
        assert len(str(caught.value)) < 260


@pytest.mark.parametrize(
    "word", ["", " a", "a ", "a,b", "a\nb", "a\u2028b", "[a", "a}", "<|im_end|>", "\ud800", "\u00a0a"]
)
def test_a_word_that_cannot_be_written_is_refused(word):
    for make in (Encode, Define, Use, lambda w: Like((w,)), lambda w: Words((w,)), lambda w: ByAttributes(((w, "a"),))):
        with pytest.raises(WotdError):
            str(make(word))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pattern(()),
        lambda: Pattern((frozenset(),)),
        lambda: Pattern((frozenset((-1,)),)),
        lambda: ByPattern(Pattern((None,)), 0),
        lambda: ByPattern(Pattern((None,)), 101),
        lambda: ByAttributes(()),
        lambda: ByAttributes((("a", "b"), ("a", "c"))),
        lambda: ByAttributes((("a=", "b"),)),
        lambda: Like(()),
        lambda: Like(("a", "a")),
        lambda: Words(("a", "b", "a")),
        lambda: Between(SemanticID((1, 2)), SemanticID((1,))),
        lambda: Between(SemanticID(()), SemanticID(())),
        lambda: Between(SemanticID((1,)), SemanticID((2,)), float("nan")),
        lambda: print_answer(SemanticID((1, -2))),
        lambda: print_answer(" a"),
        lambda: print_answer("a\nb"),
        lambda: Pattern((None,)).fits((1, 2)),
        lambda: Pattern((None,)).matches(np.zeros((3, 2), int)),
        lambda: Pattern((None,)).checked(LEVELS),
        lambda: Pattern.parse("[1,1,1,5]").checked(LEVELS),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(WotdError):
        make()


def test_answers_that_are_none():
    request = ByPattern(Pattern.parse("[2,1,3,*]"), 2)
    for text in ("", "locket", "locket, hearth, kindle", "locket, locket", "locket,", "locket, hearth\nkindle"):
        with pytest.raises(WotdError, match=r"^answer "):
            parse_answer(request, text)
    assert parse_answer(request, " locket ,hearth\n") == Words(("locket", "hearth"))
    with pytest.raises(WotdError, match="numbers alone"):
        parse_answer(Encode("locket"), "[2,1,3,*]")
    with pytest.raises(WotdError, match="column 2"):
        parse_answer(Encode("locket"), "[8,1,3,0]", LEVELS)


def rows(heading: str) -> list[list[str]]:
    """The code cells of the table under a heading of the page."""
    part = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [re.findall(r"`([^`]*)`", line) for line in part.splitlines() if line.startswith("| `")]
    assert table, heading
    return table


@pytest.mark.parametrize("row", rows("Requests"), ids=lambda row: row[0])
def test_requests_of_the_page(row):
    text, answer = row
    request = parse_request(text, LEVELS, DEFAULT_ATTRIBUTES)
    assert str(request) == text
    assert print_answer(parse_answer(request, answer, LEVELS)) == answer


def test_the_page_shows_each_kind():
    assert {parse_request(row[0]).kind for row in rows("Requests")} == set(KINDS)


@pytest.mark.parametrize("row", rows("Patterns") + rows("Other forms"), ids=lambda row: row[0])
def test_printed_forms_of_the_page(row):
    read, printed = row
    parse = Pattern.parse if printed.startswith("[") else parse_request
    assert str(parse(read)) == printed
    assert str(parse(printed)) == printed


@pytest.mark.parametrize("row", rows("Errors"), ids=lambda row: row[0])
def test_errors_of_the_page(row):
    text, told = row
    with pytest.raises(WotdError) as caught:
        Pattern.parse(text, LEVELS) if text.startswith("[") else parse_request(text, LEVELS, DEFAULT_ATTRIBUTES)
    kind = "pattern" if text.startswith("[") else "request"
    assert str(caught.value) == f"{kind} {text!r}, {told}"
