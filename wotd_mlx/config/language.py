"""The settings of the language stage, as frozen dataclasses; nothing else is loaded with them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import MAX_COUNT, Count, Natural, Part, Positive, Seed, Share, Weight, check
from wotd_mlx.schemas import WotdError

MAX_WORDS = 100

NO_LANGUAGE = "none"
"""In place of a model: no such stage."""
"""That a request may ask for."""
METHODS = ("lora", "dora", "full")

Words = Annotated[int, Meta(ge=1, le=MAX_WORDS)]
Tokens = Annotated[int, Meta(ge=8, le=2**24)]
Requests = Annotated[int, Meta(ge=2, le=10**6)]
Layers = Annotated[int, Meta(ge=-1, le=MAX_COUNT)]
"""Of a model, counted from the last; -1 for all."""


@dataclass(frozen=True)
class Shares:
    """What share of the rows is of which kind; together they count as 1. A kind that has nothing to tell, such as
    definitions where none were given, leaves its share to the others."""

    by_pattern: Weight = 0.45
    encode: Weight = 0.2
    by_attributes: Weight = 0.1
    like: Weight = 0.06
    between: Weight = 0.05
    pattern_of: Weight = 0.08
    define: Weight = 0.04
    use: Weight = 0.02

    def __post_init__(self) -> None:
        check(self, "language shares")
        if not any(getattr(self, f.name) for f in fields(self)):
            raise WotdError("language shares are all 0; expected one above that")


@dataclass(frozen=True)
class DatasetConfig:
    """How many rows of what.

    Args:
        train, valid, test: rows of each split.
        held_out: share of the IDs in use that training never sees.
        held_rows: share of the valid and test rows that ask about those IDs.
        usual, usual_share, most: how many words a request asks for: ``usual`` in this share of the rows, else 1 to
            ``most`` alike; never more than there are.
        whole: share of the requests by pattern that name an ID whole, with no wildcard.
        own_weight: how much likelier a word of the run's own corpora is than another of the same ID.
        rare_weight, rare_zipf: how likely one of the others is whose frequency lies below ``rare_zipf``.
        pool: a word like or between others is drawn from this many times as many nearest ones as are asked for.
    """

    train: Natural = 20_000
    valid: Natural = 500
    test: Natural = 1_000
    seed: Seed = 0
    held_out: Share = 0.05
    held_rows: Share = 0.5
    shares: Shares = field(default_factory=Shares)
    usual: Words = 5
    usual_share: Share = 0.75
    most: Words = 8
    whole: Share = 0.5
    own_weight: Positive = 4.0
    rare_weight: Positive = 0.5
    rare_zipf: Weight = 3.0
    pool: Count = 3

    def __post_init__(self) -> None:
        check(self, "language")
        if self.usual > self.most:
            raise WotdError(f"language usual {self.usual} is more than most, {self.most}; lower it")


@dataclass(frozen=True)
class LoraConfig:
    """What of a model is trained.

    Args:
        method: ``lora`` adds scale · B A of a low rank to each weight (Hu et al. 2021, arXiv 2106.09685); ``dora``
            trains each row's length apart from that (Liu et al. 2024, arXiv 2402.09353); ``full`` trains the layers'
            own weights.
        rank: r, the width of A and B; more can learn more and takes more memory.
        scale: what B A is multiplied by, α/r where other libraries have α.
        dropout: share of a layer's inputs that the adapter doesn't see in a step.
        layers: how many transformer layers, counted from the last; -1 for all. The fewer, the faster a step.
        keys: names of layers within a transformer layer, such as ``self_attn.q_proj``; None for all linear ones.
    """

    method: str = "lora"
    rank: Count = 8
    scale: Positive = 2.0
    dropout: Part = 0.0
    layers: Layers = -1
    keys: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check(self, "lora")
        if self.method not in METHODS:
            raise WotdError(f"lora method {self.method!r} is unknown; expected one of {', '.join(METHODS)}")
        if self.layers == 0:
            raise WotdError("lora layers is 0; expected 1 or more, or -1 for all")
        if self.keys is not None and not self.keys:
            raise WotdError("lora keys are an empty list; name layers, or leave keys out for all linear ones")


@dataclass(frozen=True)
class LanguageRecipe:
    """A training of a language model on exchanges, its loss taken on the answers alone.

    Args:
        lora: what of the model is trained.
        steps: of the optimiser. With 0 as many as ``minutes`` allow, or where that is 0 too, ``epochs``.
        minutes: what a training may take, validation included; the plan follows the measured speed.
        epochs: passes over the rows, where neither steps nor minutes are given.
        batch: rows a step.
        micro_batch: rows computed at once, their gradients added up; 0 for all. The curve doesn't depend on it.
        form_weight: how much more a token of an answer's form counts in the loss, such as a separator or the end, than
            one of its words: which words stand in an answer is a draw, how many isn't.
        unlikelihood: weight of -log(1 - p) of each word's first token where a later word begins, so that answers name
            no word twice (Welleck et al. 2019, arXiv 1908.04319).
        learning_rate, weight_decay, clip: AdamW's highest rate and its decay; the largest norm of a gradient.
        warmup: share of the steps in which the rate rises; then it falls along a cosine to nothing.
        longest: rows of more tokens are left out.
        valid_rows: rows of the validation set that are looked at, the same each time; 0 for all.
        evaluations: how often in a training.
        patience: evaluations without a better loss after which it ends.
        checkpointing: compute activations again on the way back rather than keep them: memory for time (Chen et al.
            2016, arXiv 1604.06174).
        compile: fuse a step with ``mx.compile``; None where that can be done: on a GPU, or with a C++ compiler.
        seed: of adapters, order and dropout.
    """

    lora: LoraConfig = field(default_factory=LoraConfig)
    steps: Natural = 0
    minutes: Weight = 0.0
    epochs: Count = 1
    batch: Count = 16
    micro_batch: Natural = 0
    form_weight: Positive = 4.0
    unlikelihood: Weight = 1.0
    learning_rate: Positive = 1.5e-3
    weight_decay: Weight = 0.0
    clip: Positive = 1.0
    warmup: Part = 0.05
    longest: Tokens = 512
    valid_rows: Natural = 128
    evaluations: Count = 10
    patience: Count = 5
    checkpointing: bool = False
    compile: bool | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self, "language")
        if self.steps and self.minutes:
            raise WotdError(f"{self.steps} steps and {self.minutes:g} minutes are both given; give one of the two")


@dataclass(frozen=True)
class LanguageConfig:
    """The language stage of a run.

    Args:
        model: ``auto``, ``none`` for no such stage, a hub id, a folder in mlx-lm's form, or a GGUF file.
        requests: how many are answered to measure it at the end of a training.
        glosses: a JSONL file of definitions and examples, ``{"word", "definition", "examples"}``; None for none.
    """

    model: str = "auto"
    requests: Requests = 60
    glosses: str | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    recipe: LanguageRecipe = field(
        default_factory=lambda: LanguageRecipe(LoraConfig(layers=16), steps=450, batch=8, evaluations=4, valid_rows=64)
    )

    def __post_init__(self) -> None:
        check(self, "language")
