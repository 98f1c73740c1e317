"""Tries generated inputs on a part, and says what was not refused as documented."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PARTS = {
    file.stem: f"{__package__}.{file.stem}"
    for file in sorted(Path(__file__).parent.glob("*.py"))
    if file.stem not in ("__init__", "__main__", "frame", "mutate", "test_fuzz")
}
"""The parts' modules by name."""
PATIENCE = 120.0
"""Seconds that one input may take."""
MEMORY = 2 << 30
"""Bytes by which one input may raise the process's peak."""

Made = bytes | str | Mapping[str, bytes]


class Part(Protocol):
    """What a module of this folder has."""

    documented: tuple[type[Exception], ...]
    quick: int
    make: Callable[[random.Random], Made]
    read: Callable[[Any], object]


@dataclass
class Tally:
    """What became of the inputs; ``first`` is the seed of the first undocumented one, and what it did."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    undocumented: int = 0
    first: tuple[int, str] | None = None

    def blame(self, seed: int, what: str) -> None:
        self.undocumented += 1
        self.first = self.first or (seed, what)


def write(path: Path, made: Made) -> None:
    """Put an input on disk: a file, or a folder of files."""
    if isinstance(made, Mapping):
        for name, content in made.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    else:
        path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))


def attempt(part: Part, made: Made) -> bool | str:
    """One input: True if it was taken, False if it was refused as documented, else what it did."""
    before = peak()
    try:
        part.read(made)
        outcome: bool | str = True
    except part.documented as error:
        lines = str(error).splitlines()
        outcome = False if len(lines) == 1 else f"{len(lines)} lines of {type(error).__name__}: {error!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some libraries' panics are no Exception
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    grown = peak() - before
    return f"took {grown >> 20} MiB" if grown > MEMORY else outcome


def peak() -> int:
    """The most bytes that the process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def survey(part: Part, count: int, seed: int = 0) -> Tally:
    """So many inputs, here in this process; input i has the seed ``seed + i``."""
    tally = Tally()
    for number in range(seed, seed + count):
        outcome = attempt(part, part.make(random.Random(number)))
        tally.inputs += 1
        tally.accepted += outcome is True
        tally.refused += outcome is False
        if isinstance(outcome, str):
            tally.blame(number, outcome)
    return tally


def run(name: str, count: int, seed: int = 0, patience: float = PATIENCE) -> Tally:
    """:func:`survey` of the module ``name`` in a process of its own, which an input may end or hold up."""
    context = multiprocessing.get_context("spawn")
    tally, at = Tally(), seed
    while at < seed + count:
        # The seed that the process is at, how many it refused and accepted, and 1 while it makes an input.
        state = context.Array("q", [at, 0, 0, 1])
        faults: Any = context.SimpleQueue()
        process = context.Process(target=_work, args=(name, at, seed + count, state, faults))
        process.start()
        late = _watch(process, state, faults, tally, patience)
        done, refused, accepted, making = state
        if process.exitcode and making:
            raise RuntimeError(f"{name} makes no input of seed {done}: exit {process.exitcode}")
        tally.refused += refused
        tally.accepted += accepted
        at = done
        if process.exitcode:
            ended = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit {process.exitcode}"
            tally.blame(at, f"no answer in {patience:.0f} s" if late else f"the process ended: {ended}")
            at += 1
    tally.inputs = count
    return tally


def _watch(process: Any, state: Any, faults: Any, tally: Tally, patience: float) -> bool:
    """Note faults until the process has ended; True if it had to be ended since it stayed too long at one input."""
    since, at, late = time.monotonic(), state[0], False
    while process.is_alive() or not faults.empty():
        while not faults.empty():
            tally.blame(*faults.get())
        process.join(0.1)
        if state[0] != at or state[3]:
            since, at = time.monotonic(), state[0]
        elif process.is_alive() and time.monotonic() - since > patience:
            process.kill()
            late = True
    return late


def _work(name: str, start: int, stop: int, state: Any, faults: Any) -> None:
    faulthandler.enable()
    logging.getLogger("wotd_mlx").setLevel(logging.ERROR)
    part: Any = importlib.import_module(name)
    for number in range(start, stop):
        state[0], state[3] = number, 1
        made = part.make(random.Random(number))
        state[3] = 0
        outcome = attempt(part, made)
        if isinstance(outcome, str):
            faults.put((number, outcome))
        else:
            state[1 + outcome] += 1
    state[0], state[3] = stop, 0
