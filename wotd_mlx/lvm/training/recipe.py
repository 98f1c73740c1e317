"""How a predictor is trained: the matrix's hyperparameters, and the recipe that all thirteen share at the tiny size."""

from __future__ import annotations

from dataclasses import dataclass

from wotd_mlx.schemas import WotdError

BASES = ("none", "added", "gates")
OPTIMIZERS = ("adamw", "adafactor")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """A training. The defaults are the matrix's: windows of five, AdamW, plain MSE.

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

    context: int = 5
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup: int = 0
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    patience: int = 6
    base: str = "none"
    noise: float = 0.0
    contrastive: float = 0.0
    temperature: float = 0.05
    negatives: int = 2048
    context_dropout: float = 0.0
    ema: float = 0.0
    optimizer: str = "adamw"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("context", "epochs", "batch", "patience", "plateau_patience"):
            if getattr(self, name) < 1:
                raise WotdError(f"recipe {name} is {getattr(self, name)}; expected 1 or more")
        if not 0 <= self.seed < 2**32:
            raise WotdError(f"recipe seed is {self.seed}; expected 0 to {2**32 - 1}")
        for name in ("learning_rate", "clip", "temperature"):
            if not getattr(self, name) > 0:
                raise WotdError(f"recipe {name} is {getattr(self, name)}; expected more than 0")
        for name in ("plateau_factor", "context_dropout", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise WotdError(f"recipe {name} is {getattr(self, name)}; expected 0 or more, and less than 1")
        for name in ("weight_decay", "contrastive", "noise", "warmup", "negatives"):
            if getattr(self, name) < 0:
                raise WotdError(f"recipe {name} is {getattr(self, name)}; expected 0 or more")
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
