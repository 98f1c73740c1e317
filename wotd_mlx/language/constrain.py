"""Which tokens an answer may go on with: grammars, and the logits processor that puts one into mlx-lm's own loop.

A grammar is asked by state: ``start``, ``allowed``, ``advance``, ``forced``, ``done``. States are values: they can be
kept, and gone on from twice. Under a grammar a model's distribution is its own, renormalised token by token on what is
allowed: p'(t | prefix) = p(t | prefix) / Σ_{allowed a} p(a | prefix).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import mlx.core as mx
import numpy as np
from mlx_lm.tokenizer_utils import TokenizerWrapper
from numpy.typing import NDArray

from wotd_mlx.language.chat import end_token
from wotd_mlx.language.dsl import print_answer
from wotd_mlx.language.trie import Node, Rows, Tokens, Trie, WordTries, decode_each, left_of, runs_after
from wotd_mlx.schemas import WotdError

Scores = NDArray[np.float64]
S = TypeVar("S")

_NO_ROWS: Rows = np.empty(0, np.int64)


class Grammar(ABC, Generic[S]):
    """What an answer may look like, token by token; ``end`` is the token that closes every answer."""

    end: int

    @abstractmethod
    def start(self) -> S:
        """Before the first token."""

    @abstractmethod
    def allowed(self, state: S) -> Tokens:
        """The tokens that may come next, sorted; none once the answer is done."""

    @abstractmethod
    def advance(self, state: S, token: int) -> S:
        """The state after one more token.

        Raises:
            WotdError: the token isn't allowed there.
        """

    @abstractmethod
    def done(self, state: S) -> bool:
        """Whether the end token has come."""

    def forced(self, state: S) -> list[int]:
        """The run of tokens that is determined from here: as long as only one is allowed."""
        run: list[int] = []
        while len(only := self.allowed(state)) == 1:
            run.append(int(only[0]))
            state = self.advance(state, run[-1])
        return run


@dataclass(frozen=True, eq=False, slots=True)
class ChainState:
    """A place in part ``part`` of a chain: the node there, the texts before it, and the rows that are taken there."""

    part: int
    node: Node
    texts: tuple[str, ...]
    taken: Rows
    done: bool = False


class Chain(Grammar[ChainState]):
    """One text out of each of several tries, in order, then the end token.

    A text that begins another one of its trie is told apart by what follows it: a child, or the next part's first
    token. So no text may go on with a token that the next part begins with.
    """

    def __init__(self, parts: Sequence[Trie], end: int):
        self.parts, self.end = tuple(parts), end

    def start(self) -> ChainState:
        return ChainState(0, self.parts[0].root, (), self._taken(0, ()))

    def allowed(self, state: ChainState) -> Tokens:
        return self.options(state)[0]

    def done(self, state: ChainState) -> bool:
        return state.done

    def advance(self, state: ChainState, token: int) -> ChainState:
        if not state.done:
            trie = self.parts[state.part]
            child = trie.child(state.node, token)
            if child and left_of(np.array([child.low]), np.array([child.high]), state.taken)[0]:
                return ChainState(state.part, child, state.texts, state.taken)
            if (row := self._ending(state)) is not None:
                texts = (*state.texts, trie.words[row])
                if state.part + 1 == len(self.parts):
                    if token == self.end:
                        return ChainState(state.part, Node(0, 0, 0), texts, _NO_ROWS, done=True)
                else:
                    onward = self._next(state, row)
                    if token in self.allowed(onward):
                        return self.advance(onward, token)
        raise WotdError(f"token {token} is not allowed here; expected one of {self.allowed(state)[:5].tolist()}")

    def words(self, state: ChainState) -> tuple[str, ...]:
        """The texts that are complete: what follows them has begun."""
        return state.texts

    def told(self, state: ChainState) -> str | None:
        """The answer's first text as soon as no other is left, though its last tokens may be to come."""
        if state.texts:
            return state.texts[0]
        low, high, _ = state.node
        if left_of(np.array([low]), np.array([high]), state.taken)[0] != 1:
            return None
        row = int(np.setdiff1d(np.arange(low, high), state.taken)[0])
        return self.parts[0].words[row]

    def options(
        self, state: ChainState, bias: Mapping[str, float] | None = None, temperature: float = 1.0
    ) -> tuple[Tokens, Scores]:
        r"""The allowed tokens, sorted, and the potential of each for a log-bias b by word (zeros without one).

        .. math:: \phi(t) = T \log \frac{1}{|W_t|} \sum_{w \in W_t} e^{b(w) / T}, \quad \max_{w \in W_t} b(w) at T = 0

        where W_t are the words that are left below token t. The mean, not the sum: a bias that is the same for all
        words must change nothing, however unevenly they share their first tokens.
        """
        if state.done:
            return np.empty(0, np.int32), np.empty(0)
        trie = self.parts[state.part]
        tokens, starts, ends = trie.branches(state.node)
        count = left_of(starts, ends, state.taken)
        if not count.all():
            left = count > 0
            tokens, starts, ends, count = tokens[left], starts[left], ends[left], count[left]
        scores = np.zeros(len(tokens))
        if bias is not None and len(tokens):
            scores = _potentials(self._biases(trie, bias), starts, ends, count, state.taken, temperature)
        if (row := self._ending(state)) is not None:
            last = state.part + 1 == len(self.parts)
            closing = np.array([self.end], np.int32) if last else self.allowed(self._next(state, row))
            closed = 0.0 if bias is None else bias.get(trie.words[row], 0.0)
            tokens, scores = np.append(tokens, closing), np.append(scores, np.full(len(closing), closed))
            order = np.argsort(tokens)
            tokens, scores = tokens[order], scores[order]
        return tokens, scores

    def _ending(self, state: ChainState) -> int | None:
        """The row of the text that ends at a state and isn't taken."""
        row = self.parts[state.part].end(state.node)
        if row is None or not left_of(np.array([row]), np.array([row + 1]), state.taken)[0]:
            return None
        return row

    def _next(self, state: ChainState, row: int) -> ChainState:
        texts = (*state.texts, self.parts[state.part].words[row])
        part = state.part + 1
        return ChainState(part, self.parts[part].root, texts, self._taken(part, texts))

    def _taken(self, part: int, texts: tuple[str, ...]) -> Rows:
        """The rows of a part that may not be chosen after some texts."""
        return _NO_ROWS

    def _biases(self, trie: Trie, bias: Mapping[str, float]) -> Scores:
        return np.array([bias.get(word, 0.0) for word in trie.words])


def _potentials(values: Scores, starts: Rows, ends: Rows, count: Rows, taken: Rows, temperature: float) -> Scores:
    """:meth:`Chain.options`' potentials of ranges of rows, ``count`` of which are left, from the bias of each row."""
    low, high = int(starts[0]), int(ends[-1])
    part = values[low:high].copy()
    part[taken[(taken >= low) & (taken < high)] - low] = -np.inf
    # Every second range is what lies between two children, where one with nothing left was dropped.
    edges = np.stack([starts, ends], axis=1).ravel()[:-1] - low
    if temperature == 0:
        return np.asarray(np.maximum.reduceat(part, edges)[::2])
    most = part.max()
    sums = np.add.reduceat(np.exp((part - most) / temperature), edges)[::2]
    with np.errstate(divide="ignore"):
        return np.asarray(temperature * np.log(sums / count) + most)


class AnswerGrammar(Chain):
    """An answer of exactly ``n`` different words, separators between, the end token last.

    Args:
        tries: the words that may be chosen.
        exclude: words of them that may not, such as those shown before.
        end: the end token, see :func:`~wotd_mlx.language.models.end_token`.

    Raises:
        WotdError: ``n`` is below 1, or fewer than ``n`` words are left.
    """

    def __init__(self, tries: WordTries, n: int, end: int, exclude: Collection[str] = ()):
        if n < 1:
            raise WotdError(f"{n} words were asked for; expected 1 or more")
        super().__init__((tries.first, *[tries.later] * (n - 1)), end)
        self.n = n
        self._excluded = {id(trie): self._rows(trie, exclude) for trie in tries}
        left = len(tries.first) - len(self._excluded[id(tries.first)])
        if left < n:
            shown = len(tries.first) - left
            raise WotdError(
                f"{n} different words were asked for and {left} are left ({len(tries.first)} fit, {shown} of them "
                f"excluded); ask for fewer, or widen the pattern"
            )
        self._bias: tuple[Mapping[str, float], dict[int, Scores]] | None = None

    @staticmethod
    def _rows(trie: Trie, words: Collection[str]) -> Rows:
        return np.array(sorted(trie.rows[word] for word in set(words) if word in trie.rows), np.int64)

    def _taken(self, part: int, texts: tuple[str, ...]) -> Rows:
        trie = self.parts[part]
        excluded = self._excluded[id(trie)]
        return np.sort(np.append(excluded, self._rows(trie, texts))) if texts else excluded

    def _biases(self, trie: Trie, bias: Mapping[str, float]) -> Scores:
        # An answer asks at every word with the same mapping; 30,000 look-ups take 5 ms.
        if self._bias is None or self._bias[0] is not bias:
            self._bias = bias, {}
        if id(trie) not in self._bias[1]:
            self._bias[1][id(trie)] = super()._biases(trie, bias)
        return self._bias[1][id(trie)]


def choices(tokenizer: TokenizerWrapper, parts: Sequence[Sequence[str]]) -> Chain:
    """A grammar for one text out of each part, put together without anything between.

    Raises:
        WotdError: the tokenizer can't write a text after the part before it.
    """
    tries, before = [], ""
    for texts in parts:
        runs = runs_after(tokenizer, before, texts)
        if lost := [text for text in texts if text not in runs]:
            raise WotdError(f"the tokenizer can't write {lost[0]!r} after {before!r}; use another model")
        tries.append(Trie(runs))
        before += texts[0]
    return Chain(tries, end_token(tokenizer))


def id_grammar(tokenizer: TokenizerWrapper, levels: Sequence[int]) -> Chain:
    """A grammar for one semantic ID within ``levels``, such as ``[2,1,3,0]``."""
    opening = ["[", *[","] * (len(levels) - 1)]
    return choices(
        tokenizer, [*([o + str(code) for code in range(k)] for o, k in zip(opening, levels, strict=True)), ["]"]]
    )


class TextGrammar(Grammar[int]):
    """One line of 1 … ``longest`` tokens, none of them special, then the end token; the state counts, −1 once done.

    Tokens that are part of a character are left out, as they could make up one that ends a line.
    """

    def __init__(self, tokenizer: TokenizerWrapper, longest: int):
        if longest < 1:
            raise WotdError(f"a text of at most {longest} tokens was asked for; expected 1 or more")
        self.end, self.longest = end_token(tokenizer), longest
        special = {*tokenizer.all_special_ids, *tokenizer.eos_token_ids, self.end}
        texts = decode_each(tokenizer, range(len(tokenizer)))
        fit = [token for token, text in enumerate(texts) if token not in special and _in_a_line(text)]
        # A text of blanks is no answer.
        self._first = np.array([token for token in fit if texts[token].strip()], np.int32)
        self._any = np.sort(np.array([*fit, self.end], np.int32))

    def start(self) -> int:
        return 0

    def allowed(self, state: int) -> Tokens:
        if 0 < state < self.longest:
            return self._any
        return self._first[: 0 if state < 0 else None] if state <= 0 else np.array([self.end], np.int32)

    def advance(self, state: int, token: int) -> int:
        allowed = self.allowed(state)
        place = int(np.searchsorted(allowed, token))
        if place == len(allowed) or allowed[place] != token:
            raise WotdError(f"token {token} is not allowed here; expected ordinary ones, at most {self.longest}")
        return -1 if token == self.end else state + 1

    def done(self, state: int) -> bool:
        return state < 0


def _in_a_line(text: str) -> bool:
    try:
        print_answer(f"a{text}a")
    except WotdError:
        return False
    return "\ufffd" not in text


class AnswerProcessor:
    """A grammar as an mlx-lm logits processor: ``generate_step(…, logits_processors=[AnswerProcessor(grammar)])``.

    All other logits become −∞, so that any sampler keeps to the grammar, and the end token comes last. One processor
    serves one answer: what stands before the first call is the prompt.
    """

    def __init__(self, grammar: Grammar[Any]):
        self.grammar = grammar
        self._prompt: int | None = None
        self._read: list[int] = []
        self._states: list[Any] = [grammar.start()]

    @property
    def state(self) -> Any:
        """The grammar's state after the tokens seen so far."""
        return self._states[-1]

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """tokens (L,) with the prompt's, logits (B, V) -> logits (B, V)."""
        if self._prompt is None:
            self._prompt = tokens.shape[0]
        self._follow(np.asarray(tokens[self._prompt :]).tolist())
        allowed = self.grammar.allowed(self.state)
        # mlx-lm asks for one token more than it uses; after the end that is the end again.
        rows = mx.array(allowed if len(allowed) else np.array([self.grammar.end], np.int32))
        out = mx.full(logits.shape, -mx.inf, logits.dtype)
        out[..., rows] = logits[..., rows]
        return out

    def _follow(self, tokens: list[int]) -> None:
        """Bring the state to the end of ``tokens``; a caller may have gone back a few, as speculative decoding does."""
        same = next((i for i, (a, b) in enumerate(zip(tokens, self._read, strict=False)) if a != b), None)
        same = min(len(tokens), len(self._read)) if same is None else same
        del self._read[same:], self._states[same + 1 :]
        for token in tokens[same:]:
            over = self.grammar.done(self.state)
            self._states.append(self.state if over else self.grammar.advance(self.state, token))
            self._read.append(token)
