"""Decoding under a grammar: forced runs in one call, only the allowed rows of the output matrix, a cache that stays.

A call of the model reads all its weights, and on a CPU that takes as long as several tokens: what counts is the number
of calls. A grammar of words forces most tokens (the separator, and the rest of a word once its beginning tells it
apart), so a word costs one call. Under a word trie few rows of the output matrix are allowed, and no others are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from wotd_mlx.language.constrain import AnswerGrammar, AnswerState, Scores
from wotd_mlx.language.head import Head
from wotd_mlx.language.trie import Tokens
from wotd_mlx.schemas import WotdError

_FEW_ROWS = 4
"""Rows are picked out of the output matrix where they are fewer than one in this many."""

_COLDEST = 1e-4
"""Below this temperature only the best token can be drawn, and its quotients would leave what a float holds."""


class PromptCache:
    """The keys and values of the tokens that a model has read, kept from one request to the next, for one user.

    A new prompt is read from where it parts from what was read last. Whatever goes wrong on the way empties the cache,
    so that it never holds other tokens than ``tokens`` says. Whoever changes the model's weights calls :meth:`reset`.
    """

    def __init__(self, head: Head):
        self.head = head
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.tokens: list[int] = []
        self.layers: list[Any] = make_prompt_cache(self.head.model)

    def read(self, tokens: Sequence[int]) -> mx.array:
        """The hidden state (D,) after some tokens, of which only the new end goes through the model.

        Raises:
            WotdError: there are none, or more than the model can read.
        """
        if not tokens:
            raise WotdError("the prompt is empty; expected the tokens of a request")
        longest = getattr(getattr(self.head.model, "args", None), "max_position_embeddings", None)
        if longest and len(tokens) > longest:
            raise WotdError(f"prompt and answer have {len(tokens)} tokens; the model reads {longest}: ask for less")
        # The last token is read in any case: its hidden state isn't kept.
        pairs = enumerate(zip(tokens[:-1], self.tokens, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(tokens) - 1, len(self.tokens)))
        try:
            if not self._back(len(self.tokens) - same):
                self.reset()  # a recurrent state, or a window that has moved on, can't go back
            new = list(tokens[len(self.tokens) :])
            hidden = self.head.hidden(mx.array([new]), cache=self.layers)[0, -1]
            mx.eval(hidden, [layer.state for layer in self.layers])
            self.tokens += new
        except BaseException:
            self.reset()
            raise
        return hidden

    def _back(self, n: int) -> bool:
        """Take back the last ``n`` tokens; False where the layers can't."""
        if n:
            taken: Any = trim_prompt_cache(self.layers, n) if can_trim_prompt_cache(self.layers) else 0
            if taken != n:
                return False
            del self.tokens[-n:]
        return True


class Choice:
    """How one of the allowed tokens is drawn: temperature, a key, and a log-bias by word.

    Each draw takes its key from the one before, and there is none where a token is forced: how many tokens go through
    the model at once doesn't change what is drawn.
    """

    def __init__(self, temperature: float, key: mx.array | None, bias: Mapping[str, float] | None = None):
        if not 0 <= temperature < float("inf"):
            raise WotdError(f"the temperature is {temperature}; expected 0 or more")
        self.temperature, self.bias = temperature if temperature >= _COLDEST else 0.0, bias
        self._key = mx.random.key(int(np.asarray(mx.random.randint(0, 2**31 - 1)))) if key is None else key

    def gumbel(self, n: int) -> Scores:
        """``n`` draws of −log(−log u)."""
        self._key, key = mx.random.split(self._key)
        return np.asarray(mx.random.gumbel((n,), key=key), np.float64)

    def among(self, scores: Scores) -> int:
        """The index of one token, ∝ exp(score / temperature); the best at temperature 0."""
        if self.temperature == 0 or len(scores) == 1:
            return int(scores.argmax())
        return int((scores / self.temperature + self.gumbel(len(scores))).argmax())


def scores_of(head: Head, hidden: mx.array, tokens: Tokens) -> Scores:
    """The logits of some tokens: hidden (…, D) -> (…, len(tokens)), in double precision.

    Raises:
        WotdError: one isn't a finite number.
    """
    few = len(tokens) * _FEW_ROWS < head.vocabulary
    logits = head.logits(hidden, mx.array(tokens)) if few else head.logits(hidden)[..., mx.array(tokens)]
    found = np.asarray(logits.astype(mx.float32), np.float64)
    if not np.isfinite(found).all():
        raise WotdError("the language model's output is not a number; its weights or its adapter are damaged")
    return found


def decode(
    head: Head,
    prompt: Sequence[int],
    grammar: AnswerGrammar,
    *,
    cache: PromptCache | None = None,
    temperature: float = 1.0,
    key: mx.array | None = None,
    bias: Mapping[str, float] | None = None,
) -> Iterator[str]:
    r"""Write an answer; each word is given as soon as it is determined.

    Without a bias an answer has the model's own probability at that temperature, renormalised token by token on what
    the grammar allows. With a log-bias b(w), each token is drawn with

    .. math:: q(t | \text{prefix}) \propto p(t | \text{prefix})^{1/T} \exp(\phi(t) / T)

    over the allowed tokens, where φ is the potential of ``grammar.options``, the log-mean-exp of the biases of the
    words left below t. Along a word the potentials end at b(w), so that

    .. math:: q(w) = p(w)^{1/T} e^{b(w)/T} / \prod_{\text{nodes}} Z

    with Z the normaliser at each node on its way. Two words that part at a node where each is told apart have odds of
    exactly (p₁ e^{b₁} / p₂ e^{b₂})^{1/T}; over the whole trie this is p(w)^{1/T} e^{b(w)/T}, renormalised, where a
    node's potential is what the model would expect of its words, and near it elsewhere. A bias that is the same for
    all words changes nothing.

    Args:
        head: the model.
        prompt: the request's tokens.
        grammar: what may be answered.
        cache: what the model has read before; kept up to date.
        temperature: 0 takes the best token each time.
        key: the same key gives the same words; None takes one from MLX's own generator.
        bias: a log-bias by word; 0 for those it lacks.

    Raises:
        WotdError: an empty prompt, a temperature below 0, or a model whose output is not a number.
    """
    seen = 0
    choice = Choice(temperature, key, bias)
    for state in _states(head, prompt, grammar, cache, choice):
        yield from state.words[seen:]
        seen = len(state.words)


def _states(
    head: Head, prompt: Sequence[int], grammar: AnswerGrammar, cache: PromptCache | None, choice: Choice
) -> Iterator[AnswerState]:
    """The state after each drawn token and what it forces; the first after what is forced alone."""
    cache = cache or PromptCache(head)
    # All tokens so far, though most are in the cache: another answer may have been written since the last word.
    state, read = grammar.start(), list(prompt)
    while True:
        for token in grammar.forced(state):
            state = grammar.advance(state, token)
            read.append(token)
        yield state
        if grammar.done(state):
            return
        hidden = cache.read(read)
        tokens, potentials = grammar.options(state, choice.bias, choice.temperature)
        token = int(tokens[choice.among(scores_of(head, hidden, tokens) + potentials)])
        state = grammar.advance(state, token)
        read.append(token)


class _Beam(NamedTuple):
    """A word in the making: tokens after the prompt, where they lead, their log-probability and its perturbed value."""

    tokens: tuple[int, ...]
    state: AnswerState
    log_p: float
    score: float


def decode_together(
    head: Head,
    prompt: Sequence[int],
    grammar: AnswerGrammar,
    *,
    cache: PromptCache | None = None,
    temperature: float = 1.0,
    key: mx.array | None = None,
    bias: Mapping[str, float] | None = None,
) -> Iterator[str]:
    r"""``n`` different words as the answer's first word, drawn without replacement, all at once.

    :func:`decode` needs a call of the model for each word; this one needs a call a level of the trie at which any of
    the drawn words isn't yet told apart, which for a pattern's few dozen words is the prompt's and seldom another.
    What it gives up: a word doesn't depend on those before it. Stochastic beam search: with φ_w the log-probability of
    a word as the answer's first (as in :func:`decode`, bias and temperature included) and G_w = φ_w + Gumbel noise, the
    n words with the largest G come out in order; they are found from the top down, as the largest G below a node has
    the Gumbel law of the node's own φ. So the first word has the model's distribution, and each further one the same,
    renormalised on the words left. At temperature 0 it is beam search of width n.

    Arguments and errors as in :func:`decode`.

    Reference:
        Kool, van Hoof, Welling 2019, arXiv 1903.06059, algorithm 1.
    """
    cache = cache or PromptCache(head)
    choice = Choice(temperature, key, bias)
    n, state, base = grammar.n, grammar.start(), list(prompt)
    while grammar.told(state) is None and len(only := grammar.allowed(state)) == 1:
        state = grammar.advance(state, int(only[0]))
        base += only.tolist()
    beams = [_Beam((), state, 0.0, 0.0)]
    while growing := [beam for beam in beams if grammar.told(beam.state) is None]:
        hidden = _branch(cache, base, [beam.tokens for beam in growing])
        beams = [beam for beam in beams if grammar.told(beam.state) is not None]
        for beam, row in zip(growing, hidden, strict=True):
            beams += _children(head, grammar, beam, row, choice, n)
        beams = sorted(beams, key=lambda beam: -beam.score)[:n]
    yield from (word for beam in beams if (word := grammar.told(beam.state)) is not None)


def _children(head: Head, grammar: AnswerGrammar, beam: _Beam, hidden: mx.array, choice: Choice, n: int) -> list[_Beam]:
    """The ``n`` best ways on from a beam, by perturbed log-probabilities whose largest is the beam's own."""
    tokens, potentials = grammar.options(beam.state, choice.bias, choice.temperature)
    logits = scores_of(head, hidden, tokens)
    if choice.temperature == 0:
        log_p = beam.log_p + _log_softmax(logits)
        score = log_p + potentials
    else:
        log_p = beam.log_p + _log_softmax((logits + potentials) / choice.temperature)
        score = _below(beam.score, log_p + choice.gumbel(len(tokens)))
    best = np.argsort(-score, kind="stable")[:n]
    return [
        _Beam((*beam.tokens, token), grammar.advance(beam.state, token), float(log_p[index]), float(score[index]))
        for index, token in zip(best, tokens[best].tolist(), strict=True)
    ]


def _log_softmax(scores: Scores) -> Scores:
    shifted = scores - scores.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _below(most: float, draws: Scores) -> Scores:
    """Gumbel draws given that the largest is ``most``, in a form that keeps digits (the paper's appendix B.3)."""
    gap = draws - draws.max()
    with np.errstate(divide="ignore"):
        v = most - draws + np.log(-np.expm1(gap))
    return np.asarray(most - np.maximum(0, v) - np.log1p(np.exp(-np.abs(v))))


def _branch(cache: PromptCache, base: Sequence[int], runs: Sequence[Sequence[int]]) -> mx.array:
    """The hidden states (B, D) after ``base`` and each of B runs, in one call where the layers' caches allow it."""
    if len(runs) == 1 or any(type(layer) is not KVCache for layer in cache.layers):
        return mx.stack([cache.read([*base, *run]) for run in runs])
    layers = []
    for layer in cache.layers:
        branch = ConcatenateKVCache()  # a KVCache makes room for 256 tokens to come, in each of B rows
        branch.state = tuple(
            mx.broadcast_to(array[..., : len(base), :], (len(runs), array.shape[1], len(base), array.shape[3]))
            for array in (layer.keys, layer.values)
        )
        layers.append(branch)
    # Padded on the right, where causal attention doesn't look.
    lengths = np.array([len(run) for run in runs])
    padded = np.zeros((len(runs), int(lengths.max())), np.int32)
    for row, run in zip(padded, runs, strict=True):
        row[: len(run)] = run
    hidden = cache.head.hidden(mx.array(padded), cache=layers)
    return hidden[mx.arange(len(runs)), mx.array(lengths - 1)]
