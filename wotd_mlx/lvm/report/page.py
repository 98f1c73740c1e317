"""``report.html``: one file with every table and figure in it, to be sent to anyone and opened anywhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from wotd_mlx.io.files import write_atomically
from wotd_mlx.io.lock import locked
from wotd_mlx.lvm.evaluation.results import Failure, Files
from wotd_mlx.lvm.report.figures import Plot, write_figures
from wotd_mlx.lvm.report.results import EXCLUSIONS, QUALITY, SPLITS, Results, read_results
from wotd_mlx.lvm.report.table import SECTIONS, Section, table_rows
from wotd_mlx.schemas import WotdError

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Next-sentence predictors, compared</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child { text-align: left; }
img { max-width: 100%; }
.scroll { overflow-x: auto; }
</style>
<h1>Next-sentence predictors, compared</h1>
<p>$summary</p>
$facts
$tables
<h2>Figures</h2>
$figures
<h2>Worst predictions</h2>
<p>Validation targets that stand furthest down the list, for each model.</p>
$failures
</html>
""")


def write_report(out: Path) -> Path:
    """Write ``OUT/evaluation/comparison_plots/*.png`` and ``OUT/evaluation/report.html``; return the latter.

    Raises:
        MissingError: nothing was evaluated in ``out``.
        BusyError: an evaluation writes to it.
        WotdError: a file is damaged or can't be written, or matplotlib is missing.
    """
    results = read_results(out)
    folder = Files(out).folder
    file = folder / "report.html"
    with locked(folder):
        page = report(results, write_figures(results, folder / "comparison_plots"))
        try:
            write_atomically(file, page.encode())
        except OSError as error:
            raise WotdError(f"{file} can't be written: {error.strerror}") from error
    return file


def report(results: Results, plots: Sequence[Plot]) -> str:
    """The page as text; figures stand in it as base64."""
    return PAGE.substitute(
        summary=escape(summary(results)),
        facts=_definitions(facts(results)),
        tables="\n".join(_table(results, section) for section in SECTIONS),
        figures="\n".join(map(_figure, plots)),
        failures="\n".join(_failures(name, results.validation.rows[name].failures) for name in results.models),
    )


def summary(results: Results) -> str:
    """The main finding in a sentence or two."""
    said = []
    for kind, names in (("model", results.models), ("baseline", results.baselines)):
        if known := [(v, name) for name in names if math.isfinite(v := results.number(name, QUALITY[0]))]:
            said.append(f"The best cosine of a {kind} is {max(known)[0]:.3f} ({max(known)[1]}).")
    # Of a figure that wasn't measured, being above can't be denied.
    if results.models and all(math.isfinite(results.best_baseline(path)) for path in QUALITY):
        above = results.above_baselines()
        listed = f": {', '.join(above)}" if above else ""
        said.append(f"{len(above)} of {len(results.models)} models are above every baseline in cosine, Top-1, Top-5 "
                    f"and Top-20 at once{listed}.")  # fmt: skip
    return " ".join(said)


def facts(results: Results) -> dict[str, str]:
    """What was measured, on what, and how."""
    validation, retrieval, benchmarks = results.validation, results.retrieval, results.benchmarks
    data, context = validation.data, validation.context
    row = next(iter(validation.rows))
    counts = {title: results.number(row, f"validation.{key}.count") for key, title in SPLITS.items()}
    found = {
        "Data": f"{data.file}: {data.sentences or 0:,} sentences of {data.articles or 0:,} articles",
        "Targets": ", ".join(f"{n:,.0f} in {title}" for title, n in counts.items() if n > 0),
        "Embeddings": f"{data.embedding}, {data.dims or 0:,} dimensions, unit length",
        "Context": f"the last {context} sentences before the target, or as many as its article has; at least five",
        "Out-of-domain text": data.ood or "none; give it to lvm evaluate --ood",
        "Left out": results.missing or "no predictor",
        "Presets": ", ".join(f"{name}: {size}" for name, size in results.presets.items()),
    }
    if split := data.split:
        parts = f"{split.train:,} for training, {split.valid:,} for validation, {split.test:,} for test"
        found["Articles"] = f"{parts}; none is in two parts"
    if retrieval:
        among = f"among {retrieval.candidates:,} sentences by cosine, ties counted half"
        found["Retrieval"] = f"{among}, with {EXCLUSIONS['context']}, for baselines too"
    if benchmarks:
        found["Machine"] = ", ".join(f"{key}: {value}" for key, value in benchmarks.machine.items())
    return found


def _definitions(pairs: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt><b>{escape(k)}</b></dt><dd>{escape(v)}</dd>" for k, v in pairs.items()) + "</dl>"


def _table(results: Results, section: Section) -> str:
    found = table_rows(results, section)
    if not found:
        return f"<h2>{escape(section.title)}</h2>\n<p>Not measured.</p>"
    rows = []
    for row in found:
        cells = (f"<td>{f'<b>{escape(c.text)}</b>' if c.best else escape(c.text)}</td>" for c in row.cells)
        rows.append(f"<tr><th>{escape(row.name)}</th>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(column.title)}</th>" for column in section.columns)
    ends = {"high": ", higher is better", "low": ", lower is better", "": ""}
    meanings = _definitions({column.title: column.meaning + ends[column.better] for column in section.columns})
    return f"""<h2>{escape(section.title)}</h2>
<p>{escape(section.about)} The best of each column is bold.</p>
<div class="scroll"><table><tr><th>Predictor</th>{head}</tr>
{"".join(rows)}
</table></div>
<details><summary>Columns</summary>{meanings}</details>"""


def _figure(plot: Plot) -> str:
    data = base64.b64encode(plot.file.read_bytes()).decode()
    title, caption = escape(plot.title), escape(plot.caption)
    return f"""<figure><h3>{title}</h3>
<img src="data:image/png;base64,{data}" alt="{title}"><figcaption>{caption}</figcaption></figure>"""


def _failures(name: str, cases: Sequence[Failure]) -> str:
    found = []
    for case in cases:
        before = "".join(f"<p>{escape(text)}</p>" for text in case.context)
        said = _definitions({"next": case.wanted, "nearest to the prediction": case.got})
        found.append(f"<h4>{escape(case.title)}: rank {case.rank:,.0f}, cosine {case.cosine:.3f}</h4>{before}{said}")
    return f"<details><summary>{escape(name)} ({len(cases)})</summary>{''.join(found)}</details>"
