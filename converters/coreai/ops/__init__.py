"""The op table, gathered from the families in this folder."""

from importlib import import_module
from pkgutil import iter_modules

from converters.coreai.ops.registry import OPS, Context, Op, lowers

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["OPS", "Context", "Op", "lowers"]
