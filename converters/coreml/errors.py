"""What the converter says when it stops: what was got, what was expected, what to do."""

from __future__ import annotations


class ConversionError(ValueError):
    """The function, its example or the target can't become a Core ML package as asked."""


class UnsupportedOpsError(ConversionError):
    """Primitives without a lowering: all of them, with counts and where they come from."""


class GateError(ConversionError):
    """The package was made but is too far from its source; it is refused unless ``force`` is given."""
