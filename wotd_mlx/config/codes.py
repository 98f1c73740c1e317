"""What an ID is made of, and how it is learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from msgspec import Meta

from wotd_mlx.config.ranges import MAX_COUNT, Count, Natural, Part, Positive, Share, Weight, check
from wotd_mlx.schemas import WotdError


class KindDefaults(NamedTuple):
    """What a kind of codes takes where a setting is not given; ``latent`` 0 is as wide as the embedding.

    ``reads`` is false where no number of an ID means anything by itself: the code is so many ``bits``.
    """

    levels: tuple[int, ...] = ()
    latent: int = 0
    reads: bool = True
    bits: int = 0


KINDS = {
    "hvq": KindDefaults((8, 8, 8, 2048)),
    "fsq": KindDefaults((8, 8, 8, 5)),
    "rvq": KindDefaults((32, 32, 32, 32), latent=64),
    "residual": KindDefaults(reads=False, bits=123),
    "binary": KindDefaults(reads=False, bits=123),
}

# More codes than this in one coordinate are no longer read by anyone; chosen levels stay below.
MAX_CODES = 64

# An ID of more bits would need a cell table larger than the dictionary itself.
MAX_BITS = 24


MAX_WHOLE_BITS = 1024
"""Bits of a code that keeps most of a vector."""


def byte_levels(bits: int) -> tuple[int, ...]:
    """Codes in each level, so that all levels together take exactly ``bits`` bits: 256 each, the rest in the last.

    Raises:
        WotdError: fewer than 1 or more than 1,024 bits.
    """
    if not 1 <= bits <= MAX_WHOLE_BITS:
        raise WotdError(f"a code of {bits} bits is not possible; choose 1 to {MAX_WHOLE_BITS:,}")
    return (256,) * (bits // 8) + ((1 << bits % 8,) if bits % 8 else ())


Level = Annotated[int, Meta(ge=2, le=2**MAX_BITS)]
"""Codes of one coordinate."""


@dataclass(frozen=True)
class CodesConfig:
    """The quantiser, the autoencoder around it, and their training.

    Args:
        kind: ``hvq``, ``fsq`` or ``rvq``; or ``residual`` or ``binary``, which keep most of a vector, in an ID of one
            number a byte that nobody reads.
        levels: codes in each of the Q coordinates; empty means the kind's default, or, with ``bits``, the best found.
        bits: how many bits an ID shall have: chooses levels from the data, or checks those given; 0 for no such wish.
            It is all that ``residual`` and ``binary`` need; 0 is 123.
        latent: width W that RVQ and HVQ quantise (FSQ's is Q); 0 means the kind's default, HVQ's as wide as the
            embedding.
        neighbour_weight: HVQ: how much more an error counts in directions in which words differ much, which keeps
            neighbours at the price of error; 0 is plain error.
        detail: bits of a residual code beyond the ID, for when more of the vector must survive; 0 for none.
        label_weight: FSQ, RVQ: weight of the loss that ties a coordinate to its attribute, beside a relative error of
            about 1.
        hidden: FSQ, RVQ: width of the encoder's and the decoder's hidden layer. The settings after it are theirs too.
        commitment: weight of the loss that pulls latents to their codes (RVQ).
        ema: share of a codebook's running mean that stays at each step.
        warmup: share of all steps over which the learning rate rises; then it falls along a cosine.
        patience: epochs without a better validation loss before the training stops.
        compile: fuse the training step with ``mx.compile``.
    """

    kind: str = "hvq"
    levels: tuple[Level, ...] = ()
    bits: Natural = 0
    latent: Natural = 0
    neighbour_weight: Weight = 0.35
    detail: Natural = 0
    hidden: Count = 256
    epochs: Count = 30
    batch: Count = 512
    learning_rate: Weight = 2e-3
    weight_decay: Weight = 1e-2
    warmup: Share = 0.1
    clip: Positive = 1.0
    patience: Count = 6
    label_weight: Weight = 0.03
    commitment: Weight = 0.25
    ema: Part = 0.99
    compile: bool = True

    def __post_init__(self) -> None:
        check(self, "codes")
        if self.kind not in KINDS:
            raise WotdError(f"codes kind {self.kind!r} is unknown; expected one of {', '.join(KINDS)}")
        default = KINDS[self.kind]
        if not default.reads:
            object.__setattr__(self, "bits", self.bits or round(self.made_bits) or default.bits)
            if self.levels not in ((), whole := byte_levels(self.bits)):
                raise WotdError(
                    f"codes levels {list(self.levels)} are no whole bytes, as {self.kind}'s are; give bits instead, "
                    f"such as {self.bits}, which makes {list(whole)}"
                )
            object.__setattr__(self, "levels", whole)
        if not self.bits:
            object.__setattr__(self, "levels", self.levels or default.levels)
        object.__setattr__(self, "latent", self.latent or default.latent)
        if self.bits and self.levels and abs(self.made_bits - self.bits) > 1:
            raise WotdError(
                f"codes levels {list(self.levels)} make {self.made_bits:.1f} bits, not {self.bits}; give one of the two"
            )

    @property
    def reads(self) -> bool:
        """Whether a number of an ID means something by itself."""
        return KINDS[self.kind].reads

    @property
    def made_bits(self) -> float:
        """log2 of the number of different IDs that ``levels`` make."""
        return math.log2(math.prod(self.levels))


@dataclass(frozen=True)
class ReaderConfig:
    """The classifier that tells HVQ what a vector says of each attribute: its shape and its training.

    Args:
        hidden: width of its hidden layer.
        balance: how much more a rare value counts: 0 as often as it comes, 1 each value alike.
        input_dropout, hidden_dropout: share of its inputs and of its hidden units left out in a step.
        learning_rate, weight_decay: AdamW's rate, which falls along a cosine, and its decay.
    """

    hidden: Count = 256
    balance: Share = 1 / 3
    epochs: Count = 12
    batch: Count = 512
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.1
    warmup: Share = 0.0
    input_dropout: Part = 0.5
    hidden_dropout: Part = 0.5

    def __post_init__(self) -> None:
        check(self, "reader")


@dataclass(frozen=True)
class ProbeConfig:
    """The logistic regression that tells how much of a label whole vectors tell.

    Args:
        prior: c of the penalty ‖W‖² / 2c: embeddings have more dimensions than rare values have words.
    """

    prior: Positive = 0.3
    epochs: Count = 200
    batch: Count = MAX_COUNT
    learning_rate: Positive = 0.05
    weight_decay: Weight = 0.0
    warmup: Share = 0.0

    def __post_init__(self) -> None:
        check(self, "probe")
