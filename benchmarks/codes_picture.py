"""The picture of results/codes.json: error of words, neighbours of words and likeness of sentences, over bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

OURS = ("HVQ, labelled", "HVQ", "HVQ + detail", "residual", "binary", "FSQ", "RVQ")


def by_code(rows: Iterable[Mapping[str, Any]], figure: Callable[[Mapping[str, Any]], float]) -> dict[str, np.ndarray]:
    """Code -> its points (P, 4) by rising bits: bits, and the mean, least and most of a figure over seeds."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in rows:
        found.setdefault(row["code"], {}).setdefault(row["bits"], []).append(figure(row))
    return {
        code: np.array([(bits, np.mean(v), min(v), max(v)) for bits, v in sorted(points.items())])
        for code, points in found.items()
    }


def _kept(key: str) -> Callable[[Mapping[str, Any]], float]:
    """A row's share of likeness that is kept, on STS-B dev."""
    return lambda row: float(row["kept"]["stsb-dev"][key])


def draw(figures: Mapping[str, Any], file: Path) -> None:
    """Four panels, of what was measured: ours thick, peers thin, bars from the least to the most of the seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    words, sentences = (figures.get(part, {}).get("rows", []) for part in ("words", "sentences"))
    panels: list[tuple[str, str, list[Any], Callable[[Mapping[str, Any]], float]]] = [
        ("Words: error", "relative MSE, lower is better", words, lambda row: float(row["relative_mse"])),
        ("Words: neighbours", "recall@10 of coded words", words, lambda row: float(row["recall_at_10"])),
    ]
    for key, title in (("coded", "two coded"), ("whole", "a whole and a coded one")):
        panels.append(
            (
                f"Sentences: likeness of {title}",
                "share of ρ with people that is kept, STS-B dev",
                sentences,
                _kept(key),
            )
        )
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 5.2), layout="constrained", squeeze=False)
    codes = list(dict.fromkeys(row["code"] for row in (*words, *sentences)))
    colour = {code: plt.get_cmap("tab20")(n % 20) for n, code in enumerate(codes)}
    lines: dict[str, Any] = {}
    for axis, (title, label, rows, value) in zip(axes[0], panels, strict=True):
        for code, points in by_code(rows, value).items():
            bits, mean, least, most = points.T
            mine = code in OURS
            lines[code] = axis.errorbar(
                bits,
                mean,
                yerr=[mean - least, most - mean],
                color=colour[code],
                marker="o" if mine else "^",
                lw=2 if mine else 0.9,
                ms=6 if mine else 5,
                label=code,
            )
        if value is panels[0][3] and words:
            rate, error = zip(*[(r, e) for r, e in figures["words"]["gaussian"] if 8 <= r <= 160], strict=True)
            (lines["Gaussian bound"],) = axis.plot(rate, error, color="grey", ls=":", label="Gaussian bound")
        axis.set_title(title, loc="left")
        axis.set_ylabel(label)
        axis.set_xscale("log", base=2)
        ticks = [11.3, 20, 64, 123] if rows is words else [64, 123]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
        axis.set_xlabel("bits")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(lines.values(), lines, loc="outside lower center", ncols=6, fontsize=9, frameon=False)
    figure.savefig(file, dpi=110)
    print(f"drew {file}")
