"""What the converter says when it stops: what was got, what was expected, what to do."""

from __future__ import annotations


class ConversionError(ValueError):
    """The function, its example or the target can't become a package as asked."""


class UnsupportedOpsError(ConversionError):
    """Primitives without a lowering: all of them, with counts and where they come from."""


class GateError(ConversionError):
    """The package was made but is too far from its source; it is refused unless ``force`` is given."""


class ConversionWarning(UserWarning):
    """A package was made, and something about its example or its range is worth knowing."""


class PackageError(ValueError):
    """A saved package is damaged, or its inputs don't fit: one line with the package, the operation, the argument."""


def failure(where: str, error: Exception, limit: int = 300) -> PackageError | NotImplementedError:
    """What to raise for an error in a package's part, in one line of bounded length; the cause is to be chained."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    text = " ".join(text.split())
    if not isinstance(error, ValueError | NotImplementedError) or not text:
        text = f"{type(error).__name__}: {text}"
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return (NotImplementedError if isinstance(error, NotImplementedError) else PackageError)(f"{where}: {text}")
