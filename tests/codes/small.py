"""Small data and quantisers that several tests of codes use."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from wotd_mlx.codes.autoencoder import build_quantizer
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.config import CodesConfig

KINDS = ("fsq", "rvq")
ALL_KINDS = (*KINDS, "residual", "binary")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def small(kind: str) -> Quantizer:
    """A quantiser of 4·4·4·4 codes, or of 8 bits, started on 2,000 latents 8 wide (FSQ: 4)."""
    mx.random.seed(0)
    cfg = CodesConfig(kind, (4, 4, 4, 4), latent=8) if kind in KINDS else CodesConfig(kind, bits=8)
    quantizer = build_quantizer(cfg, 8)
    quantizer.start(normal(2000, quantizer.width), seed=0)
    return quantizer
