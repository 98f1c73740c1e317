"""Convolutions of one to three axes with every stride, padding, dilation and number of groups."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal

# Each stride with each dilation, in one group and in several; MLX has no groups over three axes.
PAIRS = [(1, 1, 1), (2, 1, 2), (1, 2, 2), (2, 2, 1)]
COMBINATIONS = {1: [*PAIRS, (1, 1, 4)], 2: PAIRS, 3: [(stride, dilation, 1) for stride, dilation, _ in PAIRS]}
SIDES = {1: (9,), 2: (6, 7), 3: (4, 5, 4)}


@pytest.mark.parametrize("axes", SIDES)
def test_convolutions(tmp_path, axes):
    """Weights that are constant and computed; padding on one side; kernels turned round."""
    x, weight = normal(2, *SIDES[axes], 4), {g: normal(4, *((2, 3, 2)[:axes]), 4 // g, seed=g) for g in (1, 2, 4)}
    mx.eval(weight)
    functions = {}
    for stride, dilation, groups in COMBINATIONS[axes]:
        name = f"s{stride}d{dilation}g{groups}"
        low, high = [1] + [0] * (axes - 1), [2] + [1] * (axes - 1)
        given = {"stride": stride, "kernel_dilation": dilation, "groups": groups}
        functions |= {
            name: lambda x, w, how=given, g=groups: mx.conv_general(x, weight[g], padding=1, **how),
            f"{name}_uneven": lambda x, w, how=given, g=groups, p=(low, high): mx.conv_general(
                x, weight[g], padding=p, **how
            ),
            f"{name}_flip": lambda x, w, how=given, g=groups: mx.conv_general(
                x, weight[g], padding=1, flip=True, **how
            ),
            f"{name}_spread": lambda x, w, how=given, g=groups, p=(low, high): mx.conv_general(
                x, weight[g], padding=p, input_dilation=2, **how
            ),
            f"{name}_spread_flip": lambda x, w, how=given, g=groups: mx.conv_general(
                x, weight[g], padding=0, input_dilation=3, flip=True, **how
            ),
        }
    functions |= {
        "computed": lambda x, w: mx.conv_general(x, w, padding=1, stride=2),
        "computed_flip": lambda x, w: mx.conv_general(x, w, padding=1, flip=True),
        "computed_spread": lambda x, w: mx.conv_general(x, w, padding=1, input_dilation=2),
        "cut": lambda x, w: mx.conv_general(x, w, padding=([-1] + [0] * (axes - 1), [-1] + [1] * (axes - 1))),
    }
    if axes < 3:
        functions["computed_spread_groups"] = lambda x, w: mx.conv_general(
            x, w[..., :2], padding=1, input_dilation=2, groups=2
        )
    agree(tmp_path, functions, x, weight[1])
