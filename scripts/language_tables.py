"""The tables of docs/explanation/language.md, from what the benchmarks measured.

    python -m scripts.language_tables

Each table stands between ``<!-- NAME -->`` and ``<!-- end -->``; a test refuses a page whose tables are stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.tables import ROOT, filled, results, share, table

PAGE = ROOT / "docs" / "explanation" / "language.md"
WAYS = ("model, free text", "model, any word", "model", "blend", "encoder", "random, fitting", "random")


def stages() -> str:
    """Seconds and memory of a training from nothing."""
    found = results("generate")
    rows = [
        (name, f"{seconds:.0f} s", f"{found['peak_bytes'][name] / 1e9:.2f} GB")
        for name, seconds in found["seconds"].items()
    ]
    return table(("stage", "seconds", "peak memory so far"), [*rows, ("all", f"{found['seconds_total']:.0f} s", "")])


def perplexity() -> str:
    """Tuned and untuned."""
    found = results("generate")["digits"]
    rows = []
    for name, key in (
        ("what the request determines", ""),
        ("words", "_words"),
        ("IDs of words", "_codes"),
        ("all", "_all"),
    ):
        cells = [found.get(f"perplexity{key}_base"), found.get(f"perplexity{key}")]
        rows.append((name, *("not yet measured" if cell is None else f"{cell:,.2f}" for cell in cells)))
    return table(("tokens of answers", "untuned", "tuned"), rows)


def form() -> str:
    """Answers in the right form, and words that fit."""
    found = results("generate")["digits"]
    rows = [
        (name, f"{found[key]:.1%}")
        for name, key in (
            ("answers in the right form, free", "format_adherence"),
            ("and all their words different", "correct_free"),
            ("both, held to the grammar", "format_adherence_constrained"),
            ("words that fit (default way to choose)", "semantic_consistency"),
        )
    ]
    return table(("", f"{found['requests']} requests"), rows)


def meaning() -> str:
    """Each way to choose, for IDs that training saw and for held-out ones."""
    found = results("generate")["digits"]["choosers"]

    def cells(way: str) -> list[str]:
        figures = [found[part][way] for part in ("seen", "held_out")]
        return ["–" if f[key] is None else share(f[key]) for key in ("fits", "cosine", "different") for f in figures]

    head = ("", "fit, seen", "held out", "cosine, seen", "held out", "different words, seen", "held out")
    return table(head, [(way, *cells(way)) for way in WAYS])


def latency() -> str:
    """Five words by ID."""
    found = results("generate")["latency_ms"]
    return table(("", "p50", "p95"), [(way, f"{t['p50']:.0f} ms", f"{t['p95']:.0f} ms") for way, t in found.items()])


def training() -> str:
    """LoRA steps beside mlx-lm's own."""
    found: dict[str, Any] = results("language")["training"]
    rows = [
        (
            name,
            f"{side['tokens_per_second']:.0f}",
            f"{side['step_ms']:,.0f} ms",
            f"{side['peak_bytes_of_a_step'] / 1e9:.2f} GB",
        )
        for name, side in (("wotd-mlx", found["ours"]), ("mlx-lm", found["mlx_lm"]))
    ]
    return table(("", "tokens a second", "a step", "peak of a step"), rows)


def constrained() -> str:
    """Answers under a grammar beside others."""
    found = results("constrained")
    sizes = [key for key in found if key.endswith("_words")]
    names = list(dict.fromkeys(name for size in sizes for name in found[size]["ways"]))
    rows = []
    for name in names:
        cells = []
        for size in sizes:
            way = found[size]["ways"][name]
            cells += [f"{way['ms_an_answer']:,.0f} ms", f"{way['tokens_a_second']:.0f}", f"{way['different']:.0%}"]
        rows.append((name.replace("_", " "), *cells))
    head = [""]
    for size in sizes:
        head += [f"{size.split('_')[0]} words: an answer", "tokens a second", "all different"]
    return table(head, rows)


def phi() -> str:
    """Memory of a step on Phi-3.5-mini's shape."""
    rows = [row for row in results("phi_memory")["rows"] if row["quantised"]]
    cells = [
        (
            f"{row['tokens']:,}",
            "computed again" if row["checkpointing"] else "kept",
            f"{row['peak_bytes'] / 1e9:.2f} GB",
            f"{row['process_peak_bytes'] / 1e9:.2f} GB",
            f"{row['seconds']:.0f} s",
        )
        for row in sorted(rows, key=lambda row: (row["checkpointing"], row["tokens"]))
    ]
    return table(("tokens", "activations", "MLX peak", "process peak", "a step"), cells)


def measured(make: Callable[[], str]) -> Callable[[], str]:
    """A table, or that its benchmark wasn't run yet."""

    def told() -> str:
        try:
            return make()
        except (FileNotFoundError, KeyError):
            return "*Not yet measured.*"

    return told


TABLES: dict[str, Callable[[], str]] = {
    "stages": measured(stages),
    "perplexity": measured(perplexity),
    "form": measured(form),
    "meaning": measured(meaning),
    "latency": measured(latency),
    "training": measured(training),
    "constrained": measured(constrained),
    "phi": measured(phi),
}


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
