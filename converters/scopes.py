"""Which module made which tensor: the calls of every ``nn.Module`` while a function is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten


@dataclass
class Scopes:
    """The modules called, in the order in which they returned, and the arrays that they returned."""

    returned: list[tuple[str, list[mx.array]]] = field(default_factory=list)
    stack: list[tuple[str, nn.Module]] = field(default_factory=list)
    held: dict[int, tuple[nn.Module, dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    """Each module that was called, with its own entries and attributes from before."""

    def keep(self, module: nn.Module) -> None:
        """Note what a module holds, where it is called for the first time."""
        self.held.setdefault(id(module), (module, dict(module), dict(vars(module))))

    def restore(self) -> None:
        """Give every module back what it held: a running mean that was updated meanwhile would be a tracer.

        An attribute that was None and became an array has moved from a module's attributes to its entries.
        """
        for module, entries, attributes in self.held.values():
            for key in module.keys() - entries.keys():
                dict.pop(module, key)
            dict.update(module, entries)
            vars(module).clear()
            vars(module).update(attributes)

    def path(self, module: nn.Module) -> str:
        """``layers.3.query`` for a module that its caller holds under that name; else its class's name."""
        if not self.stack:
            return ""
        name, parent = self.stack[-1]
        held = {id(child): path for path, child in parent.named_modules()}
        own = held.get(id(module), type(module).__name__)
        return ".".join(part for part in (name, own) if part)


@contextmanager
def recorded() -> Iterator[Scopes]:
    """While open, every ``nn.Module`` notes its calls; a call goes through the class, so classes are wrapped.

    Afterwards modules hold what they held before.
    """
    scopes, undo = Scopes(), []
    for cls in _modules(nn.Module):
        if (call := cls.__dict__.get("__call__")) is not None:
            undo.append((cls, call))
            cls.__call__ = _noting(call, scopes)
    try:
        yield scopes
    finally:
        for cls, call in undo:
            cls.__call__ = call
        scopes.restore()


def _noting(call: Callable[..., Any], scopes: Scopes) -> Callable[..., Any]:
    def noted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        path = scopes.path(self)
        scopes.keep(self)
        scopes.stack.append((path, self))
        try:
            out = call(self, *args, **kwargs)
        finally:
            scopes.stack.pop()
        if path:
            leaves: Any = tree_flatten(out)
            scopes.returned.append((path, [leaf for _, leaf in leaves if isinstance(leaf, mx.array)]))
        return out

    return noted


def _modules(cls: Any) -> set[Any]:
    found = {cls}
    for sub in cls.__subclasses__():
        found |= _modules(sub)
    return found
