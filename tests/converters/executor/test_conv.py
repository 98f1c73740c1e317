"""Convolutions and pools over their whole parameter range, against torch and against loops over windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from coremltools.converters.mil.mil.ops.defs._utils import spatial_dimensions_out_shape

from tests.converters.executor.calls import call, needs, normal
from tests.tolerances import close

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = {1: (9,), 2: (7, 6), 3: (4, 5, 3)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 1)}


def padded(x, widths):
    """Zeros before and after each dimension behind the channel."""
    return F.pad(torch.from_numpy(x), [n for pair in reversed(widths) for n in pair])


@pytest.mark.parametrize("spatial", CONV)
def test_conv(spatial):
    """Every combination of stride, dilation, groups, uneven padding and bias."""
    x, size, kernel = normal(2, 4, *SIZES[spatial]), SIZES[spatial], KERNELS[spatial]
    for stride, dilation, groups, uneven in itertools.product((1, 2, 3), (1, 2), (1, 2, 4), (False, True)):
        widths = [(1, 2 * uneven)] * (spatial - 1) + [(2, 1)] if uneven or spatial > 1 else [(0, 0)]
        weight, bias = normal(8, 4 // groups, *kernel, seed=1), normal(8, seed=2)
        if any(n + sum(w) < (k - 1) * dilation + 1 for n, w, k in zip(size, widths, kernel, strict=True)):
            continue
        for given in (bias, None):
            want = CONV[spatial](
                padded(x, widths),
                torch.from_numpy(weight),
                None if given is None else torch.from_numpy(given),
                stride=stride,
                dilation=dilation,
                groups=groups,
            )
            got = call(
                "conv",
                x=x,
                weight=weight,
                bias=given,
                strides=[stride] * spatial,
                pad_type="custom",
                pad=[n for pair in widths for n in pair],
                dilations=[dilation] * spatial,
                groups=groups,
            )
            close(got, want.numpy(), "executor")


def test_conv_defaults():
    x, weight = normal(2, 3, 7), normal(5, 3, 2, seed=1)
    close(call("conv", x=x, weight=weight), F.conv1d(*map(torch.from_numpy, (x, weight))).numpy(), "executor")


def same_widths(size, kernel, stride, dilation, more_after):
    """The least padding that leaves ceil(size / stride) windows, found by trying; an odd one lies on one side."""
    span = (kernel - 1) * dilation + 1
    total = next(t for t in itertools.count() if (size + t - span) // stride + 1 >= -(-size // stride))
    return (total // 2, total - total // 2) if more_after else (total - total // 2, total // 2)


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_conv_same(pad_type):
    for size, kernel, stride, dilation in itertools.product((5, 6, 9), (1, 2, 3, 4), (1, 2, 3), (1, 2)):
        x, weight = normal(1, 2, size), normal(3, 2, kernel, seed=1)
        widths = [same_widths(size, kernel, stride, dilation, pad_type == "same")]
        want = F.conv1d(padded(x, widths), torch.from_numpy(weight), stride=stride, dilation=dilation)
        got = call("conv", x=x, weight=weight, pad_type=pad_type, strides=[stride], dilations=[dilation])
        close(got, want.numpy(), "executor")


@pytest.mark.parametrize("spatial", TRANSPOSED)
def test_conv_transpose(spatial):
    x, kernel = normal(2, 4, *SIZES[spatial][:spatial]), KERNELS[spatial]
    for stride, dilation, groups, low, high in itertools.product((1, 2, 3), (1, 2), (1, 2), (0, 1), (0, 2)):
        weight, bias = normal(4, 3, *kernel, seed=1), normal(3 * groups, seed=2)
        whole = TRANSPOSED[spatial](
            *map(torch.from_numpy, (x, weight, bias)), stride=stride, dilation=dilation, groups=groups
        ).numpy()
        if any(side <= low + high for side in whole.shape[2:]):
            continue
        cut = (slice(None), slice(None), *(slice(low, side - high) for side in whole.shape[2:]))
        given = {
            "x": x,
            "weight": weight,
            "bias": bias,
            "pad_type": "custom",
            "pad": [low, high] * spatial,
            "strides": [stride] * spatial,
            "dilations": [dilation] * spatial,
            "groups": groups,
        }
        close(call("conv_transpose", **given), whole[cut], "executor")
    close(
        call("conv_transpose", x=x, weight=weight),
        TRANSPOSED[spatial](*map(torch.from_numpy, (x, weight))).numpy(),
        "executor",
    )


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_conv_transpose_of_an_asked_shape(extra):
    """More than the kernel reaches is the bias alone, as torch's output_padding."""
    x, weight, bias = normal(1, 2, 5), normal(2, 3, 3, seed=1), normal(3, seed=2)
    want = F.conv_transpose1d(*map(torch.from_numpy, (x, weight, bias)), stride=3, padding=1, output_padding=extra)
    got = call(
        "conv_transpose",
        x=x,
        weight=weight,
        bias=bias,
        strides=[3],
        pad_type="custom",
        pad=[1, 1],
        output_shape=[1, 3, 13 + extra],
    )
    close(got, want.numpy(), "executor")


def test_conv_transpose_with_padding_below_zero():
    x, weight = normal(1, 2, 4), normal(2, 3, 2, seed=1)
    want = F.conv_transpose1d(*map(torch.from_numpy, (x, weight)), stride=2).numpy()
    got = call("conv_transpose", x=x, weight=weight, strides=[2], pad_type="custom", pad=[-2, 1])
    close(got, np.pad(want, [(0, 0), (0, 0), (2, 0)])[..., :-1], "executor")


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 2), (3, 2), (4, 3)])
def test_conv_transpose_same(kernel, stride):
    """As many numbers as the input times the stride; what is too much is cut off, an odd one behind."""
    x, weight = normal(1, 2, 5), normal(2, 3, kernel, seed=1)
    want = F.conv_transpose1d(*map(torch.from_numpy, (x, weight)), stride=stride).numpy()
    surplus = want.shape[2] - 5 * stride
    cut = want[..., surplus // 2 : surplus // 2 + 5 * stride]
    close(call("conv_transpose", x=x, weight=weight, strides=[stride], pad_type="same"), cut, "executor")


def pooled(x, kernel, stride, widths, ceil_mode, how, counts_padding):
    """Each window by itself; x (n, C, *D). What lies beyond the padding, as ceil_mode adds, never counts.

    A window of nothing, as ceil_mode may add where nothing is padded, is −∞ to a maximum and 0 / 0 to a mean.
    """
    sides = spatial_dimensions_out_shape(
        "custom", x.shape[2:], tuple(kernel), tuple(stride), None, tuple(n for pair in widths for n in pair), ceil_mode
    )
    out = np.zeros((*x.shape[:2], *sides))
    for position in np.ndindex(*sides):
        starts = [p * s - before for p, s, (before, _) in zip(position, stride, widths, strict=True)]
        spans = [(a, a + k) for a, k in zip(starts, kernel, strict=True)]
        inside = x[(..., *(slice(max(a, 0), min(b, n)) for (a, b), n in zip(spans, x.shape[2:], strict=True)))]
        flat = inside.reshape(*x.shape[:2], -1).astype(np.float64)
        edges = zip(spans, x.shape[2:], widths, strict=True)
        room = np.prod([min(b, n + after) - max(a, -before) for (a, b), n, (before, after) in edges])
        out[(..., *position)] = {
            "max": lambda flat=flat: flat.max(-1, initial=-np.inf),
            "l2": lambda flat=flat: np.sqrt((flat**2).sum(-1)),
            "avg": lambda flat=flat, room=room: flat.sum(-1) / (room if counts_padding else np.int64(flat.shape[-1])),
        }[how]()
    return out


WIDTHS = {1: [[(0, 0)], [(1, 1)], [(1, 0)], [(0, 1)]], 2: [[(0, 0), (0, 0)], [(1, 0), (0, 1)], [(1, 1), (1, 1)]]}


@pytest.mark.parametrize("spatial", WIDTHS)
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_pools(spatial, ceil_mode):
    """Every size of window and step, paddings on one side and on both, with and without the last part of a window."""
    lengths = (5, 6, 7, 8) if spatial == 1 else (5, 6)
    for size, kernel, stride, widths in itertools.product(lengths, (2, 3), (1, 2, 3), WIDTHS[spatial]):
        if ceil_mode and any(before != after for before, after in widths):
            continue  # coremltools' code and its documentation differ
        x = normal(1, 2, *(size + n for n in range(spatial)))
        sizes, steps = [kernel, 2][:spatial], [stride, 2][:spatial]
        given = {
            "x": x,
            "kernel_sizes": sizes,
            "strides": steps,
            "pad_type": "custom",
            "pad": [n for pair in widths for n in pair],
            "ceil_mode": ceil_mode,
        }
        rule = (x, sizes, steps, widths, ceil_mode)
        close(call("max_pool", **given), pooled(*rule, "max", True), "executor")
        close(call("l2_pool", **given), pooled(*rule, "l2", True), "executor")
        close(call("avg_pool", **given), pooled(*rule, "avg", True), "executor")
        without = call("avg_pool", **given, exclude_padding_from_average=True)
        close(without, pooled(*rule, "avg", False), "executor")


def test_pools_by_default():
    """Steps of one; a window that nothing pads; ``same`` as for a convolution."""
    x = normal(2, 3, 6)
    assert call("max_pool", x=x, kernel_sizes=[2], pad_type="valid").shape == (2, 3, 5)
    for name, how in (("max_pool", "max"), ("avg_pool", "avg"), ("l2_pool", "l2")):
        plain = pooled(x, [2], [1], [(0, 0)], False, how, True)
        close(call(name, x=x, kernel_sizes=[2], pad_type="valid"), plain, "executor")
        padded_after = pooled(x, [2], [1], [(0, 1)], False, how, True)
        close(call(name, x=x, kernel_sizes=[2], pad_type="same"), padded_after, "executor")


def test_averages_over_negative_numbers_are_not_padded_up():
    """Padding is −∞ to a maximum, and 0 to an average that counts it."""
    x = -np.ones((1, 1, 2), np.float32)
    given = {"x": x, "kernel_sizes": [2], "strides": [1], "pad_type": "custom", "pad": [1, 0]}
    close(call("max_pool", **given), [[[-1, -1]]], "exact")
    close(call("avg_pool", **given), [[[-0.5, -1]]], "exact")


def test_what_they_hold_on_the_way():
    """All windows of a convolution, or its padded input; the padded input of a pool; all that a kernel reaches."""
    x, weight = normal(2, 3, 10), normal(4, 3, 3)
    assert needs("conv", x=x, weight=weight) == 2 * 3 * 8 * 3
    assert needs("conv", x=x, weight=weight, strides=[9], pad_type="custom", pad=[5, 2]) == 2 * 3 * 17
    assert needs("conv", x=x, weight=weight, strides=[2], dilations=[2]) == 2 * 3 * max(10, 3 * 3)
    assert needs("conv_transpose", x=x, weight=normal(3, 4, 3), strides=[2], dilations=[2]) == 2 * 4 * (9 * 2 + 5)
    assert needs("conv_transpose", x=x, weight=normal(3, 4, 3), groups=3, pad=[-2, 1]) == 2 * 3 * 4 * (12 + 4)
    assert needs("conv_transpose", x=x, weight=normal(3, 4, 3), output_shape=[2, 4, 30]) == 2 * 4 * 30
    for ceil_mode, grown in ((False, 12), (True, 13)):
        given = {"kernel_sizes": [4], "strides": [3], "pad_type": "custom", "pad": [1, 1], "ceil_mode": ceil_mode}
        assert needs("max_pool", x=x, **given) == 2 * 3 * grown


@pytest.mark.parametrize("name", ["conv", "max_pool"])
def test_unknown_padding_is_refused(name):
    given = {"weight": normal(1, 1, 2)} if name == "conv" else {"kernel_sizes": [2]}
    with pytest.raises(ValueError, match=r"unknown pad_type 'full'; known are valid, custom, same and same_lower"):
        call(name, x=normal(1, 1, 4), pad_type="full", **given)
