"""Adapters on a frozen language model: put on, written, read and fused in mlx-lm's own form."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from wotd_mlx.config.language import METHODS, LoraConfig
from wotd_mlx.files import write_atomically
from wotd_mlx.language.chat import Language
from wotd_mlx.schemas import WotdError

ADAPTERS, CONFIG = "adapters.safetensors", "adapter_config.json"
"""The files' names, which mlx-lm gave."""

_LEAVES = {"lora": ("lora_a", "lora_b"), "dora": ("lora_a", "lora_b", "m")}


def content_of(cfg: LoraConfig) -> dict[str, Any]:
    """The part of ``adapter_config.json`` that mlx-lm reads."""
    parameters = {"rank": cfg.rank, "scale": cfg.scale, "dropout": cfg.dropout, "keys": list(cfg.keys or ())}
    return {
        "fine_tune_type": cfg.method,
        "num_layers": cfg.layers,
        "lora_parameters": None if cfg.method == "full" else parameters,
    }


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
    _put_on(model, content_of(chosen))
    return chosen


def _check_bare(model: nn.Module) -> None:
    if any(name.rsplit(".", 1)[-1] == "lora_a" for name, _ in _flat(model.parameters())):
        raise WotdError("the model has adapters already; load it anew, or fuse them first")


def _put_on(model: nn.Module, content: Mapping[str, Any]) -> None:
    from mlx_lm.tuner.utils import linear_to_lora_layers

    use_dora = content["fine_tune_type"] == "dora"
    linear_to_lora_layers(model, content["num_layers"], dict(content["lora_parameters"]), use_dora=use_dora)


def _check_keys(keys: tuple[str, ...], there: list[str], model: nn.Module) -> None:
    whole = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.QuantizedLinear)}
    if dead := [key for key in keys if key not in there and key not in whole]:
        raise WotdError(f"lora keys {', '.join(dead)} match no layer of the model; it has {', '.join(there)}")


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = getattr(model, "layers", None)
    if not layers:
        raise WotdError(f"{type(model).__module__} has no layers to adapt; expected one of mlx-lm's transformers")
    return list(layers)


def _flat(tree: Any) -> list[tuple[str, mx.array]]:
    found: Any = tree_flatten(tree)
    return list(found)


def write_config(folder: Path, cfg: LoraConfig, ours: Mapping[str, Any]) -> None:
    """Write ``adapter_config.json``: what mlx-lm reads, and what only we do under ``wotd``."""
    content = {**content_of(cfg), "wotd": dict(ours)}
    write_atomically(folder / CONFIG, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_adapters(folder: Path, weights: Mapping[str, mx.array]) -> None:
    """Write ``adapters.safetensors``, whole or not at all."""
    write_atomically(folder / ADAPTERS, lambda file: mx.save_safetensors(file, dict(weights), {"format": "mlx"}))


def trained(model: nn.Module) -> dict[str, mx.array]:
    """Name -> weight of all that is trained in a model, under the names of an adapter file."""
    from wotd_mlx.language.tokens import NAME, TABLE

    def named(name: str) -> str:
        return TABLE if name.rsplit(".", 1)[-1] == NAME else name

    return {named(name): weight for name, weight in _flat(model.trainable_parameters())}


def read_config(folder: Path) -> dict[str, Any]:
    """``adapter_config.json`` of a folder.

    Raises:
        WotdError: it is missing or damaged, or no adapter's.
    """
    path, expected = folder / CONFIG, "expected a folder that `wotd-mlx language train` or `mlx_lm.lora` wrote"
    if not folder.is_dir():
        raise WotdError(f"no adapters {folder}: no such folder; {expected}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WotdError(f"{folder} has no {CONFIG}; {expected}") from error
    except (OSError, ValueError) as error:
        raise WotdError(f"{path} can't be read as JSON ({error}); {expected}") from error
    method = content.get("fine_tune_type", "lora") if isinstance(content, dict) else None
    parameters = content.get("lora_parameters") if isinstance(content, dict) else None
    needed = {"rank", "scale", "dropout"}
    whole = method == "full" or (isinstance(parameters, dict) and needed <= parameters.keys())
    if method not in METHODS or not whole or not isinstance(content.get("num_layers"), int):
        raise WotdError(f"{path} describes no adapters: it needs num_layers and lora_parameters; {expected}")
    return {**content, "fine_tune_type": method}


def read_adapters(language: Language, folder: Path) -> Language:
    """The language with the adapters of a folder on it, its model changed in place, ready to generate.

    Raises:
        WotdError: they are missing, cut short, or another model's.
    """
    content = read_config(folder)
    weights = read_weights(folder / ADAPTERS)
    ours = content.get("wotd") if isinstance(content.get("wotd"), dict) else {}
    assert isinstance(ours, dict)
    model, parameters = language.model, content["lora_parameters"]
    _check_bare(model)
    whose = f"the adapters {folder} were trained on {ours['model']}" if ours.get("model") else f"the adapters {folder}"
    if content["num_layers"] > len(_layers(model)):
        raise WotdError(
            f"{whose} have {content['num_layers']} layers, {language.name} has {len(_layers(model))}; "
            "give the model that they were trained on"
        )
    model.freeze()
    if content["fine_tune_type"] == "full":
        for layer in _layers(model)[-content["num_layers"] :] if content["num_layers"] > 0 else _layers(model):
            layer.unfreeze()
    else:
        _check_keys(tuple(parameters.get("keys") or ()), linear_layers(model), model)
        _put_on(model, content)
    if levels := ours.get("code_tokens"):
        from wotd_mlx.language.tokens import CodeTokens, extend

        language = extend(language, CodeTokens(tuple(levels)))
    expected = {name: weight.shape for name, weight in trained(model).items()}
    found = {name: weight.shape for name, weight in weights.items()}
    if wrong := sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)):
        name = wrong[0]
        raise WotdError(
            f"{whose}, and don't fit {language.name}: {len(wrong)} weights differ, such as {name} "
            f"{found.get(name, 'missing')}, expected {expected.get(name, 'none')}; give the model they were trained on"
        )
    put_in(model, weights)
    mx.eval(model.parameters())
    model.freeze()
    model.eval()
    return language


def put_in(model: nn.Module, weights: Mapping[str, mx.array]) -> None:
    """Give a model the weights of an adapter file; the adapters are on it already."""
    from wotd_mlx.language.tokens import NAME, TABLE

    table = next((name for name, _ in _flat(model.parameters()) if name.rsplit(".", 1)[-1] == NAME), TABLE)
    model.load_weights([(table if name == TABLE else name, w) for name, w in weights.items()], strict=False)


def read_weights(path: Path) -> dict[str, mx.array]:
    """The arrays of a safetensors file.

    Raises:
        WotdError: it is missing or cut short.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # MLX reads every type, but doesn't see that a file is cut short.
        with safe_open(path, framework="np"):
            pass
        arrays = mx.load(str(path), format="safetensors")
    except FileNotFoundError as error:
        raise WotdError(f"no {path}; expected the adapters beside {CONFIG}: train them again") from error
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WotdError(f"{path} can't be read as safetensors ({error}); it is cut short: train again") from error
    assert isinstance(arrays, dict)
    return arrays


def fuse(language: Language, folder: Path) -> Path:
    """Write a model folder that ``mlx_lm.load`` reads, with the adapters in its weights; the language stays as it is.

    Each adapted weight becomes W + scale · B A, quantised again where it was. Code tokens become rows of the embedding.

    Raises:
        WotdError: the folder has something in it already.
    """
    from mlx_lm.utils import make_shards, save_config

    if folder.exists() and any(folder.iterdir()):
        raise WotdError(f"{folder} isn't empty; give a new folder for the fused model")
    modules = {name: module for name, module in language.model.named_modules() if hasattr(module, "fuse")}
    weights = {n: w for n, w in _flat(language.model.parameters()) if not any(n.startswith(f"{m}.") for m in modules)}
    for name, module in modules.items():
        weights |= {f"{name}.{part}": weight for part, weight in _flat(module.fuse().parameters())}
    config = _model_config(language)
    rows = [w.shape[0] for n, w in weights.items() if n.endswith("embed_tokens.weight")]
    config["vocab_size"] = max([config.get("vocab_size", 0), *rows])
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        shards = make_shards(weights)
        for i, shard in enumerate(shards, 1):
            name = "model.safetensors" if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
            mx.save_safetensors(str(made / name), shard, {"format": "mlx"})
        save_config(config, made / "config.json")
        language.tokenizer.save_pretrained(str(made))
        made.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        made.replace(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return folder


def _model_config(language: Language) -> dict[str, Any]:
    """The model's own ``config.json``, or where it came from a GGUF file, what its class was built with."""
    file = language.path / "config.json" if language.path and language.path.is_dir() else None
    if file and file.exists():
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    else:
        content = dataclasses.asdict(language.model.args)
        quantised = [m for _, m in language.model.named_modules() if isinstance(m, nn.QuantizedLinear)]
        if quantised:
            content["quantization"] = {"group_size": quantised[0].group_size, "bits": quantised[0].bits}
    ends = sorted(language.tokenizer.eos_token_ids)
    return content | {"eos_token_id": ends[0] if len(ends) == 1 else ends}
