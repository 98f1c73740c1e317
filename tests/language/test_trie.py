"""Words as tokens: what a trie holds, and that tokens give their words back for both kinds of tokenizer."""

from __future__ import annotations

import logging
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.dsl import SEPARATOR
from wotd_mlx.language.trie import Node, Trie, left_of, runs_after, word_tries
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.builtin import load_builtin

WORDS = [word.text for word in load_builtin().words]
ODD = ["art", "artist", "o'er", "well-being", "naïve", "Æon", "日本", "ice cream", "e.g.", "42nd", "😀"]

runs = st.dictionaries(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), st.none(), min_size=1, max_size=20
).map(lambda found: {"-".join(map(str, run)): run for run in found})


def below(trie: Trie, node: Node, taken: np.ndarray) -> list[str]:
    """The words below a node that aren't taken, by walking down."""
    row = trie.end(node)
    found = [trie.words[row]] if row is not None and row not in taken else []
    for token in trie.branches(node).tokens.tolist():
        child = trie.child(node, token)
        assert child is not None
        found += below(trie, child, taken)
    return found


@given(runs, st.data())
def test_a_trie_holds_its_words_and_counts_those_left(given_runs, data):
    trie = Trie(given_runs)
    taken = np.array(sorted(data.draw(st.sets(st.integers(0, len(trie) - 1)))), np.int64)
    assert [trie.run(row) for row in range(len(trie))] == sorted(given_runs.values())
    assert below(trie, trie.root, taken) == [word for row, word in enumerate(trie.words) if row not in taken]
    for token, low, high in zip(*trie.branches(trie.root), strict=True):
        node = trie.child(trie.root, int(token))
        assert node is not None
        assert node == (low, high, 1)
        assert left_of(np.array([low]), np.array([high]), taken) == len(below(trie, node, taken))
    assert trie.child(trie.root, 4) is None


def test_a_word_may_begin_another():
    trie = Trie({"artist": (5, 6), "art": (5,), "tar": (7, 5)})
    node = trie.child(trie.root, 5)
    assert node is not None
    assert trie.words[trie.end(node) or 0] == "art"
    assert trie.branches(node).tokens.tolist() == [6]
    assert trie.end(trie.root) is None


def test_an_empty_trie_has_no_way_on():
    trie = Trie({})
    assert len(trie.branches(trie.root).tokens) == 0
    assert trie.end(trie.root) is None


@pytest.mark.parametrize(
    ("given_runs", "message"),
    [({"a": (1,), "b": (1,)}, "the words 'a' and 'b' have the same tokens"), ({"a": ()}, "'a' has no tokens")],
)
def test_words_that_can_not_be_told_apart(given_runs, message):
    with pytest.raises(WotdError, match=message):
        Trie(given_runs)


def sentencepiece():
    """A tokenizer of Phi-3's kind, trained on the spot: blanks are part of the tokens, odd characters are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special[:3], initial_alphabet=[","], show_progress=False
    )
    tokenizer.train_from_iterator(WORDS, trainer)  # no lists: SentencePiece joins no letters and signs either
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    fast.add_tokens(special[3:])
    return fast


def tokenizers(tiny_language: LoadedModel):
    return [tiny_language.tokenizer, sentencepiece()]


def give_their_words_back(tokenizer):
    tries = word_tries(tokenizer, WORDS)
    assert set(tries.first.words) == set(tries.later.words) == set(WORDS)
    rng = np.random.default_rng(0)
    for _ in range(50):
        words = rng.choice(WORDS, 4, replace=False).tolist()
        runs = [(tries.later if position else tries.first) for position in range(4)]
        tokens = list(chain.from_iterable(t.run(t.rows[word]) for t, word in zip(runs, words, strict=True)))
        assert tokenizer.decode(tokens) == SEPARATOR.join(words)
        # What the model was trained on are whole texts.
        assert tokens == tokenizer.encode(SEPARATOR.join(words), add_special_tokens=False)


def test_tokens_give_their_words_back(tiny_language: LoadedModel):
    for tokenizer in tokenizers(tiny_language):
        give_their_words_back(tokenizer)


def test_phi_gives_its_words_back(phi_tokenizer):
    give_their_words_back(phi_tokenizer)
    assert set(word_tries(phi_tokenizer, ODD).first.words) == set(ODD)


def test_odd_words_in_bytes(tiny_language: LoadedModel):
    assert set(word_tries(tiny_language.tokenizer, ODD).first.words) == set(ODD)


def test_what_can_not_be_written_is_left_out_and_said(tiny_language: LoadedModel, caplog: pytest.LogCaptureFixture):
    from tokenizers import normalizers

    fast = sentencepiece()
    fast.backend_tokenizer.normalizer = normalizers.Lowercase()
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        tries = word_tries(fast, ["art", "Paris", "a, b", " blank", "", "[2]", "art"])
    assert tries.first.words == tries.later.words == ("art",)
    assert "5 of 6 words left out" in caplog.text
    assert "'Paris'" in caplog.text


def test_a_tokenizer_without_a_fast_backend(tiny_language: LoadedModel):
    class Slow:
        def encode(self, text, add_special_tokens=True):
            assert not add_special_tokens
            return tiny_language.tokenizer.encode(text, add_special_tokens=False)

        def decode(self, tokens):
            return tiny_language.tokenizer.decode(tokens)

    fast = word_tries(tiny_language.tokenizer, WORDS[:50])
    slow = word_tries(Slow(), WORDS[:50])
    assert slow.first.words == fast.first.words
    assert [slow.later.run(row) for row in range(50)] == [fast.later.run(row) for row in range(50)]


def test_lists_with_other_tokens_whole_are_said(caplog: pytest.LogCaptureFixture):
    class Merging:  # one character a token, except that what ends in e takes the separator with it
        def encode(self, text, add_special_tokens=True):
            return [ord(c) for c in text.replace("e, ", "é")]

        def decode(self, tokens):
            return "".join(map(chr, tokens)).replace("é", "e, ")

    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        word_tries(Merging(), ["one", "two", "three", "four", "five"])
    assert "1 of 1 lists of words have other tokens whole" in caplog.text


def test_runs_that_change_what_is_before_them_are_absent(tiny_language: LoadedModel):
    class Merging:
        def encode(self, text, add_special_tokens=True):
            return [ord(c) for c in text.replace("ab", "c")]

        def decode(self, tokens):
            return "".join(map(chr, tokens)).replace("c", "ab")

    assert runs_after(Merging(), "a", ["x", "b"]) == {"x": (ord("x"),)}
