"""What many tests need: a BERT checkpoint small enough to make on the spot, and a run trained on it."""

from __future__ import annotations

import gc
import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from safetensors.numpy import save_file

import wotd_mlx
from wotd_mlx.config.language import LanguageConfig
from wotd_mlx.io.safetensors import write_arrays
from wotd_mlx.run_folder import RunFolder, settings_digest
from wotd_mlx.schemas import RunInfo

# How long an example takes is no property of it: a busy machine would fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_xdist_make_scheduler(config, log):
    """A file's tests stay together, and so do those of Swift, which take half a minute to build."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "swift" if "tests/export/test_swift" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="module", autouse=True)
def what_is_there_is_no_garbage():
    """Torch, transformers and coremltools leave a million objects, which each full collection would walk through."""
    gc.freeze()


def write_checkpoint(folder: Path, width: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """A random BERT in the hub's form, whose WordPiece spells words letter by letter."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = {
        "vocab_size": len(pieces),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_act": "gelu", **shape}))
    rng = np.random.default_rng(seed)

    def dense(name: str, out: int, into: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": rng.normal(0, 0.3, (out, into)), f"{name}.bias": rng.normal(0, 0.1, out)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": rng.normal(1, 0.1, width), f"{name}.bias": rng.normal(0, 0.1, width)}

    weights = norm("embeddings.LayerNorm")
    for table, rows in (("word", len(pieces)), ("position", 64), ("token_type", 2)):
        weights[f"embeddings.{table}_embeddings.weight"] = rng.normal(0, 1, (rows, width))
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for projection in ("query", "key", "value"):
            weights |= dense(f"{layer}.attention.self.{projection}", width, width)
        weights |= dense(f"{layer}.attention.output.dense", width, width)
        weights |= norm(f"{layer}.attention.output.LayerNorm")
        weights |= dense(f"{layer}.intermediate.dense", 2 * width, width)
        weights |= dense(f"{layer}.output.dense", width, 2 * width) | norm(f"{layer}.output.LayerNorm")
    save_file({k: v.astype(np.float32) for k, v in weights.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT, 32 wide."""
    return write_checkpoint(tmp_path_factory.mktemp("bert"))


def small_config(checkpoint: Path, **changes: object) -> wotd_mlx.TrainingConfig:
    """A training of seconds: the built-in words alone, a tiny BERT, few epochs."""
    kind = str(changes.pop("kind", wotd_mlx.CodesConfig.kind))
    codes = wotd_mlx.CodesConfig(kind=kind, epochs=3, hidden=32, latent=8, batch=128)
    changes.setdefault("language", LanguageConfig("none"))
    return wotd_mlx.TrainingConfig(embedding=str(checkpoint), lexicon=False, codes=codes, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def finished(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> RunInfo:
    """A finished run on the built-in words; tests only read it."""
    return wotd_mlx.train_wotd_pipeline(small_config(checkpoint), tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def taught(checkpoint: Path, finished: RunInfo, tmp_path_factory: pytest.TempPathFactory) -> RunInfo:
    """The finished run, a student added to a copy of it; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "taught"
    shutil.copytree(finished.run, folder)
    return wotd_mlx.train_wotd_pipeline(small_config(checkpoint, student=True), folder)


def rewrite_config(run: Path, **changes: object) -> None:
    """Change settings as a training under them would have: the codes know their digest."""
    folder = RunFolder(run)
    config = json.loads(folder.config.read_text()) | changes
    folder.config.write_text(json.dumps(config))
    metadata = folder.model_metadata() | {"settings": settings_digest(folder.read_config()[0])}
    write_arrays(folder.model, folder.read_arrays(folder.model), metadata)
