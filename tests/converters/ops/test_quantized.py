"""Products with packed weights, in every mode, turned and as they lie; picked ones."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.converters.ops.agree import agree, normal, whole

MODES = [("affine", 64, 4), ("affine", 32, 8), ("affine", 32, 2), ("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)]


def packed(mode, group, bits, *shape):
    parts = mx.quantize(normal(*shape), group, bits, mode=mode)
    mx.eval(parts)
    return parts[0], parts[1], parts[2] if len(parts) > 2 else None


@pytest.mark.parametrize(("mode", "group", "bits"), MODES)
def test_products(tmp_path, mode, group, bits):
    w, s, b = packed(mode, group, bits, 64, 64)
    how = {"group_size": group, "bits": bits, "mode": mode}
    counts = agree(
        tmp_path,
        {
            "turned": lambda x: mx.quantized_matmul(x, w, s, b, True, **how),
            "plain": lambda x: mx.quantized_matmul(x, w, s, b, False, **how),
        },
        normal(2, 3, 64),
        row="quantised",
    )
    assert counts["linear"] == 2


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("asked", [2, 9])
def test_picked(tmp_path, turned, asked):
    w, s, b = packed("affine", 32, 4, 4, 32, 32)
    agree(
        tmp_path,
        {
            "right": lambda x, i, j: mx.gather_qmm(x[:1], w, s, b, None, j, turned, 32, 4),
            "both": lambda x, i, j: mx.gather_qmm(x, w, s, b, i, j, turned, 32, 4),
        },
        normal(3, 1, 32),
        whole(0, 3, asked),
        whole(0, 4, asked, seed=1),
        row="quantised",
    )


def test_weights_that_are_computed_are_refused(tmp_path):
    from converters import coreml

    w, s, b = packed("affine", 32, 4, 32, 32)
    with pytest.raises(coreml.ConversionError, match="reads quantised weights that are computed"):
        agree(tmp_path, {"y": lambda x, s: mx.quantized_matmul(x, w, s, b, True, 32, 4)}, normal(2, 32), s)
    assert not list(tmp_path.glob("*.mlpackage"))
    assert np.asarray(s).shape == (32, 1)
