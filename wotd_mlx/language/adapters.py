"""The files of adapters, in mlx-lm's own form: their settings, their weights, and that the two belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import mlx.core as mx

from wotd_mlx.config.language import METHODS, LanguageRecipe, LoraConfig
from wotd_mlx.config.ranges import Count, Part, Positive
from wotd_mlx.io.json import read_json, write_json
from wotd_mlx.io.records import checked
from wotd_mlx.io.safetensors import digest_of, read_arrays, read_metadata, write_arrays
from wotd_mlx.schemas import MissingError, WotdError

ADAPTERS, CONFIG = "adapters.safetensors", "adapter_config.json"
"""The files' names, which mlx-lm gave."""
SETTINGS = "settings"
"""In the metadata of weights: the digest of the settings that they were trained with."""

_HINT = "expected a folder that `wotd-mlx language train` or `mlx_lm.lora` wrote"


@dataclass(frozen=True)
class LoraParameters:
    """What mlx-lm puts a low-rank layer on with."""

    rank: Count
    scale: Positive
    dropout: Part
    keys: tuple[str, ...] | None = None
    further_keys: ClassVar[bool] = True


@dataclass(frozen=True)
class Origin:
    """What only we read of ``adapter_config.json``: enough to tell whether a training may go on, and whose it is.

    Args:
        model: the language model's name.
        rows: digest of the rows that are trained on.
        codes: digest of the run's codes that the rows were made from; None for rows that no run made.
        recipe: how it is trained.
        finished: whether the adapters are the training's last.
    """

    model: str
    rows: str
    codes: str | None
    recipe: LanguageRecipe
    finished: bool


@dataclass(frozen=True)
class AdapterConfig:
    """``adapter_config.json``, which holds much else when mlx-lm wrote it."""

    num_layers: int
    fine_tune_type: str = "lora"
    lora_parameters: LoraParameters | None = None
    wotd: Origin | None = None
    further_keys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.fine_tune_type not in METHODS:
            raise WotdError(f"fine_tune_type is {self.fine_tune_type!r}, expected one of {', '.join(METHODS)}")
        if self.num_layers < 1 and self.num_layers != -1:
            raise WotdError(f"num_layers is {self.num_layers}, expected 1 or more, or -1 for all")
        if self.lora_parameters is None and self.fine_tune_type != "full":
            raise WotdError(f"it lacks lora_parameters, which {self.fine_tune_type} needs")
        if self.lora_parameters is not None and self.lora_parameters.keys == ():
            raise WotdError("lora_parameters.keys is an empty list, expected names of layers, or null for all")

    @classmethod
    def of(cls, cfg: LoraConfig, origin: Origin | None = None) -> AdapterConfig:
        """What is written for adapters that were put on with ``cfg``."""
        parameters = LoraParameters(cfg.rank, cfg.scale, cfg.dropout, cfg.keys) if cfg.method != "full" else None
        # As it will be read again, 2 for a scale as 2.0: the digest is of that.
        return checked(cls, asdict(cls(cfg.layers, cfg.method, parameters, origin)))

    @property
    def lora(self) -> LoraConfig:
        """What puts such adapters on."""
        if (given := self.lora_parameters) is None:
            return LoraConfig(self.fine_tune_type, layers=self.num_layers)
        return LoraConfig(self.fine_tune_type, given.rank, given.scale, given.dropout, self.num_layers, given.keys)

    @property
    def digest(self) -> str:
        """What tells a training from others, however far it has come."""
        origin = self.wotd and replace(self.wotd, finished=False)
        return digest_of(asdict(replace(self, wotd=origin)))


def write_config(folder: Path, config: AdapterConfig) -> None:
    """Write ``adapter_config.json``: what mlx-lm reads, and what only we do under ``wotd``."""
    write_json(folder / CONFIG, asdict(config))


def write_weights(folder: Path, weights: Mapping[str, mx.array], config: AdapterConfig) -> None:
    """Write ``adapters.safetensors``, whole or not at all."""
    write_arrays(folder / ADAPTERS, weights, {SETTINGS: config.digest})


def read_config(folder: Path) -> AdapterConfig:
    """``adapter_config.json`` of a folder.

    Raises:
        MissingError: there is no such folder or file.
        WotdError: it is damaged, or no adapters'; file and key are named.
    """
    if not folder.is_dir():
        raise MissingError(f"no adapters {folder}: no such folder; {_HINT}")
    return read_json(folder / CONFIG, AdapterConfig, _HINT)


def check_weights(folder: Path, config: AdapterConfig) -> None:
    """See that the weights beside a config were trained with its settings; they themselves aren't read.

    Raises:
        MissingError: there are none.
        WotdError: they are another training's, or none at all.
    """
    path = folder / ADAPTERS
    # mlx-lm writes no digests, and so no settings to hold its own weights to.
    if config.wotd is not None or SETTINGS in read_metadata(path, _again(config)):
        read_metadata(path, _again(config), {SETTINGS: config.digest})


def read_weights(folder: Path, config: AdapterConfig) -> dict[str, mx.array]:
    """The weights beside a config.

    Raises:
        MissingError: there are none.
        WotdError: they are damaged, or another training's.
    """
    check_weights(folder, config)
    return read_arrays(folder / ADAPTERS, _again(config)).arrays


def _again(config: AdapterConfig) -> str:
    return "train them again with `wotd-mlx language train --fresh`" if config.wotd else _HINT
