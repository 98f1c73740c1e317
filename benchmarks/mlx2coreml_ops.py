"""What mlx2coreml and mlx2coreai 0.1.1 say they convert, and what the first says it doesn't, each as a small function.

The first list is ``SUPPORTED_MLX_TO_MIL_OPS`` in its ``op_registry.py``; the next two are the last two sections of its
``docs/ops_status.md``; ``coreai`` has what mlx2coreai's list has beyond the first. A row's function uses the operation
of that name, an alias the operation that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx import nn

from converters.primitives.registry import Case, Maker, booleans, given, integers, uniform

Inputs = Sequence[tuple[int, ...] | Maker]


class Listed(NamedTuple):
    """Names of one operation, a function that uses it and its inputs, as a :class:`Case` has them.

    ``stops`` is what the refusal says, where it can't be converted.
    """

    names: str
    fn: Callable[..., Any]
    inputs: Inputs = ((2, 6),)
    stops: str = ""

    @property
    def name(self) -> str:
        return self.names.split()[0]

    @property
    def case(self) -> Case:
        return Case(self.name, self.fn, self.inputs)


SQUARE = ((3, 3),)
PAIR = ((2, 6), (2, 6))
BATCH = ((2, 3, 4),)
PRODUCT = ((3, 4), (4, 5))
POSITIVE = (uniform(2, 6),)
WITHIN = (uniform(2, 6, low=-0.9, high=0.9),)
HEADS = ((1, 2, 5, 8), (1, 2, 5, 8), (1, 2, 5, 8))
STRANGE = (given(1.5, float("inf"), float("-inf"), float("nan"), 0.0),)
WHOLE = (integers(2, 6), integers(2, 6))
SHIFT = (integers(2, 6, low=0, high=50), integers(2, 6, low=0, high=5))
QUANTISED = mx.quantize(mx.array(np.random.default_rng(1).normal(size=(32, 64)).astype(np.float32)))
ROWS = mx.array([2, 0, 2])
PLACES = mx.array([[1, 0, 3, 3, 2, 1], [0, 5, 1, 2, 4, 4]])
WEIGHTS = [0.5, -1.0, 2.0, 3.5, 0.0, 6.0]
CHOSEN = mx.array([[True, False] * 3, [False, True] * 3])
FLOAT8 = mx.quantize(mx.array(np.random.default_rng(2).normal(size=(32, 64)).astype(np.float32)), mode="mxfp8")
CAUSAL = mx.array(np.triu(np.full((5, 5), -np.inf, np.float32), 1))

# A constant that was never evaluated would be captured as what makes it.
mx.eval(QUANTISED, FLOAT8, ROWS, PLACES, CHOSEN, CAUSAL)


def _masked(a: mx.array, b: mx.array) -> mx.array:
    a = a + 0
    a[CHOSEN] = b
    return a


SUPPORTED: tuple[Listed, ...] = (
    Listed("matmul", mx.matmul, PRODUCT),
    Listed("add", mx.add, PAIR),
    Listed("maximum", mx.maximum, PAIR),
    Listed("subtract sub", mx.subtract, PAIR),
    Listed("multiply mul", mx.multiply, PAIR),
    Listed("divide real_div", mx.divide, PAIR),
    Listed("power pow", mx.power, (uniform(2, 6), (2, 6))),
    Listed("reciprocal inverse", mx.reciprocal, POSITIVE),
    Listed("remainder mod", mx.remainder, (integers(2, 6), integers(2, 6, low=1))),
    Listed("sum reduce_sum reduce", lambda a: mx.sum(a, axis=1)),
    Listed("mean reduce_mean", lambda a: mx.mean(a, axis=1)),
    Listed("min reduce_min", lambda a: mx.min(a, axis=1)),
    Listed("max reduce_max", lambda a: mx.max(a, axis=1)),
    Listed("prod reduce_prod", lambda a: mx.prod(a, axis=1)),
    Listed("argmax reduce_argmax", lambda a: mx.argmax(a, axis=1)),
    Listed("argmin reduce_argmin", lambda a: mx.argmin(a, axis=1)),
    Listed("flatten", lambda a: mx.flatten(a, 1), BATCH),
    Listed("unflatten", lambda a: mx.unflatten(a, 1, (2, 3))),
    Listed("reshape", lambda a: mx.reshape(a, (3, 4))),
    Listed("transpose", lambda a: mx.transpose(a, (2, 0, 1)), BATCH),
    Listed("atleast_1d", lambda a: mx.atleast_1d(a.sum())),
    Listed("atleast_2d", mx.atleast_2d, ((5,),)),
    Listed("atleast_3d", mx.atleast_3d),
    Listed("moveaxis", lambda a: mx.moveaxis(a, 0, 2), BATCH),
    Listed("swapaxes", lambda a: mx.swapaxes(a, 0, 2), BATCH),
    Listed("slice slice_by_index", lambda a: a[:, 1:6:2]),
    Listed("slice_update sliceupdate", lambda a, b: mx.slice_update(a, b, mx.array([0, 2]), (0, 1)), ((2, 6), (2, 3))),
    Listed("take", lambda a, b: mx.take(a, b, axis=0), ((5, 4), integers(3, low=0, high=5))),
    Listed("take_along_axis", lambda a, b: mx.take_along_axis(a, b, 1), ((2, 6), integers(2, 3, low=0, high=6))),
    Listed("gather", lambda a, b: a[b, :2], ((5, 4), integers(3, low=0, high=5))),
    Listed("squeeze", lambda a: mx.squeeze(a, 1), ((2, 1, 6),)),
    Listed("zeros", lambda a: a + mx.zeros((2, 6))),
    Listed("ones", lambda a: a + mx.ones((2, 6))),
    Listed("full", lambda a: a + mx.full((2, 6), 3.5)),
    Listed("zeros_like", lambda a: (mx.zeros_like(a), a)),
    Listed("ones_like", lambda a: (mx.ones_like(a), a)),
    Listed("full_like", lambda a: (mx.full_like(a, 2.5), a)),
    Listed("arange", lambda a: a * mx.arange(6)),
    Listed("linspace", lambda a: a * mx.linspace(0, 1, 6)),
    Listed("where select", lambda a, b: mx.where(a > 0, a, b), PAIR),
    Listed("greater", mx.greater, PAIR),
    Listed("greaterequal greater_equal", mx.greater_equal, WHOLE),
    Listed("less", mx.less, PAIR),
    Listed("exp", mx.exp),
    Listed("split", lambda a: mx.split(a, 3, axis=1)),
    Listed("expanddims expand_dims", lambda a: mx.expand_dims(a, (0, 2))),
    Listed("bitwisebinary", lambda a, b: (a & b, a | b, a ^ b), WHOLE),
    Listed(
        "scaled_dot_product_attention scaleddotproductattention",
        lambda q, k, v: mx.fast.scaled_dot_product_attention(q, k, v, scale=0.3, mask=CAUSAL),
        HEADS,
    ),
    Listed("rope", lambda a: mx.fast.rope(a, 8, traditional=False, base=1e4, scale=1.0, offset=2), ((1, 2, 5, 8),)),
    Listed("softmax", lambda a: mx.softmax(a, axis=1)),
    Listed("sigmoid", mx.sigmoid),
    Listed("tanh", mx.tanh),
    Listed("erf", mx.erf),
    Listed("layernorm", lambda a, b, c: mx.fast.layer_norm(a, b, c, 1e-5), ((2, 6), (6,), (6,))),
    Listed("rmsnorm", lambda a, b: mx.fast.rms_norm(a, b, 1e-5), ((2, 6), (6,))),
    Listed("astype cast", lambda a: a.astype(mx.int32), (uniform(2, 6, high=40.0),)),
    Listed("number_of_elements", lambda a: a.sum() / a.size),
    Listed("stop_gradient", lambda a: mx.stop_gradient(a) * 2),
    Listed("addmm", lambda a, b, c: mx.addmm(a, b, c, 0.5, 2.0), ((5,), (3, 4), (4, 5))),
    Listed("broadcast broadcast_to", lambda a: mx.broadcast_to(a, (3, 2, 6))),
    Listed("broadcast_arrays", mx.broadcast_arrays, ((2, 1), (1, 6))),
    Listed("outer", mx.outer, ((4,), (5,))),
    Listed("inner", mx.inner, ((3, 4), (2, 4))),
    Listed("tensordot", lambda a, b: mx.tensordot(a, b, [[2], [0]]), ((2, 3, 4), (4, 5))),
    Listed("isclose", lambda a, b: mx.isclose(a, a + 1e-3 * (b > 0)), PAIR),
    Listed("allclose", lambda a, b: mx.allclose(a, b, atol=9.0), PAIR),
    Listed("nan_to_num", lambda a: mx.nan_to_num(a, 7.0, 8.0, -9.0), STRANGE),
    Listed("diag", lambda a: (mx.diag(a[0]), mx.diag(a)), SQUARE),
    Listed("diagonal", lambda a: mx.diagonal(a, 1, 1, 2), BATCH),
    Listed("trace", mx.trace, SQUARE),
    Listed("tri", lambda a: a * mx.tri(3, 6, 1), ((3, 6),)),
    Listed("tril", lambda a: mx.tril(a, 1), SQUARE),
    Listed("triu", lambda a: mx.triu(a, -1), SQUARE),
    Listed("all", lambda a: mx.all(a > -1, axis=1)),
    Listed("any", lambda a: mx.any(a > 1, axis=1)),
    Listed("array_equal", lambda a, b: mx.array_equal(a, mx.where(b > 9, b, a)), PAIR),
    Listed("isnan", mx.isnan, STRANGE),
    Listed("isinf", mx.isinf, STRANGE),
    Listed("isfinite", mx.isfinite, STRANGE),
    Listed("isneginf", mx.isneginf, STRANGE),
    Listed("isposinf", mx.isposinf, STRANGE),
    Listed("eye", lambda a: a + mx.eye(3), SQUARE),
    Listed("meshgrid", mx.meshgrid, ((3,), (4,))),
    Listed("kron", mx.kron, ((2, 3), (3, 2))),
    Listed("logaddexp", mx.logaddexp, PAIR),
    Listed("concatenate", lambda a, b: mx.concatenate([a, b], axis=1), PAIR),
    Listed("copy", lambda a: mx.array(a) + 1),
    Listed("contiguous", lambda a: mx.contiguous(a.T) + 1),
    Listed("arccos", mx.arccos, WITHIN),
    Listed("arcsin", mx.arcsin, WITHIN),
    Listed("arctan", mx.arctan),
    Listed("arctanh", mx.arctanh, WITHIN),
    Listed("negative", mx.negative),
    Listed("degrees", mx.degrees),
    Listed("radians", mx.radians),
    Listed("expm1", mx.expm1),
    Listed("log1p", mx.log1p, POSITIVE),
    Listed("log2", mx.log2, POSITIVE),
    Listed("log10", mx.log10, POSITIVE),
    Listed("logsumexp", lambda a: mx.logsumexp(a, axis=1)),
    Listed("floor_divide floor_div", mx.floor_divide, (integers(2, 6), integers(2, 6, low=1))),
    Listed("var", lambda a: mx.var(a, axis=1)),
    Listed("std", lambda a: mx.std(a, axis=1)),
    Listed("divmod", mx.divmod, (uniform(2, 6, high=9.0), uniform(2, 6, low=0.6))),
    Listed("conv1d", lambda a, b: mx.conv1d(a, b, stride=2, padding=1), ((1, 8, 4), (6, 3, 4))),
    Listed("conv2d", lambda a, b: mx.conv2d(a, b, padding=1, groups=2), ((1, 6, 5, 4), (6, 3, 3, 2))),
    Listed("conv3d", mx.conv3d, ((1, 4, 5, 6, 2), (3, 2, 2, 2, 2))),
    Listed("conv_general convolution", lambda a, b: mx.conv_general(a, b, 1, ([1], [2])), ((1, 8, 4), (6, 3, 4))),
    Listed("conv_transpose1d", lambda a, b: mx.conv_transpose1d(a, b, stride=2), ((1, 5, 4), (3, 3, 4))),
    Listed("conv_transpose2d", lambda a, b: mx.conv_transpose2d(a, b, padding=1), ((1, 4, 5, 4), (3, 3, 3, 4))),
    Listed("conv_transpose3d", mx.conv_transpose3d, ((1, 3, 3, 3, 2), (3, 2, 2, 2, 2))),
    Listed("const constant", lambda a: a + mx.array(WEIGHTS)),
)
STATES = ("read_state", "write_state", "state_update_masked")
"""Names of its first list that no MLX function reaches: Core ML's state, which that tool adds to a graph by hand."""

LACKING: tuple[Listed, ...] = (
    Listed("arccosh", mx.arccosh, (uniform(2, 6, low=1.1, high=9.0),)),
    Listed("arcsinh", mx.arcsinh),
    Listed("arctan2", mx.arctan2, PAIR),
    Listed("argpartition", lambda a: mx.take_along_axis(a, mx.argpartition(a, 2, axis=1)[:, 2:3], 1)),
    Listed("as_strided", lambda a: mx.as_strided(a, (3, 4), (2, 1), 1), ((12,),)),
    Listed("bitwise_and", mx.bitwise_and, WHOLE),
    Listed("bitwise_invert", mx.bitwise_invert, WHOLE[:1], stops="primitive BitwiseInvert"),
    Listed("bitwise_or", mx.bitwise_or, WHOLE),
    Listed("bitwise_xor", mx.bitwise_xor, WHOLE),
    Listed(
        "block_masked_mm",
        lambda a, b, c, d, e: mx.block_masked_mm(a, b, 32, c, d, e),
        ((64, 32), (32, 64), booleans(2, 2), booleans(2, 1), booleans(1, 2)),
    ),
    Listed("conjugate", lambda a, b: mx.imag(mx.conjugate(a + 1j * b)), PAIR),
    Listed("cummax", lambda a: mx.cummax(a, axis=1)),
    Listed("cummin", lambda a: mx.cummin(a, axis=1)),
    Listed("cumprod", lambda a: mx.cumprod(a, axis=1)),
    Listed("erfinv", mx.erfinv, WITHIN),
    Listed("gather_mm", lambda a, b: mx.gather_mm(a, b, rhs_indices=ROWS), ((3, 2, 4), (3, 4, 5))),
    Listed("hadamard_transform", mx.hadamard_transform, ((2, 8),)),
    Listed("hamming", lambda a: a * mx.hamming(6)),
    Listed("hanning", lambda a: a * mx.hanning(6)),
    Listed("imag", lambda a, b: mx.imag(mx.exp(1j * a) * b), PAIR),
    Listed("left_shift", mx.left_shift, SHIFT),
    Listed("logcumsumexp", lambda a: mx.logcumsumexp(a, axis=1), stops="primitive CumLogAddExp"),
    Listed("masked_scatter", _masked, ((2, 6), (6,))),
    Listed("median", lambda a: mx.median(a, axis=1)),
    Listed("partition", lambda a: mx.partition(a, 2, axis=1)[:, 2]),
    Listed("put_along_axis", lambda a, b: mx.put_along_axis(a, ROWS[None, :2], b, axis=1), ((1, 6), (1, 2))),
    Listed("real", lambda a, b: mx.real((a + 1j * b) * (b + 1j * a)), PAIR),
    Listed("repeat", lambda a: mx.repeat(a, 3, axis=1)),
    Listed("right_shift", mx.right_shift, SHIFT),
    Listed("roll", lambda a: mx.roll(a, 2, axis=1)),
    Listed("scatter_add", lambda a, b: a.at[ROWS].add(b), ((4, 5), (3, 5))),
    Listed("scatter_add_axis", mx.grad(lambda x: (mx.take_along_axis(x, PLACES, 1) ** 2).sum())),
    Listed("scatter_max", lambda a, b: a.at[ROWS].maximum(b), ((4, 5), (3, 5))),
    Listed("scatter_min", lambda a, b: a.at[ROWS].minimum(b), ((4, 5), (3, 5))),
    Listed("scatter_prod", lambda a, b: a.at[ROWS].multiply(b), ((4, 5), (3, 5))),
    Listed(
        "segmented_mm",
        lambda a, b: mx.segmented_mm(a, b, mx.array([[0, 3], [3, 8]])),
        ((2, 8), (8, 3)),
        stops="primitive SegmentedMM",
    ),
    Listed("sort", lambda a: mx.sort(a, axis=1)),
)
"""Its “Not yet implemented”."""

REFUSED: tuple[Listed, ...] = (
    Listed("depends", lambda a, b: mx.depends([a], [b])[0] + 1, PAIR),
    Listed(
        "from_fp8",
        lambda a: mx.from_fp8(a.astype(mx.uint8), mx.float32),
        (integers(2, 6, low=0, high=100),),
        stops="primitive FromFP8",
    ),
    Listed(
        "gather_qmm", lambda a: mx.gather_qmm(a, *(q[None] for q in QUANTISED), rhs_indices=ROWS[1:2]), ((1, 2, 64),)
    ),
    Listed("qqmm", lambda a: mx.qqmm(a, *FLOAT8, mode="mxfp8"), ((2, 64),), stops="primitive QQMatmul"),
    Listed("quantized_matmul", lambda a: mx.quantized_matmul(a, *QUANTISED), ((2, 64),)),
    Listed("to_fp8", mx.to_fp8, stops="primitive ToFP8"),
    Listed("view", lambda a: mx.view(a, mx.int32), stops="Core ML can't reinterpret bits"),
)
"""Its “Not supported”."""


ELSEWHERE: tuple[Listed, ...] = (
    Listed("random_normal", lambda a: a + mx.random.normal((2, 6)), stops="random numbers are drawn"),
    Listed("random_categorical", mx.random.categorical, stops="random numbers are drawn"),
    Listed("linalg_qr", mx.linalg.qr, SQUARE, stops="no lowering for .* QRF"),
    Listed("linalg_svd", mx.linalg.svd, SQUARE, stops="no lowering for .* SVD"),
    Listed("linalg_eigh", mx.linalg.eigh, SQUARE, stops="no lowering for .* Eigh"),
    Listed("linalg_inv", mx.linalg.inv, SQUARE),
    Listed("linalg_cholesky", mx.linalg.cholesky, SQUARE, stops="no lowering for .* Cholesky"),
    Listed("linalg_lu", mx.linalg.lu, SQUARE, stops="primitive LUF"),
    Listed("float64", lambda a: a.astype(mx.float64) + 1, stops="dtypes without a counterpart in a package: float64"),
    Listed("item", lambda a: a * a.sum().item(), stops="looks at values"),
)
"""On neither of its lists: what a package can't hold, and one decomposition that it can."""

COREAI: tuple[Listed, ...] = (
    Listed("abs", mx.abs),
    Listed("cos", mx.cos),
    Listed("sin", mx.sin),
    Listed("log", mx.log, POSITIVE),
    Listed("sqrt", mx.sqrt, POSITIVE),
    Listed("rsqrt", mx.rsqrt, POSITIVE),
    Listed("minimum", mx.minimum, PAIR),
    Listed("equal", mx.equal, WHOLE),
    Listed("not_equal notequal", mx.not_equal, WHOLE),
    Listed("less_equal lessequal", mx.less_equal, WHOLE),
    Listed("gelu", nn.gelu),
    Listed("silu", nn.silu),
    Listed(
        "dynamic_slice_update dynamicsliceupdate",
        lambda x, y, i: mx.slice_update(x, y, i, (1,)),
        ((2, 6), (2, 3), given(2)),
    ),
)
COREAI_STATES = ("read_state", "write_state", "state_update_masked")
"""Its names that no MLX function has: states, for graphs written by hand."""

GROUPS = {
    "supported": SUPPORTED,
    "not_yet_implemented": LACKING,
    "not_supported": REFUSED,
    "elsewhere": ELSEWHERE,
    "coreai": COREAI,
}
