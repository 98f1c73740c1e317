"""Names for the kinds of NumPy array that signatures speak of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(N, W), rows of any space: latents, residuals, the arguments of general mathematics."""

Embeddings = NDArray[np.float32]
"""(N, D), what an embedding model makes of texts, or what codes decode to in its place."""

Indices = NDArray[np.int64]
"""Row numbers (N,), or IDs (N, Q)."""
