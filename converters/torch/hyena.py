"""Hyena's reference implementation: the paper's definition 3.1 in torch, convolutions by ``torch.fft``.

No package has these filters: stripedhyena 0.2.2 sums its long filters of poles and residues, a modal form without a
network of the position and with one long convolution a block; the authors' own code is no package, and has one long
convolution, too, where definition 3.1 has two at order 2.
``tests/parity/test_hyena.py`` holds ours to the definition, written out in float64.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from converters.torch.names import TAPS, Rule, both
from converters.torch.stack import Stack


class Sine(nn.Module):
    def __init__(self, width: int, frequency: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.full((width,), frequency))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.frequency * x)


class Operator(nn.Module):
    """x (B, L, W) -> the same."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.cfg = cfg
        inner, total = cfg.filter_width, (cfg.order + 1) * cfg.width
        self.into = nn.Linear(cfg.width, total)
        self.short = nn.Conv1d(total, total, cfg.reach, groups=total, padding=cfg.reach - 1)
        sine = Sine(inner, cfg.frequency)
        layers: list[nn.Module] = [nn.Linear(1 + 2 * cfg.waves, inner)]
        layers += [nn.Linear(inner, inner) for _ in range(cfg.filter_depth - 2)]
        self.hidden = nn.ModuleList(layers)
        self.sine = sine
        self.last = nn.Linear(inner, cfg.order * cfg.width, bias=False)
        self.here = nn.Parameter(torch.randn(cfg.order, cfg.width))
        self.out = nn.Linear(cfg.width, cfg.width)

    def filters(self, x: torch.Tensor) -> torch.Tensor:
        """(N, W, L), without the weight of the position itself."""
        cfg, L = self.cfg, x.shape[1]
        time = torch.arange(L, device=x.device, dtype=torch.float64) / cfg.longest
        waves = torch.exp(2j * math.pi * time[:, None] * torch.arange(cfg.waves, device=x.device))
        h = torch.cat([time[:, None], waves.real, waves.imag], dim=1).to(x.dtype)
        for layer in self.hidden:
            h = self.sine(layer(h))
        rates = torch.linspace(math.log(100) / 1.5, math.log(100) / 0.3, cfg.width, device=x.device)
        window = torch.exp(-rates * time[:, None].to(x.dtype))
        return (self.last(h).view(L, cfg.order, cfg.width) * window[:, None]).permute(1, 2, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        L = x.shape[1]
        z, *gates = self.short(self.into(x).transpose(1, 2))[..., :L].chunk(self.cfg.order + 1, dim=1)
        for gate, h, here in zip(gates, self.filters(x), self.here, strict=True):
            spectrum = torch.fft.rfft(z, n=2 * L) * torch.fft.rfft(h, n=2 * L)
            z = gate * (torch.fft.irfft(spectrum, n=2 * L)[..., :L] + here[:, None] * z)
        y: torch.Tensor = self.out(z.transpose(1, 2))
        return y


class Block(nn.Module):
    """x + hyena(norm x), then x + ffn(norm x)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(cfg.width), nn.LayerNorm(cfg.width)
        self.mixer = Operator(cfg)
        self.up = nn.Linear(cfg.width, cfg.expand * cfg.width)
        self.down = nn.Linear(cfg.expand * cfg.width, cfg.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.norm1(x))
        y: torch.Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return y


class Reference(Stack):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg, Block)


def rules(cfg: Any) -> list[Rule]:
    """Names of all weights."""
    pairs = [(end, end) for end in ("embed", "norm", "head")]
    pairs += [(f"blocks.{{}}.{part}", f"layers.{{}}.{part}") for part in ("norm1", "norm2", "up", "down")]
    theirs, ours = "blocks.{}.mixer", "layers.{}.mixer"
    pairs += [(f"{theirs}.{part}", f"{ours}.{part}") for part in ("into", "out")]
    pairs.append((f"{theirs}.hidden.{{}}", f"{ours}.filter.layers.{{}}"))
    return [
        *(rule for pair in pairs for rule in both(*pair)),
        *both(f"{theirs}.short", f"{ours}.short", TAPS),
        Rule(f"{theirs}.sine.frequency", f"{ours}.filter.frequency"),
        Rule(f"{theirs}.last.weight", f"{ours}.filter.out.weight"),
        Rule(f"{theirs}.here", f"{ours}.filter.here"),
    ]
