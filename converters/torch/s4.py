"""S4's reference implementation: algorithm 1 of the paper in torch's complex numbers, over all N states.

No package has it. s4-torch 0.0.1 is a page of JAX functions without a layer, a weight, HiPPO or the kernel by the
generating function: its matrices are drawn uniformly; ``k_conv`` raises Ā to the same power ``l`` everywhere, its loop
variable being ``i``; the direct form of ``causal_convolution`` takes one column instead of the first L numbers; its
``discretize`` is right. transformers 5.23 and mambapy 1.2 have Mamba's selective spaces, which are no convolutions, and
no S4. ``tests/parity/test_s4.py`` holds ours to the definition, dense HiPPO-LegS matrices in float64.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converters.torch.names import Rule, both
from converters.torch.stack import Stack


class StateSpace(nn.Module):
    """u (B, L, H) -> y (B, L, H)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        H, M = cfg.width, cfg.states // 2
        self.low_rank = cfg.kernel == "s4"
        self.log_decay = nn.Parameter(torch.full((H, M), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(M).repeat(H, 1))
        if self.low_rank:
            self.p = nn.Parameter(torch.randn(2, H, M))
        self.b = nn.Parameter(torch.randn(2, H, M))
        self.c = nn.Parameter(torch.randn(2, H, M) / math.sqrt(2))
        low, high = math.log(cfg.shortest_step), math.log(cfg.longest_step)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(H))
        self.skip = nn.Parameter(torch.randn(H))

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        L = u.shape[1]
        spectrum = torch.fft.rfft(u.transpose(1, 2), n=2 * L) * torch.fft.rfft(self.kernel(L), n=2 * L)
        return torch.fft.irfft(spectrum, n=2 * L)[..., :L].transpose(1, 2) + self.skip * u

    def kernel(self, L: int) -> torch.Tensor:
        """(H, L): the generating function of the truncated kernel, at the roots of unity and back."""
        step = self.log_step.exp()[:, None]
        diagonal, b, c = (
            _paired(v)
            for v in (
                torch.complex(-self.log_decay.exp(), self.frequency),
                torch.complex(*self.b),
                torch.complex(*self.c),
            )
        )
        # Where there is no low-rank part, one of zeros.
        p = _paired(torch.complex(*self.p)) if self.low_rank else torch.zeros_like(b)
        a = torch.diag_embed(diagonal) - p[:, :, None] * p.conj()[:, None]
        eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        half = step[..., None] / 2
        discrete = torch.linalg.solve(eye - half * a, eye + half * a)
        c = c - (c[:, None] @ torch.linalg.matrix_power(discrete, L))[:, 0]

        angles = 2 * math.pi * torch.arange(L // 2 + 1, device=a.device, dtype=torch.float64) / L
        z = torch.exp(-1j * angles)
        nodes = (2 * (1 - z) / (1 + z)).to(a.dtype) / step
        resolvent = 1 / (nodes[..., None] - diagonal[:, None])
        cb, cp, pb, pp = (
            (resolvent @ (v * w)[..., None])[..., 0] for v, w in ((c, b), (c, p), (p.conj(), b), (p.conj(), p))
        )
        spectrum = (2 / (1 + z)).to(a.dtype) * (cb - cp * pb / (1 + pp))
        return torch.fft.irfft(spectrum, n=L)


def _paired(half: torch.Tensor) -> torch.Tensor:
    return torch.cat([half, half.conj()], dim=-1)


class Block(nn.Module):
    """x + glu(ssm(norm x)), then x + ffn(norm x)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(cfg.width), nn.LayerNorm(cfg.width)
        self.ssm = StateSpace(cfg)
        self.mix = nn.Linear(cfg.width, 2 * cfg.width)
        self.up = nn.Linear(cfg.width, cfg.expand * cfg.width)
        self.down = nn.Linear(cfg.expand * cfg.width, cfg.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + functional.glu(self.mix(functional.gelu(self.ssm(self.norm1(x)))))
        y: torch.Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return y


class Reference(Stack):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg, Block)


def rules(cfg: Any) -> list[Rule]:
    """Names of all weights."""
    parts = ("norm1", "norm2", "mix", "up", "down")
    kept = ["log_decay", "frequency", "b", "c", "log_step", "skip", *(["p"] if cfg.kernel == "s4" else [])]
    return [
        *both("embed"),
        *(rule for part in parts for rule in both(f"blocks.{{}}.{part}", f"layers.{{}}.{part}")),
        *(Rule(f"blocks.{{}}.ssm.{name}", f"layers.{{}}.ssm.{name}") for name in kept),
        *both("norm"),
        *both("head"),
    ]
