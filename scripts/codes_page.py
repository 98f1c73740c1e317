"""Fill the tables of docs/explanation/codes.md from benchmarks/results/codes.json.

python -m scripts.codes_page
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.codes_picture import OURS
from scripts.tables import ROOT, filled, results, share, table

PAGE = ROOT / "docs" / "explanation" / "codes.md"
SETS = {
    "stsb-dev": "STS-B dev",
    "stsb-test": "STS-B test",
    "sick-train": "SICK train",
    "sick-test": "SICK test",
    "ws-353-all": "WS-353",
    "mturk-771": "MTurk-771",
    "simlex-999": "SimLex-999",
}
"""Sets of pairs that people compared, and their names; those that were not there have no column."""

_FIGURES = ("relative_mse", "spearman", "recall_at_10")

Rows = list[dict[str, Any]]


def coded(rows: Rows) -> list[tuple[str, float, Rows]]:
    """Code, bits, and the rows of its seeds; by bits, ours first."""
    found: dict[tuple[str, float], Rows] = {}
    for row in rows:
        found.setdefault((row["code"], row["bits"]), []).append(row)
    # A peer that takes bytes alone stands beside the bits that it is compared with.
    order = sorted(found, key=lambda key: (_group(key[1]), key[0] not in OURS))
    return [(code, bits, found[code, bits]) for code, bits in order]


def _group(bits: float) -> int:
    return next((size for size in (12, 21, 64, 128) if bits <= size), 1024)


def spread(values: Iterable[float], shown: Callable[[float], str] = share) -> str:
    """The mean of a figure over seeds, and half the way from the least to the most."""
    each = list(values)
    half = (max(each) - min(each)) / 2
    return shown(float(np.mean(each))) + (f" ± {shown(half)}" if len(each) > 1 else "")


def _head(code: str, bits: float, rows: Rows) -> list[str]:
    name = f"**{code}**" if code in OURS else code
    return [f"{bits:.1f}".removesuffix(".0"), name, str(rows[0]["bytes_a_vector"])]


def words() -> str:
    """Error, rank correlation and neighbours of test words."""
    rows = [
        [*_head(code, bits, seeds), *(spread(row[key] for row in seeds) for key in _FIGURES)]
        for code, bits, seeds in coded(results("codes")["words"]["rows"])
    ]
    return table(("bits", "code", "bytes", "relative MSE", "Spearman", "recall@10"), rows, left=2)


def sentences() -> str:
    """What is kept of likeness: two coded vectors / a whole and a coded one; again with a byte more."""
    part = results("codes")["sentences"]
    sets = [name for name in SETS if name in part["full"]]
    rows = []
    for code, bits, seeds in coded(part["rows"]):
        for extra in ("", "_scaled"):
            head = _head(code, bits, seeds)
            if extra:
                head = [head[0], f"{head[1]}, scaled", str(int(head[2]) + 1)]
            cells = []
            for name in sets:
                both = [[row["kept"][name][key + extra] for row in seeds] for key in ("coded", "whole")]
                cells.append(" / ".join(f"{100 * float(np.mean(v)):.1f}" for v in both))
            first = [100 * row["kept"]["stsb-dev"]["coded" + extra] for row in seeds]
            rows.append([*head, *cells, f"{(max(first) - min(first)) / 2:.1f}"])
    return table(("bits", "code", "bytes", *(SETS[name] for name in sets), "±"), rows, left=2)


def cost() -> str:
    """Bytes of models, and speed, on the run's words."""
    rows = []
    for code, bits, seeds in coded(results("codes")["words"]["rows"]):
        size = seeds[0]["model_bytes"] / 1e6
        rows.append(
            [
                *_head(code, bits, seeds)[:2],
                f"{size:.1f} MB" if size >= 1 else f"{1000 * size:.0f} kB",
                f"{np.median([row['fit_seconds'] for row in seeds]):.1f}",
                f"{np.median([row['encoded_per_second'] for row in seeds]):,.0f}",
                f"{np.median([row['searched_per_second'] for row in seeds]) / 1e6:,.1f} M",
            ]
        )
    return table(("bits", "code", "model", "fit, s", "encoded a second", "searched a second"), rows, left=2)


def qinco() -> str:
    """Why a strong peer is in no table."""
    found = results("codes")["words"]["qinco"]
    minutes = found["epoch_seconds"] / 60
    return (
        "QINCo (arXiv 2401.14732), whose networks make each level's codes, is left out: in its smallest published form "
        f"an epoch at {found['bits']} bits takes {minutes:.0f} minutes here, so that an hour holds "
        f"{60 / minutes:.0f} of the dozens that it is trained for. FAISS decodes it only."
    )


def choices() -> str:
    """What constants were chosen by; those that stand in bold."""
    rows = []
    for name, trials in results("codes")["choices"].items():
        for trial in trials:
            value = " · ".join(f"{v:g}" for v in np.atleast_1d(trial["value"]))
            figures = " / ".join(share(trial[key]) for key in _FIGURES if key in trial)
            rows.append([name, f"**{value}**" if trial["stands"] else value, figures])
    return table(("constant", "value", "on validation"), rows, left=2)


TABLES = {"words": words, "qinco": qinco, "sentences": sentences, "cost": cost, "choices": choices}


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
