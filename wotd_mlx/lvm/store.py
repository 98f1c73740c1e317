"""Where trainings of predictors lie: ``OUT/models/NAME/`` and its files, under names that users rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import mlx.core as mx

from wotd_mlx.io.files import write_atomically
from wotd_mlx.io.records import checked
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import architecture, build
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.training.recipe import Recipe
from wotd_mlx.schemas import WotdError


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
    """

    name: str
    preset: str
    architecture: dict[str, Any]
    recipe: Recipe
    embedding: str
    data: str
    digest: str
    valid: float = 0.10
    test: float = 0.05


class ModelFolder:
    """The files of one model's training."""

    def __init__(self, out: Path, name: str):
        self.path = out / "models" / name
        self.config = self.path / "config.json"
        self.history = self.path / "training_history.json"
        self.best = self.path / "best_model.safetensors"
        self.final = self.path / "final_model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"

    def write_settings(self, settings: Settings) -> None:
        """Write ``config.json``."""
        write_atomically(self.config, (json.dumps(asdict(settings), indent=2) + "\n").encode())

    def settings(self) -> Settings:
        """Read ``config.json``.

        Raises:
            WotdError: missing or damaged, or it has keys of another version.
        """
        raw, kinds = read_json(self.config), get_type_hints(Settings)
        if not isinstance(raw, Mapping) or raw.keys() != kinds.keys():
            raise WotdError(f"{self.config} is no training's config.json; train into another folder")
        for key, kind in kinds.items():
            if kind in (str, float) and type(raw[key]) is not kind:
                raise WotdError(
                    f"{self.config}: {key} is {raw[key]!r}, expected {kind.__name__}; train again with --fresh"
                )
        checked(architecture(raw["name"]).Config, raw["architecture"], f"{self.config}: architecture")
        return Settings(**{**raw, "recipe": checked(Recipe, raw["recipe"], f"{self.config}: recipe")})

    def load(self, which: Path | None = None) -> tuple[NextVector, Settings]:
        """The trained model, its best weights unless told otherwise, ready to predict; their types are as saved.

        Raises:
            WotdError: no training here, or weights that are cut short or another model's.
        """
        settings, file = self.settings(), which or self.best
        model = untrained(settings)
        weights, _ = read_arrays(file)
        expected, found = shapes(model), {name: weight.shape for name, weight in weights.items()}
        if found != expected:
            wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
            raise WotdError(
                f"{file} doesn't fit {settings.name}: {len(wrong)} weights differ, such as {wrong[0]} "
                f"{found.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'none')}"
            )
        model.load_weights(list(weights.items()))
        mx.eval(model.parameters())
        model.eval()
        return model, settings


def untrained(settings: Settings) -> NextVector:
    """A model of these settings with random weights."""
    config = checked(architecture(settings.name).Config, settings.architecture, settings.name)
    recipe = settings.recipe
    return NextVector(build(settings.name, config), recipe.base, recipe.context_dropout, recipe.noise)


def shapes(model: NextVector) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all weights, frozen ones too."""
    return {name: weight.shape for name, weight in named(model.parameters()).items()}


def trained_models(out: Path) -> list[str]:
    """Names of the models under ``out`` whose training has ended, in the order of their sizes."""
    from wotd_mlx.lvm import NAMES

    return [name for name in NAMES if ModelFolder(out, name).final.exists()]


def read_json(path: Path) -> Any:
    """Raises WotdError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WotdError(f"no {path}; make it with `wotd-mlx lvm train {path.parent.name}`") from error
    except (OSError, ValueError) as error:
        raise WotdError(f"{path} can't be read ({error}); train again into another folder") from error


def write_arrays(path: Path, arrays: Mapping[str, mx.array], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, each in its own type, whole or not at all."""
    write_atomically(path, lambda file: mx.save_safetensors(file, dict(arrays), dict(metadata or {})))


def read_arrays(path: Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Named arrays and their metadata.

    Raises:
        WotdError: missing, cut short, or no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # MLX reads bfloat16, which safetensors doesn't without another package, but not whether a file is whole.
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        arrays = mx.load(str(path), format="safetensors")
        assert isinstance(arrays, dict)
        return arrays, metadata
    except FileNotFoundError as error:
        raise WotdError(f"no {path}; make it with `wotd-mlx lvm train {path.parent.name}`") from error
    except (OSError, SafetensorError) as error:
        raise WotdError(f"{path} can't be read as safetensors ({error}); it is cut short: train again") from error
