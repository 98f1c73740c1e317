"""Words as the tokens that a language model writes them with, and the trie of those tokens.

A word's tokens depend on where it stands: the first of an answer has nothing before it, the others follow
:data:`~wotd_mlx.language.dsl.SEPARATOR`. Both are read off whole texts, so that byte-level BPE (GPT-2, Llama 3, Qwen,
SmolLM2) and SentencePiece-like tokenizers (Phi-3) need no case of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.language.dsl import SEPARATOR, can_write
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

log = logging.getLogger("wotd_mlx")

Tokens = NDArray[np.int32]
Rows = NDArray[np.int64]
Run = tuple[int, ...]

_END = -1
_ANCHOR = "word"
"""What stands before a word that isn't the first; the check on whole texts is made with other words."""


class Node(NamedTuple):
    """A node of a trie: the words in rows ``low`` … ``high - 1`` share their first ``depth`` tokens."""

    low: int
    high: int
    depth: int


class Branches(NamedTuple):
    """The C ways on from a node, by token: child c holds the rows ``starts[c]`` … ``ends[c] - 1``."""

    tokens: Tokens
    starts: Rows
    ends: Rows


class Trie:
    """A trie as a table: the words' runs of tokens, sorted, so that whatever lies below a node is a range of rows.

    How many words are below a node is a subtraction, and how many of those are taken another (by bisection among
    the taken rows): nothing is copied to take a word out.

    Args:
        runs: word → its tokens; no two words may have the same ones, and none may be empty.
    """

    def __init__(self, runs: Mapping[str, Sequence[int]]):
        words = tuple(runs)
        lengths = np.array([len(run) for run in runs.values()], np.int64)
        if words and not lengths.min():
            raise WotdError(f"the word {words[int(lengths.argmin())]!r} has no tokens; leave it out")
        # One column more than the longest run, so that every run is followed by _END.
        table = np.full((len(words), int(lengths.max(initial=0)) + 1), _END, np.int32)
        inside = np.arange(table.shape[1]) < lengths[:, None]
        table[inside] = np.fromiter(chain.from_iterable(runs.values()), np.int32, int(lengths.sum()))
        order = np.lexsort(table.T[::-1])
        self._table = table[order]
        self.words: tuple[str, ...] = tuple(words[row] for row in order.tolist())
        self.rows = {word: row for row, word in enumerate(self.words)}
        if len(same := np.flatnonzero((self._table[1:] == self._table[:-1]).all(axis=1))):
            one, other = self.words[same[0]], self.words[same[0] + 1]
            raise WotdError(f"the words {one!r} and {other!r} have the same tokens; leave one out")
        self.root = Node(0, len(words), 0)
        self._branches: dict[Node, Branches] = {}

    def __len__(self) -> int:
        return len(self.words)

    def run(self, row: int) -> Run:
        """The tokens of the word in a row."""
        found = self._table[row]
        return tuple(found[found != _END].tolist())

    def end(self, node: Node) -> int | None:
        """The row of the word that ends at a node, if one does."""
        return node.low if node.low < node.high and self._table[node.low, node.depth] == _END else None

    def branches(self, node: Node) -> Branches:
        """The children of a node, in order of their tokens."""
        if (found := self._branches.get(node)) is None:
            low = node.low + (self.end(node) is not None)
            column = self._table[low : node.high, node.depth]
            edges = np.flatnonzero(np.diff(column, prepend=_END, append=_END)) + low
            found = Branches(self._table[edges[:-1], node.depth], edges[:-1], edges[1:])
            self._branches[node] = found
        return found

    def child(self, node: Node, token: int) -> Node | None:
        """Where a token leads from a node; None where no word goes on with it."""
        tokens, starts, ends = self.branches(node)
        index = int(np.searchsorted(tokens, token))
        if index == len(tokens) or tokens[index] != token:
            return None
        return Node(int(starts[index]), int(ends[index]), node.depth + 1)


def left_of(starts: Rows, ends: Rows, taken: Rows) -> Rows:
    """How many rows of each range ``starts`` … ``ends - 1`` are not among the sorted rows ``taken``."""
    count = ends - starts
    return count - np.searchsorted(taken, ends) + np.searchsorted(taken, starts) if len(taken) else count


class WordTries(NamedTuple):
    """The same words as the first of an answer and as a later one, whose runs begin with the separator's tokens."""

    first: Trie
    later: Trie


_known: WeakKeyDictionary[TokenizerWrapper, dict[str, tuple[Run, Run] | None]] = WeakKeyDictionary()


def word_tries(tokenizer: TokenizerWrapper, words: Iterable[str]) -> WordTries:
    """The tries of some words; each word's tokens are found once a tokenizer and kept in memory.

    A word that the DSL can't hold (one with a comma), or whose tokens don't give the same text back, is left out, and
    one line of the log counts them.
    """
    wanted = tuple(dict.fromkeys(words))
    known = _known.setdefault(tokenizer, {})
    if new := [word for word in wanted if word not in known]:
        plain = [word for word in new if can_write(word)]
        first = runs_after(tokenizer, "", plain)
        later = runs_after(tokenizer, _ANCHOR, [SEPARATOR + word for word in plain])
        known.update(dict.fromkeys(new))
        for word in plain:
            if word in first and SEPARATOR + word in later:
                known[word] = first[word], later[SEPARATOR + word]
        _check_lists(tokenizer, [word for word in plain if known[word]])
    found = {word: runs for word in wanted if (runs := known[word])}
    if lost := [word for word in wanted if word not in found]:
        some = ", ".join(map(repr, lost[:3]))
        log.info(
            "%d of %d words left out, as an answer can't hold them or the tokenizer doesn't give them back: %s",
            len(lost),
            len(wanted),
            some,
        )
    return WordTries(
        Trie({word: runs[0] for word, runs in found.items()}), Trie({word: runs[1] for word, runs in found.items()})
    )


def runs_after(tokenizer: TokenizerWrapper, before: str, texts: Sequence[str]) -> dict[str, Run]:
    """The tokens of each text where it follows ``before``; absent where it can't be written after it.

    That is where the tokens of ``before`` change with what follows, or where the tokens of both don't decode to both.
    """
    base = _encode(tokenizer, [before])[0] if before else []
    whole = _encode(tokenizer, [before + text for text in texts])
    back = _decode(tokenizer, whole)
    return {
        text: tuple(tokens[len(base) :])
        for text, tokens, again in zip(texts, whole, back, strict=True)
        if tokens[: len(base)] == base and len(tokens) > len(base) and again == before + text
    }


def decode_each(tokenizer: TokenizerWrapper, tokens: Iterable[int]) -> list[str]:
    """The text of each token by itself; a piece of a character is U+FFFD."""
    return _decode(tokenizer, [[token] for token in tokens])


def _check_lists(tokenizer: TokenizerWrapper, words: Sequence[str], lists: int = 8, n: int = 5) -> None:
    """Say so where a list isn't token for token what its words are: the model then reads lists that it never learnt."""
    spread = words[:: max(1, len(words) // (lists * n))]
    samples = [spread[start : start + n] for start in range(0, len(spread), n)][:lists]
    whole = _encode(tokenizer, [SEPARATOR.join(sample) for sample in samples])
    known = _known[tokenizer]
    differ = 0
    for sample, tokens in zip(samples, whole, strict=True):
        runs = [known[word] for word in sample]
        joined = [*chain.from_iterable(run[min(position, 1)] for position, run in enumerate(runs) if run)]
        differ += joined != tokens
    if differ:
        log.warning("%d of %d lists of words have other tokens whole than word by word", differ, len(samples))


def _backend(tokenizer: TokenizerWrapper) -> Any:
    """The Rust tokenizer inside, which takes thousands of texts at once; None where there is none."""
    return getattr(tokenizer, "backend_tokenizer", None)


def _encode(tokenizer: TokenizerWrapper, texts: Sequence[str]) -> list[list[int]]:
    backend = _backend(tokenizer)
    if backend is None:
        return [list(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    return [found.ids for found in backend.encode_batch_fast(list(texts), add_special_tokens=False)]


def _decode(tokenizer: TokenizerWrapper, runs: Sequence[Sequence[int]]) -> list[str]:
    backend = _backend(tokenizer)
    if backend is None:
        return [str(tokenizer.decode(list(run))) for run in runs]
    return list(backend.decode_batch([list(run) for run in runs], skip_special_tokens=False))
