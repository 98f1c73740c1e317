"""``python -m converters.coreml``."""

from __future__ import annotations

import sys

from converters.command import run

if __name__ == "__main__":
    sys.exit(run())
