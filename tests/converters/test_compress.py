"""Palettes: near the best that there is, the same each time, and without scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from converters.coreml.compress import palette

RNG = np.random.default_rng(0)
WEIGHTS = {
    "normal": RNG.normal(size=(300, 200)).astype(np.float16),
    "wide": RNG.normal(size=20_000).astype(np.float32),
    "even": RNG.uniform(-1, 1, 20_000).astype(np.float16),
    "two hills": np.concatenate([RNG.normal(-5, 0.1, 9000), RNG.normal(5, 1, 9000)]).astype(np.float16),
    "mostly zero": (RNG.normal(size=30_000) * (RNG.random(30_000) < 0.1)).astype(np.float16),
}


@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("name", WEIGHTS)
def test_palette_is_no_worse_than_scikit_learns(name, bits):
    cluster = pytest.importorskip("sklearn.cluster")
    weight = WEIGHTS[name]
    table, indices = palette(weight, bits)
    assert (table.shape, table.dtype, indices.dtype) == ((1 << bits,), weight.dtype, np.uint8)
    flat = weight.ravel().astype(np.float64)
    theirs = cluster.KMeans(1 << bits, tol=1e-2, n_init=1, random_state=0).fit(flat[:, None])
    assert np.mean((table[indices] - flat) ** 2) <= 1.05 * theirs.inertia_ / flat.size


def test_each_number_has_the_nearest_of_the_palette():
    weight = WEIGHTS["wide"]
    table, indices = palette(weight, 6)
    best = np.abs(weight[:, None].astype(np.float64) - table).min(axis=1)
    np.testing.assert_allclose(np.abs(weight - table[indices]), best, atol=1e-6)


@pytest.mark.parametrize("values", [[1.5], [0.0, -np.inf], list(range(16))])
def test_few_numbers_are_kept_as_they_are(values):
    weight = np.resize(np.array(values, np.float16), (50, 60))
    table, indices = palette(weight, 4)
    np.testing.assert_array_equal(table[indices].reshape(weight.shape), weight)


def test_palettes_need_no_scikit_learn(tmp_path):
    """As after an installation without extras."""
    program = """
import sys
sys.modules["sklearn"] = sys.modules["kmeans1d"] = None
import mlx.core as mx
from mlx import nn
from converters import coreml
model = nn.Linear(64, 64)
mx.eval(model.parameters())
report = coreml.convert(model, {"x": mx.random.normal((2, 64))}, "m.mlpackage", precision="palette6")
assert report.psnr_db > 35
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
