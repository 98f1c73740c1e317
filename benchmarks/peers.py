"""What others' quantisers make of the same vectors, and the picture of all.

A peer takes centred vectors to train on and centred vectors to code, both (N, D), and the mean; it returns its name,
bits, what comes back, seconds of training, and the bytes of its codebooks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Row = tuple[str, float, np.ndarray, float, int]

# Bits of FAISS's residual quantiser to time beside ours at the key: as many, and where it comes to about our error.
BESIDE = {20: (20, 48), 123: (123,)}


def level_bits(bits: int, most: int) -> list[int]:
    """``bits`` in as few levels of at most ``most`` bits as can be."""
    return [most] * (bits // most) + ([bits % most] if bits % most else [])


def rq_levels(bits: int, most: int | None) -> list[int]:
    """Ten bits a level up to 20 bits, then eight: larger codebooks take FAISS a quarter of an hour there."""
    return level_bits(bits, most or (10 if bits <= 20 else 8))


def faiss_rq_quantizer(
    x: np.ndarray, bits: int, most: int | None = None
) -> tuple[Callable[[np.ndarray], np.ndarray], Any]:
    """FAISS's residual quantiser, coding with a beam of 16, trained with its default beam of 5 (1 above 200 bits)."""
    import faiss

    levels = rq_levels(bits, most)
    sizes = faiss.UInt64Vector()
    faiss.copy_array_to_vector(np.array(levels, np.uint64), sizes)
    quantizer = faiss.ResidualQuantizer(x.shape[1], sizes)
    quantizer.max_beam_size = 1 if bits > 200 else 5
    quantizer.train(x)
    quantizer.max_beam_size = 16
    return (lambda v: quantizer.decode(quantizer.compute_codes(np.ascontiguousarray(v)))), quantizer


def faiss_rq(x: np.ndarray, bits: int) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """The same, with the seconds of training."""
    started = time.perf_counter()
    run, _ = faiss_rq_quantizer(x, bits)
    return run, time.perf_counter() - started


def _rq(bits: int, most: int | None = None) -> Callable[..., Row]:
    def peer(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
        started = time.perf_counter()
        run, quantizer = faiss_rq_quantizer(x, bits, most)
        seconds = time.perf_counter() - started
        levels = rq_levels(bits, most)
        name = f"FAISS RQ {len(levels)}×{levels[0]} bits"
        return name, bits, run(held) + mean, seconds, quantizer.total_codebook_size * x.shape[1] * 4

    return peer


def _opq(parts: int, bits: int) -> Callable[..., Row]:
    def peer(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
        import faiss

        started = time.perf_counter()
        index = faiss.index_factory(x.shape[1], f"OPQ{parts}_{-(-x.shape[1] // parts) * parts},PQ{parts}x{bits}")
        index.train(x)
        seconds = time.perf_counter() - started
        back = index.sa_decode(index.sa_encode(np.ascontiguousarray(held)))
        return "FAISS OPQ", parts * bits, back + mean, seconds, (2**bits + x.shape[1]) * x.shape[1] * 4

    return peer


def _lsq(parts: int, bits: int) -> Callable[..., Row]:
    def peer(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
        import faiss

        started = time.perf_counter()
        quantizer = faiss.LocalSearchQuantizer(x.shape[1], parts, bits)
        quantizer.train_iters, quantizer.encode_ils_iters = 8, 8
        quantizer.train(x)
        seconds = time.perf_counter() - started
        back = quantizer.decode(quantizer.compute_codes(np.ascontiguousarray(held)))
        return "FAISS LSQ", parts * bits, back + mean, seconds, parts * 2**bits * x.shape[1] * 4

    return peer


def kmeans(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
    """Flat k-means with as many means as [8, 8, 8, 5] has IDs."""
    import faiss

    started = time.perf_counter()
    means = faiss.Kmeans(x.shape[1], 2560, niter=20, seed=0, min_points_per_centroid=1)
    means.train(x)
    seconds = time.perf_counter() - started
    back = means.centroids[means.index.search(np.ascontiguousarray(held), 1)[1][:, 0]]
    return "flat k-means", float(np.log2(2560)), back + mean, seconds, means.centroids.nbytes


def dictionary(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
    """The nearest training word, shrunk, and a five-bit code for what is left: design's plain baseline."""
    import faiss

    started = time.perf_counter()
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    other = x[index.search(x, 2)[1][:, 1]]
    shrink = float((other * x).sum() / (other * other).sum())
    means = faiss.Kmeans(x.shape[1], 32, niter=20, seed=0)
    means.train(x - shrink * other)
    seconds = time.perf_counter() - started
    near = shrink * x[index.search(np.ascontiguousarray(held), 1)[1][:, 0]]
    back = near + means.centroids[means.index.search(np.ascontiguousarray(held - near), 1)[1][:, 0]]
    return "nearest word + 5 bits", float(np.log2(len(x)) + 5), back + mean, seconds, x.nbytes + means.centroids.nbytes


def torch_rvq(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
    """vector-quantize-pytorch's ResidualVQ, k-means start and running means, 20 epochs."""
    import torch
    from vector_quantize_pytorch import ResidualVQ

    torch.manual_seed(0)
    started = time.perf_counter()
    model = ResidualVQ(dim=x.shape[1], num_quantizers=4, codebook_size=32, kmeans_init=True, decay=0.99)
    rows = torch.from_numpy(x)
    model.train()
    with torch.no_grad():
        model(rows[None])  # k-means on all of them
        for _ in range(20):
            for batch in torch.randperm(len(rows)).split(512):
                model(rows[batch][None])
        seconds = time.perf_counter() - started
        model.eval()
        back = model(torch.from_numpy(np.ascontiguousarray(held))[None])[0][0].numpy()
    return "vector-quantize-pytorch ResidualVQ", 20.0, back + mean, seconds, 4 * 32 * x.shape[1] * 4


def torch_fsq(x: np.ndarray, held: np.ndarray, mean: np.ndarray) -> Row:
    """vector-quantize-pytorch's FSQ between two-layer networks, 30 epochs."""
    import torch
    from torch import nn
    from vector_quantize_pytorch import FSQ

    torch.manual_seed(0)
    started = time.perf_counter()
    wide = x.shape[1]
    model = nn.Sequential(
        nn.Linear(wide, 256),
        nn.ReLU(),
        nn.Linear(256, 4),
        FSQ([8, 8, 8, 5]),
        nn.Linear(4, 256),
        nn.ReLU(),
        nn.Linear(256, wide),
    )
    scale = float(np.sqrt((x**2).mean()))
    rows, optimizer = torch.from_numpy(x / scale), torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)

    def run(v: Any) -> Any:
        hidden = model[:3](v)
        return model[4:](model[3](hidden[None])[0][0])

    for _ in range(30):
        for batch in torch.randperm(len(rows)).split(512):
            loss = ((run(rows[batch]) - rows[batch]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - started
    with torch.no_grad():
        back = run(torch.from_numpy(np.ascontiguousarray(held / scale))).numpy() * scale
    size = sum(p.numel() for p in model.parameters()) * 4
    return "vector-quantize-pytorch FSQ", float(np.log2(2560)), back + mean, seconds, size


FEW = (kmeans, _rq(20, 5), _rq(20), dictionary, _rq(123))
ALL = (*FEW, _rq(64), _rq(320), _opq(4, 5), _opq(8, 8), _opq(16, 8), _lsq(4, 5), _lsq(8, 8), torch_rvq, torch_fsq)


def gaussian(x: np.ndarray) -> list[tuple[float, float]]:
    r"""Bits and relative MSE of the best possible code for a Gaussian of the same covariance: reverse water-filling.

    .. math:: D(\theta) = \sum_i \min(\theta, \sigma_i^2), \quad R(\theta) = \sum_i \tfrac12 \log_2^+ \sigma_i^2/\theta
    """
    variances = np.maximum(np.linalg.eigvalsh((x.T @ x / len(x)).astype(np.float64)), 1e-12)
    out = []
    for level in np.geomspace(variances.max(), variances.max() * 1e-3, 60):
        rate = 0.5 * np.log2(np.maximum(variances / level, 1)).sum()
        out.append((float(rate), float(np.minimum(level, variances).sum() / variances.sum())))
    return out


def draw(figures: Mapping[str, Any], file: Path) -> None:
    """Relative MSE over bits for words (both splits), and the similarity that sentences keep."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in ("random", "families") if name in figures.get("words", {})]
    panels = len(names) + ("sentences" in figures)
    if not panels:
        return
    figure, axes = plt.subplots(1, panels, figsize=(6.2 * panels, 7), layout="constrained", squeeze=False)
    markers = {"HVQ": "o", "detail": "s", "FAISS": "^", "vector": "v"}
    for axis, name in zip(axes[0], names, strict=False):
        part = figures["words"][name]
        rate, error = zip(*[(r, e) for r, e in part["gaussian"] if 8 <= r <= 400], strict=True)
        axis.plot(rate, error, color="grey", lw=1, label="Gaussian bound of the covariance")
        codes = list(dict.fromkeys(row["code"] for row in part["rows"]))
        for n, code in enumerate(codes):
            rows = sorted((row for row in part["rows"] if row["code"] == code), key=lambda row: row["bits"])
            axis.plot(
                [row["bits"] for row in rows],
                [row["relative_mse"] for row in rows],
                marker=next((m for start, m in markers.items() if code.startswith(start)), "x"),
                color=plt.get_cmap("tab20")(n % 20),
                lw=1.5 if code.startswith("HVQ") else 0.8,
                label=code,
            )
        axis.set_title({"random": "words, split at random", "families": "words, families apart"}[name], loc="left")
        axis.set_ylabel("relative MSE of held-out words")
    if "sentences" in figures:
        axis, rows = axes[0][-1], figures["sentences"]["rows"]
        for n, code in enumerate(dict.fromkeys(row["code"] for row in rows)):
            mine = sorted((row for row in rows if row["code"] == code), key=lambda row: row["bits"])
            kept = [
                row["similarity"]["stsb-dev"]["asymmetric_less_mean"] / row["similarity"]["stsb-dev"]["full"]
                for row in mine
            ]
            axis.plot([row["bits"] for row in mine], kept, marker="o", color=plt.get_cmap("tab10")(n), label=code)
        axis.set_title("STS-B dev, full query against coded side", loc="left")
        axis.set_ylabel("share of Spearman's ρ with people that is kept")
    for axis in axes[0]:
        axis.set_xscale("log", base=2)
        ticks = [11.3, 20, 64, 123, 320]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.set_xlabel("bits")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=2, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    print(f"drew {file}")
