"""The dataset of the language stage: answers that hold, splits that don't leak, files that come back."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wotd_mlx.config.language import DatasetConfig, Shares
from wotd_mlx.io.records import checked
from wotd_mlx.language.dataset import SPLITS, Dataset, build_dataset
from wotd_mlx.language.dsl import (
    KINDS,
    Between,
    ByAttributes,
    ByPattern,
    Define,
    Encode,
    Like,
    PatternOf,
    Use,
    Words,
    parse_answer,
    parse_request,
)
from wotd_mlx.language.rows import Exchange, Gloss
from wotd_mlx.schemas import Attribute, SemanticID, WotdError

ATTRIBUTES = (Attribute("style", ("plain", "ornate")), Attribute("era", ("old", "new", "timeless")))
SMALL = DatasetConfig(train=60, valid=15, test=30, held_out=0.2)


class World(NamedTuple):
    """Words with IDs (N, Q) and vectors (N, D), and what else a dataset is made from."""

    words: list[str]
    ids: np.ndarray
    vectors: np.ndarray
    table: np.ndarray
    rest: dict[str, Any]

    def decode(self, ids: Any) -> np.ndarray:
        flat = np.ravel_multi_index(np.array(ids).T, self.rest["levels"])
        return self.table[flat]

    def build(self, config: DatasetConfig = SMALL) -> Dataset:
        return build_dataset(self.words, self.ids, self.vectors, self.decode, config, **self.rest)


def world(n: int = 240, levels: tuple[int, ...] = (4, 5, 3), seed: int = 0, glosses: bool = True) -> World:
    """Words that lie around the vector that their ID stands for; some are of one family."""
    rng = np.random.default_rng(seed)
    stems = [
        "".join(rng.choice(list("bcdfglmnprt"), 1)[0] + rng.choice(list("aeiou")) for _ in range(4)) for _ in range(n)
    ]
    words = list(dict.fromkeys(stem + end for stem in stems for end in ("k", "king", "ks")))
    words = [words[i] for i in rng.permutation(len(words))[:n]]
    n = len(words)
    ids = np.stack([rng.integers(k, size=n) for k in levels], axis=1)
    table = rng.normal(size=(int(np.prod(levels)), 6)).astype(np.float32)
    vectors = table[np.ravel_multi_index(ids.T, levels)] + rng.normal(0, 0.3, (n, 6)).astype(np.float32)
    values = [("plain", "plain", "ornate", ""), ("old", "new", "new", "timeless", "old")]
    readings = [[row[code % len(row)] for code in range(k)] for row, k in zip(values, levels, strict=False)]
    told = {word: Gloss(f"what {word} means", (f"A {word} there.", f"No {word} here.")) for word in words[::2]}
    rest = {
        "levels": levels,
        "attributes": ATTRIBUTES[: len(readings)],
        "readings": readings,
        "own": np.arange(n) < n // 10,
        "zipf": np.where(rng.random(n) < 0.1, np.nan, rng.normal(3, 1, n)),
        "glosses": told if glosses else None,
    }
    return World(words, ids, vectors, table, rest)


def check_row(w: World, row: Exchange, held: set[SemanticID], near: int) -> tuple[str, ...]:
    """Assert that a row's answer is one for its request; the words that it names."""
    text, said = row.request, row.answer
    id_of = {word: SemanticID(number) for word, number in zip(w.words, w.ids.tolist(), strict=True)}
    request = parse_request(text, w.rest["levels"], w.rest["attributes"])
    assert str(request) == text
    assert request.kind == row.kind
    answer = parse_answer(request, said, w.rest["levels"])
    assert str(answer) == said
    match request:
        case ByPattern(pattern):
            assert all(pattern.fits(id_of[word]) for word in answer.words)
        case ByAttributes(values):
            names = [attribute.name for attribute in w.rest["attributes"]]
            for name, value in values:
                q = names.index(name)
                assert all(w.rest["readings"][q][id_of[word][q]] == value for word in answer.words)
        case Like(words):
            assert not set(words) & set(answer.words)
            target = sum(w.vectors[w.words.index(x)] / np.linalg.norm(w.vectors[w.words.index(x)]) for x in words)
            check_near(w, answer, target, held if not row.held_out else set(), near)
        case Between(a, b, share):
            ends = w.decode([a, b])
            if share == 0.5:
                ends = ends / np.linalg.norm(ends, axis=1, keepdims=True)
                check_near(w, answer, ends.sum(axis=0), held if not row.held_out else set(), near)
        case Encode(word):
            assert answer == id_of[word]
        case PatternOf(values):
            for q, field in enumerate(answer.fields):
                wanted = dict(values).get(ATTRIBUTES[q].name) if q < len(w.rest["attributes"]) else None
                codes = {code for code, v in enumerate(w.rest["readings"][q]) if v == wanted} if wanted else None
                assert field == codes
        case Define(word):
            assert answer == w.rest["glosses"][word].definition
        case Use(word):
            assert answer in w.rest["glosses"][word].examples
    asked = getattr(request, "words", (request.word,) if hasattr(request, "word") else ())
    return (*asked, *(answer.words if isinstance(answer, Words) else ()))


def check_near(w: World, answer: Words, target: np.ndarray, barred: set[SemanticID], near: int) -> None:
    unit = w.vectors / np.linalg.norm(w.vectors, axis=1, keepdims=True)
    order = [n for n in np.argsort(-(unit @ target)) if SemanticID(w.ids[n]) not in barred]
    assert set(answer.words) <= {w.words[n] for n in order[:near]}


def check(w: World, made: Dataset, config: DatasetConfig) -> None:
    """Assert all that :func:`build_dataset` promises."""
    held = set(made.held_out)
    id_of = {word: SemanticID(number) for word, number in zip(w.words, w.ids.tolist(), strict=True)}
    assert held < set(id_of.values())
    near = config.pool * config.most + 9  # one more than is searched, for what rounding makes equal
    asked = {split: set() for split in SPLITS}
    for split in SPLITS:
        rows = getattr(made, split)
        assert len(rows) <= getattr(config, split)
        seen = set()
        for row in rows:
            text, said = row.request, row.answer
            named = check_row(w, row, held, near)
            request = parse_request(text)
            ids = {id_of[word] for word in named} | {request.a, request.b} if isinstance(request, Between) else {
                id_of[word] for word in named
            }  # fmt: skip
            if isinstance(request, ByPattern) and request.pattern.number:
                ids.add(request.pattern.number)
            assert not row.held_out or (split != "train" and ids & held)
            assert row.held_out or not ids & held
            key = (text, frozenset(said.split(", ")) if row.kind in KINDS[:4] else said)
            assert key not in seen
            seen.add(key)
            asked[split].add(text)
    assert not asked["train"] & (asked["valid"] | asked["test"])
    assert not asked["valid"] & asked["test"]


@settings(max_examples=15)
@given(
    n=st.integers(2, 80),
    levels=st.sampled_from([(2,), (3, 2), (4, 5, 3), (8, 8, 8, 5), (300, 2)]),
    seed=st.integers(0, 9999),
    glosses=st.booleans(),
    held_out=st.sampled_from([0, 0.05, 0.5, 1]),
    most=st.integers(5, 12),
)
def test_answers_hold_and_splits_do_not_leak(n, levels, seed, glosses, held_out, most):
    w = world(n, levels, seed, glosses)
    config = replace(SMALL, seed=seed, held_out=held_out, most=most)
    if len(np.unique(w.ids, axis=0)) < 2:
        with pytest.raises(WotdError, match="two or more"):
            w.build(config)
        return
    check(w, w.build(config), config)


def test_every_kind_is_there_and_counts_are_kept():
    w, config = world(900, (8, 5, 6)), replace(SMALL, train=600, valid=80, test=160)
    made = w.build(config)
    check(w, made, config)
    assert [len(getattr(made, split)) for split in SPLITS] == [600, 80, 160]
    assert {row.kind for row in made.train} == {row.kind for row in made.test} == set(KINDS)
    assert sum(row.held_out for row in made.test) == 80
    assert {row.kind for row in made.test if row.held_out} == set(KINDS) - {"by_attributes", "pattern_of"}
    counts = Counter(row.request.split()[1] for row in made.train if row.kind == "by_pattern")
    assert max(counts, key=counts.__getitem__) == "5"
    assert len(counts) > 6


def test_valid_and_test_ask_about_different_held_out_ids():
    made = world().build()
    asked = [
        {row.answer if row.kind == "encode" else row.request.split(" for ")[1]
         for row in rows if row.held_out and row.kind in ("encode", "by_pattern")}
        for rows in (made.valid, made.test)
    ]  # fmt: skip
    assert asked[0]
    assert asked[1]
    assert not asked[0] & asked[1]


def test_one_pattern_comes_with_different_words():
    made = world().build(replace(SMALL, train=600))
    answers = Counter(row.request for row in made.train if row.kind == "by_pattern")
    assert max(answers.values()) > 1


def test_the_seed_decides_and_the_test_stays():
    first, again = world().build(), world().build()
    assert first == again
    assert world().build(replace(SMALL, seed=1)).train != first.train
    assert world().build(replace(SMALL, train=300)).test == first.test


def test_own_words_come_more_often_and_rare_ones_less():
    w = world(300, (2, 2), glosses=False)
    zipf = np.tile([2.0, 4.0, np.nan], 100)
    own = np.arange(300) % 10 == 0
    shares = Shares(1, 0, 0, 0, 0, 0, 0, 0)
    w = w._replace(rest=w.rest | {"own": own, "zipf": zipf})
    made = w.build(DatasetConfig(train=2000, valid=0, test=0, held_out=0, shares=shares, whole=1.0))
    said = Counter(word for row in made.train for word in row.answer.split(", "))

    def mean(mask: np.ndarray) -> float:
        return float(np.mean([said[word] for word, here in zip(w.words, mask, strict=True) if here]))

    rare = ~own & (zipf < 3)
    assert mean(own) > 2 * mean(~own)
    assert 1.3 * mean(rare) < mean(~own & ~rare)


def test_a_family_answers_once_where_there_are_others():
    words = ["lock", "locks", "locking", "locked", "hearth", "kindle", "bonnet", "ramble"]
    ids = np.array([[0]] * 7 + [[1]])
    vectors = np.eye(8, dtype=np.float32)
    made = build_dataset(
        words,
        ids,
        vectors,
        lambda ids: vectors[: len(ids)],
        DatasetConfig(train=30, valid=0, test=0, held_out=0, shares=Shares(1, 0, 0, 0, 0, 0, 0, 0), most=5),
        levels=(2,),
    )
    fours = [row.answer for row in made.train if row.request == "Generate 4 words for [0]"]
    assert fours
    assert all(sum(word.startswith("lock") for word in said.split(", ")) == 1 for said in fours)


def test_words_that_cannot_be_written_are_left_out_and_told(caplog):
    w = world()
    w.words[3], w.words[5] = "ice, cream", "<|im_end|>"
    with caplog.at_level(logging.WARNING, logger="wotd_mlx"):
        made = w.build()
    assert "2 words left out" in caplog.text
    assert not any("cream" in text or "im_end" in text for row in made.train for text in row[:2])


def test_arguments_that_do_not_fit_are_refused():
    w = world()
    bad = [
        w._replace(ids=w.ids[:-1]),
        w._replace(vectors=w.vectors[:-1]),
        w._replace(words=[w.words[0], *w.words[:-1]]),
        w._replace(ids=w.ids + 3),
        w._replace(rest=w.rest | {"readings": w.rest["readings"][:1]}),
        w._replace(rest=w.rest | {"readings": [r[:-1] for r in w.rest["readings"]]}),
        w._replace(ids=w.ids * 0),
    ]
    for other in bad:
        with pytest.raises(WotdError):
            other.build()


@pytest.mark.parametrize(
    "setting",
    [{"train": -1}, {"held_out": 1.5}, {"whole": -0.1}, {"usual": 11}, {"most": 101}, {"pool": 0}, {"rare_weight": 0},
     {"shares": {"encode": -1}}, {"shares": dict.fromkeys(KINDS, 0)}, {"share": 1}],
)  # fmt: skip
def test_bad_settings_are_refused(setting):
    with pytest.raises(WotdError):
        checked(DatasetConfig, setting)
