"""What trains an encoder best through a quantiser: four gradients and iFSQ's bound, on a finished run's vectors.

    python -m benchmarks.bench_gradients [--run DIR] [--seeds N] [--label-weights W …]

Each seed starts other weights and another order of the words; all are measured on the same held-out word families.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import write_results
from wotd_mlx.codes import metrics
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.fsq import FSQ
from wotd_mlx.codes.train import Indices, Split, Vectors, fit, label_matrix, split_by_family
from wotd_mlx.config import DEFAULT_LEVELS, GRADIENTS, CodesConfig
from wotd_mlx.encoder import read_config
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import Attribute
from wotd_mlx.words.jsonl import read_jsonl

if TYPE_CHECKING:
    import mlx.core as mx

FIGURES = ("relative_mse", "spearman", "recall_at_10", "epochs", "seconds")


class IFSQ(FSQ):
    r"""FSQ bounded by :math:`2\sigma(1.6 z) - 1 = \tanh(0.8 z)`, which spreads a normal z evenly over the levels.

    Reference:
        arXiv 2601.17124.
    """

    def bound(self, z: mx.array) -> mx.array:
        return super().bound(0.8 * z)


def measure(
    x: Vectors, labels: Indices, split: Split, cfg: CodesConfig, attributes: Sequence[Attribute], seed: int, even: bool
) -> dict[str, float]:
    """Train once on x (N, D), with iFSQ's bound where ``even``; the figures of the held-out words."""
    import mlx.core as mx

    mx.random.seed(seed)
    model = Autoencoder(x.shape[1], cfg, attributes)
    if even:
        model.quantizer = IFSQ(cfg.levels, cfg.gradient)
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
    given = parser.parse_args()
    run = RunFolder(given.run)
    x = run.read_arrays(run.vectors)["vectors"]
    words, (config, _) = read_jsonl(run.corpus).words, read_config(run)
    labels = label_matrix(words, config.attributes)
    split = split_by_family([word.text for word in words], config)
    variants = [(kind, name, name, False) for kind in DEFAULT_LEVELS for name in GRADIENTS]
    variants.append(("fsq", "straight-through, iFSQ's bound", "straight-through", True))
    rows: list[dict[str, Any]] = []
    for weight in given.label_weights:
        for kind, name, gradient, even in variants:
            cfg = CodesConfig(kind, gradient=gradient, label_weight=weight)
            seeds = [measure(x, labels, split, cfg, config.attributes, s, even) for s in range(given.seeds)]
            row: dict[str, Any] = {"codes": kind, "gradient": name, "label_weight": weight}
            for figure in FIGURES:
                values = [seed[figure] for seed in seeds]
                row[figure] = {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    write_results("gradients", {"embedding": config.embedding, "seeds": given.seeds, "rows": rows})


if __name__ == "__main__":
    main()
