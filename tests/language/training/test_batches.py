"""Rows as token batches: what is predicted, in which order, with how much padding."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.language.chat import LoadedModel, chat
from wotd_mlx.language.rows import Exchange
from wotd_mlx.language.training.batches import Rows, form_tokens, prepare
from wotd_mlx.schemas import WotdError

EXCHANGES = [
    Exchange(f"Words matching pattern [{i % 8},*,{i % 5},*]:", "glad, serene, " * (i % 7) + "calm") for i in range(90)
]


@pytest.fixture(scope="module")
def rows(tiny_language: LoadedModel) -> Rows:
    """The exchanges as tokens."""
    return prepare(EXCHANGES, tiny_language.tokenizer, 512)


def test_rows_are_the_chat(tiny_language: LoadedModel, rows: Rows) -> None:
    tokenizer = tiny_language.tokenizer
    for row, start, exchange in zip(rows.tokens, rows.starts, EXCHANGES, strict=True):
        assert row.tolist() == chat(tokenizer, exchange.request, exchange.answer)
        assert tokenizer.decode(row[start:-1].tolist()) == exchange.answer


@pytest.mark.parametrize(("shared", "multiple"), [(False, 1), (True, 1), (True, 8)])
def test_places_predict_the_answers_and_nothing_else(rows: Rows, shared: bool, multiple: int) -> None:
    chosen, skip = np.array([3, 50, 8]), len(rows.shared) if shared else 0
    batch = rows.batch(chosen, skip, multiple)
    tokens, positions = np.array(batch.tokens), np.array(batch.positions)[np.array(batch.weights) > 0]
    targets = np.array(batch.targets)[np.array(batch.weights) > 0]
    close(targets, np.concatenate([rows.tokens[n][rows.starts[n] :] for n in chosen]), "ids")
    close(
        tokens.reshape(-1)[positions], np.concatenate([rows.tokens[n][rows.starts[n] - 1 : -1] for n in chosen]), "ids"
    )
    assert tokens.shape[1] % multiple == 0
    for line, n in zip(tokens, chosen, strict=True):
        close(line[: len(rows.tokens[n]) - 1 - skip], rows.tokens[n][skip:-1], "ids")
    if multiple > 1:
        assert len(batch.weights) % (4 * multiple) == 0


def test_what_all_rows_begin_with(rows: Rows, tiny_language: LoadedModel) -> None:
    shared = rows.shared
    assert "Words matching pattern [" in tiny_language.tokenizer.decode(shared.tolist())
    assert all((row[: len(shared)] == shared).all() for row in rows.tokens)
    assert len(shared) < rows.starts.min()
    assert len({int(row[len(shared)]) for row in rows.tokens}) > 1


def test_one_row_shares_up_to_its_answer(tiny_language: LoadedModel) -> None:
    alone = prepare(EXCHANGES[:1], tiny_language.tokenizer, 512)
    assert len(alone.shared) == alone.starts[0] - 1
    assert np.array(alone.batch([0], len(alone.shared)).positions)[0] == 0


def test_order_is_all_rows_once_and_the_same_for_a_seed(rows: Rows) -> None:
    order = rows.order(8, seed=3, epoch=1)
    close(np.sort(np.concatenate(order)), np.arange(len(rows)), "ids")
    assert [batch.tolist() for batch in order] == [batch.tolist() for batch in rows.order(8, 3, 1)]
    assert [batch.tolist() for batch in order] != [batch.tolist() for batch in rows.order(8, 3, 2)]
    assert [batch.tolist() for batch in order] != [batch.tolist() for batch in rows.order(8, 4, 1)]
    assert len(order) == -(-len(rows) // 8)


def test_batches_hold_rows_of_like_length(rows: Rows) -> None:
    def padding(order: list[np.ndarray]) -> float:
        computed = sum(int(rows.lengths[batch].max()) * len(batch) for batch in order)
        return 1 - float(rows.lengths.sum()) / computed

    at_random = np.split(np.random.default_rng(0).permutation(len(rows)), 9)
    assert padding(rows.order(8, 0, 0)) < 0.35 * padding(at_random)


def test_long_rows_are_counted_and_left_out(tiny_language: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    longest = len(chat(tiny_language.tokenizer, EXCHANGES[0].request, EXCHANGES[0].answer))
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        kept = prepare(EXCHANGES, tiny_language.tokenizer, longest, name="train.jsonl")
    assert kept.lengths.max() == longest
    gone = len(EXCHANGES) - len(kept)
    assert f"train.jsonl: {gone} of 90 are longer than {longest} tokens and left out" in caplog.text
    with pytest.raises(WotdError, match="none of 90 rows has 10 tokens or fewer"):
        prepare(EXCHANGES, tiny_language.tokenizer, 10)


def test_form_may_count_more_than_words(tiny_language: LoadedModel) -> None:
    tokenizer = tiny_language.tokenizer
    rows = prepare(EXCHANGES, tokenizer, 512, form=form_tokens(tokenizer), form_weight=3.0)
    end = chat(tokenizer, "a", "b")[-1]
    for row, start, total in zip(rows.tokens, rows.starts, rows.weights, strict=True):
        form = sum(token == end or tokenizer.decode([token]).strip() in ("", ",") for token in row[start:].tolist())
        assert total == len(row) - start + 2 * form
    batch = rows.batch(np.array([3, 50, 8]), multiple=8)
    assert np.array(batch.weights).sum() == rows.weights[[3, 50, 8]].sum()
    targets, weights = np.array(batch.targets), np.array(batch.weights)
    assert (weights[targets == end] == 3).all()
    assert (prepare(EXCHANGES, tokenizer, 512).weights == rows.answers).all()


def test_words_before_a_word_are_not_to_be_repeated(tiny_language: LoadedModel) -> None:
    tokenizer = tiny_language.tokenizer
    exchange = Exchange("Words matching pattern [1,*]:", "calm, glad, serene, glad, calmer", "by_pattern")
    rows = prepare([exchange], tokenizer, 512, form=form_tokens(tokenizer))
    batch = rows.batch(np.array([0]))
    first = {word: tokenizer.encode(f"x, {word}")[len(tokenizer.encode("x,"))] for word in ("glad", "serene", "calmer")}
    glad, serene, calmer = first.values()
    found = [set(row[row >= 0].tolist()) for row in np.array(batch.repeats)]
    targets = np.array(batch.targets).tolist()
    # The second "glad" is what the row asks for, so it isn't told against itself; the first word has no such token.
    told = {position: words for position, words in enumerate(found) if words}
    assert [targets[position] for position in told] == [serene, glad, calmer]
    assert list(told.values()) == [{glad}, {serene}, {glad, serene}]
    number = Exchange("Encode calm", "[2,1,2,2]", "encode")
    for other, form in ((exchange, None), (number, form_tokens(tokenizer))):
        assert (np.array(prepare([other], tokenizer, 512, form=form).batch(np.array([0])).repeats) == -1).all()
