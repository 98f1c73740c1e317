"""What a word comes from, and why it isn't worth meeting: on a WordNet of our own."""

from __future__ import annotations

import pytest

from tests.words.dictionary.sources import Synset, write_wordnet
from wotd_mlx.words import screen
from wotd_mlx.words.derive import Derivations, Link
from wotd_mlx.words.relate import irregular_forms, merged_stems, write_pairs
from wotd_mlx.words.worth import Judge

SYNSETS = (
    Synset("a", ("merry",), "full of gladness", (("!", 1, 1, 1),)),
    Synset("a", ("unmerry",), "low in spirits", (("!", 0, 1, 1),)),
    Synset("r", ("merrily",), "with gladness"),
    Synset("n", ("wit",), "quickness of mind"),
    Synset("n", ("witness",), "one who has seen a thing"),
    Synset("n", ("disease",), "an illness of the body"),
    Synset("n", ("ease",), "freedom from effort"),
    Synset("n", ("London",), "where the Thames is"),
    Synset("n", ("glow",), "a soft light"),
)
GLOSSES = {
    "merry": ["full of gladness"],
    "unmerry": ["low in spirits"],
    "merrily": ["with gladness"],
    "wit": ["quickness of mind"],
    "witness": ["one who has seen a thing"],
    "disease": ["an illness of the body"],
    "ease": ["freedom from effort"],
    "london": ["where the Thames is"],
    "glow": ["a soft light"],
    "rebuild": ["build again"],
    "build": ["put up"],
    "haystack": ["a pile of hay"],
    "hay": ["dried grass"],
    "stack": ["a pile"],
    "moonlight": ["the light of the moon"],
    "moon": ["what shines at night"],
    "light": ["what the sun gives"],
    "fink": ["(offensive) one who tells on others"],
    "brute": ["an insulting term for a person"],
    "trull": ["a person"],
    "ternary": ["being one more than two"],
    "burthen": ["a variant of burden"],
    "kestrel": ["any of several small birds of the family Falconidae"],
    "quinol": ["a chemical for photographs"],
    "vaal": ["a river in South Africa"],
    "ludwig": ["composer of nine symphonies (1770-1827)"],
    "verve": ["an energetic style"],
}
ZIPF = {"verve": 2.7, "witness": 3.0, "wit": 3.5, "very": 6.0, "haystack": 2.5, "moonlight": 3.6, "kestrel": 2.5}


@pytest.fixture
def derivations(tmp_path):
    net = _net(tmp_path)
    return Derivations(GLOSSES.__contains__, net, lambda word: GLOSSES.get(word, []))


def _net(folder):
    from wotd_mlx.words.dictionary.wordnet import WordNet

    return WordNet(write_wordnet(folder, SYNSETS))


@pytest.fixture
def judge(derivations, monkeypatch):
    monkeypatch.setattr(screen, "zipf", lambda word: ZIPF.get(word, 4.0 if len(word) < 6 else 2.0))
    monkeypatch.setattr(screen, "is_slur", lambda word: word == "trull")
    heads = {"glowed": "glow"}
    return Judge(
        derivations, lambda word: GLOSSES.get(word, []), lambda word: heads.get(word, word), derivations.wordnet
    )


def test_links_are_borne_out(derivations):
    assert list(derivations.links("unmerry")) == [Link("merry", "un-")]  # WordNet's antonym
    assert list(derivations.links("merrily")) == [Link("merry", "-ily")]  # an adverb of an adjective
    assert list(derivations.links("rebuild")) == [Link("build", "re-")]  # its gloss names the base
    # *ness* makes nouns of adjectives, and wit is none; no gloss of disease speaks of ease.
    assert list(derivations.links("witness")) == []
    assert list(derivations.links("disease")) == []


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("glow", ""), ("verve", ""), ("very", "common"), ("glowed", "form"), ("grr", "form"),
        ("unknownword", "no gloss"),
        ("fink", "offensive"), ("brute", "offensive"), ("trull", "offensive"), ("london", "name"), ("vaal", "name"),
        ("ludwig", "name"), ("ternary", "number or unit"), ("burthen", "number or unit"), ("kestrel", "species"),
        ("quinol", "technical"), ("merrily", "transparent"), ("unmerry", "transparent"), ("rebuild", "transparent"),
        ("haystack", "transparent"), ("moonlight", "transparent"), ("witness", ""), ("ease", ""),
    ],
)  # fmt: skip
def test_reasons(judge, word, reason):
    assert judge.reason(word) == reason


def test_a_compound_that_literature_loves_stays(judge):
    assert judge.reason("moonlight", literary=True) == ""
    assert judge.reason("merrily", literary=True) == "transparent"


def test_stems_are_merged_under_the_commonest_word(derivations, monkeypatch):
    monkeypatch.setattr(screen, "zipf", lambda word: {"merry": 4.0}.get(word, 2.0))
    heads = {"gladder": "glad", "merrier": "merry"}
    found = merged_stems(sorted(GLOSSES), heads, lambda word: heads.get(word, word), derivations)
    assert found == {"gladder": "glad", "merrier": "merri", "merrili": "merri", "rebuild": "build", "unmerri": "merri"}


def test_irregular_forms_are_those_that_no_rule_gives(tmp_path):
    heads = {"glowed": "glow", "wrought": "build", "went": "go", "lay": "merry"}
    known = {"glow", "build", "merry", "lay"}
    found = irregular_forms(heads, lambda word: heads[word], known.__contains__)
    assert found == {"wrought": "build"}
    write_pairs(tmp_path / "pairs.tsv", {"b": "x", "a": "y"})
    assert (tmp_path / "pairs.tsv").read_text() == "a\ty\nb\tx\n"
