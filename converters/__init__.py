"""Converters of MLX functions and arrays to other run times; they know nothing of words."""

import wotd_mlx  # noqa: F401  on Linux's CPU build this loads a fast BLAS, which must come before MLX
