"""What the thirteen predictors reach at the tiny size, three seeds each, and what each part of their recipe gives.

    python -m benchmarks.bench_lvm_quality --data sentences.tsv [--ood novel.txt] [--out artifacts/lvm-quality]

Trains through the command line, one thread a training and as many side by side as there are cores; what is trained
already is left as it is, so that the benchmark can be interrupted. ``--out/seed-0`` ends with the evaluation and the
report of the first seed. Written: ``results/lvm_tiny.json``: a row for each predictor and baseline with mean and spread
over the seeds, and the ablation: what is left of a predictor when a part of the recipe is taken away or changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import write_results
from wotd_mlx.arrays import Embeddings
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.data.embeddings import sentence_embeddings
from wotd_mlx.lvm.data.sentences import Sentences, read_sentences, split_by_article
from wotd_mlx.lvm.evaluation import retrieval, scores
from wotd_mlx.lvm.evaluation.baselines import baselines
from wotd_mlx.lvm.evaluation.predict import predict
from wotd_mlx.lvm.parts.residual import NEWEST
from wotd_mlx.lvm.store import ModelFolder

CONTEXT = 64
PARTS = ("valid", "test")
FIGURES = ("cosine", "margin", "top1", "top5", "top20", "newest5_top1", "newest5_top5", "newest5_top20")
ABLATED = ("gru",)
NO_BASE = ("--base", "none", "--ema", "0")
ABLATION: dict[str, tuple[str, ...]] = {
    "the reference table's: MSE, context 5": (*NO_BASE, "--context", "5", "--batch", "32", "--contrastive", "0"),
    "MSE, context 64": (*NO_BASE, "--contrastive", "0"),
    "and contrastive": NO_BASE,
    "MSE, added to the scalars": ("--base", "added", "--contrastive", "0"),
    "and contrastive, added": ("--base", "added"),
    "MSE, gates": ("--contrastive", "0"),
    "the recipe: gates and contrastive": (),
    "contrastive × ½": ("--contrastive", "0.07"),
    "contrastive × 2": ("--contrastive", "0.28"),
    "context 16": ("--context", "16"),
    "without averaged weights": ("--ema", "0"),
    "embeddings hidden (.2)": ("--context-dropout", "0.2"),
    "noise (.5)": ("--noise", "0.5"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="sentences in order, a TSV")
    parser.add_argument("--ood", type=Path, help="text of another kind")
    parser.add_argument("--embedding", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, default=Path("artifacts/lvm-quality"))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    sentences = read_sentences(given.data)
    # Once, before trainings side by side would each do it.
    embeddings = sentence_embeddings(sentences, given.embedding, given.out / "embeddings")

    first = given.out / "seed-0"
    jobs = [(name, given.out / f"seed-{s}", ("--seed", str(s))) for s in range(given.seeds) for name in NAMES]
    jobs += [(name, folder(given.out, part), options) for part, options in ABLATION.items() for name in ABLATED]
    for out in {out for _, out, _ in jobs}:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / "embeddings").exists():
            (out / "embeddings").symlink_to((given.out / "embeddings").resolve())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: train(*job, given), jobs))

    rows = baseline_rows(sentences, embeddings, first)
    # One thread each, side by side, as they were trained.
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        trainings = [(out, name) for name, out, _ in jobs]
        found = dict(zip(trainings, pool.map(measure, *zip(*trainings, strict=True)), strict=True))
    for name in NAMES:
        runs = [found[given.out / f"seed-{s}", name] for s in range(given.seeds)]
        rows[name] = {part: spread([run[part] for run in runs]) for part in PARTS} | trained(first, name)
    write_results(
        "lvm_tiny",
        {
            "context": CONTEXT,
            "embedding": given.embedding,
            "seeds": given.seeds,
            "sentences": len(sentences),
            "articles": sentences.articles,
            "rows": rows,
            "ablation": {
                part: {name: found[folder(given.out, part), name]["valid"] for name in ABLATED} for part in ABLATION
            },
        },
    )
    ood = ("--ood", str(given.ood)) if given.ood else ()
    command(["evaluate", "--out", str(first), "--data", str(given.data), *ood])
    command(["compare", "--out", str(first)])


def folder(out: Path, part: str) -> Path:
    """Where an ablation's trainings lie."""
    return out / "ablation" / "".join(c if c.isalnum() else "-" for c in part)


def train(name: str, out: Path, options: tuple[str, ...], given: argparse.Namespace) -> None:
    """Train one model in a process of its own, on one thread."""
    data = ("--data", str(given.data), "--embedding", given.embedding)
    command(["train", name, *data, "--out", str(out), *options], {"OMP_NUM_THREADS": "1"})
    print(f"{name} {' '.join(options)}: trained", flush=True)


def command(arguments: list[str], environment: dict[str, str] | None = None) -> None:
    """Run ``wotd-mlx lvm``; what it said is shown where it fails."""
    call = [sys.executable, "-m", "wotd_mlx.cli", "lvm", *arguments]
    done = subprocess.run(call, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr[-2000:]}")


def figures(predictions: Embeddings, sentences: Sentences, embeddings: Embeddings, targets: Any) -> dict[str, float]:
    """:data:`FIGURES` of predictions; the context, or the newest five alone, are no candidates."""
    said = scores.summary(scores.measure(predictions, embeddings, targets))
    ranks = retrieval.rank(predictions, sentences, embeddings, targets, CONTEXT)
    found = {key: said[key] for key in ("cosine", "margin")}
    for prefix, ranked in (("", ranks.context), ("newest5_", ranks.newest)):
        found |= {prefix + k: v for k, v in retrieval.summary(ranked).items() if prefix + k in FIGURES}
    return found


def measure(out: Path, name: str) -> dict[str, dict[str, float]]:
    """Figures of a trained model with the context it was trained with, on validation and test articles."""
    model, settings = ModelFolder(out, name).load()
    sentences = read_sentences(Path(settings.data))
    embeddings = sentence_embeddings(sentences, settings.embedding, out / "embeddings")
    found = {}
    for part in PARTS:
        targets = sentences.rows(getattr(split_by_article(sentences), part), after=NEWEST)
        predictions = predict(model, sentences, embeddings, targets, settings.recipe.context)
        found[part] = figures(predictions, sentences, embeddings, targets)
    return found


def baseline_rows(sentences: Sentences, embeddings: Embeddings, first: Path) -> dict[str, Any]:
    """The same figures of what needs no network; ``scalars`` are the six numbers that the models steer."""
    split = split_by_article(sentences)
    forecasts: dict[str, Any] = dict(baselines(sentences, embeddings, split.train, CONTEXT))
    model = ModelFolder(first, NAMES[0]).load()[0].scalars
    forecasts["scalars"] = lambda s, v, t: predict(model, s, v, t, CONTEXT)
    rows: dict[str, Any] = {}
    for name, forecast in forecasts.items():
        rows[name] = {}
        for part in PARTS:
            targets = sentences.rows(getattr(split, part), after=NEWEST)
            found = figures(forecast(sentences, embeddings, targets), sentences, embeddings, targets)
            rows[name][part] = spread([found])
    return rows


def spread(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, least and most of each figure over the seeds."""
    return {
        key: {"mean": float(np.mean(of)), "least": min(of), "most": max(of)}
        for key in FIGURES
        if (of := [run[key] for run in runs])
    }


def trained(out: Path, name: str) -> dict[str, Any]:
    """Size, time and memory of a training."""
    found = ModelFolder(out, name)
    history = json.loads(found.history.read_text())
    return {
        "parameters": found.load()[0].predictor.size,
        "epochs": len(history),
        "seconds": sum(epoch["seconds"] for epoch in history),
        "peak_bytes": max(epoch["peak_bytes"] for epoch in history),
    }


if __name__ == "__main__":
    main()
