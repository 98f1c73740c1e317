"""Pairs from a dictionary: of which words, which belong together, and that families stay apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.embed.tuning.pairs import KINDS, Batch, Pairs, Thesaurus, is_held_out
from wotd_mlx.words.families import family

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "bdgklmnprt"]


@cache
def thesaurus(seed: int = 0) -> Thesaurus:
    """Up to 400 words in 300 synsets of up to four; half of the words with an antonym."""
    rng = np.random.default_rng(seed)
    glosses: dict[str, list[str]] = {}
    for n in range(300):
        name = f"x{chr(97 + n // 26)}{chr(97 + n % 26)}"
        gloss = f"what one calls {name} in a book of y{chr(97 + n % 7)}"
        for word in rng.choice(WORDS, rng.integers(1, 5), replace=False):
            glosses.setdefault(str(word), []).append(gloss)
    antonyms = {word: [str(rng.choice(WORDS))] for word in list(glosses)[::2]}
    return Thesaurus(glosses, antonyms)


@cache
def pairs(held_out: float = 0.2, shortened: float = 0.0) -> Pairs:
    return Pairs(thesaurus(), held_out, senses=5, shortened=shortened, antonyms=0.25)


def drawn(kind: str, seed: int = 0, **settings: float) -> Batch:
    return pairs(**settings).draw(kind, 24, np.random.default_rng(seed))


def synsets(text: str) -> set[str]:
    """What a text of an unshortened batch means: a word's glosses, or the gloss itself."""
    return set(thesaurus().glosses.get(text, [text.partition(": ")[2] or text]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_shares_a_meaning(kind):
    batch = drawn(kind)
    assert len(batch.queries) == 24
    words = thesaurus().glosses
    members = {g: {w for w in words if g in words[w]} for found in words.values() for g in found}
    for query, document in zip(batch.queries, batch.documents, strict=False):
        assert query != document
        if kind == "glosses":  # of two synonyms
            assert any(members[query] & members[g] or g == document for w in members[query] for g in words[w])
        else:
            assert synsets(query) & synsets(document)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_no_word_or_gloss_of_a_family_that_is_held_out_is_drawn(kind, seed):
    glosses = thesaurus().glosses
    hidden = {word for word in glosses if is_held_out(word, 0.2)}
    assert 0.1 < len(hidden) / len(glosses) < 0.3
    secret = {gloss for word in hidden for gloss in glosses[word]}
    batch = drawn(kind, seed)
    for text in (*batch.queries, *batch.documents):
        word, _, gloss = text.partition(": ")
        assert not {word, text, gloss} & (hidden | secret)


def test_a_family_is_held_out_whole():
    words = ["connect", "connects", "connected", "connecting", "connection"]
    assert len({family(word) for word in words}) == 1
    assert all(len({is_held_out(word, share) for word in words}) == 1 for share in np.linspace(0, 1, 50))
    assert not any(is_held_out(word, 0.0) for word in WORDS)
    assert all(is_held_out(word, 1.0) for word in WORDS)


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_share_no_word_and_no_synset(kind):
    """Checked pair by pair on the texts themselves."""
    batch = drawn(kind)
    glosses = pairs().glosses
    members = {g: {w for w in glosses if g in glosses[w]} for found in glosses.values() for g in found}

    def keys(text: str) -> set[str]:
        word, _, gloss = text.partition(": ")
        of = members.get(gloss or text, {word})
        return of | {g for w in of for g in glosses[w]}

    assert batch.alike.shape == (24, len(batch.documents))
    for i, query in enumerate(batch.queries):
        for j, document in enumerate(batch.documents):
            if keys(query) & keys(document) and kind != "glosses":
                assert batch.alike[i, j]
            if not batch.alike[i, j]:
                assert query != document
    assert batch.alike.diagonal().all()
    assert batch.alike.mean() < 0.5


def test_antonyms_stand_behind_the_synonyms():
    batch = drawn("synonyms")
    assert len(batch.documents) == 24 + 6
    antonyms, pairs_of = thesaurus().antonyms, [*batch.queries, *batch.documents[:24]]
    opposed = {other for word in pairs_of for other in antonyms.get(word, [])}
    assert opposed & set(batch.documents[24:])


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_a_shortened_gloss_is_a_run_of_at_least_a_third_of_it(words, seed):
    gloss = " ".join(words)
    found = pairs(shortened=1.0).shorten(gloss, np.random.default_rng(seed))
    assert f" {found} " in f" {gloss} "
    assert len(found.split()) >= min(len(words), max(2, len(words) // 3))
    assert pairs(shortened=0.0).shorten(gloss, np.random.default_rng(seed)) == gloss


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same(kind):
    first, second, other = (drawn(kind, seed, shortened=0.5) for seed in (1, 1, 2))
    assert first[:2] == second[:2]
    assert (first.alike == second.alike).all()
    assert first[:2] != other[:2]
