"""The student's settings: its shape and its training."""

from __future__ import annotations

from dataclasses import dataclass

from wotd_mlx.config.ranges import Count, Part, Positive, Share, Weight, check

ENCODERS = ("teacher", "student")
"""What may answer: the embedding model and the quantiser, or the student alone."""


@dataclass(frozen=True)
class StudentConfig:
    """The student's shape and training.

    Args:
        width: numbers a word piece, E.
        trunk: width T of the residual stream; ``depth`` blocks with ``hidden`` units each stand in it.
        ids_weight: weight of the IDs' cross-entropy, mean over coordinates, beside the embedding's relative error.
        noise: how far the teacher's soft answers look around an embedding, in its standard deviations.
        draws: how often they look.
        longest: pieces of a text that training reads; in use a text may have more.
        phrases: texts of several words that train it too, made of training words, a word.
        warmup: share of all steps over which the learning rate rises; then it falls along a cosine.
    """

    width: Count = 64
    trunk: Count = 216
    hidden: Count = 256
    depth: Count = 2
    epochs: Count = 10
    batch: Count = 512
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 1e-2
    dropout: Part = 0.05
    ids_weight: Weight = 0.5
    noise: Weight = 0.3
    draws: Count = 8
    longest: Count = 8
    phrases: Weight = 0.15
    warmup: Share = 0.1

    def __post_init__(self) -> None:
        check(self, "student")
