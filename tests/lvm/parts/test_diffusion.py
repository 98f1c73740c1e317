"""The two-tower LCM against the paper's equations (arXiv 2412.08821, 2.3.2 to 2.3.4), written naively in float64.

One vector at a time, one list of contexts for each: no shared keys, no masks, no states. Numbers come from NumPy alone.
"""

from __future__ import annotations

import math
from typing import get_args

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.parts.diffusion import Schedule, ScheduleName, guided

DIMS, L = 24, 7


def two_tower(**changes):
    settings = {"width": 32, "inner": 64, "noise_steps": 20, "sample_steps": 5, "dropout": 0.0, **changes}
    mx.random.seed(0)
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, mode="two-tower", **settings))
    for layer in model.tower.denoiser.layers:
        layer.modulation.weight = mx.random.normal(layer.modulation.weight.shape) * 0.2
    x = mx.random.normal((1, L, DIMS), key=mx.random.key(1))
    model.fit_normaliser(2 * x[0] + 1)
    mx.eval(model.parameters())
    return model.eval(), x


class Naive:
    """The model's function in float64."""

    def __init__(self, model):
        self.cfg = model.cfg
        self.w = {name: np.asarray(v, np.float64) for name, v in tree_flatten(model.parameters())}
        steps = self.cfg.noise_steps
        self.alpha = naive_signal(self.cfg.schedule, steps)
        self.sigma = np.sqrt(1 - self.alpha**2)

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0.0)

    def rms(self, name, x):
        return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-5) * self.w[f"{name}.weight"]

    def swiglu(self, name, x):
        gate = self.linear(f"{name}.gate", x)
        return self.linear(f"{name}.down", gate / (1 + np.exp(-gate)) * self.linear(f"{name}.up", x))

    def attention(self, query, keys, values):
        """query (D,), keys and values (n, D) -> (D,), head by head."""
        out = []
        for q, k, v in zip(*(np.split(a, self.cfg.heads, -1) for a in (query, keys, values)), strict=True):
            scores = np.exp(k @ q / math.sqrt(len(q)))
            out.append(scores / scores.sum() @ v)
        return np.concatenate(out)

    def turned(self, x, position):
        width = len(x) // self.cfg.heads
        angle = position * self.cfg.base ** (-2 * np.arange(width // 2) / width)
        out = []
        for head in np.split(x, self.cfg.heads):
            a, b = np.split(head, 2)
            out += [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)]
        return np.concatenate(out)

    def contexts(self, x):
        """x (L, D), normalised -> (L, W)."""
        h = self.linear("embed", x)
        for i in range(self.cfg.context_depth):
            at = f"layers.{i}.attention"
            n = self.rms(f"layers.{i}.attention_norm", h)
            q, k = (
                np.stack([self.turned(v, t) for t, v in enumerate(self.linear(f"{at}.{name}", n))])
                for name in ("query", "key")
            )
            v = self.linear(f"{at}.value", n)
            h = h + self.linear(
                f"{at}.out", np.stack([self.attention(q[t], k[: t + 1], v[: t + 1]) for t in range(len(x))])
            )
            h = h + self.swiglu(f"layers.{i}.feed", self.rms(f"layers.{i}.feed_norm", h))
        return self.rms("norm", h)

    def denoise(self, x, t, contexts):
        """One noisy vector (D,), its step, the contexts before it (n, W), perhaps none -> the output (D,)."""
        angles = t * np.exp(-math.log(10000) * np.arange(128) / 128)
        time = self.linear("tower.denoiser.time.inlet", np.concatenate([np.cos(angles), np.sin(angles)]))
        time = self.linear("tower.denoiser.time.outlet", time / (1 + np.exp(-time)))
        time = time / (1 + np.exp(-time))
        seen = np.concatenate([np.zeros((1, self.cfg.width)), contexts])
        h = self.linear("tower.denoiser.inlet", x)
        for i in range(self.cfg.denoiser_depth):
            at = f"tower.denoiser.layers.{i}"
            shifts = np.split(self.linear(f"{at}.modulation", time), 9)

            def modulated(j, h=h, at=at, shifts=shifts):
                return self.rms(f"{at}.norms.{j}", h) * (1 + shifts[3 * j + 1]) + shifts[3 * j]

            h = h + shifts[2] * self.linear(f"{at}.own_out", self.linear(f"{at}.own_value", modulated(0)))
            query = self.linear(f"{at}.attention.query", modulated(1, h))
            keys, values = (self.linear(f"{at}.attention.{name}", seen) for name in ("key", "value"))
            h = h + shifts[5] * self.linear(f"{at}.attention.out", self.attention(query, keys, values))
            h = h + shifts[8] * self.swiglu(f"{at}.feed", modulated(2, h))
        return self.linear("head", self.rms("tower.denoiser.norm", h))

    def clean_and_noise(self, output, x, t):
        a, s = self.alpha[t], self.sigma[t]
        if self.cfg.predicts == "x0":
            return output, (x - a * output) / s
        return a * x - s * output, a * output + s * x

    def sample(self, contexts, noises):
        """DDIM (arXiv 2010.02502, equations 12 and 16) with guidance in the noise; noises (draws, D)."""
        cfg, x = self.cfg, noises[0]
        visited = [round(cfg.noise_steps * (1 - i / cfg.sample_steps)) - 1 for i in range(cfg.sample_steps)]
        for i, t in enumerate(visited):
            x0, noise = self.clean_and_noise(self.denoise(x, t, contexts), x, t)
            if cfg.guidance != 1 and i > 0:
                free = self.clean_and_noise(self.denoise(x, t, contexts[:0]), x, t)[1]
                both = free + cfg.guidance * (noise - free)
                noise = both * (cfg.guidance_rescale * noise.std() / both.std() + 1 - cfg.guidance_rescale)
                x0 = (x - self.sigma[t] * noise) / self.alpha[t]
            if i + 1 == len(visited):
                return x0
            s = visited[i + 1]
            deviation = cfg.eta * (self.sigma[s] / self.sigma[t]) * math.sqrt(1 - (self.alpha[t] / self.alpha[s]) ** 2)
            x = self.alpha[s] * x0 + math.sqrt(self.sigma[s] ** 2 - deviation**2) * noise
            if cfg.eta:
                x = x + deviation * noises[i + 1]
        raise AssertionError


def naive_signal(kind, steps):
    """α_t of each schedule, its last value brought to 0 (arXiv 2305.08891, algorithm 1)."""
    alpha, product = [], 1.0
    for i in range(1, steps + 1):
        t = i / steps
        if kind == "cosine":
            square = (math.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
        elif kind == "sigmoid":
            square = 1 / (1 + math.exp(1.5 * math.log(t / (1 - t)))) if t < 1 else 0.0
        else:
            ends = math.sqrt(0.02), math.sqrt(0.022)
            product *= 1 - (ends[0] + (i - 1) / (steps - 1) * (ends[1] - ends[0])) ** 2
            square = product
        alpha.append(math.sqrt(square))
    first, last = alpha[0], alpha[-1]
    return np.array([(a - last) * first / (first - last) for a in alpha])


@pytest.mark.parametrize("kind", get_args(ScheduleName))
def test_schedules_are_the_papers(kind):
    schedule = Schedule(kind, 100)
    close(schedule.signal, naive_signal(kind, 100), "paper")
    close(schedule.signal**2 + schedule.noise**2, np.ones(100), "paper")
    assert schedule.signal[-1] == 0
    assert np.all(np.diff(schedule.signal) < 0)
    # The weight is the clamped exponent of λ = log α² − log σ².
    known = slice(0, 99)
    exponent = np.exp(np.log(schedule.signal[known] ** 2) - np.log(schedule.noise[known] ** 2))
    close(schedule.ratio(5.0)[known], np.clip(exponent, 0, 5), "paper")


@pytest.mark.parametrize("kind", get_args(ScheduleName))
def test_a_step_back_with_noise_is_the_posterior(kind):
    """q(x_s | x_t, x_0) by Bayes: x_s ~ N(α_s x_0, σ_s²), x_t ~ N(r x_s, 1 − r²) with r = α_t/α_s."""
    schedule = Schedule(kind, 100)
    rng = np.random.default_rng(0)
    x0, xt, fresh = rng.normal(size=(3, 10))
    for t, s in ((98, 97), (60, 59), (60, 20), (1, 0)):
        (a, sigma), (b, tau) = schedule.at(s), schedule.at(t)
        r = b / a
        precision = 1 / sigma**2 + r**2 / (1 - r**2)
        mean = (a * x0 / sigma**2 + r * xt / (1 - r**2)) / precision
        noise = (xt - b * x0) / tau
        arrays = [mx.array(v.astype("float32")) for v in (x0, noise, fresh)]
        back = schedule.renoise(*arrays[:2], t, s, 1.0, mx.zeros(10))
        close(back, mean, "paper")
        drawn = schedule.renoise(*arrays[:2], t, s, 1.0, arrays[2])
        close(drawn, mean + fresh / math.sqrt(precision), "paper")


def test_guidance_is_the_papers():
    """(1 − γ) ε + γ ε(c), and rescaled in full, with the deviation of ε(c)."""
    given, free = np.random.default_rng(0).normal(size=(2, 3, 10))
    arrays = [mx.array(v.astype("float32")) for v in (given, free)]
    close(guided(*arrays, 3.0, 0.0), -2 * free + 3 * given, "paper")
    close(mx.std(guided(*arrays, 3.0, 1.0), axis=-1), given.std(-1), "paper")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"predicts": "v", "schedule": "quadratic"},
        {"schedule": "sigmoid", "eta": 1.0},
        {"guidance": 2.0, "guidance_rescale": 0.7},
    ],
)
def test_predictions_are_the_equations(changes):
    model, x = two_tower(**changes)
    naive = Naive(model)
    noises = np.random.default_rng(3).normal(size=(5 if changes.get("eta") else 1, 1, L, DIMS)).astype("float32")
    centre, spread = naive.w["centre"], naive.w["spread"]
    contexts = naive.contexts((np.asarray(x[0], np.float64) - centre) / spread)
    wanted = [naive.sample(contexts[: t + 1], noises[:, 0, t].astype(np.float64)) for t in range(L)]
    close(model(x, noises=mx.array(noises))[0][0], np.stack(wanted) * spread + centre, "paper")


@pytest.mark.parametrize("changes", [{}, {"predicts": "v", "snr_limit": 5.0}])
def test_the_loss_is_the_equation(changes):
    """At the steps and noises that the key gives: mean of ω(t) ‖wanted − output‖² over vectors and numbers."""
    model, x = two_tower(**changes)
    target, key = mx.random.normal(x.shape, key=mx.random.key(5)), mx.random.key(9)
    steps, draws, _ = mx.random.split(key, 3)
    t = np.asarray(mx.random.randint(0, 20, (1, L), key=steps))[0]
    noise = np.asarray(mx.random.normal(x.shape, key=draws), np.float64)[0]

    naive = Naive(model)
    centre, spread = naive.w["centre"], naive.w["spread"]
    contexts = naive.contexts((np.asarray(x[0], np.float64) - centre) / spread)
    clean = (np.asarray(target[0], np.float64) - centre) / spread
    total = 0.0
    for i in range(L):
        a, s = naive.alpha[t[i]], naive.sigma[t[i]]
        output = naive.denoise(a * clean[i] + s * noise[i], t[i], contexts[: i + 1])
        wanted = a * noise[i] - s * clean[i] if changes else clean[i]
        weight = min(a**2 / s**2, 5.0) if changes else 1.0
        total += weight * np.mean((output - wanted) ** 2)
    close(model.loss(x, target, key), np.float64(total / L), "paper")
