"""coremltools without its talk: versions that it hasn't tested, libraries that only macOS has, bars for every pass."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from warnings import catch_warnings, simplefilter

# Two that overlap would put back each other's silence, and leave the process without its standard error.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """While open, coremltools logs errors only and draws no bars; what fails still raises. Other threads wait."""
    logger = logging.getLogger("coremltools")
    with _ONE_AT_A_TIME:
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with redirect_stderr(StringIO()), catch_warnings():
                simplefilter("ignore")
                yield
        finally:
            logger.setLevel(level)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """While open, the packages that coremltools makes on its way lie in a folder of their own in ``folder``, which goes
    in the end: coremltools keeps them in the system's until the process ends, and for good where it is killed."""
    modules = [
        import_module(f"coremltools.{name}") for name in ("models.model", "models.utils", "converters.mil.converter")
    ]
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix=".", dir=folder) as made:
        own = [module._tempfile for module in modules]
        makers = ("mkdtemp", "NamedTemporaryFile", "TemporaryDirectory")
        there = SimpleNamespace(**{name: partial(getattr(tempfile, name), dir=made) for name in makers})
        try:
            for module in modules:
                setattr(module, "_tempfile", there)  # noqa: B010  mypy knows no such name of a module
            yield
        finally:
            for module, its_own in zip(modules, own, strict=True):
                setattr(module, "_tempfile", its_own)  # noqa: B010


with quiet():
    import coremltools  # noqa: F401
