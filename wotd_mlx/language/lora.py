"""Adapters on a frozen language model: put on, read and fused in mlx-lm's own form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.language import LoraConfig
from wotd_mlx.io.files import appearing
from wotd_mlx.io.records import shown
from wotd_mlx.io.safetensors import check_arrays, named, write_arrays
from wotd_mlx.language.adapters import ADAPTERS, read_config, read_weights
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.schemas import WotdError


def linear_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers within a transformer layer, which may serve as keys.

    Raises:
        WotdError: the model isn't built of ``layers``.
    """
    from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

    kinds = (nn.Linear, nn.QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)
    found: dict[str, None] = {}
    for layer in _layers(model):
        found |= dict.fromkeys(sorted(name for name, module in layer.named_modules() if isinstance(module, kinds)))
    return list(found)


def apply(model: nn.Module, cfg: LoraConfig) -> LoraConfig:
    """Freeze a model and put adapters on it, in place; returns ``cfg`` with the keys that were taken.

    Raises:
        WotdError: a key that matches no layer, more layers than there are, adapters that are there already, or full
            tuning of quantised weights.
    """
    layers, there = _layers(model), linear_layers(model)
    if cfg.layers > len(layers):
        raise WotdError(f"lora layers is {cfg.layers}, the model has {len(layers)}; give that or fewer, or -1 for all")
    _check_bare(model)
    _check_keys(cfg.keys or (), there, model)
    chosen = replace(cfg, keys=cfg.keys or tuple(there))
    model.freeze()
    if cfg.method == "full":
        if any(isinstance(module, nn.QuantizedLinear) for _, module in model.named_modules()):
            raise WotdError("full tuning needs weights that aren't quantised; take method lora or dora")
        for layer in layers if cfg.layers < 0 else layers[-cfg.layers :]:
            layer.unfreeze()
        return chosen
    _put_on(model, chosen)
    return chosen


def _check_bare(model: nn.Module) -> None:
    if any(name.rsplit(".", 1)[-1] == "lora_a" for name in named(model.parameters())):
        raise WotdError("the model has adapters already; load it anew, or fuse them first")


def _put_on(model: nn.Module, cfg: LoraConfig) -> None:
    from mlx_lm.tuner.utils import linear_to_lora_layers

    parameters = {"rank": cfg.rank, "scale": cfg.scale, "dropout": cfg.dropout, "keys": list(cfg.keys or ())}
    linear_to_lora_layers(model, cfg.layers, parameters, use_dora=cfg.method == "dora")


def _check_keys(keys: tuple[str, ...], there: list[str], model: nn.Module) -> None:
    whole = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.QuantizedLinear)}
    if dead := [key for key in keys if key not in there and key not in whole]:
        told = ", ".join(map(shown, dead[:3])) + " …" * (len(dead) > 3)
        raise WotdError(f"lora keys {told} match no layer of the model; it has {', '.join(there)}")


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = getattr(model, "layers", None)
    if not layers:
        raise WotdError(f"{type(model).__module__} has no layers to adapt; expected one of mlx-lm's transformers")
    return list(layers)


def trained(model: nn.Module) -> dict[str, mx.array]:
    """Name -> weight of all that is trained in a model, under the names of an adapter file."""
    return named(model.trainable_parameters())


def read_adapters(language: LoadedModel, folder: Path) -> LoadedModel:
    """The language with the adapters of a folder on it, its model changed in place, ready to generate.

    Raises:
        MissingError: there are none.
        WotdError: they are damaged, not finite, another training's than their settings, or another model's.
    """
    config = read_config(folder)
    weights, model = read_weights(folder, config), language.model
    origin = config.wotd
    hint = f"give the model that they were trained on{f', {origin.model}' if origin else ''}"
    try:
        apply(model, config.lora)
    except WotdError as error:
        raise WotdError(f"the adapters {folder} don't fit {language.name}: {error}; {hint}") from error
    # They may be kept in half precision, or be of a model that is, whatever this one computes in.
    expected = {name: _alike(weight, weights.get(name)) for name, weight in trained(model).items()}
    check_arrays(weights, expected, folder / ADAPTERS, hint)
    put_in(model, weights)
    mx.eval(model.parameters())
    model.freeze()
    model.eval()
    return language


def _alike(weight: mx.array, found: mx.array | None) -> mx.array:
    floating = found is not None and mx.issubdtype(found.dtype, mx.floating)
    return weight.astype(found.dtype) if found is not None and floating else weight


def put_in(model: nn.Module, weights: Mapping[str, mx.array]) -> None:
    """Give a model the weights of an adapter file; the adapters are on it already."""
    model.load_weights(list(weights.items()), strict=False)


def fuse(language: LoadedModel, folder: Path) -> Path:
    """Write a model folder that ``mlx_lm.load`` reads, with the adapters in its weights; the language stays as it is.

    Each adapted weight becomes W + scale · B A, quantised again where it was.

    Raises:
        WotdError: there is a file of that name, or a folder with something in it.
    """
    from mlx_lm.utils import make_shards, save_config

    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise WotdError(f"{folder} isn't {'empty' if folder.is_dir() else 'a folder'}; give a new folder for the model")
    modules = {name: module for name, module in language.model.named_modules() if hasattr(module, "fuse")}
    plain = named(language.model.parameters())
    weights = {n: w for n, w in plain.items() if not any(n.startswith(f"{m}.") for m in modules)}
    for name, module in modules.items():
        weights |= {f"{name}.{part}": weight for part, weight in named(module.fuse().parameters()).items()}
    config = _model_config(language)
    with appearing(folder) as made:
        made.mkdir()
        shards = make_shards(weights)
        for i, shard in enumerate(shards, 1):
            name = "model.safetensors" if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
            write_arrays(made / name, shard)
        save_config(config, made / "config.json")
        language.tokenizer.save_pretrained(str(made))
    return folder


def _model_config(language: LoadedModel) -> dict[str, Any]:
    """The model's own settings, or where it came from a GGUF file, what its class was built with."""
    content = dict(language.config or dataclasses.asdict(language.model.args))
    quantised = [m for _, m in language.model.named_modules() if isinstance(m, nn.QuantizedLinear)]
    if not quantised:  # or no longer, as on a CPU
        content.pop("quantization", None)
        content.pop("quantization_config", None)
    elif not language.config:
        content["quantization"] = {"group_size": quantised[0].group_size, "bits": quantised[0].bits}
    ends = sorted(language.tokenizer.eos_token_ids)
    return content | {"eos_token_id": ends[0] if len(ends) == 1 else ends}
