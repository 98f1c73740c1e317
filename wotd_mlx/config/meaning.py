"""How a word's vector is made of its own and of its glosses'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import Count, Positive, Share, check

Part = Annotated[float, Meta(ge=0, le=2)]
"""Of a vector that is made of two: above 1, some of the other is taken off."""


@dataclass(frozen=True)
class MeaningConfig:
    """What a dictionary adds to an embedding.

    Args:
        glosses: a known word's vector is its own and its glosses' together; without, its own alone.
        senses: glosses of a word that count, the first of a dictionary.
        share: the glosses' part of a word that the model knows as one word piece.
        rare_share: the same of a word of ``rare_pieces`` pieces or more, which the model knows by spelling. Above 1,
            spelling is taken off: a gloss is embedded behind its word's name, and words would lie by that.
        opposite_share: how far a word is moved away from its antonyms: the part of their vector that is taken off.
        guessed_share: the part that a guess of its glosses has in a text that no dictionary has.
        ridge: penalty of the map from a word's own vector to that of its glosses, for texts that no dictionary has.
    """

    glosses: bool = True
    senses: Count = 5
    share: Part = 0.7
    rare_share: Part = 1.7
    rare_pieces: Count = 3
    opposite_share: Part = 0.15
    guessed_share: Share = 0.5
    ridge: Positive = 10.0

    def __post_init__(self) -> None:
        check(self, "meaning")
