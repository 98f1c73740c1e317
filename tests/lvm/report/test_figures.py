"""What is plotted is what the results say."""

import math
import sys
import warnings

import numpy as np
import pytest

from tests.lvm.report.synthetic import BASELINES, write
from tests.tolerances import close
from wotd_mlx.lvm.evaluation.results import Confusion, Data, Row, Validation
from wotd_mlx.lvm.report import figures
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.schemas import WotdError

pytest.importorskip("matplotlib")

MODELS = ["gru", "s4", "rwkv"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return read_results(write(tmp_path_factory.mktemp("out"), MODELS))


def numbers(results, names, path):
    return [results.number(name, path) for name in names]


def test_bars(results):
    names = [*BASELINES, *MODELS]
    axes = figures.bars(results).axes
    paths = ("validation.valid.cosine", "validation.valid.margin", "retrieval.valid.context.top1",
             "retrieval.valid.context.top5")  # fmt: skip
    errors = []
    for at, path in zip(axes, paths, strict=True):
        values = numbers(results, names, path)
        close([bar.get_width() for bar in at.patches], values, "exact")
        assert [label.get_text() for label in at.texts] == [f"{v:.3f}" for v in values]
        (lines,) = at.collections
        errors.append([np.ptp(segment[:, 0]) / 2 for segment in lines.get_segments() if len(segment)])
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == names
    assert errors[1] == []
    # Twice the standard error over 400 targets, whose cosines deviate by .15.
    close(errors[0], [2 * 0.15 / 20] * 8, "sum_order")
    p = np.array(numbers(results, names, paths[3]))
    close(errors[3], 2 * np.sqrt(p * (1 - p) / 400), "sum_order")


def test_tradeoff(results):
    axes = figures.tradeoff(results).axes
    costs = (("validation.parameters", 1e-6), ("validation.seconds", 1), ("benchmarks.latency_ms.p50", 1))
    cosines = numbers(results, MODELS, "validation.valid.cosine")
    for at, (path, scale) in zip(axes, costs, strict=True):
        assert [line.get_label() for line in at.lines] == MODELS
        close([line.get_xdata()[0] for line in at.lines], scale * np.array(numbers(results, MODELS, path)), "sum_order")
        close([line.get_ydata()[0] for line in at.lines], cosines, "exact")


def test_curves(results):
    axes = figures.curves(results).axes
    fields = ["train_loss", "train_cosine", "train_margin", "gradient_norm",
              "valid_loss", "valid_cosine", "valid_margin", "learning_rate"]  # fmt: skip
    assert [at.get_ylabel() for at in axes] == [
        f.replace("train_", "training ").replace("valid_", "validation ").replace("_", " ") for f in fields
    ]
    for at, field in zip(axes, fields, strict=True):
        for line, name in zip(at.lines, MODELS, strict=True):
            close(line.get_xdata(), [1, 2, 3], "ids")
            close(line.get_ydata(), [getattr(epoch, field) for epoch in results.histories[name]], "exact")
            # The second epoch's weights were kept.
            assert (line.get_label(), line.get_markevery()) == (name, [1])


def shown(axes):
    return np.ma.filled(axes.images[0].get_array(), math.nan)


def test_top_k(results):
    for at, excluded in zip(figures.top_k(results).axes, ("context", "newest5"), strict=True):
        paths = [
            f"retrieval.valid.{excluded}.{key}" for key in ("top1", "top5", "top10", "top20", "mean_reciprocal_rank")
        ]
        want = [[results.number(name, path) for path in paths] for name in [*BASELINES, *MODELS]]
        close(shown(at), want, "exact")
        assert [text.get_text() for text in at.texts] == [f"{v:.3f}" for row in want for v in row]


def test_groups(results):
    for axes, key in zip(figures.groups(results).axes, ("by_length", "by_topic", "by_similarity"), strict=True):
        buckets = {name: getattr(results.validation.rows[name], key) for name in MODELS}
        close(shown(axes), [[b.cosine for b in buckets[name]] for name in MODELS], "exact")
        assert [tick.get_text() for tick in axes.get_yticklabels()] == MODELS
        heads = [tick.get_text() for tick in axes.get_xticklabels()]
        assert heads == [f"{b.bucket} ({b.count})" for b in buckets["gru"]]


def test_groups_that_a_model_lacks_are_empty(results):
    fewer = {name: Row("model", by_topic=results.validation.rows[name].by_topic) for name in MODELS}
    fewer["s4"] = Row("model", by_topic=fewer["s4"].by_topic[1:])
    (axes,) = figures.groups(Results(Validation(Data(), 5, fewer))).axes
    # Columns are in the order in which the groups are met.
    assert np.argwhere(np.isnan(shown(axes))).tolist() == [[1, 0]]
    assert len(axes.texts) == 8


def test_confusion(results):
    (axes,) = figures.confusion(results).axes
    best = max(MODELS, key=lambda name: results.number(name, "validation.valid.cosine"))
    assert axes.get_title() == best
    close(shown(axes), [[0.7, 0.1], [0.0, 0.9]], "exact")
    # White on the darker half.
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "white"]


def test_cosine_boxes(results):
    (axes,) = figures.cosine_boxes(results).axes
    names = [*BASELINES, *MODELS]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    quartiles = np.array([results.validation.rows[name].valid.quartiles for name in names])
    # Five lines a row, upright but for the whiskers: box, lower whisker, upper whisker, two caps, median.
    ends = np.array([[f(line.get_xdata()) for f in (min, max)] for line in axes.lines]).reshape(8, 6, 2)
    close(ends[:, 0], quartiles[:, [1, 3]], "exact")
    close(ends[:, 1], quartiles[:, [0, 1]], "exact")
    close(ends[:, 2], quartiles[:, [3, 4]], "exact")
    close(ends[:, 5], quartiles[:, [2, 2]], "exact")


def test_projection(results):
    plane = results.retrieval.projection
    for at, name in zip(figures.projection(results).axes, MODELS, strict=False):
        targets, predictions = (np.transpose(line.get_data()) for line in at.lines)
        assert at.get_title() == name
        close(targets, plane.targets, "exact")
        close(predictions, plane.predictions[name], "exact")


def test_what_was_not_measured_is_not_drawn(tmp_path):
    rows = {"lstm": Row("model"), "ridge": Row("baseline")}
    names = [plot.file.name for plot in figures.write_figures(Results(Validation(Data(), 5, rows)), tmp_path)]
    assert names == ["bars.png", "tradeoff.png"]
    none = {"lstm": Confusion([], [])}
    assert figures.confusion(Results(Validation(Data(), 5, rows), retrieval=type("R", (), {"confusion": none}))) is None


def test_files_and_odd_topics(tmp_path, monkeypatch):
    """A long topic with what would be a formula; warnings, such as of a layout that doesn't fit, are failures."""
    monkeypatch.setitem(figures.STYLE, "savefig.dpi", 30)
    results = read_results(write(tmp_path, ["lstm"], text="$\\frac{ a $topic_ of $ {very} long name " * 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots = figures.write_figures(results, tmp_path)
    assert [plot.file for plot in plots] == [tmp_path / f"{draw.__name__}.png" for draw, *_ in figures.FIGURES]
    assert all(plot.file.read_bytes().startswith(b"\x89PNG") for plot in plots)


def test_without_matplotlib_or_a_folder(results, monkeypatch, tmp_path):
    (tmp_path / "plots").touch()
    with pytest.raises(WotdError, match=r"bars\.png can't be written"):
        figures.write_figures(results, tmp_path / "plots")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(WotdError, match=r"pip install 'wotd-mlx\[plots\]'"):
        figures.write_figures(results, tmp_path)
