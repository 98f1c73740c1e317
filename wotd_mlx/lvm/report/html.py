"""``report.html``: one file with everything in it, to be sent to anyone and opened anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from wotd_mlx.io.files import write_atomically
from wotd_mlx.io.lock import locked
from wotd_mlx.lvm.evaluation.results import Failure, Files
from wotd_mlx.lvm.report import bars, curves, distributions, heatmap, projection, tradeoff
from wotd_mlx.lvm.report.colours import style
from wotd_mlx.lvm.report.figure import DPI, Plot
from wotd_mlx.lvm.report.page import PAGE, SCRIPT, STYLE
from wotd_mlx.lvm.report.results import EXCLUSIONS, QUALITY, SPLITS, Results, read_results
from wotd_mlx.lvm.report.table import NEWEST, SECTIONS, Cell, Column, Line, Section, lines, share
from wotd_mlx.schemas import WotdError

_FAMILIES = (bars, tradeoff, heatmap, curves, distributions, projection)
_TITLE = "Predictors of the next sentence, compared"


def write_report(out: Path) -> Path:
    """Draw ``OUT/evaluation/comparison_plots/*.png`` and write ``OUT/evaluation/report.html``; return the latter.

    Raises:
        MissingError: nothing was evaluated in ``out``.
        BusyError: an evaluation writes to it.
        WotdError: a file is damaged or can't be written, or matplotlib is missing.
    """
    results = read_results(out)
    folder = Files(out).folder
    file = folder / "report.html"
    with locked(folder):
        page = report(results, write_plots(results, folder / "comparison_plots"))
        try:
            write_atomically(file, page.encode())
        except OSError as error:
            raise WotdError(f"{file} can't be written: {error.strerror}") from error
    return file


def write_plots(results: Results, folder: Path) -> list[Plot]:
    """Every picture whose figures are known, in the order in which they are shown."""
    return [plot for family in _FAMILIES for plot in family.draw(results, folder)]


def report(results: Results, plots: Sequence[Plot]) -> str:
    """The page as text; pictures stand in it as base64."""
    return PAGE.substitute(
        title=_TITLE,
        style=STYLE,
        script=SCRIPT,
        summary=_summary(results),
        first=_section(results, SECTIONS[0], "open"),
        tables="\n".join(_section(results, section) for section in SECTIONS[1:]),
        facts=_facts(results),
        pictures="\n".join(map(_picture, plots)) or "<p>There are none: no models were evaluated.</p>",
        failures=_failures(results),
    )


def _summary(results: Results) -> str:
    """The main finding in a sentence or two."""
    measure = ("validation", "valid", "cosine")
    found = []
    for names in (results.models, results.baselines):
        known = [(value, name) for name in names if (value := results.number(name, *measure)) is not None]
        found.append(max(known, default=None))
    model, baseline = found
    said = []
    if model and baseline:
        said.append(
            f"The best cosine of a model is {share(model[0])} ({_bold(model[1])}), that of a baseline "
            f"{share(baseline[0])} ({escape(baseline[1])})."
        )
    # Of a figure that wasn't measured, being above cannot be denied.
    if results.models and all(results.best_baseline(place) is not None for place in QUALITY):
        above = results.above_baselines()
        listed = ", ".join(map(_bold, above))
        count, four = len(results.models), "every baseline in cosine, Top-1, Top-5 and Top-20 at once"
        said.append(
            f"Above {four}: {listed} ({len(above)} of {count})." if above else f"No model of {count} is above {four}."
        )
    return f"<p>{' '.join(said) or 'Models and baselines side by side.'}</p>"


def _bold(name: str) -> str:
    return f"<strong>{escape(name)}</strong>"


def _section(results: Results, section: Section, explained: str = "") -> str:
    found = lines(results, section)
    title = f"<h2>{escape(section.title)}</h2>"
    if not found:
        return f"{title}\n<p class=muted>{_absent(section)}</p>"
    head = "".join(_head(column) for column in section.columns)
    body = "\n".join(_row(line, len(section.columns)) for line in found)
    about = f"{section.about} The best of each column is bold; a click on a heading sorts."
    return f"""{title}
<p class=muted>{escape(about)}</p>
<div class=scroll tabindex=0><table class=sortable><thead><tr><th scope=col>Predictor</th>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div>
<details {explained}><summary>What the columns mean</summary>
<dl class=columns>{"".join(map(_meaning, section.columns))}</dl></details>"""


def _absent(section: Section) -> str:
    if any(column.place[1] == "ood" for column in section.columns):
        return "Nothing was measured on text of another domain; give such a file to <code>lvm evaluate --ood</code>."
    return "Nothing of this was measured."


def _head(column: Column) -> str:
    first = "ascending" if column.better == "low" else "descending"
    button = f"<button>{escape(column.title)}</button>"
    return f'<th scope=col data-first={first} title="{escape(column.meaning)}">{button}</th>'


def _meaning(column: Column) -> str:
    better = {"high": "; higher is better", "low": "; lower is better"}.get(column.better, "")
    return f"<dt>{escape(column.title)}:</dt> <dd>{escape(column.meaning + better)}.</dd>"


def _row(line: Line, width: int) -> str:
    dot = f'<span class=dot style="background:{style(line.name, line.baseline).colour}"></span>'
    name = f"<th scope=row>{dot}{escape(line.name)}</th>"
    if line.note:
        return f"<tr>{name}<td class=note colspan={width}>{escape(line.note)}</td></tr>"
    kind = " class=baseline" if line.baseline else ""
    return f"<tr{kind}>{name}{''.join(map(_cell, line.cells))}</tr>"


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    return f"<td{' class=best' if cell.best else ''}{value}>{escape(cell.text)}</td>"


def _facts(results: Results) -> str:
    data, facts = results.data, []
    counts = {"sentences": data.sentences, "articles": data.articles}
    size = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n is not None)
    facts.append(("Data", f"{data.file}{f' ({size})' if size else ''}"))
    if split := data.split:
        parts = f"{split.train:,} for training, {split.valid:,} for validation, {split.test:,} for test"
        facts.append(("Split", f"whole articles: {parts}; none is in two parts"))
    facts.append(("Targets", _targets(results)))
    width = f", {data.dims} dimensions" if data.dims else ""
    facts.append(("Vectors", f"{data.embedding}{width}, unit length"))
    context = results.context
    before = f"the last {context} vectors of the article before the target, or as many as there are"
    facts.append(("Context", f"{before}; a target has five sentences before it at least"))
    among = f"{results.candidates:,} sentences" if results.candidates is not None else "all sentences"
    search = f"the next sentence is looked for among {among} by cosine to the prediction, ties counted half"
    rule = f"{EXCLUSIONS['context']}: up to {context} sentences, for baselines too"
    facts.append(("Retrieval", f"{search}, with {rule}. “{NEWEST.title}” has {EXCLUSIONS['newest5']}"))
    facts.append(("Out-of-domain text", data.ood or "none"))
    sizes: dict[str, list[str]] = {}
    for name in results.models:
        if name in results.presets:
            sizes.setdefault(results.presets[name], []).append(name)
    if sizes:
        facts.append(("Presets", "; ".join(f"{size}: {', '.join(names)}" for size, names in sizes.items())))
    machine = ", ".join(f"{key} {_plain(value)}" for key, value in results.machine.items())
    facts.append(("Machine", machine or "unknown: speed was not measured"))
    return "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in facts if text) + "</dl>"


def _targets(results: Results) -> str:
    found = []
    for split, title in SPLITS.items():
        counts = [
            n for row in results.validation if (n := results.number(row, "validation", split, "count")) is not None
        ]
        if counts:
            found.append(f"{counts[0]:,.0f} in {title}")
    return ", ".join(found)


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _picture(plot: Plot) -> str:
    data = plot.file.read_bytes()
    # A PNG's width stands in its header; an inch of it is an inch of the page, whatever the screen's density.
    width = int.from_bytes(data[16:20], "big") * 96 // DPI
    return f"""<figure><h3>{escape(plot.title)}</h3>
<div class=picture tabindex=0><img src="data:image/png;base64,{base64.b64encode(data).decode()}"
style="--width:{width}px" alt="{escape(f"{plot.title}. {plot.caption}")}"></div>
<figcaption>{escape(plot.caption)}</figcaption></figure>"""


def _failures(results: Results) -> str:
    about = "<p class=muted>Validation targets whose next sentence stands furthest down the list, for each model.</p>"
    parts = []
    for name in results.models:
        if cases := results.validation[name].failures:
            held = "\n".join(map(_case, cases))
            parts.append(f"<details><summary>{escape(name)} ({len(cases)})</summary>\n{held}\n</details>")
    return about + "\n".join(parts) if parts else "<p class=muted>None were kept.</p>"


def _case(case: Failure) -> str:
    rows = [*(("before", text) for text in case.context), ("wanted", case.wanted), ("got", case.got)]
    said = "".join(f"<p><b>{label}</b> {escape(text)}</p>" for label, text in rows)
    head = f"{case.title} · rank {case.rank:,.0f} · cosine {case.cosine:.3f}"
    return f"<div class=case><p><strong>{escape(head)}</strong></p>{said}</div>"
