"""Elementwise functions fused into one loop, wherever they are called."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable
from functools import cache, partial

import mlx.core as mx

from wotd_mlx.backend import on_cpu

Function = Callable[..., mx.array]


def jit_available() -> bool:
    """Whether ``mx.compile`` fuses here: always on a GPU; on a CPU MLX calls the system's C++ compiler."""
    return not on_cpu() or sys.platform == "darwin" or _has_compiler()


@cache
def _has_compiler() -> bool:
    return shutil.which("g++") is not None


def compiled(function: Function, any_shape: bool = False) -> Function:
    """Compile ``function`` once a thread and stream, since a compiled one runs where it was traced.

    Without a compiler it stays as it is; inside another compiled function it becomes part of that.

    Args:
        any_shape: trace once for all shapes, for callers whose lengths vary; each new one else costs milliseconds. But
            MLX then spreads constants over an array each, which may take several times as long as the loop.
    """
    streams = threading.local()

    def call(*args: mx.array) -> mx.array:
        if not jit_available():
            return function(*args)
        stream = mx.default_stream(mx.default_device())
        # A list, since equal streams have different hashes.
        known: list[tuple[mx.Stream, Function]] = streams.__dict__.setdefault("known", [])
        for its_stream, its_function in known:
            if its_stream == stream:
                return its_function(*args)
        # MLX knows what it has compiled by the function's identity, so each stream needs another one.
        known.append((stream, mx.compile(partial(function), shapeless=any_shape)))
        return known[-1][1](*args)

    return call
