"""The DSL: what is printed parses back, what is on its page is so, and bad text is told where it is bad."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.language.test_pattern import CODES, LEVELS, PATTERNS
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


@settings(max_examples=200)
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


@settings(max_examples=250)
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


def told(call) -> str:
    with pytest.raises(WotdError) as caught:
        call()
    return str(caught.value)


ANY = Pattern((None,))


def test_counts_of_words():
    assert str(ByPattern(ANY, 1)) == "Generate 1 word for [*]"
    assert [parse_request(f"Generate {n} words for [*]").n for n in (1, 2, 100, "000000007")] == [1, 2, 100, 7]
    for n, column in (("0", 10), ("101", 10), ("1234567890", 10), ("0000000001", 10)):
        assert told(lambda n=n: parse_request(f"Generate {n} words for [*]")).endswith(
            f"column {column}: got {n} words, expected 1 to 100"
        )
    assert told(lambda: parse_request("Generate words")).endswith(
        "column 10: got 'words', expected how many words, 1 to 100"
    )
    for n in (0, 101, True, 2.0, "3"):
        assert told(lambda n=n: ByPattern(ANY, n)) == f"got {n!r} words, expected 1 to 100"
    assert ByPattern(ANY, np.int64(100)).n == 100


@pytest.mark.parametrize(
    ("share", "printed"),
    [(0, " at 0"), (1, " at 1"), (0.5, ""), (0.25, " at .25"), (0.1236, " at .124"), (0.0004, " at 0"),
     (0.9996, " at 1"), (0.05, " at .05"), (0.4996, "")],
)  # fmt: skip
def test_a_share_has_three_decimals_and_a_half_is_not_said(share, printed):
    a, b = SemanticID((1, 2)), SemanticID((3, 0))
    assert str(Between(a, b, share, 2)) == f"Generate 2 words{printed} between [1,2] and [3,0]"


@pytest.mark.parametrize(
    ("text", "share"), [(".25", 0.25), ("0.25", 0.25), ("1", 1.0), ("1.", 1.0), ("0", 0.0), ("000000001.0", 1.0)]
)
def test_shares_that_are_read(text, share):
    assert parse_request(f"Generate 2 words at {text} between [1] and [2]") == Between(
        SemanticID((1,)), SemanticID((2,)), share, 2
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Generate 2 words at 1.01 between [1] and [2]", "column 21: the share is above 1, expected 0 to 1"),
        ("Generate 2 words at 1.2.3 between [1] and [2]", "column 21: got '1', expected a share such as .25"),
        ("Generate 2 words at .5 [1] and [2]", "column 24: got '[', expected 'between'"),
        ("Generate 2 words [1]", "column 18: got '[', expected 'for', 'with', 'like', 'between' or 'at'"),
        ("Generate 2 words between [1] or [2]", "column 30: got 'or', expected 'and'"),
        ("Generate 2 words between [1] and [2,3]",
         "column 34: the ID [2,3] has 2 numbers, the one before it 1"),
        ("Generate 2 words between [1] and [2] x", "column 38: got 'x', expected the end"),
        ("Generate 2 wordss for [1]", "column 12: got 'wordss', expected 'words'"),
        ("Encode a, b", "column 9: Encode takes one word; got 2"),
        ("define a,b", "column 9: Define takes one word; got 2"),
        ("Encode a[", "column 9: '[' can't stand in a word"),
        ("Generate 2 words like a, a", "column 26: 'a' comes twice"),
        ("Generate 2 words like a,, b", "column 25: got ',', expected a word"),
        ("Pattern for style", "column 18: ends, expected '=' and a value of 'style'"),
        ("Pattern for style=, era=x", "column 19: got ',', expected a value of 'style'"),
        ("Pattern for style=a=b", "column 20: '=' can't stand in a word"),
        ("Pattern for mood=glad", "column 13: unknown attribute 'mood'; this run has style, complexity, era"),
        ("Pattern for style=modern, style=modern", "column 27: attribute 'style' comes twice"),
        ("Pattern for era=romantic",
         "column 17: unknown value 'romantic' of era; there are shakespearean, victorian, modernist, contemporary"),
        ("<semantic>[1]", "column 14: ends, expected '</semantic>'"),
        ("Words matching pattern [1]; now", "column 27: got ';', expected the end"),
        ("Word",
         "got 'Word', expected Generate, Encode, Pattern for, Define, Use, Words matching pattern or <semantic>"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_by_its_column(text, message):
    assert told(lambda: parse_request(text, None, DEFAULT_ATTRIBUTES)).endswith(message)


def test_without_attributes_to_know_any_are_read():
    assert parse_request("Pattern for mood=glad, style=x") == PatternOf((("mood", "glad"), ("style", "x")))
    assert told(lambda: parse_request("Pattern for mood=glad", None, ())).endswith("this run has none")


def test_levels_are_those_of_patterns_and_ids_in_requests():
    for text in ("Generate 2 words for [8,0,0,0]", "Generate 2 words between [0,0,0,5] and [0,0,0,0]",
                 "Generate 2 words between [0,0,0,0] and [0,0,0,5]", "<semantic>[8,0,0,0]</semantic>",
                 "Words matching pattern [8,0,0,0]"):  # fmt: skip
        assert "this run allows 0 to" in told(lambda text=text: parse_request(text, LEVELS))
        parse_request(text.replace("8", "7").replace("5", "4"), LEVELS)


@pytest.mark.parametrize("length", [40, 41])
def test_of_a_long_word_forty_letters_are_shown(length):
    word = "a" * length
    shown = "a" * 40 + "…" * (length > 40)
    assert told(lambda: Words((word, "b", word))) == f"the word '{shown}' comes twice; give different ones"


def test_answers_must_count_right():
    request = ByPattern(ANY, 3)
    assert told(lambda: parse_answer(request, "a, b")) == "answer 'a, b', column 5: 2 words, expected 3"
    assert told(lambda: parse_answer(ByPattern(ANY, 2), "a")) == "answer 'a', column 2: 1 word, expected 2"
    assert told(lambda: print_answer("")) == "the text '' is no answer; expected one line without blanks at its ends"
    assert parse_answer(Define("a"), "  what it is ") == "what it is"
