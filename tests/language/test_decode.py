"""Our own loop: the same answers as a token at a time gives, the model's own odds, and a cache that stays right."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import KVCache

from tests.language.test_constrain import (
    BIAS,
    COMMA,
    END,
    LETTERS,
    PROMPT,
    TINY,
    WORDS,
    V,
    ask,
    letters,
    logits_after,
    probabilities,
)
from tests.tolerances import close
from wotd_mlx.language import decode as module
from wotd_mlx.language.chat import LoadedModel, chat, end_token
from wotd_mlx.language.constrain import AnswerGrammar, AnswerProcessor
from wotd_mlx.language.decode import PromptCache, decode, decode_together
from wotd_mlx.language.head import Head
from wotd_mlx.language.trie import word_tries
from wotd_mlx.schemas import WotdError

BOTH = pytest.mark.parametrize("way", [decode, decode_together])
DRAWS = 1000


class History:
    """A cache that is the list of tokens read."""

    def __init__(self):
        self.read: list[int] = []

    @property
    def state(self):
        return []

    def is_trimmable(self):
        return True

    def trim(self, n):
        del self.read[len(self.read) - n :]
        return n


class RandomHead:
    """The random model of the other tests: hidden states (B, L, V) are its logits."""

    vocabulary = V

    def __init__(self):
        self.model = self
        self.calls: list[int] = []

    def make_cache(self):
        return [History()]

    def hidden(self, tokens, cache):
        self.calls.append(tokens.shape[1])
        rows = []
        for token in tokens[0].tolist():
            cache[0].read.append(token)
            rows.append(logits_after(cache[0].read))
        return mx.array(np.array(rows, np.float32))[None]

    def logits(self, hidden, rows=None):
        return hidden if rows is None else hidden[..., rows]


def drawn(way, n: int, **options) -> Counter:
    """How often each answer of the random model comes."""
    head = RandomHead()
    cache, grammar = PromptCache(head), AnswerGrammar(letters(TINY), n, END)
    keys = mx.random.split(mx.random.key(7), DRAWS)
    return Counter(tuple(way(head, PROMPT, grammar, cache=cache, key=key, **options)) for key in keys)


def close_to(found: Counter, want: dict) -> None:
    """Shares of the draws against probabilities."""
    assert found.keys() <= want.keys()
    close([found[words] / DRAWS for words in want], list(want.values()), "drawn_share")


def test_draws_have_the_model_s_own_odds():
    close_to(drawn(decode, 2, temperature=2.0), probabilities(TINY, 2, temperature=2.0))


def first_words(temperature: float = 1.0, bias=None, closing: int = COMMA) -> dict[str, float]:
    """Each word's probability as the first of an answer, ``closing`` behind it: log p(w)/T + b(w)/T, token by token."""
    bias = bias or {}

    def tilt(*words):
        return temperature * math.log(np.mean([math.exp(bias.get(word, 0) / temperature) for word in words]))

    def softmax(prefix, options):
        scores = np.array([(logits_after((*PROMPT, *prefix))[t] + b) / temperature for t, b in options])
        return np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()

    a, b, c = LETTERS.values()
    one = softmax((), [(a, tilt("a", "ab", "abc")), (b, tilt("b")), (c, tilt("ca"))])
    two = softmax((a,), [(closing, tilt("a")), (b, tilt("ab", "abc"))])
    three = softmax((a, b), [(closing, tilt("ab")), (c, tilt("abc"))])
    return {
        "a": one[0] * two[0],
        "ab": one[0] * two[1] * three[0],
        "abc": one[0] * two[1] * three[1],
        "b": one[1],
        "ca": one[2],
    }


@BOTH
def test_a_bias_enters_as_the_docstring_says(way):
    found = drawn(way, 1, temperature=0.7, bias=BIAS)
    close_to(Counter({words[0]: count for words, count in found.items()}), first_words(0.7, BIAS, END))


def test_together_is_drawing_without_replacement():
    single = first_words()
    want = {(a, b): single[a] * single[b] / (1 - single[a]) for a, b in itertools.permutations(TINY, 2)}
    close_to(drawn(decode_together, 2), want)


@pytest.mark.parametrize("bias", [None, BIAS])
def test_together_at_temperature_zero_takes_the_best(bias):
    head = RandomHead()
    # As wide as there are words, beam search goes through all of them.
    words = list(decode_together(head, PROMPT, AnswerGrammar(letters(TINY), 5, END), temperature=0, bias=bias))
    plain = first_words()
    assert words == sorted(TINY, key=lambda word: -math.log(plain[word]) - (bias or {}).get(word, 0))


@BOTH
def test_almost_no_temperature_is_none(way):
    head, grammar = RandomHead(), AnswerGrammar(letters(TINY), 5, END)
    assert [*way(head, PROMPT, grammar, temperature=1e-9)] == [*way(head, PROMPT, grammar, temperature=0)]


def grammar_of(language: LoadedModel, words, n: int, cls=AnswerGrammar, **options) -> AnswerGrammar:
    return cls(word_tries(language.tokenizer, words), n, end_token(language.tokenizer), **options)


class Unforced(AnswerGrammar):
    """Forces nothing: every token is a call of its own."""

    def forced(self, state):
        return []


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_forced_runs_change_no_answer(tiny_language: LoadedModel, temperature):
    head = Head(tiny_language.model)
    for seed in range(4):
        got, want = (
            list(
                decode(
                    head,
                    ask(tiny_language),
                    grammar_of(tiny_language, WORDS[:60], 4, cls),
                    temperature=temperature,
                    key=mx.random.key(seed),
                )
            )
            for cls in (AnswerGrammar, Unforced)
        )
        assert got == want
        assert len(set(got)) == 4


def test_greedy_answers_are_mlx_lm_s(tiny_language: LoadedModel):
    prompt, end = ask(tiny_language), end_token(tiny_language.tokenizer)
    for start in range(0, 300, 100):
        grammar = grammar_of(tiny_language, WORDS[start : start + 100], 5)
        processor = AnswerProcessor(grammar)
        steps = generate_step(mx.array(prompt), tiny_language.model, logits_processors=[processor])
        assert list(itertools.takewhile(lambda token: token != end, (token for token, _ in steps)))
        want = processor.state.words
        assert tuple(decode(Head(tiny_language.model), prompt, grammar, temperature=0)) == want


@BOTH
def test_a_key_gives_the_same_words(tiny_language: LoadedModel, way):
    head, grammar = Head(tiny_language.model), grammar_of(tiny_language, WORDS, 5)
    one, again, other = (
        list(way(head, ask(tiny_language), grammar, key=mx.random.key(seed), temperature=2)) for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(set(one)) == 5
    assert set(one) <= set(WORDS)


@BOTH
def test_excluded_words_do_not_come(tiny_language: LoadedModel, way):
    head = Head(tiny_language.model)
    grammar = grammar_of(tiny_language, WORDS[:8], 4, exclude=WORDS[:4])
    assert set(way(head, ask(tiny_language), grammar)) == set(WORDS[4:8])
    assert list(way(head, ask(tiny_language), grammar_of(tiny_language, ["art"], 1))) == ["art"]


@BOTH
def test_words_that_begin_others(tiny_language: LoadedModel, way):
    words = ["art", "artist", "artistic", "artistically"]
    for seed in range(5):
        key = mx.random.key(seed)
        found = list(way(Head(tiny_language.model), ask(tiny_language), grammar_of(tiny_language, words, 4), key=key))
        assert sorted(found) == words


def test_words_come_as_they_are_determined():
    head = RandomHead()
    words = decode(head, PROMPT, AnswerGrammar(letters(["abc", "bca", "cab"]), 3, END), key=mx.random.key(0))
    assert not head.calls
    next(words)
    assert head.calls == [len(PROMPT)]
    # The first letter tells the word, and the last word is what is left: prompt, then the first word's rest and comma.
    assert len([*words]) == 2
    assert head.calls == [len(PROMPT), 4]


def test_together_calls_once_for_words_told_by_a_token():
    head = RandomHead()
    words = list(decode_together(head, PROMPT, AnswerGrammar(letters(["abc", "bca", "cab"]), 3, END)))
    assert sorted(words) == ["abc", "bca", "cab"]
    assert head.calls == [len(PROMPT)]


def test_branches_share_the_prompt_s_cache(tiny_language: LoadedModel):
    head = Head(tiny_language.model)
    base, runs = ask(tiny_language), [[5], [6, 7, 8], [9, 10]]
    shared = PromptCache(head)
    shared.read(base)
    got = module._branch(shared, base, runs)
    want = mx.stack([PromptCache(head).read([*base, *run]) for run in runs])
    close(got, want, "sum_order")

    class Other(KVCache):
        """A kind of layer that isn't known."""

    alone = PromptCache(head)
    alone.layers = [Other() for _ in alone.layers]
    close(module._branch(alone, base, runs), want, "sum_order")


def test_the_cache_reads_what_is_new(tiny_language: LoadedModel):
    head = Head(tiny_language.model)
    cache, grammar = PromptCache(head), grammar_of(tiny_language, WORDS, 3)
    prompts = [
        chat(tiny_language.tokenizer, text)
        for text in ("Generate 3 words for [1,2,*]", "Generate 3 words for [1,7,0]", "Define art")
    ]
    for prompt in [*prompts, prompts[0], prompts[0]]:
        key = mx.random.key(3)
        fresh = list(decode(head, prompt, grammar, key=key))
        assert list(decode(head, prompt, grammar, cache=cache, key=key)) == fresh
        assert cache.tokens[: len(prompt)] == prompt
        assert all(layer.offset == len(cache.tokens) for layer in cache.layers)
    calls = []
    head.hidden = lambda tokens, cache: calls.append(tokens.shape[1]) or Head.hidden(head, tokens, cache)
    cache.read(prompts[0])
    cache.read(prompts[1])
    same = next(i for i, (a, b) in enumerate(zip(*prompts[:2], strict=True)) if a != b)
    assert calls == [1, len(prompts[1]) - same]


def test_two_answers_may_be_read_in_turn(tiny_language: LoadedModel):
    head, grammar = Head(tiny_language.model), grammar_of(tiny_language, WORDS, 4)
    prompts = [chat(tiny_language.tokenizer, text) for text in ("Generate 4 words for [1,2,*]", "Define art")]
    want = [list(decode(head, prompt, grammar, key=mx.random.key(0))) for prompt in prompts]
    cache = PromptCache(head)
    pair = zip(*(decode(head, prompt, grammar, cache=cache, key=mx.random.key(0)) for prompt in prompts), strict=True)
    assert [list(words) for words in zip(*pair, strict=True)] == want


@BOTH
def test_an_exception_leaves_the_cache_right(tiny_language: LoadedModel, way):
    head = Head(tiny_language.model)
    cache, grammar, prompt = PromptCache(head), grammar_of(tiny_language, WORDS, 3), ask(tiny_language)
    want = list(way(head, prompt, grammar, key=mx.random.key(0)))
    layers = tiny_language.model.model.layers
    for stop in range(1, 4):
        broken, seen = PromptCache(head), itertools.count(1)

        def fail(tokens, cache, stop=stop, seen=seen):
            # In the middle of a call: the first layer has read, the second has not.
            if next(seen) == stop:
                layers[0](tiny_language.model.model.embed_tokens(tokens), "causal", cache[0])
                raise KeyboardInterrupt
            return Head.hidden(head, tokens, cache)

        head.hidden = fail
        with pytest.raises(KeyboardInterrupt):
            list(way(head, prompt, grammar_of(tiny_language, WORDS, 30), cache=broken, key=mx.random.key(stop)))
        del head.hidden
        assert list(way(head, prompt, grammar, cache=broken, key=mx.random.key(0))) == want
    # A reader who stops in the middle of an answer.
    next(iter(way(head, prompt, grammar, cache=cache, key=mx.random.key(5))))
    assert list(way(head, prompt, grammar, cache=cache, key=mx.random.key(0))) == want


def test_a_cache_that_can_not_go_back_is_made_anew(tiny_language: LoadedModel):
    class Onward(KVCache):
        """Like a recurrent state: no token can be taken back."""

        def is_trimmable(self):
            return False

    head = Head(tiny_language.model)
    cache, prompt = PromptCache(head), ask(tiny_language)
    want = np.asarray(cache.read(prompt))
    cache.layers = [Onward() for _ in cache.layers]
    cache.tokens = []
    for text in ([*prompt[:5], 9, 9], prompt):
        got = np.asarray(cache.read(text))
    close(got, want, "sum_order")
    assert all(layer.offset == len(prompt) for layer in cache.layers)


@BOTH
def test_what_can_not_be_decoded_is_said(tiny_language: LoadedModel, way):
    head, grammar = Head(tiny_language.model), grammar_of(tiny_language, WORDS, 3)
    with pytest.raises(WotdError, match="the temperature is -1"):
        next(iter(way(head, ask(tiny_language), grammar, temperature=-1)))
    with pytest.raises(WotdError, match="the prompt is empty"):
        next(iter(way(head, [], grammar)))
    with pytest.raises(WotdError, match="have 513 tokens; the model reads 512"):
        next(iter(way(head, [5] * 513, grammar)))
    head.logits = lambda hidden, rows=None: mx.full((*hidden.shape[:-1], len(rows)), mx.nan)
    with pytest.raises(WotdError, match="not a number"):
        next(iter(way(head, ask(tiny_language), grammar)))
