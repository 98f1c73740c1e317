"""MLX functions to Core AI packages (``.aimodel``, iOS and macOS 27), computed by Apple's own CPU runtime on Linux too.

Raises:
    ConversionError: the wheel that holds Apple's compiler isn't installed here, or is of another version; each beta has
        broken what the one before could.
"""

from importlib.metadata import PackageNotFoundError, version

from converters.errors import ConversionError

VERSION = "1.0.0b3"
_INSTALL = "pip install 'wotd-mlx[coreai]'"

try:
    _found = version("coreai-core")
except PackageNotFoundError:
    raise ConversionError(f"Core AI packages need coreai-core {VERSION}, which isn't installed: {_INSTALL}") from None
if _found != VERSION:
    raise ConversionError(f"coreai-core {_found} is installed; expected {VERSION}: {_INSTALL}")

import coreai.authoring  # noqa: E402, F401  registers the dialect, so it comes before what builds with it
