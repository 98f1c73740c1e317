"""How a part of a run is exported to Core ML and Core AI: precision, fixed sizes, the systems that must run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import check
from wotd_mlx.schemas import WotdError

PRECISIONS = ("float16", "float32", "int8", "palette6", "palette4")
COREAI_PRECISIONS = ("float16", "float32", "int8")
BOTH = "both"
FORMATS = ("coreml", "coreai", BOTH)
TARGETS = ("iOS17", "iOS18", "iOS26")
MIN_LENGTH = 4
MAX_CONTEXT = 1 << 16
"""Far more vectors than an article has."""

Length = Annotated[int, Meta(ge=MIN_LENGTH, le=1 << 16)]
"""Tokens of a text; the embedding model may take fewer."""
Context = Annotated[int, Meta(ge=1, le=MAX_CONTEXT)]
"""Vectors that a predictor reads."""


@dataclass(frozen=True)
class ExportConfig:
    """How to export.

    Args:
        precision: of weights and activations; ``int8``, ``palette6`` and ``palette4`` compress the weights.
        target: the oldest system that must run the Core ML package; one for Core AI needs iOS 27.
        length: tokens that a text encoder takes: 16 hold a word, 64 or 128 a text.
        context: vectors that a predictor takes; None for as many as it was trained with.
        layers: compare every tensor inside too.
        format: ``coreml`` for an ``.mlpackage``, ``coreai`` for an ``.aimodel``, or ``both``.
        force: replace the folder, and keep a package that is further from its source than its precision allows.
    """

    precision: str = "float16"
    target: str = "iOS17"
    length: Length = 16
    context: Context | None = None
    layers: bool = False
    force: bool = False
    format: str = "coreml"

    def __post_init__(self) -> None:
        check(self, "export")
        for name, known in (("precision", PRECISIONS), ("target", TARGETS), ("format", FORMATS)):
            if getattr(self, name) not in known:
                raise WotdError(f"export {name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        if self.format != "coreml" and self.precision not in COREAI_PRECISIONS:
            told = f"expected one of {', '.join(COREAI_PRECISIONS)}, or the format coreml"
            raise WotdError(f"export precision is {self.precision!r}, and Core AI has no palettes; {told}")
