"""What PyTorch's quantisers make of the same vectors, and how long QINCo would take."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.coders import Coder, brute
from wotd_mlx.arrays import Vectors


def residual_vq(x: Vectors, seed: int) -> Coder:
    """vector-quantize-pytorch's ResidualVQ, 4×32, k-means start and running means, 20 epochs."""
    import torch
    from vector_quantize_pytorch import ResidualVQ

    torch.manual_seed(seed)
    model = ResidualVQ(dim=x.shape[1], num_quantizers=4, codebook_size=32, kmeans_init=True, decay=0.99)
    rows = torch.from_numpy(x)
    model.train()
    with torch.no_grad():
        model(rows[None])  # k-means on all of them
        for _ in range(20):
            for batch in torch.randperm(len(rows)).split(512):
                model(rows[batch][None])
    model.eval()

    def encode(v: Vectors) -> Vectors:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(np.ascontiguousarray(v))[None])[1][0].numpy())

    def decode(codes: Vectors) -> Vectors:
        with torch.no_grad():
            return np.asarray(model.get_output_from_indices(torch.from_numpy(codes)[None])[0].numpy())

    return Coder(encode, decode, 4 * 32 * x.shape[1] * 4, brute(decode))


def fsq(x: Vectors, seed: int) -> Coder:
    """vector-quantize-pytorch's FSQ between two-layer networks, 30 epochs."""
    import torch
    from torch import nn
    from vector_quantize_pytorch import FSQ

    torch.manual_seed(seed)
    wide = x.shape[1]
    inner, outer = (nn.Sequential(nn.Linear(a, 256), nn.ReLU(), nn.Linear(256, b)) for a, b in ((wide, 4), (4, wide)))
    code = FSQ([8, 8, 8, 5])
    scale = float(np.sqrt((x**2).mean()))
    parameters = [*inner.parameters(), *outer.parameters(), *code.parameters()]
    rows, optimizer = torch.from_numpy(x / scale), torch.optim.AdamW(parameters, 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    for _ in range(30):
        for batch in torch.randperm(len(rows)).split(512):
            loss = ((outer(code(inner(rows[batch])[None])[0][0]) - rows[batch]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()

    def encode(v: Vectors) -> Vectors:
        with torch.no_grad():
            found = code(inner(torch.from_numpy(np.ascontiguousarray(v / scale, np.float32)))[None])
            return np.asarray(found[1][0].numpy())

    def decode(codes: Vectors) -> Vectors:
        with torch.no_grad():
            return np.asarray(outer(code.indices_to_codes(torch.from_numpy(codes)[None])[0]).numpy() * scale)

    return Coder(encode, decode, sum(p.numel() for p in parameters) * 4, brute(decode))


def qinco_cost(x: Vectors, bits: int, blocks: int = 2, hidden: int = 256, batch: int = 1024) -> dict[str, Any]:
    """Seconds that one training step of QINCo's smallest published form takes here, and an epoch therefore would.

    Level q takes the nearest of 256 codes that a network makes of its codebook and of what the levels before it add up
    to; the published trainings take dozens of epochs.

    Reference:
        Huijben et al. 2024, arXiv 2401.14732: a linear layer on the pair, then ``blocks`` residual blocks.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    wide, levels = x.shape[1], bits // 8
    books = nn.ParameterList([nn.Parameter(torch.randn(256, wide) * 0.05) for _ in range(levels)])
    joins = nn.ModuleList([nn.Linear(2 * wide, wide) for _ in range(levels)])
    parts = nn.ModuleList(
        [
            nn.ModuleList(
                [
                    nn.Sequential(nn.Linear(wide, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, wide, bias=False))
                    for _ in range(blocks)
                ]
            )
            for _ in range(levels)
        ]
    )

    def codes(level: int, codewords: Any, so_far: Any) -> Any:
        made = codewords + joins[level](torch.cat([codewords, so_far], dim=-1))
        for part in parts[level]:
            made = made + part(made)
        return made

    optimizer = torch.optim.Adam([*books.parameters(), *joins.parameters(), *parts.parameters()], 1e-3)
    rows = torch.from_numpy(x[:batch])
    started = time.perf_counter()
    total, loss = torch.zeros_like(rows), torch.zeros(())
    for level in range(levels):
        with torch.no_grad():
            best = []
            for some, target in zip(total.split(16), (rows - total).split(16), strict=True):
                made = codes(level, books[level][None].expand(len(some), -1, -1), some[:, None].expand(-1, 256, -1))
                best.append(((made - target[:, None]) ** 2).sum(dim=-1).argmin(dim=1))
        step = codes(level, books[level][torch.cat(best)], total.detach())
        loss = loss + ((rows - total.detach() - step) ** 2).mean()
        total = total + step
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    seconds = time.perf_counter() - started
    return {"bits": bits, "batch": len(rows), "step_seconds": seconds, "epoch_seconds": seconds * len(x) / len(rows)}
