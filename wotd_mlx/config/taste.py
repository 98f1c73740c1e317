"""How a taste is learnt, and how a day's words are chosen by it."""

from __future__ import annotations

from dataclasses import dataclass

from wotd_mlx.config.ranges import Count, Natural, Positive, Share, check


@dataclass(frozen=True)
class TasteConfig:
    """A posterior over what a person likes, and the choice of words by it.

    Args:
        likes: share of words that a person likes before anything is known.
        variance: of what a person thinks of words, around that.
        noise: variance of a vote: a person is not always of one mind.
        sure: variance of a vote for a word that the person named unasked.
        near: widths, in cosines, within which words are like each other.
        gloss: the width for words' commonest senses.
        components: principal axes in which register and tone are looked for.
        rarity: width, in zipf, within which words are as rare as each other.
        apart: a word as near as this to one of the day's or of the day before is too like it, a cosine.
        trust: after so many votes half of a choice is what they say, and half is trial.
        new: one word in so many lies outside what was liked.
        outside: a word no nearer than this to any that was liked is outside, a cosine.
        seeds: words that stand for a taste until some were liked.
        few: how many have to be liked for that.
        skipped: how many times the variance of a vote a skip has.
        seed: how many times the variance of a vote a word of ``seeds`` has.
        last: votes that a taste is learnt from, the latest; time grows with their cube.
    """

    likes: Share = 0.05
    variance: Positive = 0.2
    noise: Positive = 0.09
    sure: Positive = 0.02
    near: tuple[Positive, ...] = (0.15, 0.4)
    gloss: Positive = 0.4
    components: Count = 64
    rarity: Positive = 0.5
    apart: Share = 0.5
    trust: Natural = 1
    new: Count = 7
    outside: Share = 0.4
    seeds: tuple[str, ...] = (
        *("gossamer", "halcyon", "mellifluous", "petrichor", "serendipity", "reverie", "ephemeral", "wanderlust"),
        *("quixotic", "luminous", "whimsy", "susurrus"),
    )
    few: Natural = 3
    skipped: Positive = 4.0
    seed: Positive = 4.0
    last: Count = 500

    def __post_init__(self) -> None:
        check(self, "taste")
