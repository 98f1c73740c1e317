"""The figures of the language stage, against what they are defined as."""

from __future__ import annotations

import json

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.language.chat import LoadedModel, chat
from wotd_mlx.language.dsl import ByPattern, Define, Encode, PatternOf, Words
from wotd_mlx.language.evaluate import (
    Asked,
    adherence,
    correct,
    perplexity,
    random_words,
    read_asked,
    relevance,
    token_kinds,
)
from wotd_mlx.language.generate import goal_of
from wotd_mlx.language.head import Head
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.schemas import RunInfo, SemanticID, WotdError


@pytest.fixture(scope="module")
def known(finished: RunInfo) -> WordIndex:
    return WordIndex.of(SemanticEncoder.load(finished.run))


@pytest.fixture(scope="module")
def pairs(known: WordIndex) -> list[tuple[ByPattern, tuple[str, ...]]]:
    """Requests by pattern, and some of the words that fit."""
    found = []
    for row in range(0, 60, 6):
        fields = [None] * len(known.levels)
        fields[0] = frozenset([int(known.ids[row, 0])])
        pattern = Pattern(tuple(fields))
        found.append((ByPattern(pattern, 3), tuple(known.words[r] for r in known.fitting(pattern)[:3])))
    return found


def test_what_tokens_belong_to():
    words = ByPattern(Pattern((None,)), 2)
    assert token_kinds(words, ["lock", "et", ",", " hearth", "<end>"]) == [
        "words", "words", "structure", "words", "structure"]  # fmt: skip
    assert token_kinds(Encode("locket"), ["[", "2", ",", "1", "]", "<end>"]) == [
        "structure", "codes", "structure", "codes", "structure", "structure"]  # fmt: skip
    assert set(token_kinds(PatternOf((("style", "modern"),)), ["[", "5", "-", "7", "]", "<end>"])) == {"structure"}
    assert token_kinds(Define("locket"), ["A", " case", "<end>"]) == ["text", "text", "structure"]


def test_perplexity_is_that_of_the_models_own_probabilities(tiny_language: LoadedModel, known, pairs):
    asked = [Asked(request, str(Words(words)), False) for request, words in pairs]
    found = perplexity(Head(tiny_language.model), tiny_language, asked, batch=4)
    losses = []
    for one in asked:
        prompt = chat(tiny_language.tokenizer, str(one.request))
        whole = chat(tiny_language.tokenizer, str(one.request), one.answer)
        logits = tiny_language.model(mx.array([whole[:-1]]))[0, len(prompt) - 1 :]
        losses += np.asarray(nn.losses.cross_entropy(logits, mx.array(whole[len(prompt) :]))).tolist()
    close(np.log(found["all"]), np.mean(losses), "language")
    assert set(found) == {"all", "structure", "words"}
    assert all(value > 1 for value in found.values())


def test_random_words_are_different_and_fit_where_asked(known, pairs):
    rng, (request, _) = np.random.default_rng(0), pairs[0]
    goal = goal_of(known, request)
    fitting = random_words(known, goal, 3, rng, fitting=True)
    assert len(set(fitting)) == 3
    assert all(request.pattern.fits(known.ids[known.row[word]]) for word in fitting)
    anywhere = {word for _ in range(40) for word in random_words(known, goal, 3, rng, fitting=False)}
    assert not all(request.pattern.fits(known.ids[known.row[word]]) for word in anywhere)


def test_form_and_meaning(known, pairs):
    request, words = pairs[0]
    asked = [Asked(request, str(Words(words)), False)] * 3
    answers = [str(Words(words)), f"{words[0]}, {words[0]}, {words[1]}", "no"]
    assert adherence(known, asked, answers) == 2 / 3
    assert [correct(known, request, answer) for answer in answers] == [True, False, False]
    number = SemanticID(known.ids[0])
    assert adherence(known, [Asked(Encode("x"), "", False)] * 2, [str(number), "[99,99,99,99]"]) == 0.5
    found = relevance(known, [goal_of(known, request)] * 2, [words, ["unheardof", words[0], words[1]]])
    assert found.fits == found.known == 5 / 6
    assert found.different == 4 / 6
    cosines = known.vectors[[known.row[w] for w in (*words, *words[:2])]] @ known.target(request.pattern)
    close(found.cosine, cosines.sum() / 6, "language")


def test_rows_that_are_none(known, tmp_path):
    path = tmp_path / "test.jsonl"
    good = {"messages": [{"role": "user", "content": "Encode locket"}, {"role": "assistant", "content": "[0,0,0,0]"}]}
    path.write_text(json.dumps({**good, "held_out": True}) + "\n")
    assert read_asked(path, known) == [Asked(Encode("locket"), "[0,0,0,0]", True)]
    sung = [{"role": "user", "content": "sing"}, {"role": "assistant", "content": "a"}]
    for bad in ("{", "[]", '{"messages": 3}', json.dumps({"messages": sung})):
        path.write_text(json.dumps(good) + "\n" + bad + "\n")
        with pytest.raises(WotdError, match=r"test\.jsonl:2: "):
            read_asked(path, known)
