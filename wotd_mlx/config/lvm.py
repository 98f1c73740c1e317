"""How a predictor is trained: the recipe of each preset, and the choices that a recipe has."""

from __future__ import annotations

from dataclasses import dataclass

from wotd_mlx.config.ranges import Count, Natural, Part, Positive, Seed, Weight, check
from wotd_mlx.schemas import WotdError

BASES = ("none", "added", "gates")
OPTIMIZERS = ("adamw", "adafactor")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """A training. The defaults are the reference table's (docs/explanation/lvm.md): windows of five, AdamW, MSE.

    Args:
        context: vectors in a window; a model is evaluated on as many.
        epochs: most passes over the training articles.
        batch: windows a step of the optimiser.
        learning_rate, weight_decay, clip: AdamW's rate and decay; the largest norm of a gradient.
        warmup: steps in which the rate rises to its value.
        plateau_factor, plateau_patience: the rate falls by the factor when so many epochs bring nothing better.
        patience: epochs without anything better after which training stops.
        base: what a model works on: ``none``, or six fitted weights of what was read, to which it is ``added``, or
            whose ``gates`` it sets.
        noise: deviation of what is added to the vectors that the model reads in training, in theirs.
        contrastive: weight of the contrastive term beside the squared distance.
        temperature, negatives: of the contrastive term: sharpness, and random sentences beside the batch's own.
        context_dropout: share of whole vectors hidden from the model in training.
        ema: decay of the averaged weights that are evaluated and kept; 0 keeps the last ones.
        optimizer: ``adafactor`` keeps almost no state, for models whose AdamW would not fit.
        precision: of weights and activations; ``auto`` takes bfloat16 with float32 masters on a GPU.
        seed: of weights, order and dropout.
    """

    context: Count = 5
    epochs: Count = 20
    batch: Count = 32
    learning_rate: Positive = 5e-4
    weight_decay: Weight = 0.01
    clip: Positive = 1.0
    warmup: Natural = 0
    plateau_factor: Part = 0.5
    plateau_patience: Count = 3
    patience: Count = 6
    base: str = "none"
    noise: Weight = 0.0
    contrastive: Weight = 0.0
    temperature: Positive = 0.05
    negatives: Natural = 2048
    context_dropout: Part = 0.0
    ema: Part = 0.0
    optimizer: str = "adamw"
    precision: str = "auto"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self, "recipe")
        for name, known in (("base", BASES), ("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise WotdError(f"recipe {name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")


RECIPES = {
    "paper": Recipe(),
    "tiny": Recipe(
        context=64,
        epochs=3,
        batch=16,
        learning_rate=1e-3,
        warmup=50,
        base="gates",
        contrastive=0.14,
        negatives=1024,
        ema=0.98,
    ),
}
"""What a preset is trained with unless told otherwise."""
