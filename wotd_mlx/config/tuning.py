"""The settings of an encoder's tuning on a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import Count, Part, Positive, Seed, Share, Weight, check
from wotd_mlx.schemas import WotdError

Tokens = Annotated[int, Meta(ge=3, le=512)]


@dataclass(frozen=True)
class Kinds:
    """What share of the steps contrasts pairs of which kind.

    Args:
        word_gloss: a word and one of its glosses.
        synonyms: two words of one synset, against antonyms too.
        glosses: two different glosses of two synonyms.
        named: a word with its gloss behind it, and a synonym.
    """

    word_gloss: Weight = 0.25
    synonyms: Weight = 0.2
    glosses: Weight = 0.3
    named: Weight = 0.25

    def __post_init__(self) -> None:
        check(self, "tuning kinds")
        if not any(getattr(self, f.name) for f in fields(self)):
            raise WotdError("tuning kinds are all 0; expected one above that")


@dataclass(frozen=True)
class TuningConfig:
    """A tuning.

    Args:
        rank: columns of A, rows of B in W + A B, for every dense layer.
        held_out: share of word families that no pair has a word or a gloss of.
        pairs: N, pairs a step; each is contrasted with all others.
        scale: what cosines are multiplied by before the softmax, one over the temperature.
        antonyms: how many antonyms stand beside N synonyms, as a share of N.
        shortened: share of the glosses of which only a part is kept.
        senses: glosses of a word that are looked at, in the dictionary's order.
        groups: texts of a step are sorted by length and padded in so many groups of equal number.
        longest: tokens of a text that are read.
        keep: weight of the divergence from the plain encoder's own neighbourhoods, beside the contrast's.
        average: decay of the running average of the weights that is kept in the end.
        share: how far the file goes from the plain weights to those averaged ones; above 1 beyond them.
    """

    rank: Count = 20
    kinds: Kinds = field(default_factory=Kinds)
    held_out: Part = 0.2
    steps: Count = 360
    pairs: Count = 128
    scale: Positive = 20.0
    antonyms: Share = 0.5
    shortened: Share = 0.5
    senses: Count = 5
    groups: Count = 8
    longest: Tokens = 40
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.0
    clip: Positive = 1.0
    warmup: Part = 0.1
    keep: Part = 0.25
    average: Part = 0.98
    share: Positive = 0.5
    evaluations: Count = 10
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self, "tuning")
