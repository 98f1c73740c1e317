import logging

import numpy as np
import pytest

from tests.lvm.evaluation.small import embeddings
from wotd_mlx.lvm.evaluation import projection
from wotd_mlx.lvm.evaluation.projection import project, shown_targets


def test_shown_targets_are_spread_over_all_targets_and_few():
    assert shown_targets(5, models=1) == [0, 1, 2, 3, 4]
    assert shown_targets(0, models=3) == []
    many = shown_targets(4000, models=13)
    assert (many[0], many[-1], len(many), len(set(many))) == (0, 3999, 214, 214)
    assert len(shown_targets(4000, models=1)) == 400


class Halves:
    """Stands for either library: keeps the first two numbers."""

    def __init__(self, **settings):
        Halves.made = [settings]

    def fit_transform(self, points):
        return points[:, :2]


@pytest.mark.parametrize(("installed", "method"), [(("sklearn", "umap"), "t-SNE"), (("umap",), "UMAP")])
def test_whichever_library_is_installed(monkeypatch, installed, method):
    monkeypatch.setattr(projection, "find_spec", lambda name: name in installed or None)
    monkeypatch.setattr(projection, "import_module", lambda name: type("library", (), {"TSNE": Halves, "UMAP": Halves}))
    x = {name: 3 * embeddings(10, seed=n) for n, name in enumerate(("targets", "gru", "s4"))}
    found = project(x["targets"], {name: x[name] for name in ("gru", "s4")})
    assert found["method"] == method
    # Directions about their mean, of which the stand-in keeps the first two numbers.
    points = np.concatenate([*x.values()]) / 3
    points = (points - points.mean(axis=0))[:, :2]
    for part, want in zip((found["targets"], *found["predictions"].values()), np.split(points, 3), strict=True):
        np.testing.assert_allclose(part, want, atol=5.1e-5)
    assert list(found["predictions"]) == ["gru", "s4"]
    (settings,) = Halves.made
    expected = {"t-SNE": {"perplexity": 29 / 3, "init": "pca"}, "UMAP": {"n_neighbors": 15}}
    assert settings == expected[method] | {"random_state": 0}


def test_left_out_in_one_line_where_none_is_installed(monkeypatch, caplog):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        assert project(embeddings(10), {"gru": embeddings(10)}) is None
    assert [record.message for record in caplog.records if "pip install scikit-learn" in record.message]
    assert len(caplog.records) == 1


def test_near_points_stay_near_in_scikit_learn():
    pytest.importorskip("sklearn")
    near = np.repeat(embeddings(2, seed=5), 20, axis=0) + 0.05 * embeddings(40)
    found = project(near[:20], {"gru": near[20:]})
    one, other = np.array(found["targets"]), np.array(found["predictions"]["gru"])
    apart = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    assert apart > one.std(axis=0).max() + other.std(axis=0).max()
