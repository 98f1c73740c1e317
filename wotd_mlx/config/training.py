"""The settings of a whole training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from wotd_mlx.backend import DEFAULT_MEMORY_LIMIT
from wotd_mlx.config.codes import MAX_BITS, CodesConfig
from wotd_mlx.config.language import NO_LANGUAGE, LanguageConfig
from wotd_mlx.config.meaning import MeaningConfig
from wotd_mlx.config.ranges import Part, Seed, check
from wotd_mlx.schemas import Attribute, WotdError

# The only place that names them: any other attributes train just as well.
DEFAULT_ATTRIBUTES = (
    Attribute("style", ("classical", "romantic", "neutral", "modern")),
    Attribute("complexity", ("simple", "plain", "beautiful", "complex")),
    Attribute("era", ("shakespearean", "victorian", "modernist", "contemporary")),
)


Bytes = Annotated[int, Meta(ge=1, le=2**50)]


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training: what words, which embedding, which codes.

    Args:
        corpus: ``builtin``, a folder of texts with a manifest, or a JSONL file.
        lexicon: train and test the codes on the built-in lexicon too, not on the corpus alone.
        embedding: a registry id or a checkpoint folder.
        meaning: what a dictionary's glosses add to an embedding.
        attributes: what the first coordinates mean; one coordinate each, in this order.
        held_out: share of word families kept from training, on which the metrics are measured.
        validation: share of word families that decides when to stop.
        memory_limit: bytes that MLX may hold; a training that passes it stops with an error.
        cache: file of vectors that were embedded before; None embeds everything anew.
        student: distil embedding and quantiser into one small network too.
        language: what writes words for an ID.
    """

    corpus: str = "builtin"
    lexicon: bool = True
    embedding: str = "wotd-mlx/all-MiniLM-L6-v2-dictionary"
    meaning: MeaningConfig = field(default_factory=MeaningConfig)
    codes: CodesConfig = field(default_factory=CodesConfig)
    attributes: tuple[Attribute, ...] = DEFAULT_ATTRIBUTES
    seed: Seed = 0
    held_out: Part = 0.15
    validation: Part = 0.05
    memory_limit: Bytes = DEFAULT_MEMORY_LIMIT
    cache: str | None = None
    student: bool = False
    language: LanguageConfig = field(default_factory=LanguageConfig)

    def __post_init__(self) -> None:
        check(self, "training")
        if self.codes.levels and len(self.tied) > len(self.codes.levels):
            raise WotdError(
                f"{len(self.attributes)} attributes need as many coordinates; "
                f"codes levels {list(self.codes.levels)} have {len(self.codes.levels)}"
            )
        if self.codes.kind == "hvq" and self.codes.levels:
            self._check_dictionary()
        if self.codes.kind == "hvq" and self.codes.bits > MAX_BITS:
            raise WotdError(f"{self.codes.bits} bits: a dictionary takes {MAX_BITS} at most, detail the rest")
        if not self.codes.reads and (self.student or self.language.model != NO_LANGUAGE):
            raise WotdError(
                f"nobody reads an ID of {self.codes.kind} codes, a language model or a student neither; "
                "give --language none, and no --student"
            )
        if not (self.held_out > 0 and self.validation > 0 and self.held_out + self.validation < 1):
            raise WotdError(
                f"held_out {self.held_out} and validation {self.validation} must be above 0 and leave words to train on"
            )

    @property
    def tied(self) -> tuple[Attribute, ...]:
        """The attributes that coordinates of an ID are tied to: all, or, where no number means anything, none."""
        return self.attributes if self.codes.reads else ()

    def _check_dictionary(self) -> None:
        levels = list(self.codes.levels)
        if (bits := self.codes.made_bits) > MAX_BITS:
            raise WotdError(
                f"codes levels {levels} make {bits:.1f} bits; a dictionary takes {MAX_BITS} at most, detail the rest"
            )
        if len(self.attributes) == len(levels):
            raise WotdError(
                f"{len(levels)} attributes leave no coordinate free; give codes levels {levels} one coordinate more"
            )
        for attribute, codes in zip(self.attributes, levels, strict=False):
            if len(attribute.values) >= codes:
                raise WotdError(
                    f"attribute {attribute.name} has {len(attribute.values)} values, its coordinate {codes} codes; "
                    "give it one code a value at least, and one for none"
                )
