"""The program, ``wotd-mlx`` or ``python -m wotd_mlx.cli``: what it does to its own process before it loads anything."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def run() -> None:
    """Run the command that the arguments name, and exit: Ctrl-C is one line on stderr, whenever it comes."""
    try:
        # Where a shell has the program ignore Ctrl-C, it goes on doing so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
            sys.unraisablehook = _unraisable
        _open_streams()
        from wotd_mlx.cli.program import main

        main(prog_name="wotd-mlx")  # what shells complete, however it was called
    except KeyboardInterrupt:  # where click doesn't see it
        _leave()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and Python's own end can't be interrupted well


def _open_streams() -> None:
    """Nothing comes from a closed stdin, and what goes to a closed stderr is lost; no other file gets their numbers."""
    # Until the end, and without pathlib.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A first Ctrl-C unwinds, so that what is under way can be kept; a second one doesn't wait for that."""
    signal.signal(signal.SIGINT, _leave)
    while frame is not None:
        # An import hides it, or makes another error of it; there is nothing to keep yet.
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def _unraisable(report: sys.UnraisableHookArgs) -> None:
    if issubclass(report.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(report)


def _leave(*_: object) -> NoReturn:
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(1)


if __name__ == "__main__":
    run()
