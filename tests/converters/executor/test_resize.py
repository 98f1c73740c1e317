"""Resizing and resampling: against torch where it has the mode, else pixel by pixel."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from converters.coreml.executor.ops.resize import grid
from tests.converters.executor.calls import call, needs, normal
from tests.tolerances import close

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

X = normal(2, 3, 5, 4)
TX = torch.from_numpy(X)
SIZES = [(1, 1), (3, 2), (5, 4), (7, 9), (10, 12)]


@pytest.mark.parametrize(
    ("mode", "length", "count", "want"),
    [
        ("STRICT_ALIGN_CORNERS", 5, 3, [0, 2, 4]),
        ("STRICT_ALIGN_CORNERS", 5, 1, [0]),
        ("ALIGN_CORNERS", 5, 3, [0, 2, 4]),
        ("ALIGN_CORNERS", 5, 1, [2]),
        ("ALIGN_CORNERS", 4, 1, [1.5]),
        ("DEFAULT", 4, 2, [0, 2]),
        ("DEFAULT", 2, 4, [0, 0.5, 1, 1]),
        ("UNALIGN_CORNERS", 4, 2, [0.5, 2.5]),
        ("UNALIGN_CORNERS", 2, 4, [0, 0.25, 0.75, 1]),
        ("OFFSET_CORNERS", 5, 2, [1, 3]),
        ("OFFSET_CORNERS", 1, 2, [0, 0]),
        ("OFFSET_CORNERS", 2, 4, [0.125, 0.375, 0.625, 0.875]),
    ],
)
def test_where_samples_lie(mode, length, count, want):
    close(grid(length, count, mode), want, "exact")


def test_unknown_sampling_is_refused():
    with pytest.raises(ValueError, match="unknown sampling mode 'CORNERS'"):
        grid(3, 2, "CORNERS")


def torch_resized(height, width, corners):
    return F.interpolate(TX, size=(height, width), mode="bilinear", align_corners=corners).numpy()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resizing_is_torchs(height, width):
    given = {"x": X, "target_size_height": height, "target_size_width": width}
    for mode, corners in (("STRICT_ALIGN_CORNERS", True), ("UNALIGN_CORNERS", False)):
        want = torch_resized(height, width, corners)
        close(call("resize_bilinear", **given, sampling_mode=mode), want, "executor")
        shape = {"x": X, "shape": [height, width], "resized_dims": 2}
        close(call("resize", **shape, interpolation_mode="LINEAR", sampling_mode=mode), want, "executor")
    want = F.interpolate(TX, size=(height, width), mode="nearest").numpy()
    close(call("resize_nearest_neighbor", **given), want, "exact")
    nearest = call("resize", x=X, shape=[height, width], resized_dims=2, interpolation_mode="NEAREST_NEIGHBOR")
    close(nearest, want, "exact")
    for name in ("resize_bilinear", "resize_nearest_neighbor"):
        assert needs(name, **given) == 2 * 3 * max(height, 5) * max(width, 4)


def test_resizing_by_default():
    """From i L / n; the last pixel stands for what is beyond it."""
    x = np.array([[[[0, 1], [10, 11]]]], np.float32)
    want = np.add.outer([0, 5, 10, 10], [0, 0.5, 1, 1])[None, None]
    close(call("resize_bilinear", x=x, target_size_height=4, target_size_width=4), want, "exact")
    close(call("resize_bilinear", x=x), [[[[0]]]], "exact")
    close(call("resize", x=x, shape=[4, 4], resized_dims=2), want, "exact")


def test_resize_keeps_what_is_0():
    """Only the last dimensions are named, or only those of a longer shape count."""
    want = F.interpolate(TX, size=(5, 9), mode="bilinear", align_corners=False).numpy()
    for shape, dims in (([0, 9], 2), ([7, 7, 0, 9], 2), ([9], 1)):
        got = call("resize", x=X, shape=shape, resized_dims=dims, sampling_mode="UNALIGN_CORNERS")
        close(got, want, "executor")
        assert needs("resize", x=X, shape=shape, resized_dims=dims) == 2 * 3 * 5 * 9


def test_nearest_pixels_of_other_samplings_are_refused():
    given = {"interpolation_mode": "NEAREST_NEIGHBOR", "sampling_mode": "ALIGN_CORNERS"}
    with pytest.raises(NotImplementedError, match="how ALIGN_CORNERS picks the nearest pixel is not documented"):
        call("resize", x=X, shape=[2, 2], resized_dims=2, **given)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1.5, 2.5), (2, 0.5), (0.6, 0.75)])
def test_upsampling(height, width):
    factors = {"scale_factor_height": height, "scale_factor_width": width}
    sides = math.floor(5 * np.float32(height)), math.floor(4 * np.float32(width))
    for more, corners in (
        ({}, True),
        ({"align_corners": True}, True),
        ({"align_corners": False}, False),
        ({"align_corners": False, "half_pixel_centers": True}, False),
    ):
        close(call("upsample_bilinear", x=X, **factors, **more), torch_resized(*sides, corners), "executor")
    sampled = call("upsample_bilinear", x=X, **factors, align_corners=False, half_pixel_centers=False)
    whole = call("resize_bilinear", x=X, target_size_height=sides[0], target_size_width=sides[1])
    close(sampled, whole, "exact")
    rows, columns = ([math.floor(i / f) for i in range(n)] for n, f in zip(sides, (height, width), strict=True))
    close(call("upsample_nearest_neighbor", x=X, **factors), X[:, :, rows][..., columns], "exact")
    for name in ("upsample_bilinear", "upsample_nearest_neighbor"):
        assert needs(name, x=X, **factors) == 2 * 3 * max(sides[0], 5) * max(sides[1], 4)


def test_upsampling_by_default_and_of_two_minds():
    close(call("upsample_bilinear", x=X), X, "exact")
    close(call("upsample_nearest_neighbor", x=X), X, "exact")
    with pytest.raises(ValueError, match="exclude each other"):
        call("upsample_bilinear", x=X, align_corners=True, half_pixel_centers=True)


PADDINGS = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}
RANGES = {
    "normalized_minus_one_to_one": lambda points: points,
    "normalized_zero_to_one": lambda points: (points + 1) / 2,
}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_resample(padding, mode):
    """Points in and far outside the image; torch reflects at the corners' centres or, as ``symmetric``, at edges."""
    points = 2.5 * normal(2, 4, 6, 2, seed=1)
    for (coordinates, scaled), corners in itertools.product(RANGES.items(), (False, True)):
        if padding in ("reflection", "symmetric") and corners != (padding == "reflection"):
            continue
        want = F.grid_sample(
            TX, torch.from_numpy(points), mode=mode, padding_mode=PADDINGS[padding], align_corners=corners
        )
        got = call(
            "resample",
            x=X,
            coordinates=scaled(points).astype(np.float32),
            sampling_mode=mode,
            padding_mode=padding,
            padding_value=0.0,
            coordinates_mode=coordinates,
            align_corners=corners,
        )
        close(got, want.numpy(), "executor")


def test_resample_by_pixels():
    """Coordinates that are pixels already, (column, row); outside is the padding value, in part beside an edge."""
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    points = np.array([[[[1, 2], [3, 0], [0.5, 1], [3.5, 0], [-1, 0], [4, 1], [0, 3], [0, -0.25]]]], np.float32)
    given = {"x": x, "coordinates": points, "coordinates_mode": "unnormalized", "align_corners": False}
    want = [9, 3, 4.5, 0.5 * 3 + 0.5 * 20, 20, 20, 20, 0.25 * 20]
    got = call("resample", **given, sampling_mode="bilinear", padding_mode="constant", padding_value=20.0)
    close(got, [[[want]]], "executor")
    # Half a pixel is rounded to the even one.
    halves = np.array([[[[0.5, 0], [1.5, 0], [2.5, 1.5]]]], np.float32)
    got = call(
        "resample",
        **{**given, "coordinates": halves},
        sampling_mode="nearest",
        padding_mode="constant",
        padding_value=0.0,
    )
    close(got, [[[[0, 2, 10]]]], "exact")


def test_a_row_of_one_pixel_reflects_onto_itself():
    x = normal(1, 2, 1, 4)
    points = np.array([[[[1, -3], [2, 5]]]], np.float32)
    given = {"coordinates_mode": "unnormalized", "align_corners": True, "padding_value": 0.0}
    got = call("resample", x=x, coordinates=points, sampling_mode="bilinear", padding_mode="reflection", **given)
    close(got, x[:, :, :, 1:3], "exact")


@pytest.mark.parametrize("key", ["sampling_mode", "padding_mode", "coordinates_mode"])
def test_unknown_modes_are_refused(key):
    given = {"sampling_mode": "bilinear", "padding_mode": "constant", "coordinates_mode": "unnormalized", key: "cubic"}
    with pytest.raises(ValueError, match=f"unknown {key} 'cubic'"):
        call("resample", x=X, coordinates=normal(2, 1, 1, 2), padding_value=0.0, align_corners=True, **given)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("images", [1, 2])
def test_affine(mode, images):
    """A matrix for each image, or one for all."""
    matrices = normal(images, 6, seed=2)
    sides = F.affine_grid(
        torch.from_numpy(np.broadcast_to(matrices, (2, 6)).reshape(2, 2, 3).copy()), (2, 3, 6, 7), align_corners=True
    )
    want = F.grid_sample(TX, sides, mode=mode, align_corners=True)
    given = {"x": X, "transform_matrix": matrices, "output_height": 6, "output_width": 7, "sampling_mode": mode}
    rest = {"padding_mode": "constant", "coordinates_mode": "normalized_minus_one_to_one", "align_corners": True}
    close(call("affine", **given, **rest, padding_value=0.0), want.numpy(), "executor")
    assert needs("affine", output_height=6, output_width=7) == 8 * 6 * 7
    for name, other in (
        ("padding_mode", "border"),
        ("coordinates_mode", "unnormalized"),
        ("align_corners", False),
    ):
        with pytest.raises(NotImplementedError, match="there are only constant"):
            call("affine", **given, **{**rest, name: other}, padding_value=0.0)


def cropped(image, box, height, width, mode, fill):
    """A box (top, left, bottom, right) of an image (C, H, W), pixel by pixel; ends may come in either order."""
    top, left, bottom, right = box
    rows = top + np.sign(bottom - top) * grid(abs(bottom - top) + 1, height, mode)
    columns = left + np.sign(right - left) * grid(abs(right - left) + 1, width, mode)
    out = np.empty((len(image), height, width))
    for (i, r), (j, c) in itertools.product(enumerate(rows), enumerate(columns)):
        if not (0 <= r <= image.shape[1] - 1 and 0 <= c <= image.shape[2] - 1):
            out[:, i, j] = fill
            continue
        top, left = int(r), int(c)
        low, right = min(top + 1, image.shape[1] - 1), min(left + 1, image.shape[2] - 1)
        upper = image[:, top, left] * (1 - c + left) + image[:, top, right] * (c - left)
        lower = image[:, low, left] * (1 - c + left) + image[:, low, right] * (c - left)
        out[:, i, j] = upper * (1 - r + top) + lower * (r - top)
    return out


BOXES = np.array([[0, 0, 4, 3], [1.5, 0.5, 3, 3], [3, 2, 1, 0.5], [-1, 1, 2, 5], [2, 2, 4, 3]], np.float64)


@pytest.mark.parametrize("mode", ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS"])
def test_crop_resize(mode):
    """Boxes in and out of the image, turned ones; as corners either way round, normalised, scaled, named or in turn."""
    images, size = [0, 1, 1, 0, 1], {"target_height": 3, "target_width": 2, "sampling_mode": mode}
    want = np.stack([cropped(X[i], box, 3, 2, mode, 7.0) for i, box in zip(images, BOXES, strict=True)])
    given = {"x": X, "pad_value": 7.0, "box_indices": images, **size}
    unit = BOXES / [4, 3, 4, 3]
    forms = (
        {"boxes": BOXES},
        {"boxes": BOXES[:, [1, 0, 3, 2]], "box_coordinate_mode": "CORNERS_WIDTH_FIRST"},
        {"boxes": unit, "normalized_coordinates": True},
        {"boxes": BOXES * 4, "spatial_scale": 0.25},
    )
    for form in forms:
        close(call("crop_resize", **given, **form), want, "executor")
    close(
        call("crop_resize", x=X, boxes=BOXES[:2], pad_value=7.0, **size)[1],
        cropped(X[1], BOXES[1], 3, 2, mode, 7.0),
        "executor",
    )
    everywhere = call("crop_resize", x=X, roi=BOXES.reshape(5, 1, 4, 1, 1), **size)
    for n, i in itertools.product(range(5), range(2)):
        close(everywhere[n, i], cropped(X[i], BOXES[n], 3, 2, mode, 0.0), "executor")


def test_crops_of_named_images():
    roi = np.concatenate([np.array([[1], [0], [1]]), BOXES[:3]], axis=1).reshape(3, 1, 5, 1, 1)
    from converters.coreml.executor import OPS

    got = OPS["crop_resize"].function(x=X, roi=roi, target_height=2, target_width=2, sampling_mode="ALIGN_CORNERS")
    for n, i in enumerate((1, 0, 1)):
        close(got[n, 0], cropped(X[i], BOXES[n], 2, 2, "ALIGN_CORNERS", 0.0), "executor")
    assert got.size <= OPS["crop_resize"].makes(x=X, roi=roi, target_height=2, target_width=2)


def test_one_pixel_of_each_box_by_default():
    close(call("crop_resize", x=X, boxes=BOXES[:1]), X[:1, :, :1, :1], "exact")


def test_boxes_by_centre_are_refused():
    with pytest.raises(NotImplementedError, match="the ends of a box in CENTER_SIZE_HEIGHT_FIRST are not documented"):
        call("crop_resize", x=X, boxes=BOXES, box_coordinate_mode="CENTER_SIZE_HEIGHT_FIRST")
