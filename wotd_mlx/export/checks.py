"""Three cases that an app tries a bundle's package on before it trusts it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.front import runner
from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.export.dictionary import CodeBook
from wotd_mlx.export.packages import Exported

log = logging.getLogger("wotd_mlx")

COUNT, TRIED = 3, 32
"""Cases that are wanted, and those that are tried for them."""
COSINE = 0.995
"""How near a package's vector must be to MLX's here; WOTDKit asks for 0.99 on the device."""
NOISE, DRAWS = 0.01, 8
"""The part of a vector's length that other hardware may change, and how often that is tried."""


def checks(
    cases: Sequence[Mapping[str, Any]], packages: Sequence[Exported], dictionary: bytes | None
) -> list[dict[str, Any]]:
    """Up to :data:`COUNT` of a text encoder's fixtures on which every package here gives what MLX gives, with an ID
    that a little noise leaves: a device that differs there is wrong, not unlucky."""
    book = None if dictionary is None else CodeBook(dictionary)
    calls = [runner(made.package) for made in packages]
    chosen: list[dict[str, Any]] = []
    for row in np.unique(np.linspace(0, len(cases) - 1, TRIED).round().astype(int)):
        case = cases[row]
        inputs = {"token_ids": np.array([case["tokens"]]), "mask": np.array([case["mask"]])}
        # One call after the other: a package that is slow here isn't asked where another already differs.
        if all(_same(case, call(inputs), book) for call in calls):
            chosen.append({name: case[name] for name in ("text", "tokens", "mask", "id", "vector")})
        if len(chosen) == COUNT:
            break
    if len(chosen) < COUNT:
        log.warning(
            "only %d of %d texts serve WOTDKit to check a package with; %d were wanted", len(chosen), TRIED, COUNT
        )
    return chosen


def _same(case: Mapping[str, Any], got: Mapping[str, Vectors | Indices], book: CodeBook | None) -> bool:
    wanted, vector = np.array(case["vector"]), np.asarray(got["vector"][0], np.float64)
    if wanted @ vector < COSINE * np.linalg.norm(wanted) * np.linalg.norm(vector):
        return False
    if book is None:
        return bool((np.asarray(got["id"][0]) == case["id"]).all())
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(vector)))
    noise *= NOISE * np.linalg.norm(vector) / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = (vector + np.concatenate([np.zeros((1, len(vector))), noise])).astype(np.float32)
    told = np.repeat(book.told(np.asarray(got["probabilities"], np.float32)), len(vectors), axis=0)
    return bool((book.search(vectors, told) == case["id"]).all())
