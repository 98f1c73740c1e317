"""Levels for a number of bits: what is proposed, what is chosen, what cannot be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codes.test_train import ATTRIBUTES, split_rows, toy
from tests.conftest import small_config
from wotd_mlx import WotdError, train_wotd_pipeline
from wotd_mlx.codes.levels import USUAL, choose_levels, proposals
from wotd_mlx.config import MAX_CODES, CodesConfig, TrainingConfig


@given(st.integers(5, 24), st.integers(0, 2))
def test_proposals_have_the_bits_asked_for_and_room_for_every_value(bits, attributes):
    for levels in proposals(bits, ATTRIBUTES[:attributes]).values():
        assert bits - 1.2 <= math.log2(math.prod(levels)) <= bits + 1e-6
        assert len(levels) > attributes
        assert min(levels) >= 2
        assert max(levels) <= MAX_CODES
        assert all(len(a.values) <= k for a, k in zip(ATTRIBUTES[:attributes], levels, strict=False))


@pytest.mark.parametrize(
    ("bits", "attributes", "want"),
    [
        # 2^(11/4) is 6.7; 8 and 5 to the power 11 / log2(2560) are 7.5 and 4.8; what is left over goes to the last.
        (11, 2, {"like 8,8,8,5": (7, 7, 8, 5), "four alike": (6, 6, 6, 9),
                 "4 an attribute": (4, 4, 11, 11), "8 an attribute": (8, 8, 32),
                 "16 an attribute": (16, 16, 8), "32 an attribute": (32, 32, 2)}),
        (9, 0, {"like 8,8,8,5": (5, 5, 5, 4), "four alike": (4, 4, 4, 8), "free": (22, 23)}),
    ],
)  # fmt: skip
def test_proposals_of_few_bits_by_hand(bits, attributes, want):
    assert proposals(bits, ATTRIBUTES[:attributes]) == want


def test_too_few_bits_for_the_attributes_are_refused():
    with pytest.raises(WotdError, match="3 bits are too few for 2 attributes with up to 3 values"):
        proposals(3, ATTRIBUTES)


def test_the_least_wrong_on_validation_words_is_chosen():
    x, labels = toy()
    trials = choose_levels(x, labels, split_rows(len(x)), CodesConfig("hvq", bits=10), ATTRIBUTES, 0)
    assert [t.loss for t in trials] == sorted(t.loss for t in trials)
    assert {t.name for t in trials} >= set(USUAL)


@pytest.mark.parametrize("kind", ["hvq", "fsq"])
def test_a_run_for_so_many_bits_keeps_the_levels_it_chose(kind, checkpoint, tmp_path):
    config = small_config(checkpoint)
    config = replace(config, codes=replace(config.codes, kind=kind, levels=(), bits=12, epochs=1))
    first = train_wotd_pipeline(config, tmp_path / "run")
    codes = first.metrics["codes"]
    assert codes["levels"] == list(codes["levels_tried"][0]["levels"])
    assert 10.8 <= codes["bits"] <= 12
    assert train_wotd_pipeline(config, tmp_path / "run").metrics == first.metrics


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (8, 8, 8, 5), "bits": 20}, r"levels \[8, 8, 8, 5\] make 11.3 bits, not 20"),
        ({"bits": 30}, "30 bits: a dictionary takes 24 at most"),
    ],
)
def test_levels_that_do_not_fit_the_bits_are_refused(settings, message):
    with pytest.raises(WotdError, match=message):
        TrainingConfig(codes=CodesConfig("hvq", **settings))
