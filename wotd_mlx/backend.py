"""Where MLX computes: the device, and the memory limit."""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    import mlx.core as mx

GIB = 1 << 30
DEFAULT_MEMORY_LIMIT = 8 * GIB
DEVICES = ("auto", "metal", "cuda", "cpu")


def on_cpu() -> bool:
    """Whether MLX's default device is the CPU."""
    import mlx.core as mx

    return bool(mx.default_device() == mx.Device(mx.cpu))


def select_device(name: str = "auto") -> mx.Device:
    """Make ``name`` MLX's default device; ``auto`` takes a GPU where there is one.

    Raises:
        WotdError: another name, or a device that this machine or this build of MLX doesn't have.
    """
    import mlx.core as mx

    if name not in DEVICES:
        raise WotdError(f"unknown device {name!r}; expected one of {', '.join(DEVICES)}")
    have = {"metal": mx.metal.is_available(), "cuda": _cuda_available(), "cpu": True}
    chosen = next(d for d in ("metal", "cuda", "cpu") if have[d]) if name == "auto" else name
    if not have[chosen]:
        present = ", ".join(d for d, there in have.items() if there)
        raise WotdError(f"device {name!r} is not here; this machine and this MLX have: {present}")
    device = mx.Device(mx.cpu if chosen == "cpu" else mx.gpu)
    mx.set_default_device(device)
    return device


def _cuda_available() -> bool:
    import mlx.core as mx

    return bool(hasattr(mx, "cuda") and mx.cuda.is_available())


class Limits(NamedTuple):
    """What this process may hold, in bytes: by :func:`check_memory`, by MLX, and by MLX for reuse."""

    own: int
    mlx: int
    cache: int


class _Limit:
    """The limit in force, those of whoever is inside :func:`memory_limited`, and what the first of them found."""

    lock = threading.Lock()
    bytes = DEFAULT_MEMORY_LIMIT
    inside: ClassVar[list[Limits]] = []
    found = Limits(0, 0, 0)


def memory_limit() -> int:
    """The limit in force, in bytes."""
    return _Limit.bytes


def set_memory_limit(limit: int = DEFAULT_MEMORY_LIMIT) -> None:
    """Tell MLX to stay under ``limit`` bytes, and to keep at most a thirty-second of it for reuse.

    MLX takes it as a guideline; :func:`check_memory` is what stops a run. For the whole process and for good, so it
    is for programs: a library call takes :func:`memory_limited`.

    Raises:
        WotdError: the limit isn't above zero.
    """
    _set_limits(_limits(limit))


@contextmanager
def memory_limited(limit: int) -> Iterator[None]:
    """Inside, the limit is ``limit`` bytes as by :func:`set_memory_limit`; afterwards what it was.

    Where several are inside, the limit of who came last is in force, and the last to leave puts back what the first
    found.

    Raises:
        WotdError: the limit isn't above zero.
    """
    mine = _limits(limit)
    with _Limit.lock:
        before = _set_limits(mine)
        if not _Limit.inside:
            _Limit.found = before
        _Limit.inside.append(mine)
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.inside[:] = [limits for limits in _Limit.inside if limits is not mine]
            _set_limits(_Limit.inside[-1] if _Limit.inside else _Limit.found)


def _limits(limit: int) -> Limits:
    if limit <= 0:
        raise WotdError(f"the memory limit is {limit} bytes; expected a number above zero")
    return Limits(limit, limit, limit // 32)


def _set_limits(new: Limits) -> Limits:
    """What was in force before."""
    import mlx.core as mx

    before = Limits(_Limit.bytes, mx.set_memory_limit(new.mlx), mx.set_cache_limit(new.cache))
    _Limit.bytes = new.own
    return before


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Inside, this thread's generator of MLX may be seeded and drawn from; afterwards it goes on from where it was."""
    import mlx.core as mx

    state: Any = mx.random.state
    high, low = map(int, state[0].tolist())
    try:
        yield
    finally:
        mx.random.seed(high << 32 | low)  # a seed is the state itself


def peak_bytes() -> int:
    """The most memory this process has held so far: what the system counted, or MLX where that is more."""
    import mlx.core as mx

    return max(_peak_resident(), mx.get_peak_memory())


def resident_bytes(field: str = "VmRSS") -> int | None:
    """A figure of Linux's own account of this process, such as what is resident now; None on other systems."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _peak_resident() -> int:
    # Linux's ru_maxrss begins at what the parent had; VmHWM is this program's own.
    if (peak := resident_bytes("VmHWM")) is not None:
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def check_memory(limit: int | None = None) -> int:
    """The peak so far, in bytes.

    Raises:
        WotdError: it passed ``limit`` (by default the one set by :func:`set_memory_limit`).
    """
    limit = _Limit.bytes if limit is None else limit
    peak = peak_bytes()
    if peak > limit:
        raise WotdError(
            f"peak memory {peak / GIB:.2f} GB over the limit {limit / GIB:.2f} GB; "
            "lower the batch size, or raise --memory-limit"
        )
    return peak


def device_name() -> str:
    """The default device in words, such as ``Apple M3 Pro``."""
    import mlx.core as mx

    found = mx.device_info(mx.default_device()).get("device_name")
    return str(found or platform.processor() or platform.machine())
