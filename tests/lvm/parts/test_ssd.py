"""State-space duality: the chunked form is the recurrence, at any chunk, from any memory, at any decay."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.ssd import SSDMixer, segment_products, ssd

B, L, H, W, N = 2, 21, 3, 4, 5


def draw(least_decay: float = 0.0):
    """x, log-decays, b, c and a memory."""
    rng = np.random.default_rng(0)
    shapes = (B, L, H, W), (B, L, N), (B, L, N), (B, N, H, W)
    x, b, c, memory = (rng.normal(size=shape).astype("float32") for shape in shapes)
    return x, least_decay * rng.random((B, L, H), "float32"), b, c, memory


def recurrence(x, log_decay, b, c, memory):
    """The definition, in float64, one place after the other."""
    x, log_decay, b, c, memory = (part.astype(float) for part in (x, log_decay, b, c, memory))
    rows = []
    for t in range(x.shape[1]):
        memory = np.exp(log_decay[:, t])[:, None, :, None] * memory + np.einsum("bn,bhw->bnhw", b[:, t], x[:, t])
        rows.append(np.einsum("bn,bnhw->bhw", c[:, t], memory))
    return np.stack(rows, axis=1), memory


@pytest.mark.parametrize("chunk", [1, 4, 7, 64])
@pytest.mark.parametrize("least_decay", [0.0, -1.0, -300.0])
def test_chunks_are_the_recurrence(chunk, least_decay):
    drawn = draw(least_decay)
    want, want_memory = recurrence(*drawn)
    y, memory = ssd(*map(mx.array, drawn), chunk)
    close(y, want, "paper")
    close(memory, want_memory, "paper")
    *rest, memory = drawn
    want, want_memory = recurrence(*rest, 0 * memory)
    y, memory = ssd(*map(mx.array, rest), None, chunk)
    close(y, want, "paper")
    close(memory, want_memory, "paper")


@pytest.mark.parametrize("begin", [True, False])
def test_one_vector_is_a_step_of_the_recurrence(begin):
    drawn = [part[:, :1] if n < 4 else part * begin for n, part in enumerate(draw(-1.0))]
    want, want_memory = recurrence(*drawn)
    arrays = [mx.array(part) for part in drawn]
    y, memory = ssd(*arrays[:4], arrays[4] if begin else None, 4)
    close(y, want, "paper")
    close(memory, want_memory, "paper")


@pytest.mark.parametrize("least_decay", [-1.0, -300.0])
def test_gradients_do_not_depend_on_the_chunk(least_decay):
    """Above all where decays are so strong that their products are 0."""
    drawn = [mx.array(part) for part in draw(least_decay)]

    def gradients(chunk):
        return mx.grad(lambda *parts: mx.sin(ssd(*parts, chunk)[0]).mean(), argnums=(0, 1, 2, 3, 4))(*drawn)

    for got, want in zip(gradients(4), gradients(64), strict=True):
        assert mx.isfinite(got).all()
        close(got, want, "forms")


def test_segment_products():
    got = segment_products(mx.array([[2.0, 3.0, 5.0]]))
    close(got, [[[1, 1, 1], [3, 1, 1], [15, 5, 1]]], "exact")


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_mixer_is_its_formula():
    """A gate, the convolution, SiLU, the recurrence and a gated norm, in float64, from a state and from none."""
    mx.random.seed(0)
    mixer = SSDMixer(width=7, heads=3, head_width=4, states=5, kernel=3, chunk=4, depth=9, eps=1e-2).eval()
    for name in ("skip", "a_log"):
        mixer[name] = mx.random.normal(mixer[name].shape)
    mixer.conv.bias = mx.random.normal(mixer.conv.bias.shape)
    mixer.norm.weight = mx.random.normal(mixer.norm.weight.shape)
    mixer.dt_bias = mx.random.normal(mixer.dt_bias.shape)
    mixer.in_proj.weight = 4 * mixer.in_proj.weight
    w = {name: np.array(weight, np.float64) for name, weight in (
        ("in", mixer.in_proj.weight), ("conv", mixer.conv.weight), ("bias", mixer.conv.bias), ("dt", mixer.dt_bias),
        ("a", mixer.a_log), ("skip", mixer.skip), ("norm", mixer.norm.weight),
        ("out", mixer.out_proj.weight))}  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 11, 7)).astype("float32")

    h = x @ w["in"].T
    z, mixed, dt = h[..., :12], h[..., 12:34], softplus(h[..., 34:] + w["dt"])
    padded = np.pad(mixed, [(0, 0), (2, 0), (0, 0)])
    mixed = w["bias"] + sum(w["conv"][k] * padded[:, k : k + 11] for k in range(3))
    mixed = mixed / (1 + np.exp(-mixed))
    u, b, c = mixed[..., :12].reshape(2, 11, 3, 4), mixed[..., 12:17], mixed[..., 17:]
    y, memory = recurrence(u * dt[..., None], -dt * np.exp(w["a"]), b, c, np.zeros((2, 5, 3, 4)))
    y = (y + u * w["skip"][:, None]).reshape(2, 11, 12) * z / (1 + np.exp(-z))
    y = y / np.sqrt((y**2).mean(axis=-1, keepdims=True) + 1e-2) * w["norm"]

    got, (past, after) = mixer(mx.array(x), None)
    close(got, y @ w["out"].T, "paper")
    close(after, memory, "paper")
    close(past, padded[:, 11:], "paper")
    first, state = mixer(mx.array(x[:, :6]), None)
    rest, state = mixer(mx.array(x[:, 6:]), state)
    close(mx.concatenate([first, rest], axis=1), y @ w["out"].T, "paper")
    close(state[1], memory, "paper")


def test_a_mixer_starts_with_the_papers_steps_and_decays():
    mx.random.seed(0)
    mixer = SSDMixer(width=4, heads=4000, head_width=1, states=1, kernel=2, chunk=4, depth=9, eps=1e-5)
    steps, decays = np.log(softplus(np.array(mixer.dt_bias, np.float64))), np.exp(np.array(mixer.a_log))
    # Uniform between the bounds: the ends are reached, and the mean is in the middle.
    for values, low, high in ((steps, np.log(1e-3), np.log(1e-1)), (decays, 1, 16)):
        shares = (values - low) / (high - low)
        close([shares.min(), shares.mean(), shares.max()], [0, 0.5, 1], "sampled_mean")
    close(mixer.skip, np.ones(4000), "exact")
    # nn.Linear's weights within 1 / √4000, less by the root of nine layers.
    bound = np.abs(np.array(mixer.out_proj.weight)).max() * 4000**0.5 * 3
    close(bound, np.float64(1), "sampled_mean")
