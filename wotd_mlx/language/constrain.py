"""Which tokens an answer may go on with: its grammar, and the logits processor that puts it into mlx-lm's own loop.

A grammar is asked by state: ``start``, ``allowed``, ``advance``, ``forced``, ``done``. States are values: they can be
kept, and gone on from twice. Under a grammar a model's distribution is its own, renormalised token by token on what is
allowed: p'(t | prefix) = p(t | prefix) / Σ_{allowed a} p(a | prefix).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.language.trie import Node, Rows, Tokens, Trie, WordTries, left_of
from wotd_mlx.schemas import WotdError

Scores = NDArray[np.float64]

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class AnswerState:
    """A state of an answer: the words before it, the node reached in the next one, the rows that are taken there."""

    node: Node
    words: tuple[str, ...]
    taken: Rows
    done: bool = False


class AnswerGrammar:
    """An answer of exactly ``n`` different words, separators between, the end token last.

    A word that begins another one is told apart by what follows it: a child, the separator's first token, or the end.
    So no word may go on with a token that a separator begins with.

    Args:
        tries: the words that may be chosen, as the first of an answer and as later ones.
        exclude: words of them that may not, such as those shown before.
        end: the token that closes every answer, see :func:`~wotd_mlx.language.chat.end_token`.

    Raises:
        WotdError: ``n`` is below 1, or fewer than ``n`` words are left.
    """

    def __init__(self, tries: WordTries, n: int, end: int, exclude: Collection[str] = ()):
        if n < 1:
            raise WotdError(f"{n} words were asked for; expected 1 or more")
        self.tries, self.n, self.end = tries, n, end
        self._excluded = {id(trie): _rows(trie, exclude) for trie in tries}
        left = len(tries.first) - len(self._excluded[id(tries.first)])
        if left < n:
            shown = len(tries.first) - left
            raise WotdError(
                f"{n} different words were asked for and {left} are left ({len(tries.first)} fit, {shown} of them "
                f"excluded); ask for fewer, or widen the pattern"
            )
        self._bias: tuple[Mapping[str, float], dict[int, Scores]] | None = None

    def start(self) -> AnswerState:
        """Before the first token."""
        return self._before(())

    def allowed(self, state: AnswerState) -> Tokens:
        """The tokens that may come next, sorted; none once the answer is done."""
        return self.options(state)[0]

    def done(self, state: AnswerState) -> bool:
        """Whether the end token has come."""
        return state.done

    def advance(self, state: AnswerState, token: int) -> AnswerState:
        """The state after one more token.

        Raises:
            WotdError: the token isn't allowed there.
        """
        if not state.done:
            child = self._trie(state).child(state.node, token)
            if child and left_of(np.array([child.low]), np.array([child.high]), state.taken)[0]:
                return AnswerState(child, state.words, state.taken)
            if (row := self._ending(state)) is not None:
                words = (*state.words, self._trie(state).words[row])
                if len(words) == self.n:
                    if token == self.end:
                        return AnswerState(Node(0, 0, 0), words, _NO_ROWS, done=True)
                elif token in self.allowed(onward := self._before(words)):
                    return self.advance(onward, token)
        raise WotdError(f"token {token} is not allowed here; expected one of {self.allowed(state)[:5].tolist()}")

    def forced(self, state: AnswerState) -> list[int]:
        """The run of tokens that is determined from here: as long as only one is allowed."""
        run: list[int] = []
        while len(only := self.allowed(state)) == 1:
            run.append(int(only[0]))
            state = self.advance(state, run[-1])
        return run

    def told(self, state: AnswerState) -> str | None:
        """The answer's first word as soon as no other is left, though its last tokens may be to come."""
        if state.words:
            return state.words[0]
        low, high, _ = state.node
        if left_of(np.array([low]), np.array([high]), state.taken)[0] != 1:
            return None
        row = int(np.setdiff1d(np.arange(low, high), state.taken)[0])
        return self.tries.first.words[row]

    def options(
        self, state: AnswerState, bias: Mapping[str, float] | None = None, temperature: float = 1.0
    ) -> tuple[Tokens, Scores]:
        r"""The allowed tokens, sorted, and the potential of each for a log-bias b by word (zeros without one).

        .. math:: \phi(t) = T \log \frac{1}{|W_t|} \sum_{w \in W_t} e^{b(w) / T}, \quad \max_{w \in W_t} b(w) at T = 0

        where W_t are the words that are left below token t. The mean, not the sum: a bias that is the same for all
        words must change nothing, however unevenly they share their first tokens.
        """
        if state.done:
            return np.empty(0, np.int32), np.empty(0)
        trie = self._trie(state)
        tokens, starts, ends = trie.branches(state.node)
        count = left_of(starts, ends, state.taken)
        if not count.all():
            left = count > 0
            tokens, starts, ends, count = tokens[left], starts[left], ends[left], count[left]
        scores = np.zeros(len(tokens))
        if bias is not None and len(tokens):
            scores = _potentials(self._biases(trie, bias), starts, ends, count, state.taken, temperature)
        if (row := self._ending(state)) is not None:
            words = (*state.words, trie.words[row])
            last = len(words) == self.n
            closing = np.array([self.end], np.int32) if last else self.allowed(self._before(words))
            closed = 0.0 if bias is None else bias.get(words[-1], 0.0)
            tokens, scores = np.append(tokens, closing), np.append(scores, np.full(len(closing), closed))
            order = np.argsort(tokens)
            tokens, scores = tokens[order], scores[order]
        return tokens, scores

    def _trie(self, state: AnswerState) -> Trie:
        return self.tries.later if state.words else self.tries.first

    def _before(self, words: tuple[str, ...]) -> AnswerState:
        """Where the next word begins, the separator before it included."""
        trie = self.tries.later if words else self.tries.first
        taken = self._excluded[id(trie)]
        taken = np.sort(np.append(taken, _rows(trie, words))) if words else taken
        return AnswerState(trie.root, words, taken)

    def _ending(self, state: AnswerState) -> int | None:
        """The row of the word that ends at a state and isn't taken."""
        row = self._trie(state).end(state.node)
        if row is None or not left_of(np.array([row]), np.array([row + 1]), state.taken)[0]:
            return None
        return row

    def _biases(self, trie: Trie, bias: Mapping[str, float]) -> Scores:
        # An answer asks at every word with the same mapping; 30,000 look-ups take 5 ms.
        if self._bias is None or self._bias[0] is not bias:
            self._bias = bias, {}
        if id(trie) not in self._bias[1]:
            self._bias[1][id(trie)] = np.array([bias.get(word, 0.0) for word in trie.words])
        return self._bias[1][id(trie)]


def _rows(trie: Trie, words: Collection[str]) -> Rows:
    return np.array(sorted(trie.rows[word] for word in set(words) if word in trie.rows), np.int64)


def _potentials(values: Scores, starts: Rows, ends: Rows, count: Rows, taken: Rows, temperature: float) -> Scores:
    """The potentials of ranges of rows, ``count`` of which are left, from the bias of each row."""
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


class AnswerProcessor:
    """A grammar as an mlx-lm logits processor: ``generate_step(…, logits_processors=[AnswerProcessor(grammar)])``.

    All other logits become −∞, so that any sampler keeps to the grammar, and the end token comes last. One processor
    serves one answer: what stands before the first call is the prompt.
    """

    def __init__(self, grammar: AnswerGrammar):
        self.grammar = grammar
        self._prompt: int | None = None
        self._read: list[int] = []
        self._states = [grammar.start()]

    @property
    def state(self) -> AnswerState:
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
