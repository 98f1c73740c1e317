"""Every tolerance of the suite, each with its reason; a test names a row and passes no number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Tol(NamedTuple):
    """|got − want| ≤ atol + rtol · |want|, and why that much."""

    atol: float
    rtol: float
    why: str


TOL = {
    "ids": Tol(0.0, 0.0, "integers: a difference is a wrong code"),
    "exact": Tol(0.0, 0.0, "the same operations on the same numbers"),
    "beside_large": Tol(1e-4, 1e-5, "fp32 after terms 16 times the longest squared length; worst seen 1.8e-5"),
    "sum_order": Tol(1e-5, 1e-5, "fp32, the same sum in another order; worst seen 2.9e-6"),
    "eigenvectors": Tol(3e-5, 3e-5, "principal axes of an fp32 covariance against an SVD in fp64; worst seen 7.5e-6"),
    "integral": Tol(1e-4, 1e-4, "a sum over a grid of 161 points against an adaptive integral; worst seen 3e-6"),
    "torch": Tol(1e-5, 1e-5, "fp32 against torch on a CPU, forward and gradient; worst seen 6.1e-6 of 1 + |want|"),
    "difference": Tol(
        2e-3, 2e-3, "fp32 central differences, step 1e-2: rounding 1e-5, the cubic term 1e-3; worst seen 1.2e-4"
    ),
    "sampled_mean": Tol(
        0.02, 0.0, "mean of 40,000 draws of deviation 0.9 or less: 4 standard errors; worst seen 0.012"
    ),
    "embedding": Tol(
        1e-5, 0.0, "6 layers in fp32 with a fast GELU and softmax; worst seen 4e-7 in cosine, 2.6e-6 a number"
    ),
    "angles": Tol(1e-5, 1e-5, "arccos loses digits near 0 and 1; worst seen 3.4e-7"),
    "gelu": Tol(5e-6, 0.0, "its series is fitted to 2e-6, and fp32 adds as much; worst seen 2.1e-6"),
    "exp": Tol(0.0, 1e-5, "64 times the rounding of one factor; worst seen 2.7e-6"),
    "batch": Tol(1e-6, 0.0, "the same text beside other texts: other blocks of the same sums; worst seen 6e-8"),
    "fp16_codes": Tol(0.01, 0.0, "a share of codes, before and after weights are rounded to fp16; worst seen 0"),
    "training": Tol(1e-3, 1e-3, "a code that flips on rounding changes the steps after it; none seen on one machine"),
    "executor": Tol(
        1e-5, 1e-5, "fp32, one operation in NumPy and in torch, or in fp64; worst seen 3.9e-6 of 1 + |want|"
    ),
    "executor_half": Tol(5e-3, 5e-3, "fp16 after each operation, 2 layers at most, against fp32; worst seen 1.4e-3"),
    "functions": Tol(1e-6, 4e-6, "fp32, one function by NumPy and by MLX's polynomials; worst seen 3.6e-6, in exp"),
    "fuzz": Tol(
        1e-6, 5e-6, "fp32, beyond 16 times what one unit of rounding at each step does; see the fuzzer's noise"
    ),
    "fuzz_half": Tol(2e-3, 5e-3, "the same in fp16, each step's result rounded to it"),
    "running": Tol(1e-6, 1e-5, "fp32, 64 sums or products in another order; worst seen 4.2e-7"),
    "half_function": Tol(2e-3, 2e-3, "a function of positions in float32, at most 7 in size, rounded to float16"),
    "int8_cosine": Tol(0.01, 0.0, "a vector of a byte a number, of 7 dimensions or more; worst seen 0.004"),
    "half": Tol(0.0, 1e-3, "float16 rounds at the source and is float32 in a float32 package"),
    "forms": Tol(
        1e-5,
        1e-5,
        "fp32, a predictor whole, in chunks and by steps: sums in another order; worst seen 3.7e-6 of 1 + |want|",
    ),
    "reference": Tol(
        1e-5,
        1e-5,
        "fp32, a predictor against its PyTorch reference implementation; worst seen 5.4e-6 of 1 + |want|, in RWKV",
    ),
    "reference_gradient": Tol(
        1e-5,
        0.0,
        "fp32, a gradient against the reference's, as a share of the model's largest gradient; worst seen 3.2e-6",
    ),
    "path_gradient": Tol(
        1e-4,
        0.0,
        "fp32, a gradient by MLX's functions and by ours, as a share of the largest: RetNet's norm of a query that "
        "meets one key divides by little; worst seen 2.3e-5",
    ),
    "bfloat16": Tol(2e-3, 1e-2, "an epoch of a small predictor in bfloat16, 8 bits, beside fp32; worst seen 6.7e-4"),
    "half_logits": Tol(
        6e-2, 0.0, "logits of size 1 to 3, 2 layers in 4 bits and fp16 beside the same in fp32; worst seen 0.03"
    ),
    "half_step": Tol(
        3e-2, 0.0, "losses, and gradients as a share of the largest, of adapters on the same; worst seen 1.1e-2"
    ),
    "paper": Tol(1e-5, 1e-5, "fp32 against the paper's equations in fp64; worst seen 3.2e-6 of 1 + |want|"),
    "core_ml": Tol(1e-4, 1e-4, "fp32 on Core ML's CPU back end, which approximates transcendentals; not measured yet"),
    "parts": Tol(1e-5, 1e-5, "fp32, a language model whole, in parts, or its rows in another order; worst seen 2.1e-6"),
    "quantised": Tol(2e-5, 2e-5, "fp32, products of quantised weights and of the same dequantised; worst seen 2.9e-6"),
    "gguf": Tol(2e-4, 2e-4, "fp32, 30 layers of SmolLM2 against transformers; worst seen 5.7e-5 of 1 + |want|"),
    "drawn_share": Tol(0.063, 0.0, "a share of 1,000 draws: 4 standard errors at most; worst seen 0.025"),
    "sampled_share": Tol(0.045, 0.0, "a share of 2,000 draws: 4 standard errors at most; worst seen 0.018"),
    "language": Tol(2e-5, 2e-5, "fp32, a small language model's sums in another order, batches too; worst seen 5.6e-6"),
    "quick_loss": Tol(5e-6, 1e-6, "fp32, exp by a power of a polynomial; worst seen 1.4e-6, at 200 7e-8 of it"),
    "adamw_steps": Tol(
        2e-4,
        0.0,
        "fp32, 8 steps of AdamW at a rate of 5e-3: a gradient that is rounding alone is divided by its own size; worst "
        "seen 5.6e-5, one element of 256 on an AMD EPYC; 1e-6 elsewhere",
    ),
    "dropout_slope": Tol(0.0, 2e-2, "fp32 central differences of a loss of 6, step 1e-3; worst seen 2.3e-3"),
}


def close(got: Any, want: Any, row: str) -> None:
    """Assert that two arrays agree within the named row, shapes included."""
    tol = TOL[row]
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    np.testing.assert_allclose(got, want, rtol=tol.rtol, atol=tol.atol, err_msg=f"{row}: {tol.why}")
