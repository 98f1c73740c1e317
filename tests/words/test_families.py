"""Families keep inflected and derived forms together, whatever the string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.words.typed import TYPED
from wotd_mlx.words.families import family


@pytest.mark.parametrize(
    "forms", ["tarry tarries tarried", "connect connection connected", "Felicity felicity", "ﬁne fine"]
)
def test_forms_share_a_family(forms):
    assert len({family(form) for form in forms.split()}) == 1


def test_a_word_is_one_however_it_is_typed():
    assert {family(text) for text in TYPED} == {family("caf\u00e9")}


def test_different_words_do_not():
    assert len({family(word) for word in ("tarry", "tart", "felicity", "garret")}) == 4


@given(st.text())
def test_total_and_stable(text):
    assert isinstance(family(text), str)
    assert family(text) == family(f" {text} ")
