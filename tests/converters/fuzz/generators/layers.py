"""Products, convolutions, pools, norms, attention, transforms: what models are made of."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx import nn

from tests.converters.fuzz.draft import Draft, Value, makes
from tests.converters.fuzz.inputs import BENIGN, index


def weights(d: Draft, *shape: int) -> mx.array:
    """Benign constants, float16's own numbers."""
    return mx.array(d.rng.normal(size=shape).astype(np.float16).astype(np.float32))


@makes("Matmul", "Linear", "AddMM")
def product(d: Draft) -> Value:
    x = d.floats(1, 4, dtype="float32")
    inner, columns = x.shape[-1], d.number(1, 4)
    if d.chance(0.4):
        w, b = weights(d, inner, columns), weights(d, columns)
        if d.chance():
            return d.apply("x @ constant", lambda x: x @ w, x)
        alpha, beta = d.pick(1.0, 2.0), d.pick(1.0, 0.5)
        return d.apply(f"addmm {alpha} {beta}", lambda x: mx.addmm(b, x, w, alpha, beta), x)
    batch = d.pick((), x.shape[:-2], (1,) * len(x.shape[:-2]))
    y = d.input((*batch, inner, columns) if d.chance(0.8) else (inner,))
    if y.rank > 1 and d.chance(0.3):
        c = d.input((columns,))
        return d.apply("addmm", mx.addmm, c, x, y)
    return d.apply("matmul", mx.matmul, x, y)


@makes("GatherMM", "GatherQMM")
def experts(d: Draft) -> Value:
    groups, rows, columns = d.number(1, 4), d.number(1, 3), d.number(1, 4)
    shape = d.shape(1, 2)
    if d.chance(0.3):
        w, s, b = mx.quantize(weights(d, groups, 8, 64).reshape(-1, 64), 32, 4)
        w, s, b = (part.reshape(groups, 8, -1) for part in (w, s, b))
        x, i = d.input((*shape, 1, 64)), d.input(shape, "int32", index(groups, negative=False))
        return d.apply("gather_qmm", lambda x, i: mx.gather_qmm(x, w, s, b, None, i, True, 32, 4), x, i)
    inner = d.number(1, 5)
    x, i = d.input((*shape, rows, inner)), d.input(shape, "int32", index(groups, negative=False))
    if d.chance():
        w = weights(d, groups, inner, columns)
        return d.apply("gather_mm constant", lambda x, i: mx.gather_mm(x, w, rhs_indices=i), x, i)
    return d.apply(
        "gather_mm", lambda x, w, i: mx.gather_mm(x, w, rhs_indices=i), x, d.input((groups, inner, columns)), i
    )


@makes("QuantizedMatmul")
def quantised(d: Draft) -> Value:
    mode = d.pick("affine", "mxfp4", "mxfp8", "nvfp4")
    group, bits = {"affine": (32, d.pick(2, 4, 8)), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}[mode]
    parts = mx.quantize(weights(d, 32, 64), group, bits, mode=mode)
    mx.eval(parts)
    w, s, b = (*parts, None)[:3]
    turned = d.chance(0.7) or mode != "affine"
    x = d.input((*d.shape(0, 2), 64 if turned else 32))
    return d.apply(f"{mode} {bits} {turned}", lambda x: mx.quantized_matmul(x, w, s, b, turned, group, bits, mode), x)


@makes("BlockMaskedMM")
def block_product(d: Draft) -> Value:
    rows, inner, columns = (d.pick(32, 40) for _ in range(3))
    sizes = [-(-n // 32) for n in (rows, inner, columns)]
    out = mx.array(d.rng.integers(0, 2, (sizes[0], sizes[2])).astype(bool))
    x, y = d.input((rows, inner)), d.input((inner, columns))
    return d.apply("block_masked_mm", lambda x, y: mx.block_masked_mm(x, y, 32, out), x, y)


@makes("Hadamard")
def hadamard(d: Draft) -> Value:
    x = d.input((*d.shape(0, 2), d.pick(1, 2, 4, 8, 12, 20)))
    return d.apply("hadamard", mx.hadamard_transform, x)


@makes("Inverse")
def inverse(d: Draft) -> Value:
    n = d.number(1, 4)
    x = d.input((*d.shape(0, 1), n, n), role=BENIGN)
    if d.chance(0.7):
        return d.apply("inv", lambda x: mx.linalg.inv(x + 6 * mx.eye(n)), x)
    upper = d.chance()
    return d.apply(f"tri_inv {upper}", lambda x: mx.linalg.tri_inv(x + 6 * mx.eye(n), upper=upper), x)


@makes("Convolution")
def convolution(d: Draft) -> Value:
    n = d.pick(1, 1, 2, 2, 3)
    groups = d.pick(1, 1, 2) if n < 3 else 1
    inner, out = groups * d.number(1, 2), groups * d.number(1, 2)
    kernel = tuple(d.number(1, 3) for _ in range(n))
    size = tuple(d.number(3, 6) for _ in range(n))
    x = d.input((d.number(1, 2), *size, inner))
    shape = (out, *kernel, inner // groups)
    w = d.constant(weights(d, *shape)) if d.chance(0.6) else d.input(shape)
    stride, dilation = (tuple(d.pick(1, 1, 2) for _ in range(n)) for _ in range(2))
    low, high = ([d.number(0, 2) for _ in range(n)] for _ in range(2))
    spread = tuple(d.pick(1, 2, 3) for _ in range(n)) if d.chance(0.4) else (1,) * n
    flip = d.chance(0.3)
    # The kernel has to fit.
    low = [max(a, k * e - s) for a, k, e, s in zip(low, kernel, dilation, size, strict=True)]
    return d.apply(
        f"conv_general {stride} {low} {high} {dilation} {spread} {groups} {flip}",
        lambda x, w: mx.conv_general(x, w, stride, (low, high), dilation, spread, groups, flip),
        x,
        w,
    )


@makes("Convolution")
def transposed(d: Draft) -> Value:
    n = d.pick(1, 2)
    inner, out = d.number(1, 3), d.number(1, 3)
    kernel, stride, padding = d.number(1, 3), d.number(1, 3), d.number(0, 1)
    x = d.input((1, *(d.number(3, 5) for _ in range(n)), inner))
    w = weights(d, out, *(kernel,) * n, inner)
    fn = (mx.conv_transpose1d, mx.conv_transpose2d)[n - 1]
    more = d.number(0, stride - 1)
    return d.apply(
        f"conv_transpose {stride} {padding} {more}", lambda x: fn(x, w, stride, padding, output_padding=more), x
    )


@makes("Pool")
def pool(d: Draft) -> Value:
    n = d.pick(1, 2, 2, 3)
    kernel, stride = d.number(1, 3), d.number(1, 3)
    made = d.pick((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d))[n - 1]
    layer = made(kernel, stride, d.pick(0, kernel // 2))
    return d.apply(f"{made.__name__} {kernel} {stride}", layer, d.input((d.number(1, 2), *(d.number(3, 5),) * n, 2)))


@makes("LayerNorm", "RMSNorm", "Length")
def norm(d: Draft) -> Value:
    x = d.floats(1, 4, least=2)
    width = x.shape[-1]
    kind = d.pick("layer", "rms", "length", "group", "batch")
    gamma, beta = (weights(d, width).astype(x.array.dtype) for _ in range(2))
    if kind == "layer":
        gamma, beta = d.pick((gamma, beta), (gamma, None), (None, None))
        return d.apply("layer_norm", lambda x: mx.fast.layer_norm(x, gamma, beta, 1e-5), x)
    if kind == "rms":
        gamma = d.pick(gamma, None)
        return d.apply("rms_norm", lambda x: mx.fast.rms_norm(x, gamma, 1e-5), x)
    if kind == "length":
        axis = d.axis(x)
        return d.apply(f"norm {axis}", lambda x: mx.linalg.norm(x, axis=axis, keepdims=True), x)
    axis = d.axis(x)
    return d.apply(
        f"standardised {axis}",
        lambda x: (x - x.mean(axis, keepdims=True)) * mx.rsqrt(mx.var(x, axis=axis, keepdims=True) + 1e-5),
        x,
    )


@makes("Attention")
def attention(d: Draft) -> Value:
    heads, length, keys, width = d.number(1, 2), d.number(1, 4), d.number(1, 4), d.number(1, 4)
    q, k, v = (d.input((1, heads, n, width)) for n in (length, keys, keys))
    kind, scale = d.pick("none", "causal", "added", "truths"), d.pick(1.0, 0.5, float(width) ** -0.5)
    attend = mx.fast.scaled_dot_product_attention
    if kind in ("none", "causal"):
        mask = None if kind == "none" else "causal"
        if mask and length > keys:
            k, v = (d.input((1, heads, length, width)) for _ in range(2))
        return d.apply(f"attention {kind}", lambda q, k, v: attend(q, k, v, scale=scale, mask=mask), q, k, v)
    mask = d.input((1, 1, length, keys), "bool" if kind == "truths" else "float32")
    return d.apply(f"attention {kind}", lambda q, k, v, m: attend(q, k, v, scale=scale, mask=m), q, k, v, mask)


@makes("FFT", "Real", "Imag", "Conjugate")
def spectrum(d: Draft) -> Value:
    x = d.input(d.shape(1, 3, least=2))
    axis = d.axis(x)
    kind = d.pick("rfft", "fft", "irfft", "fft2", "conjugate", "product")
    if kind == "irfft":
        n = d.pick(None, 2 * x.shape[axis] - 1)
        return d.apply(f"irfft {n} {axis}", lambda x: mx.fft.irfft(x.astype(mx.complex64), n=n, axis=axis), x)
    if kind == "fft2" and x.rank > 1:
        return d.apply("fft2", lambda x: _parts(mx.fft.fft2(x)), x)
    if kind == "conjugate":
        return d.apply(f"conj rfft {axis}", lambda x: _parts(mx.conj(mx.fft.rfft(x, axis=axis))), x)
    if kind == "product":
        return d.apply(
            f"irfft rfft² {axis}",
            lambda x: mx.fft.irfft(mx.fft.rfft(x, axis=axis) * mx.fft.rfft(x, axis=axis), n=x.shape[axis], axis=axis),
            x,
        )
    fn = {"rfft": mx.fft.rfft}.get(kind, mx.fft.fft)
    return d.apply(f"{kind} {axis}", lambda x: _parts(fn(x, axis=axis)), x)


def _parts(z: mx.array) -> tuple[mx.array, mx.array]:
    return mx.real(z), mx.imag(z)


@makes("Conjugate", "Real", "Imag", "AsType")
def complexes(d: Draft) -> Value:
    x, y = d.input(d.shape(1, 3)), None
    y = d.input(x.shape)
    kind = d.pick("multiply", "divide", "exp", "abs", "square", "sum", "negative")

    def fn(x: mx.array, y: mx.array) -> tuple[mx.array, ...]:
        z = x + 1j * y
        other = mx.conj(z)[..., ::-1] if kind in ("multiply", "divide") else z
        if kind == "abs":
            return (mx.abs(z),)
        made = {"multiply": lambda: z * other, "divide": lambda: z / (other + 3), "exp": lambda: mx.exp(mx.conj(z))}
        made |= {"square": lambda: mx.square(z), "sum": lambda: z.sum(-1), "negative": lambda: -z}
        return _parts(made[kind]())

    return d.apply(f"complex {kind}", fn, x, y)
