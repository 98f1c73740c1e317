"""WOTDKit, as far as it can be checked without a Swift compiler.

Its test vectors are what `tokenizers` gives; its tokenizer's algorithm, line by line in Python and with the tables of
the Swift source, gives what `tokenizers` gives on any text; its files are balanced and keep Core ML to itself.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

import wotd_mlx
from wotd_mlx.embed.models import DEFAULT_MODEL, find_model, resolve
from wotd_mlx.schemas import WotdError

PACKAGE = Path(wotd_mlx.__file__).parent / "export" / "WOTDKit"
SOURCES = sorted(p for p in PACKAGE.rglob("*.swift") if ".build" not in p.parts)
SOURCE = {p.name: p.read_text(encoding="utf-8") for p in SOURCES}
VECTORS = SOURCE["TokenizerVectors.swift"]
KINDS = {
    *("accents", "CJK", "emoji", "combining marks", "Turkish", "sharp s", "final sigma", "Arabic", "zero-width"),
    *("soft hyphen", "control", "NBSP", "ideographic space", "U+FFFD", "NUL", "empty", "whitespace", "long word"),
    *("long text", "punctuation", "special tokens", "apostrophes", "Hangul", "Hebrew", "Cyrillic", "normalizer"),
}


# The literals of TokenizerVectors.swift


def literal(name: str) -> str:
    """A Swift ``static let name: String`` that is a raw string of several lines."""
    found = re.search(rf'static let {name}: String = #"""\n(.*?)\n"""#', VECTORS, re.DOTALL)
    assert found, name
    return found.group(1)


NORMALIZERS = {name: json.loads(text) for name, text in re.findall(r'"(\w+)": #"(.*)"#,', VECTORS)}
CASES: list[dict[str, Any]] = json.loads(literal("cases"))


def small(normalizer: str) -> str:
    """The small tokenizer.json with one of its normalizers."""
    text = literal("tokenizer")
    assert text.count('"NORMALIZER"') == 1
    return text.replace('"NORMALIZER"', json.dumps(NORMALIZERS[normalizer]))


@functools.cache
def library(normalizer: str) -> Tokenizer:
    return Tokenizer.from_str(small(normalizer))


def wanted(tokenizer: Tokenizer, text: str, length: int) -> tuple[list[int], list[int]]:
    """What `tokenizers` gives: tokens and mask, ``length`` long."""
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token="[PAD]")
    found = tokenizer.encode(text)
    return found.ids, found.attention_mask


def test_the_literals_reach_swift_as_they_are() -> None:
    # In a raw string only \# and a closing """# mean anything; a control character would be a compiler's error.
    for text in (literal("tokenizer"), literal("cases")):
        assert re.fullmatch(r"[\n -~]*", text)
        assert '"""' not in text
        assert "#" not in text
        assert not re.search(r"\\ud[89a-f]..(?!\\ud[c-f])(?<!\\ud[c-f]..)", text)  # lone surrogates


def test_the_vectors_are_what_the_library_gives() -> None:
    assert len(CASES) >= 80
    assert {case["kind"] for case in CASES} >= KINDS
    assert {case["normalizer"] for case in CASES} == set(NORMALIZERS)
    for case in CASES:
        tokens = wanted(library(case["normalizer"]), case["text"], case["max_length"])
        assert tokens == (case["tokens"], case["mask"]), case


def test_no_two_pieces_are_one_key_in_swift() -> None:
    vocab = json.loads(small("uncased"))["model"]["vocab"]
    assert 300 <= len(vocab) <= 1000
    assert len({unicodedata.normalize("NFD", piece) for piece in vocab}) == len(vocab)
    assert sorted(vocab.values()) == list(range(len(vocab)))


# The Swift tokenizer in Python: the same functions in the same order, over lists of one-character strings


def table(name: str) -> list[int]:
    found = re.search(rf"static let {name}: \[UInt32\] = \[(.*?)\]", SOURCE["UnicodeTables.swift"], re.DOTALL)
    assert found, name
    return [int(number, 16) for number in re.findall(r"0x[0-9A-F]+", found.group(1))]


REMOVED, PUNCTUATION, MARKS = table("removed"), table("punctuation"), table("nonspacingMarks")


def contains(ranges: list[int], scalar: str) -> bool:
    value = ord(scalar)
    low, high = 0, len(ranges) // 2
    while low < high:
        middle = (low + high) // 2
        if value < ranges[2 * middle]:
            high = middle
        elif value > ranges[2 * middle + 1]:
            low = middle + 1
        else:
            return True
    return False


def switch(function: str) -> list[tuple[int, int]]:
    """The ranges of a Swift ``switch`` over a scalar's value."""
    body = SOURCE["BertNormalizer.swift"].partition(f"func {function}(")[2].partition("default:")[0]
    found = re.findall(r"(0x[0-9A-F]+)(?:\.\.\.(0x[0-9A-F]+))?", body)
    assert found, function
    return [(int(first, 16), int(last or first, 16)) for first, last in found]


WHITESPACE, CHINESE = switch("isWhitespace"), switch("isChinese")


def is_whitespace(scalar: str) -> bool:
    return any(first <= ord(scalar) <= last for first, last in WHITESPACE)


def is_chinese(scalar: str) -> bool:
    return any(first <= ord(scalar) <= last for first, last in CHINESE)


@dataclass
class BertNormalizer:
    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool
    lowercase: bool

    def apply(self, text: list[str]) -> list[str]:
        scalars = text
        if self.clean_text:
            scalars = [" " if is_whitespace(s) else s for s in scalars if not contains(REMOVED, s)]
        if self.handle_chinese_chars:
            scalars = [x for s in scalars for x in ([" ", s, " "] if is_chinese(s) else [s])]
        if self.strip_accents and not all(s.isascii() for s in scalars):
            scalars = [s for s in unicodedata.normalize("NFD", "".join(scalars)) if not contains(MARKS, s)]
        if self.lowercase:
            scalars = [x for s in scalars for x in s.lower()]
        return scalars


@dataclass
class AddedToken:
    scalars: list[str]
    id: int


class WordPieceTokenizer:
    def __init__(self, text: str) -> None:
        file = json.loads(text)
        model, flags = file["model"], file["normalizer"]
        prefix = list(model.get("continuing_subword_prefix", "##"))
        self.first: dict[tuple[str, ...], int] = {}
        self.following: dict[tuple[str, ...], int] = {}
        self.longest_piece = 0
        for piece, number in model["vocab"].items():
            scalars = list(piece)
            self.first[tuple(scalars)] = number
            if scalars[: len(prefix)] == prefix:
                self.following[tuple(scalars[len(prefix) :])] = number
            self.longest_piece = max(self.longest_piece, len(scalars))
        lowercase = flags.get("lowercase", True)
        strip = flags.get("strip_accents")
        self.normalizer = BertNormalizer(
            flags.get("clean_text", True),
            flags.get("handle_chinese_chars", True),
            lowercase if strip is None else strip,
            lowercase,
        )
        literal_tokens, normalized_tokens = [], []
        for token in file.get("added_tokens", []):
            scalars = list(token["content"])
            if token.get("normalized", False):
                normalized_tokens.append(AddedToken(self.normalizer.apply(scalars), token["id"]))
            else:
                literal_tokens.append(AddedToken(scalars, token["id"]))
        self.longest_word = model.get("max_input_chars_per_word", 100)
        self.unknown = model["vocab"][model.get("unk_token", "[UNK]")]
        self.start, self.end, self.padding = (model["vocab"][name] for name in ("[CLS]", "[SEP]", "[PAD]"))
        self.literal_tokens = self.longest_first(literal_tokens)
        self.normalized_tokens = self.longest_first(normalized_tokens)

    def encode(self, text: str, max_length: int) -> tuple[list[int], list[int]]:
        length = max(0, max_length)
        tokens = [self.start]
        tokens += self.pieces(text, max(0, length - 2))
        tokens.append(self.end)
        tokens = tokens[:length]
        mask = [1] * len(tokens)
        while len(tokens) < length:
            tokens.append(self.padding)
            mask.append(0)
        return tokens, mask

    def pieces(self, text: str, limit: int) -> list[int]:
        ids: list[int] = []
        for part in self.split(list(text), self.literal_tokens):
            if isinstance(part, int):
                ids.append(part)
                continue
            for inner in self.split(self.normalizer.apply(part), self.normalized_tokens):
                if isinstance(inner, int):
                    ids.append(inner)
                    continue
                for word in self.words(inner):
                    ids += self.pieces_of_word(word)
                    if len(ids) >= limit:
                        return ids[:limit]
        return ids[:limit]

    def pieces_of_word(self, word: list[str]) -> list[int]:
        if len(word) > self.longest_word:
            return [self.unknown]
        ids: list[int] = []
        start = 0
        while start < len(word):
            to = min(len(word), start + self.longest_piece)
            found = None
            while to > start:
                candidate = tuple(word[start:to])
                found = self.first.get(candidate) if start == 0 else self.following.get(candidate)
                if found is not None:
                    break
                to -= 1
            if found is None:
                return [self.unknown]
            ids.append(found)
            start = to
        return ids

    @staticmethod
    def words(text: list[str]) -> list[list[str]]:
        words: list[list[str]] = []
        word: list[str] = []
        for scalar in text:
            is_space, is_mark = is_whitespace(scalar), contains(PUNCTUATION, scalar)
            if not is_space and not is_mark:
                word.append(scalar)
                continue
            if word:
                words.append(word)
                word = []
            if is_mark:
                words.append([scalar])
        if word:
            words.append(word)
        return words

    @classmethod
    def split(cls, text: list[str], tokens: list[AddedToken]) -> list[list[str] | int]:
        if not tokens:
            return [text]
        parts: list[list[str] | int] = []
        between: list[str] = []
        position = 0
        while position < len(text):
            if token := cls.match(text, position, tokens):
                if between:
                    parts.append(between)
                    between = []
                parts.append(token.id)
                position += len(token.scalars)
            else:
                between.append(text[position])
                position += 1
        if between:
            parts.append(between)
        return parts

    @staticmethod
    def match(text: list[str], position: int, tokens: list[AddedToken]) -> AddedToken | None:
        for candidate in tokens:
            if text[position : position + len(candidate.scalars)] == candidate.scalars:
                return candidate
        return None

    @staticmethod
    def longest_first(tokens: list[AddedToken]) -> list[AddedToken]:
        return sorted((t for t in tokens if t.scalars), key=lambda t: -len(t.scalars))


@functools.cache
def minilm() -> str:
    try:
        folder = resolve(find_model(DEFAULT_MODEL), download=False)
    except WotdError as error:
        pytest.skip(str(error))
    return (folder / "tokenizer.json").read_text(encoding="utf-8")


@functools.cache
def pair(name: str) -> tuple[WordPieceTokenizer, Tokenizer]:
    """The algorithm and the library, on MiniLM's tokenizer or on the small one with a normalizer."""
    text = minilm() if name == "MiniLM" else small(name)
    return WordPieceTokenizer(text), Tokenizer.from_str(text)


@functools.cache
def known(scalar: str) -> bool:
    """Whether Python and the library can agree: Python's Unicode has the character, and both decompose it alike."""
    if unicodedata.category(scalar) in ("Cn", "Cs"):
        return False
    return normalizers.NFD().normalize_str(scalar) == unicodedata.normalize("NFD", scalar)


SCALARS = st.characters(exclude_categories=("Cs", "Cn")).filter(known)
TELLING = st.one_of(
    st.sampled_from("aZ09 -'\"!~$İßΣςéœ中豈龍가😀न،سłØ½ﬁ\t\n\r\0\x0b\x7f\x85\xa0\xad\u0301\u0323\u200b\u200d\u3000"),
    st.sampled_from("\ufffd\ufeff\u2028\ufe0f\u1100\u1161\u11a8\u212b\u037e\u1734\ue000"),
    st.sampled_from(["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[", "]", "[SE", "<Word>", "<word>", "the", "ing"]),
)
TEXTS = st.one_of(
    st.text(SCALARS, max_size=40),
    st.lists(st.one_of(TELLING, TELLING, SCALARS), max_size=30).map("".join),
    st.tuples(st.sampled_from("aé😀中!"), st.integers(95, 105)).map(lambda pair: pair[0] * pair[1]),
)


@pytest.mark.parametrize("name", ["MiniLM", *NORMALIZERS])
@settings(max_examples=300, deadline=None)
@given(text=TEXTS, length=st.sampled_from([2, 3, 8, 16, 128]))
def test_the_algorithm_is_the_librarys(name: str, text: str, length: int) -> None:
    algorithm, tokenizer = pair(name)
    assert algorithm.encode(text, length) == wanted(tokenizer, text, length)


@pytest.mark.parametrize("name", ["MiniLM", "uncased", "untouched"])
def test_every_alphabet_between_letters(name: str) -> None:
    algorithm, tokenizer = pair(name)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    points = [*range(0x3400), *range(0x3400, 0x20000, 17), *range(0xF900, 0xFFFF), *range(0x1D100, 0x1D200)]
    texts = [f"a{chr(c)}b {chr(c)}" for c in points if known(chr(c))]
    for text, found in zip(texts, tokenizer.encode_batch(texts), strict=True):
        ids = algorithm.pieces(text, 100)
        assert found.ids == [algorithm.start, *ids, algorithm.end], ascii(text)


def expanded(ranges: list[int]) -> frozenset[str]:
    pairs = zip(ranges[::2], ranges[1::2], strict=True)
    return frozenset(chr(c) for first, last in pairs for c in range(first, last + 1))


def test_the_tables_are_the_librarys() -> None:
    def only(flag: str) -> Callable[[str], str]:
        off = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
        return normalizers.BertNormalizer(**(off | {flag: True})).normalize_str

    clean, chinese, accents = only("clean_text"), only("handle_chinese_chars"), only("strip_accents")
    split = pre_tokenizers.BertPreTokenizer()
    removed, punctuation, marks = expanded(REMOVED), expanded(PUNCTUATION), expanded(MARKS)
    spaces, han = (expanded([x for pair in ranges for x in pair]) for ranges in (WHITESPACE, CHINESE))
    # The planes without a name have nothing in any table; their first characters stand for them.
    starts = [*range(0, 0xD800, 0x400), *range(0xE000, 0x32000, 0x400), *range(0x32000, 0x110000, 0x8000), 0x10FC00]
    for start in starts:
        scalars = [chr(c) for c in range(start, start + 0x400)]
        text = "x".join(scalars)
        assert clean(text) == "x".join("" if s in removed else " " if s in spaces else s for s in scalars), hex(start)
        assert chinese(text) == "x".join(f" {s} " if s in han else s for s in scalars), hex(start)
        # Python's NFD is that of Foundation in Swift.
        alike = [s for s in scalars if known(s)]
        left = ["".join(c for c in unicodedata.normalize("NFD", s) if c not in marks) for s in alike]
        assert accents("x".join(alike)) == "x".join(left), hex(start)
        words = "".join(f"\n{s}\n" if s in punctuation else "\n" if s in spaces else s for s in text).split("\n")
        assert [word for word, _ in split.pre_tokenize_str(text)] == [word for word in words if word], hex(start)


# A small lexer


def code(text: str) -> Iterator[tuple[int, str]]:
    """A Swift file's characters outside strings and comments, with their positions; interpolations are code too."""
    position = 0
    closers: list[tuple[str, str, int]] = []
    """For each interpolation we are in: its string's closing delimiter, how its escapes start, open parentheses."""
    while position < len(text):
        if text.startswith("//", position):
            position = text.index("\n", position)
        elif text.startswith("/*", position):
            position = text.index("*/", position) + 2
        elif opening := re.compile(r'(#*)("""|")').match(text, position):
            hashes, quotes = opening.groups()
            position = opening.end()
            closers.append((quotes + hashes, "\\" + hashes, -1))
            position = _string(text, position, closers)
        else:
            if closers:
                closing, escape, depth = closers[-1]
                depth += (text[position] == "(") - (text[position] == ")")
                closers[-1] = (closing, escape, depth)
            yield position, text[position]
            position += 1
            if closers and closers[-1][2] == 0:
                position = _string(text, position, closers)


def _string(text: str, position: int, closers: list[tuple[str, str, int]]) -> int:
    """Goes on in a string: to after its end, or to the opening parenthesis of an interpolation."""
    closing, escape, _ = closers[-1]
    while True:
        assert position < len(text), "a string has no end"
        if text.startswith(escape, position):
            if text.startswith(escape + "(", position):
                closers[-1] = (closing, escape, 0)
                # The parenthesis itself is code: the caller yields it and counts to one.
                return position + len(escape)
            position += len(escape) + 1
        elif text.startswith(closing, position):
            closers.pop()
            return position + len(closing)
        else:
            assert text[position] != "\n" or closing.startswith('"""'), "a string of one line has no end"
            position += 1


@pytest.mark.parametrize("name", SOURCE)
def test_brackets_are_balanced(name: str) -> None:
    pairs = {")": "(", "]": "[", "}": "{"}
    open_: list[tuple[str, int]] = []
    for position, character in code(SOURCE[name]):
        line = SOURCE[name].count("\n", 0, position) + 1 if character in "()[]{}" else 0
        if character in "([{":
            open_.append((character, line))
        elif character in pairs:
            assert open_, (name, line, character)
            assert open_.pop()[0] == pairs[character], (name, line, character)
    assert not open_, (name, open_)


def test_the_lexer_sees_what_is_unbalanced() -> None:
    assert "".join(c for _, c in code('a("}\\(b["("])") // )\n/* { */}')) == "a((b[])) \n}"
    assert "".join(c for _, c in code('let a = #"\\(" ) "#; f()\n')) == "let a = ; f()\n"
    assert "".join(c for _, c in code('x = #"""\n{ " \\(\n"""#\n}')) == "x = \n}"


@pytest.mark.parametrize("name", SOURCE)
def test_core_ml_stays_behind_its_condition(name: str) -> None:
    text = SOURCE[name]
    plain = [" "] * len(text)
    for position, character in code(text):
        plain[position] = character
    lines = "".join(c if old != "\n" else "\n" for c, old in zip(plain, text, strict=True)).split("\n")
    conditions: list[str] = []
    for number, line in enumerate(lines, 1):
        word = line.strip().split(" ")[0]
        if word == "#if":
            conditions.append(line)
        elif word in ("#else", "#elseif"):
            conditions[-1] = line
        elif word == "#endif":
            conditions.pop()
        elif re.search(r"\b(import CoreML|ML[A-Z]\w+|SemanticEncoder|SwiftUI|AppKit)\b", line):
            assert any("canImport(CoreML)" in condition for condition in conditions), (name, number, line)
    assert not conditions


def test_the_package_is_plain_swift() -> None:
    assert SOURCE["Package.swift"].startswith("// swift-tools-version:5.9\n")
    assert "main.swift" not in SOURCE
    for name, text in SOURCE.items():
        plain = "".join(character for _, character in code(text))
        assert "\t" not in plain, name
        assert not re.search(r"\bFloat16\b|@Observable|#Preview|\bany |\bsome (?!View|Scene)", plain), name
    assert sum(text.count("@main\n") for text in SOURCE.values()) == 2  # one on each side of a condition
    for path in SOURCES:
        if path.name not in ("Package.swift", "TokenizerVectors.swift", "SampleApp.swift"):
            assert "import Foundation\n" in SOURCE[path.name], path.name
