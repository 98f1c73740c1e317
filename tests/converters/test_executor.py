"""The executor against torch: modules converted by coremltools, saved, and run from the package."""

from __future__ import annotations

import coremltools as ct
import numpy as np
import pytest

from tests.converters.saved import check, save_torch
from tests.tolerances import close

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore"),
]


class Call(nn.Module):
    """A function as a module, with the modules it closes over."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, *args):
        return self.function(*self.parts, *args)


def shaken(module, seed=0):
    """Random parameters and statistics in place of the fresh ones, which are often 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            new = torch.randn(value.shape, generator=generator) * 0.4
            value.copy_(new.abs() + 0.3 if name.endswith("running_var") else new)
    return module


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def whole(high, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.int32)


def separate(*shape, seed=0):
    """Numbers no two of which are near each other, so that sorting has one answer."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count).reshape(shape) / count * 4 - 2).astype(np.float32)


class Recurrent(nn.Module):
    """All outputs of a recurrent layer, states included."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        y, state = self.layer(x)
        return (y, *state) if isinstance(state, tuple) else (y, state)


class Attention(nn.Module):
    def __init__(self, mask=False):
        super().__init__()
        self.mask = mask

    def forward(self, q, k, v, *rest):
        return F.scaled_dot_product_attention(q, k, v, rest[0] if self.mask else None)


X2 = normal(3, 8)
X3 = normal(2, 6, 15)
X4 = normal(2, 6, 9, 11)

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": nn.Hardswish(),
    "hardtanh": nn.Hardtanh(-0.7, 1.3),
    "softplus": nn.Softplus(),
    "elu": nn.ELU(0.7),
    "leaky_relu": nn.LeakyReLU(0.2),
    "softsign": nn.Softsign(),
    "tanh": nn.Tanh(),
    "softmax": nn.Softmax(dim=1),
    "log_softmax": nn.LogSoftmax(dim=-1),
    "erf": Call(torch.erf),
    "mish": nn.Mish(),
    "threshold": nn.Threshold(0.3, 0.3),
}


def test_activations(tmp_path):
    """All in one module: each output is one activation."""
    parts = list(ACTIVATIONS.values())
    module = Call(lambda *a: tuple(p(3 * a[-1]) for p in a[:-1]), *parts)
    _, want = save_torch(tmp_path / "m.mlpackage", module, {"x": X3})
    assert len(want) == len(parts)
    check(tmp_path / "m.mlpackage", {"x": X3}, want, "executor")


CASES = {
    "linear": (nn.Linear(8, 5), {"x": X2}),
    "linear_plain": (nn.Linear(8, 5, bias=False), {"x": normal(2, 3, 8)}),
    "prelu": (nn.PReLU(6), {"x": X4}),
    "conv1d": (nn.Conv1d(6, 4, 3, stride=2, padding=1), {"x": X3}),
    "conv1d_dilated": (nn.Conv1d(6, 4, 3, dilation=3, padding="same"), {"x": X3}),
    "conv2d": (nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(0, 1)), {"x": X4}),
    "conv2d_groups": (nn.Conv2d(6, 9, 3, groups=3, dilation=2, padding=2, bias=False), {"x": X4}),
    "conv2d_depthwise": (nn.Conv2d(6, 12, 3, groups=6, stride=2), {"x": X4}),
    "conv3d": (nn.Conv3d(2, 3, 2, padding=1), {"x": normal(1, 2, 3, 4, 5)}),
    "conv_transpose1d": (nn.ConvTranspose1d(6, 4, 4, stride=3, padding=1), {"x": X3}),
    "conv_transpose2d": (nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), {"x": X4}),
    "conv_transpose2d_groups": (nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2, dilation=2), {"x": X4}),
    "layer_norm": (nn.LayerNorm((6, 15), eps=1e-3), {"x": X3}),
    "batch_norm": (nn.BatchNorm2d(6), {"x": X4}),
    "instance_norm": (nn.InstanceNorm2d(6, affine=True), {"x": X4}),
    "group_norm": (nn.GroupNorm(3, 6), {"x": X4}),
    "normalize": (Call(lambda x: F.normalize(x, dim=-1)), {"x": X3}),
    "avg_pool_counted": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=True), {"x": X4}),
    "avg_pool_uncounted": (nn.AvgPool2d((3, 2), stride=2, padding=1, count_include_pad=False), {"x": X4}),
    "avg_pool1d": (nn.AvgPool1d(4, stride=3), {"x": X3}),
    "avg_pool_ceil": (nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), {"x": normal(1, 2, 8, 10)}),
    "max_pool": (nn.MaxPool2d(3, stride=2, padding=1), {"x": X4}),
    "max_pool_ceil": (nn.MaxPool2d(3, stride=2, ceil_mode=True), {"x": normal(1, 2, 8, 10)}),
    "adaptive_avg_pool": (nn.AdaptiveAvgPool2d(1), {"x": X4}),
    "lstm": (Recurrent(nn.LSTM(5, 7)), {"x": normal(6, 3, 5)}),
    "lstm_bidirectional": (
        Recurrent(nn.LSTM(5, 7, bidirectional=True, batch_first=True)),
        {"x": normal(3, 6, 5)},
    ),
    "rnn": (Recurrent(nn.RNN(5, 7, num_layers=2)), {"x": normal(6, 3, 5)}),
    "embedding": (nn.Embedding(11, 6), {"x": whole(11, 2, 5)}),
    "index_select": (Call(lambda x, i: torch.index_select(x, 1, i)), {"x": X3, "i": whole(6, 4)}),
    "gather": (Call(lambda x, i: torch.gather(x, 2, i.long())), {"x": X3, "i": whole(15, 2, 6, 4)}),
    "scatter": (
        Call(lambda x, i, u: x.scatter(1, i.long(), u)),
        {
            "x": X2,
            "i": np.stack([np.random.default_rng(r).permutation(8)[:4] for r in range(3)]).astype(np.int32),
            "u": normal(3, 4, seed=1),
        },
    ),
    "scatter_add": (
        Call(lambda x, i, u: x.scatter_add(1, i.long(), u)),
        {"x": X2, "i": whole(8, 3, 6), "u": normal(3, 6, seed=1)},
    ),
    "topk": (Call(lambda x: torch.topk(x, 3, dim=1)), {"x": separate(2, 6, 5)}),
    "topk_smallest": (Call(lambda x: torch.topk(x, 2, dim=-1, largest=False)), {"x": separate(4, 7)}),
    "argsort": (Call(lambda x: torch.argsort(x, dim=1, descending=True)), {"x": separate(4, 7)}),
    "sort": (Call(lambda x: torch.sort(x, dim=0)), {"x": separate(4, 7)}),
    "argmax": (Call(lambda x: (x.argmax(dim=1), x.argmin(dim=2, keepdim=True))), {"x": separate(2, 6, 5)}),
    "cumsum": (Call(lambda x: torch.cumsum(x, dim=1)), {"x": X3}),
    "interpolate_nearest": (Call(lambda x: F.interpolate(x, scale_factor=2, mode="nearest")), {"x": X4}),
    "interpolate_bilinear": (
        Call(lambda x: F.interpolate(x, size=(18, 33), mode="bilinear", align_corners=False)),
        {"x": X4},
    ),
    "interpolate_corners": (
        Call(lambda x: F.interpolate(x, size=(17, 23), mode="bilinear", align_corners=True)),
        {"x": X4},
    ),
    "grid_sample": (
        Call(lambda x, g: F.grid_sample(x, g, align_corners=False, padding_mode="zeros")),
        {"x": X4, "g": normal(2, 4, 5, 2, seed=2)},
    ),
    "grid_sample_reflection": (
        Call(lambda x, g: F.grid_sample(x, g, align_corners=False, padding_mode="reflection")),
        {"x": X4, "g": 2 * normal(2, 4, 5, 2, seed=2)},
    ),
    "grid_sample_border": (
        Call(lambda x, g: F.grid_sample(x, g, mode="nearest", align_corners=True, padding_mode="border")),
        {"x": X4, "g": normal(2, 4, 5, 2, seed=2)},
    ),
    "pad": (
        Call(
            lambda x: (
                F.pad(x, (1, 2, 0, 3), value=1.5),
                F.pad(x, (2, 1, 1, 3), mode="reflect"),
                F.pad(x, (2, 1, 1, 3), mode="replicate"),
            )
        ),
        {"x": X4},
    ),
    "where": (Call(lambda x, y: torch.where(x > y, x, 2 * y)), {"x": X2, "y": normal(3, 8, seed=1)}),
    "einsum": (
        Call(lambda x, y: torch.einsum("bhqd,bhkd->bhqk", x, y)),
        {"x": normal(2, 3, 4, 5), "y": normal(2, 3, 6, 5, seed=1)},
    ),
    "einsum_batch": (
        Call(lambda x, y: torch.einsum("nchw,nwhu->nchu", x, y)),
        {"x": normal(2, 3, 4, 5), "y": normal(2, 5, 4, 6, seed=1)},
    ),
    "matmul": (Call(lambda x, y: x @ y.transpose(1, 2)), {"x": normal(2, 3, 4), "y": normal(2, 5, 4, seed=1)}),
    "reductions": (
        Call(
            lambda x: (
                x.sum(1),
                x.mean((0, 2)),
                x.amax(1, keepdim=True),
                x.amin(-1),
                torch.logsumexp(x, 1),
                x.norm(dim=2),
                x.norm(p=1, dim=2),
                x.var(dim=1, unbiased=False),
            )
        ),
        {"x": normal(2, 4, 5)},
    ),
    "shapes": (
        Call(
            lambda x: (
                x.permute(2, 0, 1),
                x[:, 1:5:2, -3:],
                x[:, 2],
                x.flip(1, 2),
                torch.cat([x, 2 * x], 1),
                torch.stack([x, -x], 2),
                x.reshape(3, -1),
                x.repeat(1, 2, 3),
                x.unsqueeze(1).squeeze(0),
                torch.tril(x),
                *x.split([1, 3, 2], 1),
                *x.chunk(3, 2),
            )
        ),
        {"x": X3},
    ),
    "pixels": (
        Call(lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 3))),
        {"x": normal(1, 8, 6, 9)},
    ),
    "arithmetic": (
        Call(
            lambda x, y: (
                x / y,
                torch.floor_divide(x, y),
                torch.remainder(x, y),
                x**2,
                torch.maximum(x, y),
                torch.minimum(x, y),
                x.clamp(-0.5, 0.4),
                torch.rsqrt(x.abs() + 1),
                torch.log(x.abs() + 0.1),
                torch.exp(x),
                torch.round(x * 4),
                torch.floor(x),
                torch.ceil(x),
                torch.sign(x),
                (x * 5).int(),
                (x > 0).float(),
            )
        ),
        {"x": X2, "y": np.abs(normal(3, 8, seed=1)) + 0.2},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_matches_torch(name, tmp_path):
    module, inputs = CASES[name]
    _, want = save_torch(tmp_path / "m.mlpackage", shaken(module), inputs)
    check(tmp_path / "m.mlpackage", inputs, want, "executor")


@pytest.mark.parametrize("mask", [None, "float", "bool"])
def test_attention_is_one_operation_on_ios18(tmp_path, mask):
    inputs = {n: normal(2, 3, 5, 4, seed=i) for i, n in enumerate("qkv")}
    if mask == "float":
        inputs["m"] = normal(5, 5, seed=9)
    module = Attention(mask is not None)
    if mask == "bool":
        inputs["m"] = normal(5, 5, seed=9)
        module = Call(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m > -1))
    _, want = save_torch(tmp_path / "m.mlpackage", module, inputs, target=ct.target.iOS18)
    executor = check(tmp_path / "m.mlpackage", inputs, want, "executor")
    assert executor.op_counts()["scaled_dot_product_attention"] == 1


class Encoder(nn.Module):
    """Token ids to vectors, the way BERT does it, layers written out."""

    def __init__(self, vocab=50, width=32, heads=4, depth=2, length=10):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True)
            for _ in range(depth)
        )
        self.heads, self.width, self.length = heads, width, length

    def forward(self, ids):
        # Sizes as Python numbers: coremltools 9 can't fold traced ones with NumPy 2.4.
        x = self.words(ids) + self.positions.weight
        for layer in self.layers:
            q, k, v = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, -1)
            q, k, v = (
                t.reshape(-1, self.length, self.heads, self.width // self.heads).transpose(1, 2) for t in (q, k, v)
            )
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, self.length, self.width)
            x = layer.norm1(x + layer.self_attn.out_proj(y))
            x = layer.norm2(x + layer.linear2(F.gelu(layer.linear1(x))))
        return x


@pytest.mark.parametrize(("half", "row"), [(False, "executor"), (True, "executor_half")])
def test_transformer_encoder(tmp_path, half, row):
    inputs = {"ids": whole(50, 2, 10)}
    _, want = save_torch(tmp_path / "m.mlpackage", shaken(Encoder()), inputs, half)
    executor = check(tmp_path / "m.mlpackage", inputs, want, row)
    floats = {v.dtype for o in executor.operations for v in o.outputs if v.dtype.startswith("fp")}
    assert ("fp16" in floats) == half


@pytest.mark.parametrize("name", ["linear", "conv2d", "layer_norm", "batch_norm", "lstm_bidirectional", "embedding"])
def test_half_precision_matches_torch(name, tmp_path):
    module, inputs = CASES[name]
    _, want = save_torch(tmp_path / "m.mlpackage", shaken(module), inputs, half=True)
    check(tmp_path / "m.mlpackage", inputs, want, "executor_half")


def test_every_half_value_is_a_half(tmp_path):
    """Each fp16 value of the trace survives a round trip, and the trace ends in the outputs."""
    inputs = {"ids": whole(50, 1, 10)}
    save_torch(tmp_path / "m.mlpackage", shaken(Encoder()), inputs, half=True)
    executor = check(tmp_path / "m.mlpackage", inputs, list(executor_outputs(tmp_path, inputs)), "exact")
    values = executor.trace(inputs)
    declared = {v.name: v.dtype for o in executor.operations for v in o.outputs}
    halves = [n for n in values if declared.get(n) == "fp16"]
    assert len(halves) > 20
    assert {values[n].dtype for n in halves} == {np.dtype(np.float16)}
    for name, want in executor(inputs).items():
        close(values[name], want, "exact")


def executor_outputs(folder, inputs):
    from converters.coreml.executor import Executor

    return Executor(folder / "m.mlpackage")(inputs).values()
