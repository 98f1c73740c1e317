"""Families keep inflected and derived forms together, whatever the string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.words.typed import TYPED
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.families import MERGED, family, stem
from wotd_mlx.words.forms import IRREGULAR, irregular, lemmas


@pytest.mark.parametrize(
    "forms",
    [
        "tarry tarries tarried",
        "connect connection connected",
        "Felicity felicity",
        "ﬁne fine",
        "happy unhappy happily unhappily happiness happier unhappiest",
        "dream dreams dreamed dreamer dreamt dreamy dreamily",
        "beauty beautiful beautifully beauteous beautify",
        "colour color colourless discolor",
        "solitude solitary",
        "strong strength strengthen",
        "long length",
        "child children childhood",
        "go went gone goes",
        "do doth",
        "legal illegal illegality",
        "honest dishonest",
        "melancholy melancholic",
        "luminous luminosity",
        "organise organize disorganised",
    ],
)
def test_forms_share_a_family(forms):
    assert len({family(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words",
    [
        "tarry tart felicity garret",
        "ease disease",
        "over lie eat under",
        "go wing agony",
        "man mane mannequin",
        "corn corner",
        "number numb",
        "cover discover",
        "press express",
        "moon moonlight",
        "season seasick",
        "bless less",
    ],
)
def test_different_words_do_not(words):
    assert len({family(word) for word in words.split()}) == len(words.split())


def test_a_word_is_one_however_it_is_typed():
    assert {family(text) for text in TYPED} == {family("caf\u00e9")}


@given(st.text())
def test_total_and_stable(text):
    assert isinstance(family(text), str)
    assert family(text) == family(f" {text} ")


def test_the_table_leads_to_families_at_once():
    rows = [line.split("\t") for line in MERGED.read_text().splitlines()]
    keys = {key for key, _ in rows}
    assert len(keys) == len(rows) > 5000
    assert not keys & {named for _, named in rows}, "a family's key that belongs to another family"
    assert rows == sorted(rows)


def test_families_are_far_fewer_than_stems():
    words = [word.text for word in (*load_builtin().words, *load_builtin().lexicon)][::5]
    assert len({family(word) for word in words}) < 0.93 * len({stem(word) for word in words})


@pytest.mark.parametrize(
    ("form", "lemma"),
    [("dreamt", "dream"), ("geese", "goose"), ("hath", "have"), ("stopped", "stop"),
     ("tarries", "tarry"), ("boxes", "box"), ("making", "make"), ("finest", "fine"), ("women", "woman")],
)  # fmt: skip
def test_lemmas(form, lemma):
    assert lemma in lemmas(form)


def test_irregular_forms_are_listed_once_in_order():
    rows = IRREGULAR.read_text().splitlines()
    assert rows == sorted(set(rows))
    assert all(form != lemma for form, lemma in irregular().items())
    assert list(lemmas("")) == []
    assert list(lemmas("s")) == []
