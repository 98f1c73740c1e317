"""MLX functions to Core ML packages, each checked against MLX on any machine; with a name in ``.aimodel``, to Core AI.

>>> from converters import coreml
>>> report = coreml.convert(model, {"x": mx.zeros((1, 384))}, out="model.mlpackage", precision="float16")
>>> report.psnr_db, report.max_abs_error["output"]
>>> coreml.run("model.mlpackage", {"x": numpy_array})
"""

import converters.coreml.toolkit  # noqa: F401  quietens coremltools, so it comes before what imports it

# isort: split
from converters.errors import ConversionError, ConversionWarning, GateError, PackageError, UnsupportedOpsError
from converters.front import convert, run, verify
from converters.report import Deviation, Report

__all__ = [
    "ConversionError",
    "ConversionWarning",
    "Deviation",
    "GateError",
    "PackageError",
    "Report",
    "UnsupportedOpsError",
    "convert",
    "run",
    "verify",
]
