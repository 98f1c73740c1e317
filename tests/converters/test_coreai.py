"""Every primitive's cases through Core AI: converted, computed by Apple's own runtime, and compared with MLX."""

from __future__ import annotations

import pytest

from converters import coreml
from converters.primitives import PRIMITIVES

pytest.importorskip("coreai", reason="needs the extra `coreai`")

CASES = [pytest.param(case, id=f"{row.name}-{case.name}") for row in PRIMITIVES.values() for case in row.cases]
BEYOND_HALF = {
    "Arange-ints": "a million, where float16 ends at 65,504",
    "ArcSinh-wide": "1e10",
    "ArcCosh-floats": "1e10",
    "ErfInv-tails": "0.9999999 is 1 in float16, whose value is infinite",
    "Inverse-scaled": "rows and columns a million apart",
}
"""Cases of numbers that half precision doesn't hold."""


@pytest.mark.parametrize("case", CASES)
def test_case_converts(case, tmp_path):
    report = coreml.convert(case.call, case.example(), tmp_path / "op.aimodel")
    assert report.engine == "coreai"
    assert report.psnr_db >= 120
    assert report.codes_equal == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in BEYOND_HALF])
def test_case_converts_in_half_precision(case, tmp_path):
    report = coreml.convert(case.call, case.example(), tmp_path / "op.aimodel", "float16", force=True)
    assert report.psnr_db >= 50
    assert report.codes_equal == 1


def test_every_primitive_is_lowered():
    from converters.coreai.ops import OPS, lowers

    assert set(OPS) == set(PRIMITIVES)
    with pytest.raises(ValueError, match="Nothing, which is no primitive"):
        lowers("Nothing")(lambda *_: None)
    with pytest.raises(ValueError, match="Add is lowered twice"):
        lowers("Add")(lambda *_: None)
