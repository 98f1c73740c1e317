"""coremltools without its talk: versions that it hasn't tested, libraries that only macOS has, bars for every pass."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
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


with quiet():
    import coremltools  # noqa: F401
