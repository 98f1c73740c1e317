"""Another class for the modules of one model, which other models of its architecture see nothing of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mlx import nn

Subclass = Callable[[Any], Any]
"""From a class to a subclass of it, the same each time."""

_lock = threading.Lock()
# By the module's id: the module, its own class, and the subclasses that are wanted now, in the order they came.
_recast: dict[int, tuple[nn.Module, Any, list[Subclass]]] = {}


@contextmanager
def recast(modules: Iterable[nn.Module], subclass: Subclass) -> Iterator[None]:
    """Inside, each of ``modules`` is of ``subclass`` of its class.

    Who is inside may leave in any order: the last one leaves every module of its own class. The same subclass
    wanted twice is there once.
    """
    mine = list({id(module): module for module in modules}.values())
    with _lock:
        for module in mine:
            _recast.setdefault(id(module), (module, type(module), []))[2].append(subclass)
            _settle(module)
    try:
        yield
    finally:
        with _lock:
            for module in mine:
                _recast[id(module)][2].remove(subclass)
                _settle(module)


def _settle(module: Any) -> None:
    _, kind, wanted = _recast[id(module)]
    for subclass in dict.fromkeys(wanted):
        kind = subclass(kind)
    module.__class__ = kind
    if not wanted:
        del _recast[id(module)]
