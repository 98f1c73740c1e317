"""Every setting of a training, as frozen dataclasses read from YAML or the command line.

An unknown key is an error: a misspelt setting must not train something else in silence.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from wotd_mlx.backend import DEFAULT_MEMORY_LIMIT
from wotd_mlx.language.settings import LanguageConfig
from wotd_mlx.schemas import Attribute, WotdError

T = TypeVar("T")

# The only place that names them: any other attributes train just as well.
DEFAULT_ATTRIBUTES = (
    Attribute("style", ("classical", "romantic", "neutral", "modern")),
    Attribute("complexity", ("simple", "plain", "beautiful", "complex")),
    Attribute("era", ("shakespearean", "victorian", "modernist", "contemporary")),
)

GRADIENTS = ("straight-through", "rotation", "soft", "noise")


class KindDefaults(NamedTuple):
    """What a kind of codes takes where a setting is not given; ``latent`` 0 is as wide as the embedding."""

    levels: tuple[int, ...]
    latent: int
    # The best in benchmarks/results/gradients.json; a dictionary learns nothing by gradient.
    gradient: str


KINDS = {
    "hvq": KindDefaults((8, 8, 8, 5), 0, "straight-through"),
    "fsq": KindDefaults((8, 8, 8, 5), 0, "soft"),
    "rvq": KindDefaults((32, 32, 32, 32), 64, "straight-through"),
}


# More codes than this in one coordinate are no longer read by anyone; chosen levels stay below.
MOST_CODES = 64

# An ID of more bits would need a cell table larger than the dictionary itself.
MOST_BITS = 24


@dataclass(frozen=True)
class CodesConfig:
    """The quantiser, the autoencoder around it, and their training.

    Args:
        kind: ``hvq``, ``fsq`` or ``rvq``.
        levels: codes in each of the Q coordinates; empty means the kind's default, or, with ``bits``, the best found.
        bits: how many bits an ID shall have: chooses levels from the data, or checks those given; 0 for no such wish.
        latent: width W that RVQ and HVQ quantise (FSQ's is Q); 0 means the kind's default, HVQ's as wide as the
            embedding.
        label_share: HVQ: what share of the accuracy with which the whole vector tells an attribute its coordinate shall
            keep; less error the lower it is.
        neighbour_weight: HVQ: how much more an error counts in directions in which words differ much, which keeps
            neighbours at the price of error; 0 is plain error.
        detail: bits of a residual code beyond the ID, for when more of the vector must survive; 0 for none.
        detail_whiten, detail_sharpen: see :class:`wotd_mlx.codes.detail.Detail`; 0 and 0 keep neighbours best, 0.5 and
            1 the ranking of similar sentences.
        label_weight: FSQ, RVQ: weight of the loss that ties a coordinate to its attribute, beside a relative error of
            about 1.
        hidden: FSQ, RVQ: width of the encoder's and the decoder's hidden layer. The settings after it are theirs too.
        commitment: weight of the loss that pulls latents to their codes (RVQ).
        ema: share of a codebook's running mean that stays at each step.
        warmup: share of all steps over which the learning rate rises; then it falls along a cosine.
        patience: epochs without a better validation loss before the training stops.
        gradient: what trains the encoder, see :mod:`wotd_mlx.codes.gradient`; empty means the kind's best.
        compile: fuse the training step with ``mx.compile``.
    """

    kind: str = "hvq"
    levels: tuple[int, ...] = ()
    bits: int = 0
    latent: int = 0
    label_share: float = 0.9
    neighbour_weight: float = 0.35
    detail: int = 0
    detail_whiten: float = 0.0
    detail_sharpen: float = 0.0
    hidden: int = 256
    epochs: int = 30
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1
    clip: float = 1.0
    patience: int = 6
    label_weight: float = 0.03
    commitment: float = 0.25
    ema: float = 0.99
    gradient: str = ""
    compile: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise WotdError(f"codes kind {self.kind!r} is unknown; expected one of {', '.join(KINDS)}")
        default = KINDS[self.kind]
        if not self.bits:
            object.__setattr__(self, "levels", self.levels or default.levels)
        object.__setattr__(self, "latent", self.latent or default.latent)
        object.__setattr__(self, "gradient", self.gradient or default.gradient)
        if self.gradient not in GRADIENTS:
            raise WotdError(f"codes gradient {self.gradient!r} is unknown; expected one of {', '.join(GRADIENTS)}")
        if self.bits < 0 or (self.bits and self.levels and abs(self.made_bits - self.bits) > 1):
            raise WotdError(
                f"codes levels {list(self.levels)} make {self.made_bits:.1f} bits, not {self.bits}; give one of the two"
            )
        if min(self.levels, default=2) < 2:
            raise WotdError(f"codes levels {list(self.levels)}: each coordinate needs 2 codes or more")
        for name in ("hidden", "epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise WotdError(f"codes {name} is {getattr(self, name)}; expected 1 or more")
        for name in (
            "latent",
            "label_weight",
            "label_share",
            "neighbour_weight",
            "detail",
            "detail_whiten",
            "detail_sharpen",
        ):
            if getattr(self, name) < 0:
                raise WotdError(f"codes {name} is {getattr(self, name)}; expected 0 or more")

    @property
    def made_bits(self) -> float:
        """log2 of the number of different IDs that ``levels`` make."""
        return math.log2(math.prod(self.levels))


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training: what words, which embedding, which codes.

    Args:
        corpus: ``builtin``, a folder of texts with a manifest, or a JSONL file.
        lexicon: train and test the codes on the built-in lexicon too, not on the corpus alone.
        embedding: a registry id or a checkpoint folder.
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
    embedding: str = "sentence-transformers/all-MiniLM-L6-v2"
    codes: CodesConfig = field(default_factory=CodesConfig)
    attributes: tuple[Attribute, ...] = DEFAULT_ATTRIBUTES
    seed: int = 0
    held_out: float = 0.15
    validation: float = 0.05
    memory_limit: int = DEFAULT_MEMORY_LIMIT
    cache: str | None = None
    student: bool = False
    language: LanguageConfig = field(default_factory=LanguageConfig)

    def __post_init__(self) -> None:
        if self.codes.levels and len(self.attributes) > len(self.codes.levels):
            raise WotdError(
                f"{len(self.attributes)} attributes need as many coordinates; "
                f"codes levels {list(self.codes.levels)} have {len(self.codes.levels)}"
            )
        if self.codes.kind == "hvq" and self.codes.levels:
            self._check_dictionary()
        if self.codes.kind == "hvq" and self.codes.bits > MOST_BITS:
            raise WotdError(f"{self.codes.bits} bits: a dictionary takes {MOST_BITS} at most, detail the rest")
        if not (self.held_out > 0 and self.validation > 0 and self.held_out + self.validation < 1):
            raise WotdError(
                f"held_out {self.held_out} and validation {self.validation} must be above 0 and leave words to train on"
            )

    def _check_dictionary(self) -> None:
        levels = list(self.codes.levels)
        if (bits := self.codes.made_bits) > MOST_BITS:
            raise WotdError(
                f"codes levels {levels} make {bits:.1f} bits; a dictionary takes {MOST_BITS} at most, detail the rest"
            )
        if len(self.attributes) == len(levels):
            raise WotdError(
                f"{len(levels)} attributes leave no coordinate free; give codes levels {levels} one coordinate more"
            )
        for attribute, codes in zip(self.attributes, levels, strict=False):
            if len(attribute.values) > codes:
                raise WotdError(
                    f"attribute {attribute.name} has {len(attribute.values)} values, its coordinate {codes} codes; "
                    "give it one code a value at least"
                )


def from_dict(cls: type[T], raw: Any, where: str = "config") -> T:
    """Build a config dataclass from parsed YAML or JSON.

    Raises:
        WotdError: an unknown key, a value of another type, or one that the config itself refuses.
    """
    if not isinstance(raw, Mapping):
        raise WotdError(f"{where}: got {type(raw).__name__}, expected keys and values")
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # only ever called with dataclasses
    if unknown := sorted(str(key) for key in raw if key not in known):
        raise WotdError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(known)}")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in raw.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return from_dict(typing.cast(type[Any], kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise WotdError(f"{where}: got {value!r}, expected a list")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise WotdError(f"{where}: got {value!r}, expected {kind.__name__}")
    return kind(value)


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file as a plain mapping, for :func:`from_dict`."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WotdError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise WotdError(f"{path} holds {type(raw).__name__}; expected keys and values")
    return raw
