"""What moves numbers and computes none: each element's new position, by index arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.converters.executor.calls import call, normal, whole
from tests.tolerances import close

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
IMAGE = np.arange(2 * 8 * 6 * 4, dtype=np.float32).reshape(2, 8, 6, 4)
AXES = range(-3, 3)


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ([6, 4], (6, 4)),
        ([0, -1, 2], (2, 6, 2)),
        ([0, 0, 4], (2, 3, 4)),
        ([4, 0, -1], (4, 3, 2)),
        ([-1], (24,)),
        ([2, -1, 0], (2, 3, 4)),
    ],
)
def test_reshape(shape, want):
    got = call("reshape", x=X, shape=np.array(shape))
    assert got.shape == want
    assert got.reshape(-1).tolist() == list(range(24))


def test_zeros_in_a_shape_of_another_rank_are_zeros():
    assert call("reshape", x=np.zeros((0, 3)), shape=[0, 1, 3]).shape == (0, 1, 3)
    assert call("reshape", x=np.zeros((0, 3)), shape=[0, 5]).shape == (0, 5)


def test_reshape_like():
    given = {"ref_tensors": (np.zeros((6, 4)), np.zeros((5, 2, 2))), "begins": (0, 1)}
    assert call("reshape_like", x=X, **given, ends=(1, 9), end_masks=(False, True)).shape == (6, 2, 2)
    assert call("reshape_like", x=np.zeros(48), **given, ends=(0, 2), end_masks=(True, False)).shape == (6, 4, 2)


@pytest.mark.parametrize(("axis", "want"), [(0, (1, 24)), (1, (2, 12)), (2, (6, 4)), (-1, (6, 4)), (3, (24, 1))])
def test_flatten2d(axis, want):
    got = call("flatten2d", x=X, axis=axis)
    assert (got.shape, got.reshape(-1).tolist()) == (want, list(range(24)))
    assert call("flatten2d", x=X).shape == (2, 12)


def test_shapes():
    close(call("shape", x=X), [2, 3, 4], "ids")
    assert call("shape", x=X).dtype == np.int32
    assert call("expand_dims", x=X, axes=np.array([0, -1, 2])).shape == (1, 2, 1, 3, 4, 1)
    assert call("expand_dims", x=X, axes=1).shape == (2, 1, 3, 4)
    flat = X.reshape(1, 6, 1, 4, 1)
    for axes, shape in (([0, -1], (6, 1, 4)), (None, (6, 4)), ([2], (1, 6, 4, 1)), ([1, 0], (6, 1, 4, 1))):
        assert call("squeeze", x=flat, axes=axes).shape == shape


@pytest.mark.parametrize("perm", [*itertools.permutations(range(3)), (-1, 0, 1)])
def test_transpose(perm):
    got = call("transpose", x=X, perm=np.array(perm))
    for spot in np.ndindex(*got.shape):
        read = [0, 0, 0]
        for axis, index in zip(perm, spot, strict=True):
            read[axis] = index
        assert got[spot] == X[tuple(read)]


@pytest.mark.parametrize("axis", AXES)
def test_parts_put_together_and_taken_apart(axis):
    """concat, interleaved or not, and stack; split by sizes and by number."""
    n = X.shape[axis]
    y = np.take(X, range(n - 1), axis) + 100
    for parts in ((X, y), (X,), (X, y, X)):
        whole_one = call("concat", values=parts, axis=axis)
        rows = [row for part in parts for row in np.moveaxis(part, axis, 0)]
        close(whole_one, np.moveaxis(np.stack(rows), 0, axis), "exact")
        sizes = [part.shape[axis] for part in parts]
        for part, got in zip(parts, call("split", x=whole_one, axis=axis, split_sizes=np.array(sizes)), strict=True):
            close(got, part, "exact")
    pair = (X, X + 100)
    rows = [row for i in range(n) for row in (np.take(part, i, axis) for part in pair)]
    close(call("concat", values=pair, axis=axis, interleave=True), np.stack(rows, axis), "exact")
    side = call("stack", values=pair, axis=axis)
    for part, want in zip(np.moveaxis(side, axis, 0), pair, strict=True):
        close(part, want, "exact")
    first, second = call("split", x=call("concat", values=pair, axis=axis), axis=axis, num_splits=2)
    close((first, second), pair, "exact")


def test_numbers_are_put_together_as_vectors():
    close(call("concat", values=(np.float32(1), np.float32(2)), axis=0), [1, 2], "exact")


def test_split_counts_its_parts():
    from converters.coreml.executor import OPS

    assert OPS["split"].makes(num_splits=7, x=X, axis=0) == 7
    assert OPS["split"].makes(x=X, axis=0, split_sizes=[1, 1]) == 0
    with pytest.raises(ValueError, match="neither num_splits nor split_sizes is given"):
        OPS["split"].function(x=X, axis=0)


@pytest.mark.parametrize("reps", itertools.product((1, 2), (1, 3), (2,)))
def test_tile(reps):
    got = call("tile", x=X, reps=np.array(reps))
    assert got.shape == tuple(n * r for n, r in zip(X.shape, reps, strict=True))
    for spot in np.ndindex(*got.shape):
        assert got[spot] == X[tuple(i % n for i, n in zip(spot, X.shape, strict=True))]


@pytest.mark.parametrize("axes", [None, [0], [-1], [1, 2], [0, -2]])
def test_reverse(axes):
    over = range(3) if axes is None else [a % 3 for a in axes]
    got = call("reverse", x=X, axes=axes)
    for spot in np.ndindex(*X.shape):
        assert (
            got[spot]
            == X[tuple(n - 1 - i if a in over else i for a, (i, n) in enumerate(zip(spot, X.shape, strict=True)))]
        )


@pytest.mark.parametrize(("seq_axis", "batch_axis"), [(1, 0), (2, 0), (0, 1), (2, 1), (-1, -2), (0, 2)])
def test_reverse_sequence(seq_axis, batch_axis):
    lengths = [3, 1, 2, 0][: X.shape[batch_axis]]
    lengths = [min(n, X.shape[seq_axis]) for n in lengths]
    got = call("reverse_sequence", x=X, lengths=np.array(lengths), seq_axis=seq_axis, batch_axis=batch_axis)
    for spot in np.ndindex(*X.shape):
        read, length = list(spot), lengths[spot[batch_axis]]
        if spot[seq_axis] < length:
            read[seq_axis] = length - 1 - spot[seq_axis]
        assert got[spot] == X[tuple(read)]


MASKS = list(itertools.product((False, True), repeat=3))
SLICES = [
    ([0, 1, -3], [2, 3, -1], [1, 1, 1]),
    ([0, 0, 0], [2, 3, 4], [1, 2, 3]),
    ([1, 2, 3], [-3, -4, -5], [-1, -1, -2]),
    ([1, -1, 3], [-9, 0, 0], [-1, -2, -3]),
    ([0, 0, 0], [2, 3, 4], None),
]


@pytest.mark.parametrize(("begin", "end", "stride"), SLICES)
def test_slices_and_their_updates(begin, end, stride):
    """Every set of masks: a mask opens the range at an end, or drops the dimension at its begin."""
    step = stride or [1, 1, 1]
    for open_begin, open_end, dropped in itertools.product(
        MASKS, MASKS, ((False,) * 3, (True, False, False), (False, True, True))
    ):
        taken = []
        for n, b, e, s, ob, oe, d in zip(X.shape, begin, end, step, open_begin, open_end, dropped, strict=True):
            rows = list(range(n))[None if ob else b : None if oe else e : s]
            taken.append([0 if ob else b % n] if d else rows)
        want = X[np.ix_(*taken)].squeeze(tuple(a for a in range(3) if dropped[a]))
        given = {"x": X, "begin": begin, "end": end}
        if stride:
            given["stride"] = stride
        masks = {"begin_mask": np.array(open_begin), "end_mask": np.array(open_end), "squeeze_mask": np.array(dropped)}
        for name, mask in list(masks.items()):
            if not mask.any():
                masks.pop(name)
        close(call("slice_by_index", **given, **masks), want, "exact")
        changed = X.copy()
        changed[np.ix_(*taken)] = -1
        close(call("slice_update", update=np.full_like(want, -1), **given, **masks), changed, "exact")


def test_slices_must_name_every_dimension_and_fit_their_update():
    for begin, end in (([0, 0], [1, 1, 1]), ([0, 0, 0], [1, 1])):
        with pytest.raises(ValueError, match="must have one number for each dimension"):
            call("slice_by_index", x=X, begin=begin, end=end)
    before = X.copy()
    with pytest.raises(ValueError, match=r"update has shape \(1,\), the slice \(1, 1, 1\)"):
        call("slice_update", x=X, update=np.zeros(1), begin=[0, 0, 0], end=[1, 1, 1])
    call("slice_update", x=X, update=np.zeros((1, 1, 1)), begin=[1, 1, 1], end=[2, 2, 2])
    close(X, before, "exact")


def test_slice_by_size():
    close(call("slice_by_size", x=X, begin=[0, 1, -2], size=[-1, 1, 2]), X[:, 1:2, 2:], "exact")
    close(call("slice_by_size", x=X, begin=[1, -3, 1], size=[1, -1, -1]), X[1:, :, 1:], "exact")
    assert call("slice_by_size", x=X, begin=[2, 0, 0], size=[0, -1, -1]).shape == (0, 3, 4)
    for begin, size in (
        ([0, 0, 3], [1, 1, 2]),
        ([-3, 0, 0], [1, 1, 1]),
        ([0, 0, 0], [1, -2, 1]),
        ([3, 0, 0], [-1, 1, 1]),
    ):
        with pytest.raises(ValueError, match=r"elements .* of a dimension of"):
            call("slice_by_size", x=X, begin=begin, size=size)


@pytest.mark.parametrize("pad", [[1, 2], [0, 1, 2, 0], [1, 0, 0, 2, 1, 1]])
def test_pad(pad):
    """The last dimensions; what is added is a number, the mirror image without the edge, or the edge."""
    pairs = [(0, 0)] * (3 - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))
    mirrored = {
        "constant": lambda i, n: None if not 0 <= i < n else i,
        "reflect": lambda i, n: abs(i) if i < n else 2 * n - 2 - i,
        "replicate": lambda i, n: min(max(i, 0), n - 1),
    }
    for mode, read in mirrored.items():
        if mode == "reflect" and max(max(p) - n for p, n in zip(pairs, X.shape, strict=True)) >= 0:
            continue
        got = call("pad", x=X, pad=np.array(pad), mode=mode, constant_val=np.float32(2.5))
        for spot in np.ndindex(*got.shape):
            spots = [read(i - before, n) for i, (before, _), n in zip(spot, pairs, X.shape, strict=True)]
            assert got[spot] == (2.5 if None in spots else X[tuple(spots)])
    assert call("pad", x=X, pad=np.array([0, 1])).sum() == X.sum()


def test_pads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"4 pairs for the shape \(2, 3, 4\)"):
        call("pad", x=X, pad=np.zeros(8, int))
    with pytest.raises(ValueError, match="unknown mode 'wrap'; known are constant, reflect and replicate"):
        call("pad", x=X, pad=np.array([0, 1]), mode="wrap")


def test_crop():
    close(call("crop", x=IMAGE, crop_height=[1, 2], crop_width=[0, 1]), IMAGE[:, :, 1:4, :3], "exact")
    close(call("crop", x=IMAGE, crop_height=[0, 0], crop_width=[2, 0]), IMAGE[..., 2:], "exact")


def test_filled_arrays():
    assert call("fill", shape=np.array([2, 3]), value=2.5).tolist() == [[2.5] * 3] * 2
    assert call("fill", shape=np.array([2])).tolist() == [0, 0]
    assert call("fill_like", ref_tensor=X[0, :2, :2], value=7).tolist() == [[7, 7]] * 2
    assert call("fill_like", ref_tensor=X[0, 0]).tolist() == [0] * 4


@pytest.mark.parametrize(
    ("start", "end", "step", "want"),
    [
        (1.0, 2.9, 0.5, [1, 1.5, 2, 2.5]),
        (0, 6, 2, [0, 2, 4]),
        (0, 7, 2, [0, 2, 4, 6]),
        (5, 0, -2, [5, 3, 1]),
        (3, 3, 1, []),
        (3, 0, 1, []),
    ],
)
def test_range_1d(start, end, step, want):
    close(call("range_1d", start=start, end=end, step=step), want, "exact")


@pytest.mark.parametrize(("lower", "upper"), itertools.product((-1, 0, 1, 2), repeat=2))
def test_band_part(lower, upper):
    x = normal(2, 4, 5)
    got = call("band_part", x=x, lower=lower, upper=upper)
    for b, i, j in np.ndindex(*x.shape):
        kept = (lower < 0 or i - j <= lower) and (upper < 0 or j - i <= upper)
        assert got[b, i, j] == (x[b, i, j] if kept else 0)
    close(call("band_part", x=x), x, "exact")
    assert call("band_part", x=whole(0, 9, 3, 3)).dtype == np.int32


@pytest.mark.parametrize(("axis", "size", "stride"), [(0, 1, 1), (1, 2, 1), (2, 2, 2), (-1, 3, 1), (-2, 3, 2)])
def test_sliding_windows(axis, size, stride):
    from converters.coreml.executor import OPS

    got = OPS["sliding_windows"].function(x=X, axis=axis, size=size, stride=stride)
    axis %= 3
    count = (X.shape[axis] - size) // stride + 1
    assert got.shape == (*X.shape[:axis], count, size, *X.shape[axis + 1 :])
    for spot in np.ndindex(*got.shape):
        read = (*spot[:axis], spot[axis] * stride + spot[axis + 1], *spot[axis + 2 :])
        assert got[spot] == X[read]
    assert got.size <= OPS["sliding_windows"].makes(x=X, size=size) == X.size * size


def test_blocks_of_channels_and_pixels():
    """pixel_shuffle (channel c f² + i f + j), depth_to_space ((i b + j) C + c), and back."""
    f, x = 2, IMAGE
    shuffled, spread = call("pixel_shuffle", x=x, upscale_factor=f), call("depth_to_space", x=x, block_size=f)
    assert shuffled.shape == spread.shape == (2, 2, 12, 8)
    for n, c, h, w in np.ndindex(*shuffled.shape):
        i, j = h % f, w % f
        assert shuffled[n, c, h, w] == x[n, c * f * f + i * f + j, h // f, w // f]
        assert spread[n, c, h, w] == x[n, (i * f + j) * 2 + c, h // f, w // f]
    close(call("pixel_unshuffle", x=shuffled, downscale_factor=f), x, "exact")
    close(call("space_to_depth", x=spread, block_size=f), x, "exact")


@pytest.mark.parametrize(
    ("block", "pads"), [((2, 2), ((0, 0), (0, 0))), ((3, 2), ((1, 2), (0, 2))), ((1, 4), ((0, 0), (3, 1)))]
)
def test_space_to_batch(block, pads):
    (a, b), ((top, bottom), (left, right)) = block, pads
    got = call("space_to_batch", x=IMAGE, block_shape=np.array(block), paddings=np.array(pads))
    assert got.shape == (2 * a * b, 8, (6 + top + bottom) // a, (4 + left + right) // b)
    for m, c, h, w in np.ndindex(*got.shape):
        i, j, n = m // (2 * b), m // 2 % b, m % 2
        row, column = h * a + i - top, w * b + j - left
        inside = 0 <= row < 6 and 0 <= column < 4
        assert got[m, c, h, w] == (IMAGE[n, c, row, column] if inside else 0)
    back = call("batch_to_space", x=got, block_shape=np.array(block), crops=np.array(pads))
    close(back, IMAGE, "exact")
