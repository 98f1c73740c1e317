"""One normal form of a word, however it was typed."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wotd_mlx.words.normal import normal


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Visage", "visage"),
        (" visage", "visage"),
        ("visage\n", "visage"),
        ("\ufeffvisage", "visage"),
        ("vis\u200bage", "visage"),
        ("vis\u00adage", "visage"),
        ("a\u200b \u200b b", "a b"),
        ("\u3000A  quiet\tjoy", "a quiet joy"),
        ("cafe\u0301", "caf\u00e9"),
        ("CAFÉ", "café"),
        ("Straße", "strasse"),
        ("I’m", "i’m"),
        ("", ""),
        ("\u200b", ""),
        ("🎉", "🎉"),
    ],
)
def test_forms(text, form):
    assert normal(text) == form


@settings(deadline=None)
@given(st.text())
def test_another_way_of_writing_a_text_is_the_same(text):
    form = normal(text)
    assert normal(form) == form
    assert normal(unicodedata.normalize("NFD", text)) == form
    assert normal(f" \ufeff{text}\u200b\n") == form


def test_every_character_has_one_form():
    for c in map(chr, range(sys.maxunicode + 1)):
        assert normal(normal(c)) == normal(c), hex(ord(c))
