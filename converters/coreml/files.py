"""Folders that are whole or not there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A path to make a folder at, which becomes ``out`` when all went well; what was there goes then, not earlier.

    It lies beside ``out``, so that the rename is atomic: a killed process leaves nothing half-written there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as temporary:
        made = Path(temporary) / out.name
        yield made
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        made.rename(out)
