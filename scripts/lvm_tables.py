"""The tables of docs/explanation/lvm.md, from what the benchmarks measured and what the predictors say of themselves.

    python -m scripts.lvm_tables

Each table stands between ``<!-- NAME -->`` and ``<!-- end -->``; a test refuses a page whose tables are stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.tables import ROOT, filled, results, share, table
from wotd_mlx.lvm import NAMES, architecture, build, preset

PAGE = ROOT / "docs" / "explanation" / "lvm.md"
BASELINES = ("copy-last", "mean of context", "five scalars", "ridge", "scalars")
QUALITY = ("cosine", "margin", "top1", "top5", "top20")


def models() -> str:
    """What there is."""
    rows = []
    for name in NAMES:
        about = architecture(name).ABOUT
        sizes = [f"{build(name, preset(name, size)).size / 1e6:,.1f}M" for size in ("paper", "tiny")]
        rows.append((f"`{name}`", *sizes, about.complexity, about.step_memory, about.reference, about.note))
    head = ("model", "paper", "tiny", "cost of L embeddings", "memory a step", "reference", "departs")
    return table(head, [(row[0], *row[1:]) for row in rows])


def quality() -> str:
    """Means over the seeds, and how far the seeds lie apart."""
    found = results("lvm_tiny")["rows"]
    bars = {k: max(found[b]["valid"][k]["mean"] for b in BASELINES if b != "scalars") for k in QUALITY if k != "margin"}

    def cell(row: Any, key: str) -> str:
        value = row["valid"][key]
        apart = (value["most"] - value["least"]) / 2
        text = share(value["mean"]) + (f" ± {share(apart)}" if apart else "")
        return f"**{text}**" if key in bars and value["mean"] > bars[key] else text

    rows = []
    for name in (*BASELINES, *NAMES):
        row = found[name]
        newest = " / ".join(share(row["valid"][f"newest5_{k}"]["mean"]) for k in QUALITY[2:])
        test = " / ".join(share(row["test"][k]["mean"]) for k in ("cosine", "top1", "top5", "top20"))
        rows.append((name, *(cell(row, key) for key in QUALITY), newest, test))
    head = ("", "cosine", "margin", "Top-1", "Top-5", "Top-20", "newest five left out", "test articles")
    return table(head, rows)


def ablation() -> str:
    """One part changed at a time."""
    found = results("lvm_tiny")["ablation"]
    rows = [(part, *(share(of["gru"][key]) for key in QUALITY)) for part, of in found.items()]
    return table(("GRU, one seed", *("cosine", "margin", "Top-1", "Top-5", "Top-20")), rows)


def speed() -> str:
    """Beside the reference implementations."""
    rows = []
    for name, found in results("lvm_speed")["models"].items():
        fast, cost = found["speed"], found["context"]
        times = [
            f"{fast[f'ours_{kind}_ms']:.1f} / {fast[f'reference_{kind}_ms']:.1f} ms ({fast[f'{kind}_ratio']:.2f}×)"
            for kind in ("forward", "step")
        ]
        exponents = ["–" if cost[k] is None else f"{cost[k]:.2f}" for k in ("time_exponent", "memory_exponent")]
        rows.append((name, *times, *exponents, cost["claim"]))
    head = (
        "",
        "forward, ours / reference",
        "training step, ours / reference",
        "time ~ L^",
        "memory ~ L^",
        "the paper's cost",
    )
    return table(head, rows)


def full() -> str:
    """At the size of the papers."""
    found = results("lvm_full")["models"]
    rows = [
        (
            name,
            f"{row['parameters'] / 1e6:,.1f}M",
            f"{row['published'] / 1e6:,.1f}M",
            row["step"],
            f"{row['step_s']:,.2f} s",
            f"{row['forward_ms']:,.0f} ms",
            f"{row['peak_bytes_step'] / 1e9:.2f} GB",
            f"{row['resident_bytes'] / 1e9:.2f} GB",
            "not trained: no GPU was at hand",
        )
        for name in NAMES
        if (row := found.get(name))
    ]
    head = ("", "parameters", "published", "step", "one step", "forward", "MLX peak", "process peak", "quality")
    return table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "models": models,
    "quality": quality,
    "ablation": ablation,
    "speed": speed,
    "full": full,
}


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
