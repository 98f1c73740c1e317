"""``wotd-mlx status``: what this machine will compute with."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, device, print_json


@click.command("status")
@device
@as_json
def command(as_json: bool) -> None:
    """Print versions, device, BLAS, memory limit, where the default embedding's weights are, the dictionary's sources.

    On Linux, what makes MLX fast on a CPU is loaded before it: OpenBLAS, and a small library that g++ compiles once
    into ~/.cache/wotd-mlx. The line `kernels` tells whether that was done, or why not; WOTD_MLX_KERNELS=0 in the
    environment leaves it out.
    """
    from wotd_mlx.status import status

    found = status()
    if as_json:
        print_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        for n, line in enumerate(value if isinstance(value, list) else [value]):
            click.echo(f"{name if n == 0 else '':<{width}}  {line}")
