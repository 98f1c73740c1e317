import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lvm.report.synthetic import validation_row, write
from wotd_mlx.io.lock import locked
from wotd_mlx.io.records import checked
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import Data, Row
from wotd_mlx.lvm.report.figure import Plot
from wotd_mlx.lvm.report.html import report, write_report
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.schemas import BusyError, MissingError

VOID = {"meta", "img", "br", "link"}
PIXEL = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """What a page holds: tags, attributes and text; tags that don't match are failures."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
            if {"td", "th"} & {*self.open}:
                self.cells[-1][-1] += data


def check(text: str) -> Page:
    """Parse a page and assert that nothing in it is fetched from anywhere, and that the one script is ours."""
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:80])
        assert not name.startswith("on"), (tag, name)
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert not {"link", "iframe", "object", "embed", "base"} & {*page.tags}
    assert not re.search(r"@import|url\(", text)
    return page


def small(rows: dict, **kwargs) -> Results:
    made = {name: checked(Row, row) for name, row in rows.items()}
    return Results(**{"data": Data("x.tsv"), "context": 5, "validation": made, **kwargs})


def test_write_report(tmp_path):
    pytest.importorskip("matplotlib")
    write(tmp_path, ["gru"])
    left = tmp_path / "evaluation" / "comparison_plots" / ".bars.png.0123456789ab.tmp"
    left.parent.mkdir()
    left.touch()  # by a process that was killed
    file = write_report(tmp_path)
    assert file == tmp_path / "evaluation" / "report.html"
    page = check(file.read_text(encoding="utf-8"))
    drawn = sorted(path.name for path in (file.parent / "comparison_plots").iterdir())
    assert page.tags.count("img") == len(drawn) == 17
    assert all(alt for tag, name, alt in page.attributes if (tag, name) == ("img", "alt"))
    text = " ".join(page.texts)
    for said in ("42,113 sentences", "558 for training", "the last 16 vectors", "not trained", "tiny: gru", "minilm"):
        assert said in text


def test_nothing_is_denied_that_was_not_measured(tmp_path):
    write(tmp_path, ["gru"])
    assert "every baseline in cosine" in report(read_results(tmp_path), [])
    (tmp_path / "evaluation" / "retrieval_results.json").unlink()
    assert "every baseline in cosine" not in report(read_results(tmp_path), [])


def test_nothing_evaluated(tmp_path):
    with pytest.raises(MissingError, match="lvm evaluate"):
        write_report(tmp_path)
    write(tmp_path, ["gru"])
    with locked(tmp_path / "evaluation"), pytest.raises(BusyError, match="is writing to"):
        write_report(tmp_path)


@pytest.mark.parametrize("models", [[], ["rwkv"], list(NAMES)], ids=len)
def test_any_subset_of_models(models, tmp_path):
    page = check(report(read_results(write(tmp_path, models)), []))
    first = page.cells[: 1 + 5 + len(NAMES)]
    assert [row[0] for row in first[1:6]] == ["copy-last", "mean of context", "five scalars", "ridge", "scalars"]
    assert {row[0] for row in first[6:]} == {*NAMES}
    assert {row[0] for row in first if row[1:] == ["not trained"]} == {*NAMES} - {*models}


def test_only_the_least():
    page = check(report(small({"lstm": {"kind": "model"}}), []))
    assert "Nothing of this was measured." in page.texts
    assert any("lvm evaluate --ood" in text for text in page.texts)


@settings(max_examples=40)
@given(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            [
                "<script>alert(1)</script>",
                "</script><script>alert(1)</script>",
                '"><img src=http://x.example onerror=alert(1)>',
                "' onmouseover='alert(1)",
                "$title $$ ${style} %s {0}",
                "<!-- ]]> &amp; &lt;",
                "long " * 2000,
            ]
        ),
    )
)
def test_texts_are_shown_and_never_run(text):
    import numpy as np

    row = validation_row(np.random.default_rng(0), "model", text)
    baseline = validation_row(np.random.default_rng(0), "baseline", text)
    results = small(
        {text: row, f"b{text}": baseline},
        machine={text: text},
        presets={text: text},
        data=Data(file=text, embedding=text, ood=text),
    )
    page = check(report(results, []).encode("utf-8", errors="replace").decode())
    # HTML turns a null and a carriage return into other characters; the rest must come through.
    if text.isprintable():
        shown = "".join(page.texts)
        assert text in shown
        assert f"b{text}" in [row[0] for row in page.cells if row]


def test_captions_are_escaped(tmp_path):
    file = Path(tmp_path / "x.png")
    file.write_bytes(PIXEL)
    page = check(report(small({"lstm": {"kind": "model"}}), [Plot(file, "<b>", 'say "<script>"')]))
    assert 'say "<script>"' in page.texts
    assert ("img", "alt", '<b>. say "<script>"') in page.attributes


def test_figures_sort_as_numbers(tmp_path):
    page = check(report(read_results(write(tmp_path, ["lstm", "gru"])), []))
    values = [float(value) for tag, name, value in page.attributes if (tag, name) == ("td", "data-value")]
    assert len(values) > 100
    assert [value for tag, name, value in page.attributes if (tag, name) == ("td", "class")].count("best") > 20
