"""An ``OUT`` folder as an evaluation leaves it, with figures that mean nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.safetensors import DIGEST, read_metadata
from wotd_mlx.lvm import NAMES, preset
from wotd_mlx.lvm.evaluation.results import Files
from wotd_mlx.lvm.store import ModelFolder, Settings
from wotd_mlx.lvm.training.history import Epoch

BASELINES = ("copy-last", "mean of context", "five scalars", "ridge", "scalars")


def summary(cosine: float) -> dict[str, Any]:
    return {
        "count": 400,
        "mse": (2 - 2 * cosine) / 384,
        "cosine": cosine,
        "deviation": 0.15,
        "margin": cosine - 0.7,
        "quartiles": [cosine - 0.5, cosine - 0.1, cosine, cosine + 0.1, cosine + 0.4],
    }


def top(rng: np.random.Generator) -> dict[str, float]:
    names = ("top1", "top5", "top10", "top20", "mean_reciprocal_rank")
    return dict(zip(names, np.sort(rng.uniform(0.05, 0.6, 5)).tolist(), strict=True))


def validation_row(rng: np.random.Generator, kind: str, text: str) -> dict[str, Any]:
    cosine = float(rng.uniform(0.48, 0.53))
    row = {key: summary(cosine - n / 100) for n, key in enumerate(("train", "valid", "test", "ood"))}
    row |= {"kind": kind, "gap": 3e-5}
    if kind == "baseline":
        return row
    groups = [{"bucket": f"{n}{text}", "count": 100 + n, "cosine": cosine - n / 50, "margin": -0.2} for n in range(3)]
    case = {"title": text, "context": [text] * 3, "wanted": text, "got": text, "cosine": 0.1, "rank": 40_000}
    return row | {
        "parameters": int(rng.integers(1e6, 9e6)),
        "bytes": int(8e6),
        "epochs": 4,
        "best_epoch": 3,
        "seconds": float(rng.uniform(30, 600)),
        "training_peak_bytes": int(5e8),
        "by_length": groups,
        "by_topic": groups[::-1],
        "by_similarity": groups[1:],
        "failures": [case] * 2,
    }


def write(out: Path, models: Sequence[str], text: str = "a sentence", baselines: Sequence[str] = BASELINES) -> Path:
    """The three files and the histories of ``models``; ``text`` stands wherever a text or a topic may."""
    rng = np.random.default_rng(0)
    rows = {name: validation_row(rng, "baseline", text) for name in baselines}
    for name in models:
        weights = trained(out, name) if name in NAMES else None
        rows[name] = {**validation_row(rng, "model", text), "weights": weights}
    split = {"train": 558, "valid": 66, "test": 32}
    data = {"file": "concepts.tsv", "sentences": 42113, "articles": 656, "embedding": "minilm", "dims": 384}
    save(out, "validation_results", {"data": data | {"split": split, "ood": text}, "context": 16, "rows": rows})
    targets = rng.normal(size=(20, 2)).tolist()
    found = {
        name: {s: {e: top(rng) for e in ("context", "newest5")} for s in ("valid", "test", "ood")} for name in rows
    }
    confusion = {name: {"topics": [text, "Arts"], "matrix": [[0.7, 0.1], [0.0, 0.9]]} for name in models}
    predictions = {name: rng.normal(size=(20, 2)).tolist() for name in models}
    projection = {"method": "t-SNE", "targets": targets, "predictions": predictions}
    same = {"validation": Files(out).digest()}
    retrieval = {"candidates": 42113, "ood_candidates": 9, "rows": found, "confusion": confusion}
    save(out, "retrieval_results", {**same, **retrieval, "projection": projection})
    speed = {"latency_ms": {"p50": 0.6, "p95": 0.9}, "step_ms": 0.3, "throughput_per_s": 9000.0, "peak_bytes": int(1e8)}
    machine = {"system": text, "cores": 2}
    rows_of = {name: {**speed, "parameters": 1_500_000, "bytes": 8_000_000} for name in models}
    save(out, "inference_benchmarks", {**same, "machine": machine, "context": 16, "rows": rows_of})
    return out


def trained(out: Path, name: str) -> str:
    """What a training of three epochs leaves, but for the size of its weights; the digest of these."""
    folder, history = ModelFolder(out, name), [epoch(n) for n in (1, 2, 3)]
    settings = Settings(name, "tiny", asdict(preset(name, "tiny")), Recipe(), "minilm", "concepts.tsv", "digest")
    folder.write_settings(settings)
    folder.write_history(history)
    folder.write_weights(folder.best, {"a": mx.zeros(1)}, settings, history[:2])
    folder.write_weights(folder.final, {"a": mx.zeros(1)}, settings, history)
    return read_metadata(folder.best, "")[DIGEST]


def epoch(n: int) -> Epoch:
    return Epoch(n, *(k / 10 + n / 100 for k in range(6)), 5e-4 / n, 0.2 / n, 2.5, 1000 * n, n < 3)


def save(out: Path, name: str, content: Any) -> None:
    (out / "evaluation").mkdir(parents=True, exist_ok=True)
    (out / "evaluation" / f"{name}.json").write_text(json.dumps(content))
