"""How often an app that searches the dictionary finds the ID that MLX finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.coreml import GateError, Report
from converters.graph import Array
from converters.report import CODES_EQUAL, Deviation, Sum
from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.export.dictionary import CodeBook, ids

READABLE_EQUAL = 0.95
"""Share of texts whose ID must read the same where weights are compressed: its other numbers are an address."""


class Agreement:
    """The outputs of MLX and of the package, example by example, and what IDs they lead to."""

    def __init__(self, model: Autoencoder, dictionary: bytes):
        self._model, self._book = model, CodeBook(dictionary)
        self._outputs: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = []

    def seen(self, wanted: Mapping[str, Array], got: Mapping[str, Array]) -> None:
        """Keep what MLX and the package made of one example."""
        self._outputs.append((wanted, got))

    def added(self, report: Report, precision: str, force: bool) -> Report:
        """The report with the outputs \"id\" and \"id[:A]\", the numbers that read as attributes.

        Raises:
            GateError: fewer of them are equal than ``precision`` asks for, and it isn't forced.
        """
        added = self._found()
        name = next(reversed(added))
        exact = precision in ("float32", "float16")
        found, least = added["id" if exact else name], CODES_EQUAL if exact else READABLE_EQUAL
        if found.equal < least and not force:
            told = f"{found.name} is equal in {found.equal:.2%} of rows; {precision} asks for {least:.1%}"
            raise GateError(f"the package is too far from its source: {told}. Use a higher precision, or force it")
        return replace(report, outputs={**report.outputs, **added})

    def shares(self) -> dict[str, float]:
        """The shares of equal IDs, and of those whose readable numbers are."""
        return {name: found.equal for name, found in self._found().items()}

    def _found(self) -> dict[str, Deviation]:
        wanted = ids(self._model, *self._rows(0))
        vectors, probabilities = self._rows(1)
        got = self._book.search(vectors, self._book.told(probabilities))
        readable = len(self._book.sizes)
        parts = {"id": (wanted, got), f"id[:{readable}]": (wanted[:, :readable], got[:, :readable])}
        return {name: _deviation(name, *pair) for name, pair in parts.items()}

    def _rows(self, which: int) -> tuple[Vectors, Vectors]:
        vectors, probabilities = (
            np.concatenate([pair[which][name] for pair in self._outputs]).astype(np.float32)
            for name in ("vector", "probabilities")
        )
        return vectors, probabilities


def _deviation(name: str, wanted: Indices, got: Indices) -> Deviation:
    total = Sum(is_float=False)
    total.add(wanted, got)
    return total.deviation(name)
