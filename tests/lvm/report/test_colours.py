import itertools

import numpy as np
import pytest

from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.report.colours import BASELINES, MODELS, style

# Machado, Oliveira and Fernandes 2009, severity 1.0, in linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
}
# The smallest distance in OKLab that still reads as another colour in a line of 1.5 points: .1, as one of 8 steps grey.
APART = {"all cones": 0.14, "no red cones": 0.10, "no green cones": 0.10}


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    lms = np.array(
        [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.6299787]]
    )
    lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.9779985, -2.42859221, 0.45059371],
            [0.0259040, 0.78277177, -0.80867577],
        ]
    )
    return lab @ np.cbrt(lms @ rgb)


def test_every_model_has_its_own_colour_and_marker():
    assert tuple(MODELS) == NAMES
    assert len({drawn.colour for drawn in MODELS.values()}) == len(NAMES)
    assert len({drawn.marker for drawn in MODELS.values()}) == len(NAMES)


@pytest.mark.parametrize("eye", EYES)
def test_colours_stay_apart_for_every_eye(eye):
    seen = {name: oklab(np.clip(EYES[eye] @ linear(drawn.colour), 0, 1)) for name, drawn in MODELS.items()}
    near = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(NAMES, 2)}
    closest = min(near, key=near.get)
    assert near[closest] > APART[eye], closest


def test_colours_stand_out_from_paper_and_baselines_are_grey():
    for drawn in [*MODELS.values(), *BASELINES.values()]:
        luminance = linear(drawn.colour) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2.2, drawn
    assert all(len({*drawn.colour[1:3], *drawn.colour[3:5], *drawn.colour[5:7]}) <= 2 for drawn in BASELINES.values())
    assert len({drawn.dash for drawn in BASELINES.values()}) == len(BASELINES)


def test_styles_are_stable():
    assert style("lstm") is MODELS["lstm"]
    assert style("ridge", baseline=True) is BASELINES["ridge"]
    # Of the name alone: not of the interpreter's random hash, nor of the other rows.
    assert style("somebody's model").colour == "#6f18aa"
    assert style("somebody's model") == style("somebody's model") != style("another")
    grey = style("a new baseline", baseline=True).colour
    assert grey[1:3] == grey[3:5] == grey[5:7]
