"""Arrays for a role: benign ones as in an example, and those at the edges of what a dtype holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

EXAMPLE = "plain"
PROFILES = ("plain", "large", "tiny", "ties", "limits", "odd")
"""How an input is drawn; the package is made and gated on a ``plain`` one alone."""
ODD = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, -2.5, 1e-7)
# No larger ones: a sum of their products is infinite in one order of additions, and finite or NaN in another.
LIMITS = (1e18, -1e18, 65504.0, -65504.0, 65520.0, 1e-38, -1e-38, 6e-5, -6e-8, 2048.0, 2049.0, 1e4)
HALF_MAX, BRAIN_MOST = 65504.0, 65280.0
"""The largest float16, and the largest bfloat16 below it."""


@dataclass(frozen=True)
class Role:
    """What an input is for: numbers from ``low`` to ``high``, all that the dtype has where they are None.

    ``benign`` inputs stay as in an example, whatever the profile: what is ill-conditioned tells nothing.
    """

    low: float | None = None
    high: float | None = None
    benign: bool = False

    def __str__(self) -> str:
        limits = f" from {self.low} to {self.high}" if (self.low, self.high) != (None, None) else ""
        return limits + " benign" * self.benign


ANY = Role()
BENIGN = Role(benign=True)
POSITIVE = Role(1e-3, None)


def index(size: int, negative: bool = True) -> Role:
    """Places in an axis, those from the end too."""
    return Role(-size if negative else 0, size - 1)


def draw(rng: np.random.Generator, role: Role, shape: tuple[int, ...], dtype: str, profile: str, half: bool) -> Array:
    """An array of ``dtype``; of bfloat16, float32 numbers on its grid. In half precision floats are float16's own."""
    if role.benign:
        profile = EXAMPLE
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if "int" in dtype:
        return _whole(rng, role, shape, dtype, profile)
    made = _floats(rng, shape, profile)
    if role.low is not None and role.high is not None:
        made = rng.uniform(role.low, role.high, shape)
        made = np.where(rng.random(shape) < 0.1, rng.choice([role.low, role.high], shape), made)
    elif role.low is not None:
        made = np.maximum(np.abs(made), role.low)
    made = np.asarray(made, np.float32)
    if half or dtype == "float16":
        most = HALF_MAX if dtype != "bfloat16" else BRAIN_MOST
        made = np.where(np.isfinite(made), np.clip(made, -most, most), made).astype(np.float16).astype(np.float32)
    return made


def _floats(rng: np.random.Generator, shape: tuple[int, ...], profile: str) -> Array:
    made = rng.normal(size=shape)
    if profile == "large":
        return made * 1000
    if profile == "tiny":
        return made * 1e-3
    if profile == "ties":
        return rng.integers(-2, 3, shape) * 0.5
    if profile in ("limits", "odd"):
        made = np.where(rng.random(shape) < 0.4, rng.choice(LIMITS if profile == "limits" else ODD, shape), made)
        if profile == "odd" and made.size:
            made.flat[rng.integers(made.size)] = rng.choice(ODD[:3])
    return made


def _whole(rng: np.random.Generator, role: Role, shape: tuple[int, ...], dtype: str, profile: str) -> Array:
    info = np.iinfo(dtype if not dtype.endswith("64") else "int32")
    low = int(info.min if role.low is None else max(role.low, info.min))
    low = max(low, 0) if dtype.startswith("u") else low
    high = int(info.max if role.high is None else min(role.high, info.max))
    if profile in ("plain", "ties", "tiny"):
        near = 9 if profile == "plain" else 2
        made = rng.integers(max(low, -near), min(high, near), shape, endpoint=True)
    elif profile == "large":
        made = rng.integers(low, high, shape, endpoint=True)
    else:
        edges = [n for n in (low, low + 1, high, high - 1, 0, 1, -1, 255, 256, 32768, -32768) if low <= n <= high]
        made = rng.choice(edges, shape)
    return np.asarray(made, np.int64).astype(dtype)
