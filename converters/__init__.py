"""Converters of MLX functions and arrays to other run times; they know nothing of words."""

from wotd_mlx import kernels

# Before the caller can load MLX, whose calls are bound to a BLAS when it loads.
kernels.enable()
