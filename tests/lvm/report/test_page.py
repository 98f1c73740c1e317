import base64
import re
from html.parser import HTMLParser

import pytest

from tests.lvm.report.synthetic import BASELINES, write
from wotd_mlx.io.lock import locked
from wotd_mlx.io.records import checked
from wotd_mlx.lvm.evaluation.results import Data, Row, Validation
from wotd_mlx.lvm.report import figures
from wotd_mlx.lvm.report.figures import Plot
from wotd_mlx.lvm.report.page import report, summary, write_report
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.lvm.report.table import VALID, table_rows
from wotd_mlx.schemas import BusyError, MissingError


class Page(HTMLParser):
    """What a page holds: tags, attributes, texts and the cells of its tables; tags that don't match are failures."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & {*self.open}:
            self.cells[-1][-1] += data


def test_write_report(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures, "FIGURES", figures.FIGURES[:2])
    file = write_report(write(tmp_path, ["gru"]))
    assert file == tmp_path / "evaluation" / "report.html"
    page = Page(file.read_text(encoding="utf-8"))
    # Nothing is fetched from anywhere: each figure stands in the page.
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    drawn = [path.read_bytes() for path in (file.parent / "comparison_plots").iterdir()]
    assert sorted(base64.b64decode(s.removeprefix("data:image/png;base64,")) for s in sources) == sorted(drawn)
    text = " ".join(page.texts)
    for said in ("42,113 sentences", "558 for training", "the last 16 sentences", "not trained", "gru: tiny", "minilm"):
        assert said in text


def test_tables_and_failures_are_the_results(tmp_path):
    results = read_results(write(tmp_path, ["rwkv", "gru"]))
    page = Page(report(results, []))
    rows = {row.name: row for row in table_rows(results, VALID)}
    assert page.cells[0] == ["Predictor", *(column.title for column in VALID.columns)]
    for cells in page.cells[1 : 1 + len(BASELINES) + 2]:
        assert cells[1:] == [cell.text for cell in rows.pop(cells[0]).cells]
    assert not rows
    assert page.texts.count("a sentence: rank 40,000, cosine 0.100") == 4


def test_the_summary_says_who_is_best_and_denies_nothing_that_was_not_measured(tmp_path):
    results = read_results(write(tmp_path, ["gru", "lstm"]))
    best = {kind: max((results.number(name, "validation.valid.cosine"), name) for name in names)
            for kind, names in (("model", results.models), ("baseline", results.baselines))}  # fmt: skip
    for kind, (value, name) in best.items():
        assert f"The best cosine of a {kind} is {value:.3f} ({name})." in summary(results)
    above = results.above_baselines()
    assert f"{len(above)} of 2 models are above every baseline" in summary(results)
    assert "every baseline" not in summary(Results(results.validation))


@pytest.mark.parametrize(
    "text",
    ["</script><script>alert(1)</script>", '"><img src=http://x.example onerror=alert(1)>', "$title ${style} %s {0}",
     "' onmouseover='alert(1)", "<!-- ]]> &amp; &lt;"],
)  # fmt: skip
def test_texts_are_shown_and_never_run(text, tmp_path):
    results = read_results(write(tmp_path, [text], text))
    file = tmp_path / "x.png"
    file.write_bytes(b"\x89PNG")
    made = report(results, [Plot(file, text, text)])
    page = Page(made)
    assert {"script", "link", "iframe"} & {*page.tags} == set()
    assert page.tags.count("img") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert text in [row[0] for row in page.cells]
    assert page.texts.count(text) > 5
    assert not re.search(r"@import|url\(", made)


def test_only_the_least():
    page = Page(report(Results(Validation(Data(), 5, {"lstm": checked(Row, {"kind": "model"})})), []))
    assert page.texts.count("Not measured.") == 5
    assert "none; give it to lvm evaluate --ood" in page.texts


def test_nothing_evaluated_and_a_folder_in_use(tmp_path):
    with pytest.raises(MissingError, match="lvm evaluate"):
        write_report(tmp_path)
    write(tmp_path, ["gru"])
    with locked(tmp_path / "evaluation"), pytest.raises(BusyError, match="is writing to"):
        write_report(tmp_path)
