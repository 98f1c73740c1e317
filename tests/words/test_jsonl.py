"""JSON lines in and out, and what is refused."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.words.typed import TYPED
from wotd_mlx.schemas import Word, WotdError
from wotd_mlx.words import load_corpus
from wotd_mlx.words.jsonl import read_jsonl, write_jsonl
from wotd_mlx.words.normal import normal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NAME = TEXT.map(normal).filter(bool)
WORD = st.builds(
    Word,
    text=NAME,
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    corpus=st.one_of(st.just(""), TEXT),
    source=st.one_of(st.just(""), TEXT),
    cefr=st.sampled_from([None, "A1", "C2"]),
    zipf=st.one_of(st.none(), st.floats(0, 8)),
    evidence=st.dictionaries(TEXT, st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT)),
)


@given(words=st.lists(WORD, min_size=1, max_size=5, unique_by=lambda w: w.text))
def test_round_trip(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("jsonl") / "mine.jsonl"
    write_jsonl(path, words)
    corpus = read_jsonl(path)
    assert corpus.name == "mine"
    assert corpus.words == tuple(words)


def test_only_word_is_needed_and_odd_letters_pass(tmp_path):
    path = tmp_path / "w.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"word": "felicity"}\r\n\n{"word": "nul\\u0000l\\u2028x"}\n')
    assert [word.text for word in load_corpus(path).words] == ["felicity", "null x"]


def test_a_word_is_one_however_it_is_typed(tmp_path, caplog):
    path = tmp_path / "w.jsonl"
    rows = [{"word": text, "corpus": str(n)} for n, text in enumerate(TYPED)]
    path.write_text("\n".join(map(json.dumps, rows)))
    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        words = read_jsonl(path).words
    assert [(w.text, w.corpus) for w in words] == [("caf\u00e9", "0")]
    assert f"{len(TYPED) - 1} repeated words" in caplog.text


def test_repeats_are_dropped_and_counted(tmp_path, caplog):
    path = tmp_path / "w.jsonl"
    rows = [{"word": "a", "corpus": "first"}, {"word": "b"}, {"word": "a", "corpus": "second"}, {"word": "a"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        words = read_jsonl(path).words
    assert [(w.text, w.corpus) for w in words] == [("a", "first"), ("b", "")]
    assert len(caplog.records) == 1
    assert "2 repeated words" in caplog.text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"word": "a", "colour": 1}', "unknown keys 'colour'"),
        (b'{"word": }', "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'["a"]', "it is ['a'], expected keys and values"),
        (b'{"word": 7}', "word is 7, expected str"),
        (b'{"labels": {}}', "lacks word"),
        (b'{"word": "  "}', "'word' is '  '"),
        (b'{"word": "\\u200b"}', "'word' is"),
        (b'{"word": "\xff"}', "not UTF-8"),
        (b'{"word": "a", "word": "b"}', "the key 'word' stands there twice"),
        (b'{"word": "a", "zipf": 1e999}', "too large a number"),
        (b'{"word": "a", "labels": {"era": ""}}', "the label 'era' is empty"),
        (b'{"word": "\\ud800"}', "surrogate"),
        (b'{"word": "a", "labels": ["x"]}', "labels is ['x'], expected keys and values"),
        (b'{"word": "a", "labels": {"era": 3}}', "labels.era is 3, expected str"),
        (b'{"word": "a", "corpus": 3}', "corpus is 3, expected str"),
        (b'{"word": "a", "zipf": "high"}', "zipf is 'high', expected float"),
        (b'{"word": "a", "zipf": NaN}', "NaN is no number"),
        (b'{"word": "a", "zipf": true}', "zipf is True, expected float"),
        (b'{"word": "a", "evidence": [1]}', "evidence is [1], expected keys and values"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, text):
    path = tmp_path / "w.jsonl"
    path.write_bytes(b'{"word": "fine"}\n' + line + b"\n")
    with pytest.raises(WotdError) as caught:
        read_jsonl(path)
    assert text in str(caught.value)
    assert f"{path}:2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_and_missing_files(tmp_path):
    empty = tmp_path / "e.jsonl"
    empty.write_text("\n\n")
    with pytest.raises(WotdError, match="holds no words"):
        read_jsonl(empty)
    with pytest.raises(WotdError, match="no file"):
        load_corpus(tmp_path / "none.jsonl")


def test_what_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(WotdError, match="'a' can't be written"):
        write_jsonl(tmp_path / "w.jsonl", [Word("a", zipf=float("nan"))])


@pytest.mark.parametrize("source", ["nowhere", "words.txt"])
def test_an_unknown_source(source):
    with pytest.raises(WotdError, match=r"expected 'builtin', a folder with manifest.tsv, a \.jsonl file or a \.csv"):
        load_corpus(source)
