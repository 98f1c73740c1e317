"""The settings of the language stage, as frozen dataclasses; nothing else is loaded with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from wotd_mlx.schemas import WotdError

MOST_WORDS = 100
"""That a request may ask for."""
METHODS = ("lora", "dora", "full")


@dataclass(frozen=True)
class Shares:
    """What share of the rows is of which kind; together they count as 1. A kind that has nothing to tell, such as
    definitions where none were given, leaves its share to the others."""

    by_pattern: float = 0.45
    encode: float = 0.2
    by_attributes: float = 0.1
    like: float = 0.06
    between: float = 0.05
    pattern_of: float = 0.08
    define: float = 0.04
    use: float = 0.02

    def __post_init__(self) -> None:
        values = [getattr(self, f.name) for f in fields(self)]
        if min(values) < 0 or sum(values) <= 0:
            raise WotdError(f"language shares are {values}; expected 0 or more each, and one above 0")


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

    train: int = 20_000
    valid: int = 500
    test: int = 1_000
    seed: int = 0
    held_out: float = 0.05
    held_rows: float = 0.5
    shares: Shares = field(default_factory=Shares)
    usual: int = 5
    usual_share: float = 0.75
    most: int = 8
    whole: float = 0.5
    own_weight: float = 4.0
    rare_weight: float = 0.5
    rare_zipf: float = 3.0
    pool: int = 3

    def __post_init__(self) -> None:
        for name in ("train", "valid", "test"):
            if getattr(self, name) < 0:
                raise WotdError(f"language {name} is {getattr(self, name)} rows; expected 0 or more")
        for name in ("held_out", "held_rows", "usual_share", "whole"):
            if not 0 <= getattr(self, name) <= 1:
                raise WotdError(f"language {name} is {getattr(self, name)}; expected 0 to 1")
        for name in ("own_weight", "rare_weight"):
            if not getattr(self, name) > 0:
                raise WotdError(f"language {name} is {getattr(self, name)}; expected above 0")
        if not (1 <= self.usual <= self.most <= MOST_WORDS and self.pool >= 1):
            raise WotdError(
                f"language usual {self.usual}, most {self.most}, pool {self.pool}: expected 1 or more, usual no more "
                f"than most, and most no more than {MOST_WORDS}"
            )


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
    rank: int = 8
    scale: float = 2.0
    dropout: float = 0.0
    layers: int = -1
    keys: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise WotdError(f"lora method {self.method!r} is unknown; expected one of {', '.join(METHODS)}")
        if self.rank < 1:
            raise WotdError(f"lora rank is {self.rank}; expected 1 or more")
        if not self.scale > 0:
            raise WotdError(f"lora scale is {self.scale:g}; expected more than 0: it is α/r")
        if not 0 <= self.dropout < 1:
            raise WotdError(f"lora dropout is {self.dropout:g}; expected 0 or more, and less than 1")
        if self.layers < 1 and self.layers != -1:
            raise WotdError(f"lora layers is {self.layers}; expected 1 or more, or -1 for all")
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
        code_tokens: levels of the codes that get a learned token each; empty for plain digits.
        compile: fuse a step with ``mx.compile``; None where that can be done: on a GPU, or with a C++ compiler.
        seed: of adapters, order and dropout.
    """

    lora: LoraConfig = field(default_factory=LoraConfig)
    steps: int = 0
    minutes: float = 0.0
    epochs: int = 1
    batch: int = 16
    micro_batch: int = 0
    form_weight: float = 4.0
    unlikelihood: float = 1.0
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.0
    clip: float = 1.0
    warmup: float = 0.05
    longest: int = 512
    valid_rows: int = 128
    evaluations: int = 10
    patience: int = 5
    checkpointing: bool = False
    code_tokens: tuple[int, ...] = ()
    compile: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "evaluations", "patience"):
            if getattr(self, name) < 1:
                raise WotdError(f"language {name} is {getattr(self, name)}; expected 1 or more")
        for name in ("steps", "minutes", "micro_batch", "weight_decay", "valid_rows", "unlikelihood"):
            if getattr(self, name) < 0:
                raise WotdError(f"language {name} is {getattr(self, name):g}; expected 0 or more")
        for name in ("learning_rate", "clip", "form_weight"):
            if not getattr(self, name) > 0:
                raise WotdError(f"language {name} is {getattr(self, name):g}; expected more than 0")
        if not 0 <= self.warmup < 1:
            raise WotdError(f"language warmup is {self.warmup:g}; expected a share of the steps, less than 1")
        if self.longest < 8:
            raise WotdError(f"language longest is {self.longest}; expected 8 tokens or more")
        if not 0 <= self.seed < 2**32:
            raise WotdError(f"language seed is {self.seed}; expected 0 to {2**32 - 1}")
        if self.steps and self.minutes:
            raise WotdError(f"{self.steps} steps and {self.minutes:g} minutes are both given; give one of the two")

    def rate(self, step: int, planned: int) -> float:
        r"""The rate of step ``step``, the first 0, of ``planned``: up over w steps, then along a cosine.

        .. math:: \eta_t = \eta \min\left(1, \tfrac{t+1}{w}\right), \qquad
            \eta_t = \tfrac12 \eta \left(1 + \cos \pi \tfrac{t-w}{T-w}\right)
        """
        rising = max(1, round(self.warmup * planned)) if self.warmup else 0
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        share = min(1.0, (step - rising) / max(1, planned - rising))
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class LanguageConfig:
    """The language stage of a run.

    Args:
        model: ``auto``, ``none`` for no such stage, a hub id, a folder in mlx-lm's form, or a GGUF file.
        requests: how many are answered to measure it at the end of a training.
        glosses: a JSONL file of definitions and examples, ``{"word", "definition", "examples"}``; None for none.
    """

    model: str = "auto"
    requests: int = 60
    glosses: str | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    recipe: LanguageRecipe = field(
        default_factory=lambda: LanguageRecipe(LoraConfig(layers=16), steps=450, batch=8, evaluations=4, valid_rows=64)
    )

    def __post_init__(self) -> None:
        if self.requests < 2:
            raise WotdError(f"language requests is {self.requests}; expected 2 or more")
