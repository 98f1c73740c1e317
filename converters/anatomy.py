"""What a saved package is made of, whatever its format: the functions inside, their steps, and the tensors between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

UNKNOWN = (float("-inf"), float("inf"))
MOST_READ = 4096
"""Constants of more numbers than this are counted, not read: a package may be larger than memory."""


@dataclass(frozen=True)
class Tensor:
    """A named tensor; a side of None is open, and a shape of None has an open number of sides."""

    name: str
    dtype: str
    """As NumPy calls it."""
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Step:
    """One operation: what it reads, ``x`` before its other arguments, and what it makes."""

    op: str
    name: str
    reads: tuple[Tensor, ...]
    makes: tuple[Tensor, ...]


@dataclass(frozen=True)
class Constant:
    """A constant: its bytes in the package, and the least and the greatest of its numbers where they were read."""

    tensor: Tensor
    nbytes: int
    span: tuple[float, float] = UNKNOWN


@dataclass(frozen=True)
class Body:
    """A function of a package; the steps of loops and branches inside it stand where these do."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    constants: tuple[Constant, ...]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each tensor that enters or is computed, with what it is about."""
        for tensor in self.inputs:
            yield f"input {tensor.name}", tensor
        for step in self.steps:
            for tensor in step.makes:
                yield f"{step.op} {tensor.name}", tensor
