"""The executor on programs written with the MIL builder, against formulae in NumPy and SciPy."""

from __future__ import annotations

import math

import coremltools as ct
import numpy as np
import pytest
import scipy.ndimage
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from converters.coreml.executor import OPS
from converters.coreml.executor.registry import op
from tests.converters.saved import build, check

IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18
RNG = np.random.default_rng(7)
X = RNG.normal(size=(2, 3, 4)).astype(np.float32)
Y = RNG.normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)
INSIDE = np.tanh(X)
IMAGE = RNG.normal(size=(2, 8, 6, 4)).astype(np.float32)
I32 = RNG.integers(-9, 9, (2, 3, 4)).astype(np.int32)
J32 = RNG.integers(1, 5, (2, 3, 4)).astype(np.int32)
BITS = X > 0
C = np.arange(1, 9, dtype=np.float32) / 8


def row(function, inputs, want, target=IOS17):
    return function, inputs, want, target


UNARY = {
    "abs": (X, np.abs(X)),
    "acos": (INSIDE, np.arccos(INSIDE)),
    "asin": (INSIDE, np.arcsin(INSIDE)),
    "atan": (X, np.arctan(X)),
    "atanh": (INSIDE, np.arctanh(INSIDE)),
    "cos": (X, np.cos(X)),
    "cosh": (X, np.cosh(X)),
    "exp2": (X, 2.0**X),
    "sin": (X, np.sin(X)),
    "sinh": (X, np.sinh(X)),
    "sqrt": (POSITIVE, POSITIVE**0.5),
    "square": (X, X * X),
    "tan": (INSIDE, np.tan(INSIDE)),
    "erf": (X, np.vectorize(math.erf)(X)),
    "round": (np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32), np.array([0.0, 2, 2, 0, -2])),
    "logical_not": (BITS, ~BITS),
    "relu6": (4 * X, np.clip(4 * X, 0, 6)),
    "softsign": (X, X / (1 + abs(X))),
}
BINARY = {
    "real_div": (X, POSITIVE, X / POSITIVE),
    "floor_div": (X, POSITIVE, np.floor(X / POSITIVE)),
    "mod": (X, Y, X - Y * np.floor(X / Y)),
    "pow": (POSITIVE, Y, POSITIVE**Y),
    "equal": (I32, J32, I32 == J32),
    "not_equal": (I32, J32, I32 != J32),
    "greater": (X, Y, X > Y),
    "greater_equal": (I32, J32, I32 >= J32),
    "less": (X, Y, X < Y),
    "less_equal": (I32, J32, I32 <= J32),
    "logical_and": (BITS, Y > 0, BITS & (Y > 0)),
    "logical_or": (BITS, Y > 0, BITS | (Y > 0)),
    "logical_xor": (BITS, Y > 0, BITS ^ (Y > 0)),
    "add": (I32, J32, I32 + J32),
    "sub": (X, Y[:1, :, :1], X - Y[:1, :, :1]),
    "mul": (X, Y[0], X * Y[0]),
    "maximum": (X, Y, np.where(X > Y, X, Y)),
    "minimum": (I32, J32, np.where(I32 < J32, I32, J32)),
}


def as_io(array):
    """Packages take and give no bool: as int32."""
    return array.astype(np.int32) if array.dtype == bool else array


def test_every_tensor_operation_is_there():
    """What coremltools defines and the executor lacks: control flow, lists, states, randomness, detection."""
    absent = {
        *("classify", "cond", "while_loop", "const", "_const_symbolic", "conv_quantized", "non_maximum_suppression"),
        *("list_gather", "list_length", "list_read", "list_scatter", "list_write", "make_list", "read_state"),
        *("random_bernoulli", "random_categorical", "random_normal", "random_uniform"),
    }
    assert set(SSAOpRegistry.core_ops) - set(OPS) == absent
    assert set(OPS) < set(SSAOpRegistry.core_ops)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_elementwise(name, tmp_path):
    *arrays, want = UNARY.get(name) or BINARY[name]
    inputs = {n: as_io(a) for n, a in zip("xy", arrays, strict=False)}

    def compute(**given):
        for key, array in zip("xy", arrays, strict=False):
            if array.dtype == bool:
                given[key] = Builder.cast(x=given[key], dtype="bool")
        out = getattr(Builder, name)(**given)
        return Builder.cast(x=out, dtype="int32") if np.asarray(want).dtype == bool else out

    program = (lambda x: compute(x=x)) if len(arrays) == 1 else (lambda x, y: compute(x=x, y=y))
    check(build(tmp_path / "m.mlpackage", program, inputs), inputs, [as_io(want)], "executor")


def test_registering_twice_is_refused():
    with pytest.raises(ValueError, match=r"'add' is registered twice: .*elementwise"):
        op("add")(lambda x, y: x + y)
    assert OPS["add"].function(1, 2) == 3


def mb_ops():
    """Name -> (program, inputs, outputs, opset)."""
    mb = Builder
    a, b = C, C[::-1].copy()
    by_channel = C.reshape(1, 8, 1, 1)
    one = {"x": X}
    image = {"x": IMAGE}
    return {
        "log_epsilon": row(lambda x: mb.log(x=x, epsilon=0.5), {"x": POSITIVE}, np.log(POSITIVE + 0.5)),
        "rsqrt_epsilon": row(lambda x: mb.rsqrt(x=x, epsilon=0.5), {"x": POSITIVE}, 1 / np.sqrt(POSITIVE + 0.5)),
        "inverse": row(lambda x: mb.inverse(x=x, epsilon=0.5), {"x": POSITIVE}, 1 / (POSITIVE + 0.5)),
        "clip": row(lambda x: mb.clip(x=x, alpha=-0.3, beta=0.6), one, np.clip(X, -0.3, 0.6)),
        "threshold": row(lambda x: mb.threshold(x=x, alpha=0.2), one, np.where(X < 0.2, np.float32(0.2), X)),
        "sign_int": row(lambda x: mb.sign(x=x), {"x": I32}, (I32 > 0).astype(int) - (I32 < 0)),
        "clamped_relu": row(
            lambda x: mb.clamped_relu(x=x, alpha=0.5, beta=0.7), one, np.minimum(0.7, np.where(X >= 0, X, 0.5 * X))
        ),
        "thresholded_relu": row(lambda x: mb.thresholded_relu(x=x, alpha=0.4), one, X * (X >= 0.4)),
        "linear_activation": row(lambda x: mb.linear_activation(x=x, alpha=2.0, beta=-1.0), one, 2 * X - 1),
        "scaled_tanh": row(lambda x: mb.scaled_tanh(x=x, alpha=1.7, beta=0.6), one, 1.7 * np.tanh(0.6 * X)),
        "sigmoid_hard": row(lambda x: mb.sigmoid_hard(x=x, alpha=0.3, beta=0.4), one, np.clip(0.3 * X + 0.4, 0, 1)),
        "softplus_parametric": row(
            lambda x: mb.softplus_parametric(x=x, alpha=a, beta=b),
            image,
            by_channel * np.log(1 + np.exp(IMAGE * b.reshape(1, 8, 1, 1))),
        ),
        "gelu_sigmoid": row(lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), one, X / (1 + np.exp(-1.702 * X))),
        "l2_norm": row(
            lambda x: mb.l2_norm(x=x, epsilon=1e-3),
            image,
            IMAGE / np.sqrt((IMAGE**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-3),
        ),
        "local_response_norm": row(
            lambda x: mb.local_response_norm(x=x, size=3, alpha=0.3, beta=0.6, k=2.0),
            image,
            IMAGE / (2 + 0.1 * scipy.ndimage.convolve1d(IMAGE**2, np.ones(3), axis=1, mode="constant")) ** 0.6,
        ),
        "reduce_prod": row(
            lambda x: mb.reduce_prod(x=x, axes=[-1]), one, X[..., 0] * X[..., 1] * X[..., 2] * X[..., 3]
        ),
        "reduce_log_sum": row(lambda x: mb.reduce_log_sum(x=x, axes=[1]), {"x": POSITIVE}, np.log(POSITIVE.sum(1))),
        "reduce_sum_square": row(
            lambda x: mb.reduce_sum_square(x=x, axes=[0, 2], keep_dims=True), one, (X * X).sum((0, 2))[None, :, None]
        ),
        "reduce_all": row(lambda x: mb.reduce_sum(x=x, keep_dims=True), {"x": I32}, I32.sum().reshape(1, 1, 1)),
        "cumsum_exclusive": row(
            lambda x: mb.cumsum(x=x, axis=1, exclusive=True, reverse=True),
            one,
            np.stack([X[:, 1] + X[:, 2], X[:, 2], 0 * X[:, 2]], axis=1),
        ),
        "fill": row(lambda x: mb.add(x=x, y=mb.fill(shape=[2, 1, 4], value=2.5)), one, X + 2.5),
        "fill_like": row(lambda x: mb.fill_like(ref_tensor=x, value=7), one, np.full((2, 3, 4), 7)),
        "range_1d": row(
            lambda x: mb.add(x=x, y=mb.range_1d(start=1.0, end=2.9, step=0.5)), one, X + np.arange(2, 6) / 2
        ),
        "band_part": row(lambda x: mb.band_part(x=x, lower=0, upper=1), one, np.triu(X) - np.triu(X, 2)),
        "one_hot": row(
            lambda x: mb.one_hot(indices=x, one_hot_vector_size=5, axis=1, on_value=2.0, off_value=-1.0),
            {"x": J32[:, 0]},
            np.moveaxis(np.where(np.eye(5)[J32[:, 0]] > 0, 2.0, -1.0), -1, 1),
        ),
        "tile": row(lambda x: mb.tile(x=x, reps=[1, 2, 3]), one, np.concatenate([np.concatenate([X] * 2, 1)] * 3, 2)),
        "flatten2d": row(lambda x: mb.flatten2d(x=x, axis=2), one, X.reshape(6, 4)),
        "concat_interleave": row(
            lambda x, y: mb.concat(values=[x, y], axis=1, interleave=True),
            {"x": X, "y": Y},
            np.stack([X, Y], 2).reshape(2, 6, 4),
        ),
        "reshape_zero": row(lambda x: mb.reshape(x=x, shape=[0, -1, 2]), one, X.reshape(2, 6, 2)),
        "reshape_like": row(
            lambda x, y: mb.reshape_like(x=x, ref_tensors=(y,), begins=(0,), ends=(1,), end_masks=(True,)),
            {"x": X, "y": Y.reshape(6, 4)},
            X.reshape(6, 4),
        ),
        "shape": row(lambda x: mb.shape(x=x), one, np.array([2, 3, 4])),
        "reverse_sequence": row(
            lambda x: mb.reverse_sequence(x=x, lengths=[2, 3], seq_axis=1, batch_axis=0),
            one,
            np.stack([X[0][[1, 0, 2]], X[1][::-1]]),
        ),
        "sliding_windows": row(lambda x: mb.sliding_windows(x=x, axis=2, size=2, stride=2), one, X.reshape(2, 3, 2, 2)),
        "slice_by_size": row(lambda x: mb.slice_by_size(x=x, begin=[0, 1, -2], size=[-1, 1, 2]), one, X[:, 1:2, 2:]),
        "slice_masks": row(
            lambda x: mb.slice_by_index(
                x=x,
                begin=[1, 2, 3],
                end=[0, 0, 0],
                stride=[1, -1, -2],
                begin_mask=[False, True, False],
                end_mask=[False, True, True],
                squeeze_mask=[True, False, False],
            ),
            one,
            X[1, ::-1, 3::-2],
        ),
        "slice_update": row(
            lambda x, y: mb.slice_update(x=x, update=y, begin=[0, 1, 0], end=[2, 3, 4], stride=[1, 1, 2]),
            {"x": X, "y": Y[:, :2, :2].copy()},
            np.stack(
                [X[:, 0], *(np.stack([Y[:, r, 0], X[:, r + 1, 1], Y[:, r, 1], X[:, r + 1, 3]], 1) for r in (0, 1))], 1
            ),
            IOS18,
        ),
        "crop": row(lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 1]), image, IMAGE[:, :, 1:4, :3]),
        "depth_to_space": row(
            lambda x: mb.depth_to_space(x=x, block_size=2),
            image,
            np.stack(
                [
                    np.stack([IMAGE[:, 2 * k : 2 * k + 2] for k in (2 * i, 2 * i + 1)], -1).reshape(2, 2, 6, 8)
                    for i in (0, 1)
                ],
                3,
            ).reshape(2, 2, 12, 8),
        ),
        "space_to_depth": row(
            lambda x: mb.space_to_depth(x=x, block_size=2),
            image,
            np.concatenate([IMAGE[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1),
        ),
        "space_to_batch": row(
            lambda x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [0, 0]]),
            image,
            np.concatenate([IMAGE[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 0),
        ),
        "batch_to_space": row(
            lambda x: mb.batch_to_space(
                x=mb.space_to_batch(x=x, block_shape=[3, 2], paddings=[[1, 2], [0, 0]]),
                block_shape=[3, 2],
                crops=[[1, 2], [0, 0]],
            ),
            image,
            IMAGE,
        ),
        "resize_nearest": row(
            lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=9, target_size_width=3),
            image,
            IMAGE[:, :, [0, 0, 1, 2, 2, 3, 4, 4, 5]][..., [0, 1, 2]],
        ),
        "resize_ios17": row(
            lambda x: mb.resize(x=x, shape=[0, 5], resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS"),
            {"x": np.array([[[0, 1]]], np.float32)},
            np.array([[[0, 0.1, 0.5, 0.9, 1]]]),
        ),
        "crop_resize": row(
            lambda x: mb.crop_resize(
                x=x,
                boxes=np.array([[2, 2, 1, 1], [0, 0, 1, 2]], np.float32),
                box_indices=np.array([0, 0]),
                target_height=2,
                target_width=2,
                sampling_mode="ALIGN_CORNERS",
            ),
            {"x": np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)},
            np.array([[11, 10, 7, 6], [1, 3, 5, 7]]).reshape(2, 1, 2, 2),
        ),
        "affine": row(
            lambda x: mb.affine(
                x=x,
                transform_matrix=np.array([[0, 1, 0, 1, 0, 0]], np.float32),
                output_height=4,
                output_width=6,
                sampling_mode="bilinear",
                padding_mode="constant",
                padding_value=0.0,
                coordinates_mode="normalized_minus_one_to_one",
                align_corners=True,
            ),
            image,
            IMAGE.swapaxes(2, 3),
        ),
        "l2_pool": row(
            lambda x: mb.l2_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
            image,
            np.sqrt(sum(IMAGE[:, :, i::2, j::2] ** 2 for i in (0, 1) for j in (0, 1))),
        ),
        "conv_same_lower": row(
            lambda x: mb.conv(x=x, weight=np.ones((1, 8, 2, 1), np.float32), pad_type="same_lower"),
            image,
            (IMAGE + np.pad(IMAGE, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]).sum(1, keepdims=True),
        ),
        "gather_batch": row(
            lambda x, i: mb.gather(x=x, indices=i, axis=2, batch_dims=1),
            {"x": X, "i": np.array([[3, 0], [1, 1]], np.int32)},
            np.stack([X[0][:, [3, 0]], X[1][:, [1, 1]]]),
        ),
        "gather_negative_ios16": row(
            lambda x, i: mb.gather(x=x, indices=i, axis=1),
            {"x": X, "i": np.array([-1, 0], np.int32)},
            X[:, [2, 0]],
            IOS16,
        ),
        "gather_nd": row(
            lambda x, i: mb.gather_nd(x=x, indices=i, batch_dims=1),
            {"x": X, "i": np.array([[[2, 3], [0, 1]], [[1, 1], [2, 0]]], np.int32)},
            np.array([[X[0, 2, 3], X[0, 0, 1]], [X[1, 1, 1], X[1, 2, 0]]]),
        ),
        "non_zero": row(
            lambda x: mb.non_zero(x=x), {"x": np.array([[0, 3], [2, 0]], np.float32)}, np.array([[0, 1], [1, 0]])
        ),
        "argsort_ties": row(
            lambda x: mb.argsort(x=x, axis=0), {"x": np.array([1, 3, 1, 3], np.float32)}, np.array([1, 3, 0, 2])
        ),
        "topk_ascending": row(lambda x: mb.topk(x=x, k=2, axis=1, ascending=True)[0], one, np.sort(X, 1)[:, :2]),
        "einsum_broadcast": row(
            lambda x, y: mb.einsum(values=(x, y), equation="chw,whr->chr"),
            {"x": X, "y": Y[:, :1].reshape(4, 1, 2).copy()},
            X @ Y[:, :1].reshape(4, 2),
        ),
        "pow_int": row(
            lambda x, y: mb.pow(x=x, y=y), {"x": J32, "y": (J32 + 1) % 4}, J32.astype(float) ** ((J32 + 1) % 4)
        ),
        "squeeze": row(lambda x: mb.squeeze(x=x, axes=[-1, 0]), {"x": X[:1, :, :1].copy()}, X[0, :, 0]),
        "reduce_l1_norm": row(lambda x: mb.reduce_l1_norm(x=x, axes=[0]), one, abs(X[0]) + abs(X[1])),
        "resize_bilinear": row(
            lambda x: mb.resize_bilinear(
                x=x, target_size_height=1, target_size_width=6, sampling_mode="OFFSET_CORNERS"
            ),
            {"x": np.array([[[0, 1]]], np.float32)},
            (np.arange(6) + 0.5).reshape(1, 1, 6) / 6,
        ),
        "constexpr_cast": row(
            lambda x: mb.add(
                x=x, y=mb.constexpr_cast(source_val=np.float16([1.1, 2.2, 3.3, 4.4]), output_dtype="fp32")
            ),
            one,
            X + np.float16([1.1, 2.2, 3.3, 4.4]).astype(np.float32),
            IOS16,
        ),
        "quantize": row(
            lambda x: mb.cast(
                x=mb.quantize(
                    input=x,
                    zero_point=np.array([-3, 5], np.int8),
                    scale=np.array([0.1, 0.01], np.float32),
                    axis=0,
                    output_dtype="int8",
                ),
                dtype="int32",
            ),
            one,
            np.clip(
                np.rint(X / np.array([0.1, 0.01], np.float32)[:, None, None]) + np.array([-3, 5])[:, None, None],
                -128,
                127,
            ),
        ),
        "dequantize": row(
            lambda x: mb.dequantize(
                input=mb.quantize(input=x, scale=np.float32(0.05), output_dtype="uint8", zero_point=np.uint8(128)),
                scale=np.float32(0.05),
                zero_point=np.uint8(128),
            ),
            one,
            np.rint(X / 0.05) * 0.05,
        ),
        "cast_truncates": row(
            lambda x: mb.cast(x=x, dtype="int32"), {"x": np.array([1.9, -1.9, 0.5], np.float32)}, np.array([1, -1, 0])
        ),
        "half_overflows": row(
            lambda x: mb.cast(x=mb.mul(x=mb.cast(x=x, dtype="fp16"), y=np.float16(2)), dtype="fp32"),
            {"x": np.array([32752.0, 32760.0, -60000.0, 1.0], np.float32)},
            np.array([65504.0, np.inf, -np.inf, 2.0]),
        ),
        "half_rounds_each_step": row(
            lambda x: mb.cast(
                x=mb.sub(x=mb.add(x=mb.cast(x=x, dtype="fp16"), y=np.float16(2048)), y=np.float16(2048)), dtype="fp32"
            ),
            {"x": np.array([1.0, 1.5, 2.0, 3.0], np.float32)},
            np.array([0.0, 2.0, 2.0, 4.0]),
        ),
    }


TABLE = mb_ops()
# Core ML crashes on the first (coremltools' own tests say so), orders ties as it likes, may keep halves wider.
HERE_ONLY = {"resize_bilinear", "argsort_ties", "half_overflows", "half_rounds_each_step"}


@pytest.mark.parametrize("name", TABLE)
def test_operation(name, tmp_path):
    function, inputs, want, target = TABLE[name]
    path = build(tmp_path / "m.mlpackage", function, inputs, target)
    check(path, inputs, [want], "executor", core_ml=name not in HERE_ONLY)
