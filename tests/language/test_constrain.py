"""Answers that always hold: whatever the logits, n different known words; and the model's own odds among them."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.generate import stream_generate
from mlx_lm.sample_utils import make_sampler

from tests.tolerances import close
from wotd_mlx.language.chat import LoadedModel, chat, end_token
from wotd_mlx.language.constrain import AnswerGrammar, AnswerProcessor
from wotd_mlx.language.dsl import ByPattern, Pattern, parse_answer
from wotd_mlx.language.trie import Trie, WordTries, word_tries
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.builtin import load_builtin

WORDS = [word.text for word in load_builtin().words]
LEVELS = (8, 12, 2)

# A vocabulary small enough to go through: a token a letter, one for what separates, one for the end.
COMMA, END, LETTERS = 0, 1, {"a": 2, "b": 3, "c": 4}
V = 6
PROMPT = (5, 5)
TINY = ("a", "ab", "abc", "b", "ca")


def letters(words) -> WordTries:
    """Tries of words spelt letter by letter."""
    runs = {word: tuple(LETTERS[c] for c in word) for word in words}
    return WordTries(Trie(runs), Trie({word: (COMMA, *run) for word, run in runs.items()}))


def answers(words, n: int) -> dict[tuple[str, ...], tuple[int, ...]]:
    """All answers of n different words, with their tokens."""
    return {
        chosen: (*(COMMA if c == "," else LETTERS[c] for c in ",".join(chosen)), END)
        for chosen in itertools.permutations(words, n)
    }


def logits_after(prefix, seed: int = 0, scale: float = 2.0) -> np.ndarray:
    """A random model: logits (V,) that depend on all tokens before."""
    return _logits(tuple(prefix), seed, scale)


@lru_cache(maxsize=10_000)
def _logits(prefix: tuple[int, ...], seed: int, scale: float) -> np.ndarray:
    return np.random.default_rng([seed, *prefix]).normal(0, scale, V)


def probabilities(words, n: int, seed: int = 0, temperature: float = 1.0) -> dict[tuple[str, ...], float]:
    """The model's own distribution over answers, each token renormalised over those that any answer goes on with.

    Worked out from the list of all answers, without a trie.
    """
    every = answers(words, n)
    out = {}
    for chosen, tokens in every.items():
        log_p = 0.0
        for i, token in enumerate(tokens):
            may = sorted({other[i] for other in every.values() if other[:i] == tokens[:i]})
            scores = logits_after((*PROMPT, *tokens[:i]), seed) / temperature
            log_p += scores[token] - np.log(np.exp(scores[may]).sum())
        out[chosen] = math.exp(log_p)
    return out


def reached(grammar: AnswerGrammar, state, tokens=(), log_p: float = 0.0):
    """Every answer of a grammar: its tokens, its last state and its log-probability."""
    if grammar.done(state):
        yield tokens, state, log_p
        return
    allowed = grammar.allowed(state)
    scores = logits_after((*PROMPT, *tokens))[allowed]
    scores = scores - np.log(np.exp(scores).sum())
    for token, score in zip(allowed.tolist(), scores, strict=True):
        yield from reached(grammar, grammar.advance(state, token), (*tokens, token), log_p + score)


spellings = st.sets(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=8)


@given(spellings, st.data())
def test_the_grammar_reaches_all_answers_and_no_others(words, data):
    n = data.draw(st.integers(1, min(3, len(words))))
    exclude = data.draw(st.sets(st.sampled_from(sorted(words)), max_size=len(words) - n))
    grammar = AnswerGrammar(letters(words), n, END, exclude)
    found = {state.words: tokens for tokens, state, _ in reached(grammar, grammar.start())}
    assert found == answers(words - exclude, n)


def test_probabilities_are_the_model_s_own_renormalised():
    grammar = AnswerGrammar(letters(TINY), 2, END)
    got = {state.words: math.exp(log_p) for _, state, log_p in reached(grammar, grammar.start())}
    want = probabilities(TINY, 2)
    assert got.keys() == want.keys()
    close([got[words] for words in want], list(want.values()), "sum_order")
    assert math.isclose(sum(want.values()), 1)
    assert min(want.values()) > 0


@given(spellings, st.integers(0, 1000), st.sampled_from([0.0, 1.0, 30.0, 1e30]), st.data())
def test_whatever_the_logits_an_answer_holds(words, seed, scale, data):
    n = data.draw(st.integers(1, len(words)))
    grammar = AnswerGrammar(letters(words), n, END)
    processor = AnswerProcessor(grammar)
    tokens = list(PROMPT)
    while tokens[-1] != END:
        logits = mx.array(logits_after(tokens, seed, scale)[None].astype(np.float32))
        held = np.asarray(processor(mx.array(tokens), logits))[0]
        tokens.append(int(held.argmax()))
        assert len(tokens) < 200
    got = grammar_state(grammar, tokens[len(PROMPT) :]).words
    assert len(set(got)) == n
    assert set(got) <= words


def grammar_state(grammar: AnswerGrammar, tokens):
    state = grammar.start()
    for token in tokens:
        state = grammar.advance(state, token)
    return state


def test_forced_is_what_single_choices_give():
    grammar = AnswerGrammar(letters(["abc", "ca"]), 2, END)
    state = grammar.start()
    assert grammar.forced(state) == []
    assert grammar.allowed(state).tolist() == [LETTERS["a"], LETTERS["c"]]
    # The second word is then the other one: all the rest is determined.
    after = grammar.advance(state, LETTERS["a"])
    assert grammar.forced(after) == [LETTERS["b"], LETTERS["c"], COMMA, LETTERS["c"], LETTERS["a"], END]
    assert grammar.told(after) == "abc"
    assert grammar.told(state) is None
    done = grammar_state(grammar, answers(["abc", "ca"], 2)["abc", "ca"])
    assert grammar.done(done)
    assert grammar.allowed(done).tolist() == grammar.forced(done) == []


def test_a_token_that_is_not_allowed_is_named():
    grammar = AnswerGrammar(letters(TINY), 1, END)
    with pytest.raises(WotdError, match="token 5 is not allowed here; expected one of \\[2, 3, 4\\]"):
        grammar.advance(grammar.start(), 5)
    with pytest.raises(WotdError, match="not allowed"):
        grammar.advance(grammar_state(grammar, (LETTERS["b"], END)), END)


@pytest.mark.parametrize(
    ("n", "exclude", "message"),
    [
        (6, (), "6 different words were asked for and 5 are left"),
        (3, TINY[:3], "2 are left .* 3 of them"),
        (0, (), "0 words"),
    ],
)
def test_too_few_words_are_refused_at_once(n, exclude, message):
    with pytest.raises(WotdError, match=message):
        AnswerGrammar(letters(TINY), n, END, exclude)


BIAS = {"a": 1.0, "ab": -2.0, "abc": 0.5, "b": 3.0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_potentials_are_the_log_mean_exp_of_what_is_left(temperature):
    grammar = AnswerGrammar(letters(TINY), 2, END, exclude=["abc"])
    tokens, potentials = grammar.options(grammar.start(), BIAS, temperature)

    def mean(*words):
        return temperature * math.log(np.mean([math.exp(BIAS.get(word, 0) / temperature) for word in words]))

    assert tokens.tolist() == [2, 3, 4]
    close(potentials, [mean("a", "ab"), mean("b"), mean("ca")], "sum_order")
    inside = grammar.advance(grammar.start(), LETTERS["a"])
    tokens, potentials = grammar.options(inside, BIAS, temperature)
    assert tokens.tolist() == [COMMA, LETTERS["b"]]
    close(potentials, [BIAS["a"], BIAS["ab"]], "sum_order")


def test_potentials_at_temperature_zero_are_the_best_left():
    grammar = AnswerGrammar(letters(TINY), 2, END)
    assert grammar.options(grammar.start(), BIAS, 0.0)[1].tolist() == [1.0, 3.0, 0.0]


@given(spellings, st.floats(-50, 50), st.sampled_from([0.0, 0.3, 1.0]))
def test_one_bias_for_all_words_changes_nothing(words, bias, temperature):
    grammar = AnswerGrammar(letters(words), 1, END)
    _, potentials = grammar.options(grammar.start(), dict.fromkeys(words, bias), temperature)
    close(potentials, np.full(len(potentials), bias), "sum_order")


def ask(language: LoadedModel) -> list[int]:
    return chat(language.tokenizer, "Generate 5 words for [1,2,*]")


SAMPLERS = {
    "greedy": make_sampler(temp=0.0),
    "plain": make_sampler(temp=1.0),
    "hot": make_sampler(temp=5.0),
    "top_p": make_sampler(temp=1.0, top_p=0.3),
    "min_p": make_sampler(temp=1.0, min_p=0.2),
    "top_k": make_sampler(temp=1.0, top_k=2),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_mlx_lm_s_own_loop(tiny_language: LoadedModel, sampler):
    tokenizer = tiny_language.tokenizer
    tries = word_tries(tokenizer, WORDS[:300])
    for seed in range(3):
        mx.random.seed(seed)
        grammar = AnswerGrammar(tries, 5, end_token(tokenizer))
        processor = AnswerProcessor(grammar)
        responses = list(
            stream_generate(
                tiny_language.model,
                tokenizer,
                ask(tiny_language),
                max_tokens=200,
                sampler=SAMPLERS[sampler],
                logits_processors=[processor],
            )
        )
        assert responses[-1].finish_reason == "stop"
        text = "".join(response.text for response in responses)
        answer = parse_answer(ByPattern(Pattern.parse("1,2,*")), text)
        assert answer.words == processor.state.words
        assert set(answer.words) <= set(WORDS[:300])


def test_the_processor_follows_a_caller_that_goes_back():
    grammar = AnswerGrammar(letters(TINY), 2, END)
    processor = AnswerProcessor(grammar)
    logits = mx.zeros((1, V))

    def allowed(*tokens):
        return np.flatnonzero(np.isfinite(np.asarray(processor(mx.array([*PROMPT, *tokens]), logits))[0])).tolist()

    a, b, c = LETTERS.values()
    assert allowed() == [a, b, c]
    assert allowed(a, b) == [COMMA, c]
    assert allowed(a) == [COMMA, b]
    assert allowed(c) == [a]
    assert allowed(b, COMMA, a, END) == allowed(b, COMMA, a, END, END) == [END]


def test_the_processor_keeps_the_dtype_and_the_batch():
    processor = AnswerProcessor(AnswerGrammar(letters(TINY), 1, END))
    out = processor(mx.array(PROMPT), mx.ones((3, V), mx.bfloat16))
    assert out.dtype == mx.bfloat16
    assert np.isfinite(np.asarray(out.astype(mx.float32))).all(axis=0).tolist() == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("n", "exclude"), [(1, ()), (2, ("ab",)), (3, ("b", "cab"))])
def test_options_of_every_state_are_those_of_the_list_of_all_answers(n, exclude, temperature):
    """Allowed tokens and potentials at each prefix of an answer, worked out without a trie."""
    words = ("a", "ab", "abc", "b", "ba", "cab", "cb")
    bias = {word: float(b) for word, b in zip(words, np.random.default_rng(0).normal(0, 3, 7), strict=True)}
    left = [word for word in words if word not in exclude]
    grammar, every = AnswerGrammar(letters(words), n, END, exclude), answers(left, n)
    del bias["b"]
    for prefix in {tokens[:i] for tokens in every.values() for i in range(len(tokens))}:
        state, want = grammar_state(grammar, prefix), dict[int, set[str]]()
        for chosen, tokens in every.items():
            if tokens[: len(prefix)] == prefix:
                # The word that the next token belongs to: at a separator or the end, the one that it closes.
                which = sum(token == COMMA for token in prefix)
                want.setdefault(tokens[len(prefix)], set()).add(chosen[which])
        tokens, potentials = grammar.options(state, bias, temperature)
        assert tokens.tolist() == grammar.allowed(state).tolist() == sorted(want)
        assert grammar.options(state)[1].tolist() == [0.0] * len(want)
        for token, potential in zip(tokens.tolist(), potentials, strict=True):
            values = np.array([bias.get(word, 0.0) for word in want[token]])
            mean = temperature * np.log(np.exp(values / temperature).mean()) if temperature else values.max()
            close(potential, mean, "sum_order")
        first = {chosen[0] for chosen, tokens in every.items() if tokens[: len(prefix)] == prefix}
        assert grammar.told(state) == (first.pop() if len(first) == 1 else None)
        run, at = [], prefix
        while len({t[len(at)] for t in every.values() if t[: len(at)] == at and len(t) > len(at)}) == 1:
            run.append(next(t[len(at)] for t in every.values() if t[: len(at)] == at))
            at = (*at, run[-1])
        assert grammar.forced(state) == run


def test_one_mapping_of_biases_after_another():
    grammar = AnswerGrammar(letters(TINY), 1, END)
    for bias in (BIAS, dict.fromkeys(TINY, 2.0), BIAS):
        want = [max(bias.get(word, 0.0) for word in TINY if word[0] == c) for c in "abc"]
        close(grammar.options(grammar.start(), bias, 0.0)[1], want, "exact")
