"""Requests, patterns and answers of the language stage's DSL: grammar that was mutated, and plain Unicode."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.fuzz.mutate import number, text
from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.language.dsl import ByPattern, Encode, PatternOf, parse_answer, parse_request, print_answer
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.schemas import WotdError

documented = (WotdError,)
quick = 3000

LEVELS = (8, 8, 8, 5)
WORDS = ["locket", "ice cream", "will-o'-the-wisp", "naïve", "and", "between", "5 words for", "Generate:", "*", ".25"]
WORDS += ["a=b", "<semantic>", "ﬁn", "ẞ", "İstanbul", "e\u0301", "\u200d", "\u202e", "\U0001f600", "x" * 300]
ODD = ["[", "]", "{", "}", "(", ")", ",", "-", "*", ":", "=", "<", ">", ".", "0", "00", "٣", "²", "9" * 30, "1e3", "−1"]
ODD += [
    " ",
    "\t",
    "\n",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "\0",
    "\x1b[2J",
    "\ud800",
    "\udce9",
    "Ⅷ",
    "|endoftext|",
    "'",
    '"',
]
BLANKS = ["", " ", "  ", "\t", "\r\n", "\u00a0", "\u3000"]
ASKED = [ByPattern(Pattern((None,)), 2), Encode("a"), PatternOf((("a", "b"),))]
"""Requests whose answers have a form."""


def make(rng: random.Random) -> str:
    """A text of the grammar, mostly with some of its tokens changed; or any letters."""
    if rng.random() < 0.1:
        return "".join(_letter(rng) for _ in range(rng.randrange(40)))
    made = rng.choice([_request, _request, _pattern, _answer])(rng)
    if rng.random() < 0.2:
        return made
    tokens = re.findall(r"\w+|\s+|.", made, re.DOTALL)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        _mutate(rng, tokens)
    return "".join(tokens)


def _mutate(rng: random.Random, tokens: list[str]) -> None:
    at = rng.randrange(len(tokens) + 1)
    some = slice(at, at + rng.choice([1, 1, 2, 5]))
    match rng.randrange(9):
        case 0:
            del tokens[some]
        case 1:
            tokens[at:at] = tokens[some]
        case 2:
            tokens[some] = reversed(tokens[some])
        case 3:
            tokens[some] = [rng.choice((str.upper, str.lower, str.swapcase, str.title))(t) for t in tokens[some]]
        case 4:
            tokens.insert(at, rng.choice(BLANKS))
        case 5:
            tokens[some] = [str(number(rng, signed=True))]
        case 6:
            tokens.insert(at, rng.choice([_letter(rng), text(rng), rng.choice(WORDS)]))
        case _:
            tokens[some] = [rng.choice(ODD)]


def _letter(rng: random.Random) -> str:
    return chr(rng.choice([rng.randrange(128), rng.randrange(0x300), rng.randrange(0x10000), rng.randrange(0x110000)]))


def _code(rng: random.Random) -> int:
    return rng.randrange(8) if rng.random() < 0.9 else rng.randrange(5000)


def _field(rng: random.Random, deep: bool = True) -> str:
    match rng.randrange(4 if deep else 2):
        case 0:
            return str(_code(rng))
        case 1:
            return f"{_code(rng)}-{_code(rng)}"
        case 2:
            return "*"
        case _:
            return "{" + ",".join(_field(rng, False) for _ in range(rng.randrange(1, 5))) + "}"


def _pattern(rng: random.Random) -> str:
    return "[" + ",".join(_field(rng) for _ in range(rng.choice([4, 4, 4, 1, 6, 70]))) + "]"


def _id(rng: random.Random) -> str:
    return "[" + ",".join(str(_code(rng)) for _ in range(rng.choice([4, 4, 4, 1, 6]))) + "]"


def _words(rng: random.Random) -> str:
    return rng.choice([",", ", ", " , "]).join(rng.choices(WORDS, k=rng.choice([1, 2, 2, 3, 10])))


def _values(rng: random.Random) -> str:
    known = [f"{a.name}={rng.choice(a.values)}" for a in rng.sample(DEFAULT_ATTRIBUTES, rng.randrange(1, 4))]
    return ", ".join(known if rng.random() < 0.6 else [f"{rng.choice(WORDS)}={rng.choice(WORDS)}", *known])


def _request(rng: random.Random) -> str:
    n = f"{rng.choice([1, 2, 5, 100, 101, 0])} {rng.choice(['word', 'words'])}"
    share = f" at {rng.choice(['.5', '.25', '0', '1', '1.0', '.0004', '1.1', '.', '0.' + '9' * 40])}"
    kinds: list[Callable[[], str]] = [
        lambda: f"Generate {n} for {_pattern(rng)}",
        lambda: f"Generate {n} with {_values(rng)}",
        lambda: f"Generate {n} like {_words(rng)}",
        lambda: f"Generate {n}{rng.choice(['', share])} between {_id(rng)} and {_id(rng)}",
        lambda: f"{rng.choice(['Encode', 'Define', 'Use'])} {rng.choice(WORDS)}",
        lambda: f"Pattern for {_values(rng)}",
        lambda: f"Words matching pattern {_pattern(rng)}{rng.choice(['', ':'])}",
        lambda: f"<semantic>{_pattern(rng)}</semantic> {rng.choice(['', 'Generate', 'Generate:'])}",
    ]
    return rng.choice(kinds)()


def _answer(rng: random.Random) -> str:
    return rng.choice([_words, _id, _pattern, lambda rng: " ".join(rng.choices(WORDS, k=5))])(rng)


def read(made: str) -> None:
    """Read it in each way there is: what one of them takes, comes back when it is printed."""
    refusals = [refusal for parse, show in _ways() if (refusal := _refusal(made, parse, show))]
    for refusal in refusals:
        # What is no UTF-8 isn't repeated either.
        assert len(str(refusal).encode().splitlines()) == 1, refusal
    if len(refusals) == len(list(_ways())):
        raise refusals[0]


def _refusal(made: str, parse: Callable[[str], object], show: Callable[[Any], str]) -> WotdError | None:
    try:
        found = parse(made)
    except WotdError as error:
        return error
    printed = show(found)
    assert "\n" not in printed
    assert parse(printed) == found, printed
    assert show(parse(printed)) == printed
    return None


def _ways() -> Iterator[tuple[Callable[[str], object], Callable[[Any], str]]]:
    for levels, attributes in ((None, None), (LEVELS, DEFAULT_ATTRIBUTES)):
        yield partial(parse_request, levels=levels, attributes=attributes), str
        yield partial(Pattern.parse, levels=levels), str
        for request in ASKED:
            yield partial(parse_answer, request, levels=levels), print_answer
