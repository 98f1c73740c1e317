"""Ranges of settings, declared where the field is, and checked in one way whoever makes a config."""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any

from msgspec import Meta

from wotd_mlx.io.records import fault
from wotd_mlx.schemas import WotdError

MAX_COUNT = 2**31 - 1
MAX_SEED = 2**32 - 1

Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
"""Of something that there has to be."""
Natural = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]
Share = Annotated[float, Meta(ge=0, le=1)]
Part = Annotated[float, Meta(ge=0, lt=1)]
"""A share that leaves something."""
Positive = Annotated[float, Meta(gt=0, le=1e9)]
Weight = Annotated[float, Meta(ge=0, le=1e9)]
"""0 for nothing of it."""
Gigabytes = Annotated[float, Meta(ge=0.5, le=1e6)]
"""Of memory, in units of 2³⁰ bytes."""


@cache
def _kinds(config: Any) -> dict[str, Any]:
    return typing.get_type_hints(config, include_extras=True)


def check(config: Any, what: str) -> None:
    """See that each field is of its type and within its range; the first line of a config's ``__post_init__``.

    Raises:
        WotdError: one isn't; it is named after ``what``, such as ``codes``.
    """
    kinds = _kinds(config.__class__)
    for field in fields(config):
        value = getattr(config, field.name)
        if not is_dataclass(value) and (told := fault(kinds[field.name], value)):
            raise WotdError(f"{what} {field.name} {told}")
