"""How words are chosen for a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import Seed, check
from wotd_mlx.schemas import WotdError

METHODS = ("blend", "model", "encoder")

Temperature = Annotated[float, Meta(ge=0, le=10)]
Rerank = Annotated[int, Meta(ge=1, le=20)]
"""Answers written for each that is kept."""


@dataclass(frozen=True)
class GenerateConfig:
    """How words are chosen.

    Args:
        method: ``model``, its own probabilities; ``encoder``, the words nearest to what the request stands for, without
            the model; ``blend``, p(word) ∝ p_model(word) exp(weight · cosine).
        weight: of the cosine in a blend.
        any_word: choose among all known words, whether or not they fit: what the model itself makes of a request.
        strict: words that are known to fit, or an error; else likely ones and then the nearest fill up what is missing,
            and a line says so.
        forms: several forms of one word may come.
        temperature: 0 takes the likeliest word each time.
        seed: the same seed gives the same words; None a new answer each time.
        sequential: write the words as one answer, each knowing those before it; else all at once, without replacement,
            which takes a few calls of the model instead of one a word.
        rerank: for each word asked, so many are written, and those nearest to what the request stands for are kept.
        exclude: words that may not come.
    """

    method: str = "blend"
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 40.0
    any_word: bool = False
    strict: bool = False
    forms: bool = False
    temperature: Temperature = 0.7
    seed: Seed | None = None
    sequential: bool = False
    rerank: Rerank = 1
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check(self, "generate")
        if self.method not in METHODS:
            raise WotdError(f"generate method is {self.method!r}; expected one of {', '.join(METHODS)}")
        if self.any_word and self.strict:
            raise WotdError("any_word and strict exclude each other; give one of the two")
