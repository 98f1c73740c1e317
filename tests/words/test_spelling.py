"""Whether a text is spelt as words are, against counts by hand and what a person would say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.spelling import Spelling


@pytest.fixture(scope="module")
def english() -> Spelling:
    corpus = load_builtin()
    return Spelling([word.text for word in (*corpus.words, *corpus.lexicon)])


def by_hand(words: list[str], text: str) -> float:
    marked = "\n\n".join(["", *words, ""])
    n1, n2, n3 = (Counter(marked[i : i + k] for i in range(len(marked) - k + 1)) for k in (1, 2, 3))
    total, size, bits = len(marked), len(n1) + 1, []
    shown = f"\n\n{text}\n"
    for i in range(2, len(shown)):
        a, b, c = shown[i - 2], shown[i - 1], shown[i]
        one = (n1[c] + 1) / (total + size)
        two = (n2[b + c] + 2 * one) / (n1[b] + 2)
        bits.append(-np.log2((n3[a + b + c] + 2 * two) / (n2[a + b] + 2)))
    return float(np.mean(bits))


@pytest.mark.parametrize("text", ["anna", "nan", "banana", "ab", "q", "zab", "a"])
def test_surprise_is_what_the_counts_say(text):
    words = ["anna", "banana", "nab", "ab", "ban"]
    close(Spelling(words).surprise(text), by_hand(words, text), "sum_order")


@pytest.mark.parametrize(
    "text",
    [
        *("petrichor", "susurrus", "flibbertigibbet", "rhythm", "schadenfreude", "naïve", "Café", "onomatopoeia"),
        *("a quiet joy", "well-being", "don't", "🎉 party", "the smell of rain, on dry ground!"),
    ],
)
def test_words_are_spelt_so(english, text):
    assert english.is_word(text)


@pytest.mark.parametrize(
    "text",
    [
        *("asdfghjkl", "qwertyuiop", "zxcvbn", "xkcd", "hgfjdk", "bcdfg", "zzzz", "mxyzptlk"),
        *("", " ", "\u200b", "🎉", "12345", "...", "日本", "привет", "\ud800", "zxcv qwrtp", "C3PO r2d2"),
    ],
)
def test_nonsense_pictures_and_other_scripts_are_not(english, text):
    assert not english.is_word(text)


def test_nearly_all_known_words_are_spelt_as_the_others_are(english):
    known = [word.text for word in load_builtin().lexicon]
    without = Spelling(known[::2])
    assert np.mean([without.is_word(word) for word in known[1::2]]) > 0.99


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_has_an_answer(english, text):
    assert english.is_word(text) in (True, False)


def test_without_words_nothing_is_known():
    assert not Spelling([]).is_word("word")
