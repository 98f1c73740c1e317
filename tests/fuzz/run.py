"""Folders of finished runs with one file damaged: in its bytes, its JSON, its arrays, or lost."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path

import mlx.core as mx
import numpy as np

from tests.conftest import small_config, write_checkpoint
from tests.fuzz.jsonl import changed
from tests.fuzz.mutate import damaged
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.io.safetensors import read_arrays, write_arrays
from wotd_mlx.known import FILE
from wotd_mlx.pipeline import train_wotd_pipeline
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import WotdError

documented = (WotdError,)
quick = 150


@cache
def _whole() -> RunFolder:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    config = small_config(write_checkpoint(folder / "bert"))
    return RunFolder(train_wotd_pipeline(config, folder / "run").run)


def make(rng: random.Random) -> dict[str, bytes]:
    """One file of a run, damaged; no content stands for a file that is gone."""
    run = _whole()
    files = [run.config, run.corpus, run.vectors, run.model, run.semantic_ids, run.metrics]
    file = rng.choice([*files, *run.path.glob(FILE)])
    name, content = str(file.relative_to(run.path)), file.read_bytes()
    if rng.random() < 0.05:
        return {name: b""}
    if file.suffix == ".json" and rng.random() < 0.7:
        content = json.dumps(changed(rng, json.loads(content))).encode("utf-8", "surrogatepass")
    elif file.suffix == ".safetensors" and rng.random() < 0.7:
        content = _rewritten(rng, file)
    else:
        content = damaged(rng, content)
    return {name: content}


def _rewritten(rng: random.Random, file: Path) -> bytes:
    """The arrays with one of them of another type, shape or value, and the digests that would fit it."""
    stored = read_arrays(file, "")
    name = rng.choice(list(stored.arrays))
    array = stored.arrays[name]
    match rng.randrange(6):
        case 0:
            del stored.arrays[name]
        case 1:
            stored.arrays["more"] = array
        case 2:
            stored.arrays[name] = array.astype(rng.choice([mx.float16, mx.bfloat16, mx.int32, mx.float32, mx.bool_]))
        case 3:
            stored.arrays[name] = rng.choice(
                [array.flatten(), array[None], array.T, array[..., :0] if array.ndim else array]
            )
        case 4 if array.dtype == mx.float32 and array.size:
            plain = np.array(array)
            plain.flat[rng.randrange(plain.size)] = rng.choice([np.nan, np.inf, -np.inf])
            stored.arrays[name] = mx.array(plain)
        case _:
            stored.arrays[name] = mx.zeros_like(array) * float("nan") if array.dtype == mx.float32 else array[None]
    changed_file = file.with_name("changed")
    write_arrays(changed_file, stored.arrays, stored.metadata)
    content = changed_file.read_bytes()
    changed_file.unlink()
    return content


def read(made: dict[str, bytes]) -> None:
    """Use the run in every way that needs no language model."""
    ((name, content),) = made.items()
    file = _whole().path / name
    kept = file.with_name("kept")
    file.rename(kept)
    try:
        if content:
            file.write_bytes(content)
        coder = SemanticEncoder.load(_whole().path)
        ids = coder.encode(["forsooth", "a quiet joy"])
        vectors = coder.decode(ids)
        assert np.isfinite(vectors).all()
        found = coder.nearest(vectors, 2)
        assert all(np.isfinite(neighbour.cosine) for row in found for neighbour in row)
        coder.names()
        coder.run.read_metrics()
    finally:
        file.unlink(missing_ok=True)
        kept.rename(file)
