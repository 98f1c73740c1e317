"""Every primitive that a graph may hold, by family: its reference in MLX and its test cases."""

from importlib import import_module
from pkgutil import iter_modules

from converters.primitives.registry import PRIMITIVES, Case, Primitive

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["PRIMITIVES", "Case", "Primitive"]
