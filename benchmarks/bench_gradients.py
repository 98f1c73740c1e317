"""What trains an encoder best through a quantiser: straight-through or soft codes, on a finished run's vectors.

    python -m benchmarks.bench_gradients [--run DIR] [--seeds N] [--label-weights W …] [--jobs N]

Each seed starts other weights and another order of the words; all are measured on the same held-out word families.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from benchmarks.timing import write_results
from wotd_mlx.codes import metrics
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import label_matrix
from wotd_mlx.codes.split import split_by_family
from wotd_mlx.codes.train import fit
from wotd_mlx.config import GRADIENTS, CodesConfig
from wotd_mlx.run_folder import RunFolder


class Variant(NamedTuple):
    """One row of the table."""

    codes: str
    gradient: str
    label_weight: float


KINDS = ("fsq", "rvq")  # those that learn by gradient


def measure(folder: str, variant: Variant, seed: int) -> dict[str, float]:
    """Train once on the vectors of a run; the figures of its held-out words."""
    import mlx.core as mx

    run = RunFolder(folder)
    (words, x), (config, _) = run.read_words(), run.read_config()
    labels, split = label_matrix(words, config.attributes), split_by_family([word.text for word in words], config)
    cfg = CodesConfig(variant.codes, gradient=variant.gradient, label_weight=variant.label_weight)
    mx.random.seed(seed)
    model = Autoencoder(x.shape[1], cfg, config.attributes)
    started = time.perf_counter()
    epochs = sum(1 for _ in fit(model, x, labels, split, cfg, seed))
    seconds = time.perf_counter() - started
    held = x[split.test]
    decoded = np.asarray(model.decode(model.encode(mx.array(held))))
    return {
        "relative_mse": metrics.relative_mse(held, decoded, np.asarray(model.mean)),
        "spearman": metrics.pairwise_spearman(held, decoded),
        "recall_at_10": metrics.recall_at(held, decoded),
        "epochs": epochs,
        "seconds": seconds,
    }


def main() -> None:
    """Train each variant with each seed, write benchmarks/results/gradients.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--label-weights", type=float, nargs="+", default=[0.0])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; more than one blurs the seconds")
    given = parser.parse_args()
    variants = [Variant(*each) for each in itertools.product(KINDS, GRADIENTS, given.label_weights)]
    rows = []
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        runs = [[pool.submit(measure, given.run, v, seed) for seed in range(given.seeds)] for v in variants]
        for variant, seeds in zip(variants, runs, strict=True):
            found = [seed.result() for seed in seeds]
            figures = {name: [figure[name] for figure in found] for name in found[0]}
            summary = {n: {"mean": float(np.mean(v)), "min": min(v), "max": max(v)} for n, v in figures.items()}
            rows.append({**variant._asdict(), **summary})
            print(json.dumps(rows[-1]), flush=True)
    embedding = RunFolder(given.run).read_config()[0].embedding
    write_results("gradients", {"embedding": embedding, "seeds": given.seeds, "jobs": given.jobs, "rows": rows})


if __name__ == "__main__":
    main()
