"""The operations that mlx2coreml lists, converted or refused, and what the figures beside it are made of."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bench_convert import attempt, deviation, parts
from benchmarks.mlx2coreml_ops import GROUPS, LACKING, REFUSED, STATES, SUPPORTED
from converters import coreml
from converters.coreml import backend

ROWS = [row for rows in GROUPS.values() for row in rows]
PARTS = [part for rows in GROUPS.values() for part in parts(rows)]
STOPPED = [row for row in ROWS if row.stops]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part[0].name}-{part[-1].name}")
def test_listed_ops_convert(part, tmp_path):
    assert attempt(part, tmp_path / "ops.mlpackage") == {}


@pytest.mark.parametrize("row", STOPPED, ids=lambda row: row.name)
def test_others_say_what_stops_them(row, tmp_path):
    with pytest.raises(coreml.ConversionError, match=row.stops):
        attempt([row], tmp_path / "op.mlpackage")


def test_lists_are_whole():
    names = [name for row in ROWS for name in row.names.split()]
    assert len(names) == len(set(names))
    count = {group: sum(len(row.names.split()) for row in rows) for group, rows in GROUPS.items()}
    assert count["supported"] + len(STATES) == 140
    assert (count["not_yet_implemented"], count["not_supported"]) == (37, 7)
    assert not any(row.stops for row in SUPPORTED)
    assert [row.name for row in LACKING if row.stops] == ["bitwise_invert", "logcumsumexp", "segmented_mm"]
    assert [row.name for row in REFUSED if not row.stops] == ["depends", "gather_qmm", "quantized_matmul"]


def test_wrong_row_is_named(tmp_path, monkeypatch):
    """A package that is off is found by the name of its row, alias included."""
    rows = [row for row in SUPPORTED if row.names in ("add", "subtract sub")]
    right = backend.runner

    def off(package, engine="auto"):
        call = right(package, engine)
        return lambda inputs: {name: a + (0.1 if name.startswith("sub") else 0) for name, a in call(inputs).items()}

    monkeypatch.setattr(backend, "runner", off)
    assert set(attempt(rows, tmp_path / "ops.mlpackage")) == {"subtract", "sub"}


def test_deviation_of_equal_and_of_other_rows():
    want = np.array([[1.0, -2.0], [0.5, 0.0]])
    assert deviation(want, want) == {"max_abs_error": 0.0, "psnr_db": None, "equal_rows": 1.0}
    found = deviation(want, want + np.array([[0.0, 0.0], [0.0, 0.2]]))
    assert found["equal_rows"] == 0.5
    assert found["psnr_db"] == pytest.approx(20 * np.log10(2 / 0.1))
