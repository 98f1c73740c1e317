"""An ``OUT`` folder as an evaluation leaves it, with figures that mean nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
    groups = [{"bucket": f"{text}{n}", "count": 100, "cosine": cosine, "margin": -0.2} for n in range(3)]
    case = {"title": text, "context": [text] * 3, "wanted": text, "got": text, "cosine": 0.1, "rank": 40_000}
    counts = rng.integers(1, 90, 8).tolist()
    return row | {
        "parameters": int(rng.integers(1e6, 9e6)),
        "bytes": int(8e6),
        "epochs": 4,
        "best_epoch": 3,
        "seconds": float(rng.uniform(30, 600)),
        "training_peak_bytes": int(5e8),
        "by_length": groups,
        "by_topic": groups,
        "by_similarity": groups,
        "histogram": {"edges": np.linspace(0, 1.2, 9).tolist(), "counts": counts},
        "failures": [case] * 2,
    }


def write(out: Path, models: Sequence[str], text: str = "a sentence", baselines: Sequence[str] = BASELINES) -> Path:
    """The three files and the histories of ``models``; ``text`` stands wherever a text or a topic may."""
    rng = np.random.default_rng(0)
    rows = {name: validation_row(rng, "baseline", text) for name in baselines}
    rows |= {name: validation_row(rng, "model", text) for name in models}
    split = {"train": 558, "valid": 66, "test": 32}
    data = {"file": "concepts.tsv", "sentences": 42113, "articles": 656, "embedding": "minilm", "dims": 384}
    save(out, "validation_results", {"data": data | {"split": split, "ood": text}, "context": 16, "rows": rows})
    targets = rng.normal(size=(20, 2)).tolist()
    found = {
        name: {s: {e: top(rng) for e in ("context", "newest5")} for s in ("valid", "test", "ood")} for name in rows
    }
    confusion = {name: {"topics": [text, "Arts"], "matrix": [[0.7, 0.1], [None, 0.9]]} for name in models}
    projection = {"method": "t-SNE", "targets": targets, "predictions": dict.fromkeys(models, targets)}
    retrieval = {"candidates": 42113, "rows": found, "confusion": confusion, "projection": projection}
    save(out, "retrieval_results", retrieval)
    speed = {"latency_ms": {"p50": 0.6, "p95": 0.9}, "step_ms": 0.3, "throughput_per_s": 9000.0, "peak_bytes": int(1e8)}
    machine = {"system": text, "cores": 2}
    save(out, "inference_benchmarks", {"machine": machine, "context": 16, "rows": dict.fromkeys(models, speed)})
    for name in models:
        if len(name) < 100 and "/" not in name:
            folder = out / "models" / name
            folder.mkdir(parents=True)
            (folder / "training_history.json").write_text(json.dumps([epoch(n) for n in (1, 2, 3)]))
            (folder / "config.json").write_text(json.dumps({"preset": "tiny"}))
            (folder / "final_model.safetensors").touch()
    return out


def epoch(n: int) -> dict[str, Any]:
    figures = {f"{part}_{key}": 0.5 + n / 100 for part in ("train", "valid") for key in ("loss", "cosine", "margin")}
    return figures | {"epoch": n, "learning_rate": 5e-4 / n, "gradient_norm": 0.2 / n, "best": n < 3}


def save(out: Path, name: str, content: Any) -> None:
    (out / "evaluation").mkdir(parents=True, exist_ok=True)
    (out / "evaluation" / f"{name}.json").write_text(json.dumps(content))
