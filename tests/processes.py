"""Python in a process of its own, for what can be done only once in a process."""

from __future__ import annotations

import os
import subprocess
import sys


def python(code: str, *arguments: object, **environment: str) -> str:
    """What ``code`` prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
