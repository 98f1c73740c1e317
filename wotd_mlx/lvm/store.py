"""Where trainings of predictors lie: ``OUT/models/NAME/`` and its files, under names that users rely on.

Weights and checkpoints hold a digest of the settings that made them, and weights one of the history until then: what
was left from another training is told when it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from wotd_mlx.config.lvm import Recipe
from wotd_mlx.config.ranges import Part, check
from wotd_mlx.io import safetensors
from wotd_mlx.io.json import read_json, write_json
from wotd_mlx.io.records import checked, shown
from wotd_mlx.io.safetensors import digest_of, named
from wotd_mlx.lvm import NAMES, architecture, build
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.training.history import Epoch, digest_of_history, in_order
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.checkpoint import Checkpoint

log = logging.getLogger("wotd_mlx")


@dataclass(frozen=True)
class Settings:
    """``config.json``: what a training was asked for, enough to build its model and to go on with it.

    Args:
        name: the model's key.
        preset: the size it was built at.
        architecture: the fields of the model's own ``Config``.
        recipe: how it is trained.
        embedding: whose vectors it predicts; D of them is ``architecture["dims"]``.
        data: the file of sentences, as given, and a digest of what it held.
        valid, test: shares of the articles kept from training.

    Raises:
        WotdError: one is of another type or out of range, or there is no such model.
    """

    name: str
    preset: str
    architecture: dict[str, Any]
    recipe: Recipe
    embedding: str
    data: str
    digest: str
    valid: Part = 0.10
    test: Part = 0.05

    def __post_init__(self) -> None:
        check(self, "settings")
        for what in ("data", "embedding"):
            try:
                getattr(self, what).encode()
            except UnicodeEncodeError as error:
                raise WotdError(
                    f"the name of the {what}, {shown(getattr(self, what))}, is not UTF-8; rename it"
                ) from error
        checked(architecture(self.name).Config, self.architecture, "architecture")
        if "dims" not in self.architecture:
            raise WotdError("architecture lacks dims, the width of the vectors")

    @property
    def made_from(self) -> dict[str, str]:
        """What the metadata of weights says of the settings that made them; where the data lie changes nothing."""
        return {"settings": digest_of({key: value for key, value in asdict(self).items() if key != "data"})}


class ModelFolder:
    """The files of one model's training."""

    def __init__(self, out: Path, name: str):
        self.path = out / "models" / name
        self.config = self.path / "config.json"
        self.history = self.path / "training_history.json"
        self.best = self.path / "best_model.safetensors"
        self.final = self.path / "final_model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self._hint = f"make it with `wotd-mlx lvm train {name}`, or anew with --fresh"

    def clear(self) -> None:
        """Remove a training, its settings last: at each moment what is still there belongs to them."""
        for file in (self.final, self.checkpoint, self.best, self.history, self.config):
            file.unlink(missing_ok=True)

    def write_settings(self, settings: Settings) -> None:
        """Write ``config.json``."""
        write_json(self.config, asdict(settings))

    def settings(self) -> Settings:
        """Read ``config.json``.

        Raises:
            MissingError: no training here.
            WotdError: it is damaged, or has keys of another version.
        """
        return read_json(self.config, Settings, self._hint)

    def ended(self, settings: Settings, whole: bool = False) -> bool:
        """Whether a training with these settings has ended here; the weights that are there are theirs.

        Args:
            whole: read all of what one that has ended left, not the heads of the files alone.

        Raises:
            MissingError: it has ended, and its best weights aren't there.
            WotdError: weights or a checkpoint of other settings, or damaged.
        """
        ended = self.final.exists()
        read = safetensors.read_arrays if ended and whole else safetensors.read_metadata
        for file in (self.final, self.best) if ended else (self.checkpoint, self.best):
            if ended or file.exists():
                read(file, self._hint, settings.made_from)
        return ended

    def write_history(self, history: Sequence[Epoch]) -> None:
        """Write ``training_history.json``."""
        write_json(self.history, [asdict(line) for line in history])

    def epochs(self) -> list[Epoch]:
        """Read ``training_history.json``, which is that of the weights beside it.

        Raises:
            MissingError: it isn't there.
            WotdError: it is damaged, or another training's.
        """
        found = read_json(self.history, list[Epoch], self._hint)
        try:
            in_order(found)
        except WotdError as error:
            raise WotdError(f"{self.history}: {error}; {self._hint}") from error
        kept = max((line.epoch for line in found if line.best), default=0)
        if not kept:
            raise WotdError(f"{self.history}: none of {len(found)} epochs is the best; {self._hint}")
        for file, until in ((self.best, kept), (self.final, len(found))):
            if file.exists():
                safetensors.read_metadata(file, self._hint, {"history": digest_of_history(found[:until])})
        return found

    def write_weights(
        self, path: Path, weights: Mapping[str, mx.array], settings: Settings, history: Sequence[Epoch]
    ) -> None:
        """Write weights, and what made them."""
        safetensors.write_arrays(path, weights, {**settings.made_from, "history": digest_of_history(history)})

    def load(self, which: Path | None = None) -> tuple[NextVector, Settings]:
        """The trained model, its best weights unless told otherwise, ready to predict; their types are as saved.

        Raises:
            MissingError: no training here.
            WotdError: weights that are cut short, changed, not finite, another model's or of other settings.
        """
        settings, file = self.settings(), which or self.best
        weights = safetensors.read_arrays(file, self._hint, settings.made_from).arrays
        model = untrained(settings)
        expected = {name: _as_saved(weight, weights.get(name)) for name, weight in named(model.parameters()).items()}
        safetensors.check_arrays(weights, expected, file, self._hint)
        model.load_weights(list(weights.items()))
        model.eval()
        return model, settings

    def checkpoint_of(self, settings: Settings) -> Checkpoint:
        """What going on needs."""
        hint = "train under the --memory-limit that it was begun with, or anew with --fresh"
        return Checkpoint(self.checkpoint, settings.made_from, hint)

    def see_best(self) -> None:
        """See that there are best weights.

        Raises:
            MissingError: they aren't there.
        """
        safetensors.read_metadata(self.best, self._hint)


def untrained(settings: Settings) -> NextVector:
    """A model of these settings with random weights."""
    config = checked(architecture(settings.name).Config, settings.architecture, settings.name)
    recipe = settings.recipe
    return NextVector(build(settings.name, config), recipe.base, recipe.context_dropout, recipe.noise)


def trained_models(out: Path) -> list[str]:
    """Names of the models under ``out`` whose training has ended, in the order of their sizes.

    Files of a training with other settings than lie beside them don't count; the log says so.
    """
    found = []
    for name in NAMES:
        folder = ModelFolder(out, name)
        if folder.final.exists():
            try:
                folder.ended(folder.settings())
            except WotdError as error:
                log.warning("%s is left out: %s", name, error)
            else:
                found.append(name)
    return found


def _as_saved(weight: mx.array, saved: mx.array | None) -> mx.array:
    """A weight in the type that it was saved in, where that has a point: large models are trained in bfloat16."""
    return weight if saved is None or not mx.issubdtype(saved.dtype, mx.floating) else weight.astype(saved.dtype)
