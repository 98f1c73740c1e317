import builtins
import itertools
import warnings

import numpy as np
import pytest

from tests.lvm.report.synthetic import write
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import Confusion, Data, Row
from wotd_mlx.lvm.report import bars, curves, distributions, heatmap, projection, tradeoff
from wotd_mlx.lvm.report.figure import canvas, log_axis, short
from wotd_mlx.lvm.report.heatmap import by_column
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.schemas import WotdError

pytest.importorskip("matplotlib")

FAMILIES = {
    bars: ["bars.png"],
    curves: [f"curves_{key}.png" for key in ("loss", "cosine", "margin", "gradient_norm", "learning_rate")],
    distributions: ["error_histogram.png", "cosine_boxes.png"],
    heatmap: ["top_k.png", "by_length.png", "by_topic.png", "by_similarity.png", "confusion.png"],
    projection: ["projection.png"],
    tradeoff: ["tradeoff_size.png", "tradeoff_training.png", "tradeoff_latency.png"],
}
NAMES_OF = {family: family.__name__.rpartition(".")[2] for family in FAMILIES}


@pytest.fixture
def strict():
    """Warnings of matplotlib, such as one of a layout that doesn't fit, are failures."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("family", FAMILIES, ids=NAMES_OF.get)
def test_draws_its_pictures(family, tmp_path):
    # One name is long and has what would be a formula.
    results = read_results(
        write(tmp_path, ["lstm", "$\\frac{" + "long " * 20], text="a $topic_ of $ {very} long name " * 3)
    )
    plots = family.draw(results, tmp_path / "plots")
    assert [plot.file.name for plot in plots] == FAMILIES[family]
    assert all(plot.file.read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert all(plot.title and plot.caption.endswith(".") for plot in plots)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("family", FAMILIES, ids=NAMES_OF.get)
def test_missing_figures_leave_pictures_out(family, tmp_path):
    rows = {"lstm": Row("model"), "ridge": Row("baseline")}
    assert family.draw(Results(data=Data(), context=5, validation=rows), tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(
    ("family", "name"), [(bars, "bars.png"), (tradeoff, "tradeoff_size.png"), (distributions, "cosine_boxes.png")]
)
def test_one_model_without_baselines(family, name, tmp_path):
    results = read_results(write(tmp_path, ["s4"], baselines=[]))
    assert name in [plot.file.name for plot in family.draw(results, tmp_path)]


def test_pictures_are_the_same_each_time(tmp_path):
    results = read_results(write(tmp_path, ["gru"]))
    first, second = (projection.draw(results, tmp_path / part)[0].file.read_bytes() for part in "ab")
    assert first == second


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.3])
def test_labels_never_overlap(spread, tmp_path):
    from matplotlib.text import Text

    rng = np.random.default_rng(1)
    points = [(0.5 + spread * x, 0.5 + spread * y) for x, y in rng.normal(size=(13, 2))]
    with canvas(tmp_path / "labels.png", 5, 4.5) as figure:
        axes = figure.subplots()
        axes.set(xlim=(-0.7, 1.7), ylim=(-0.7, 1.7))
        figure.draw_without_rendering()
        tradeoff.label(axes, NAMES, points)
        figure.draw_without_rendering()
        # An annotation's own extent has its line in it.
        boxes = [Text.get_window_extent(text) for text in axes.texts]
        frame = axes.get_window_extent()
    assert len(boxes) == 13
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


@pytest.mark.parametrize("values", [[3.0], [2e6, 2.1e6], [5.1e6, 1.6e9], [1e-7, 1e6]])
def test_logarithmic_axes_hold_all_values_and_have_ticks(values, tmp_path):
    with canvas(tmp_path / "axis.png", 3, 2) as figure:
        axes = figure.subplots()
        log_axis(axes, "x", values, str)
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert low < min(values) <= max(values) < high
    assert 1 <= len(ticks) <= 12


def test_columns_are_shaded_from_lowest_to_highest():
    shaded = by_column(np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [2.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(shaded, [[0, 0.5, np.nan], [1, 0.5, np.nan], [0.5, np.nan, np.nan]])


def test_topics_without_targets_are_no_rows():
    found = Confusion(["arts", "games", "history"], [[0.5, 0.25, 0], [0, 0, 0], [0.5, 0, 0.5]])
    rows, columns, values = heatmap._matrix(found)
    assert rows == ["arts", "history"]
    assert columns == ["arts", "games", "history"]
    np.testing.assert_array_equal(values, [[0.5, 0.25, 0], [0.5, 0, 0.5]])


@pytest.mark.parametrize("found", [Confusion([], []), Confusion(["arts"], [[0.0]])])
def test_a_confusion_without_figures_is_no_picture(found, tmp_path):
    results = Results(data=Data(), context=5, validation={"lstm": Row("model")}, confusion={"lstm": found})
    assert heatmap.draw(results, tmp_path) == []


@pytest.mark.usefixtures("strict")
def test_models_may_be_confused_over_different_topics(tmp_path):
    results = read_results(write(tmp_path, ["lstm", "gru"]))
    confusion = {
        "lstm": Confusion(["arts", "games"], [[0.5, 0.5], [0, 0]]),
        "gru": Confusion(["arts", "games", "history"], [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),
    }
    plots = heatmap.draw(Results(**{**vars(results), "confusion": confusion}), tmp_path / "plots")
    assert plots[-1].file.name == "confusion.png"


def test_short_names():
    assert short("lstm") == "lstm"
    assert short("two\nlines") == "two lines"
    assert short("x" * 40) == "x" * 25 + "…"


def test_without_matplotlib(monkeypatch, tmp_path):
    load = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    results = read_results(write(tmp_path, ["gru"]))
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(WotdError, match=r"pip install 'wotd-mlx\[plots\]'"):
        bars.draw(results, tmp_path)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "plots").touch()
    with pytest.raises(WotdError, match="can't be written"), canvas(tmp_path / "plots" / "x.png", 1, 1):
        pass
