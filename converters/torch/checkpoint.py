"""A reference implementation's checkpoint, ``torch.save(reference.state_dict(), "x.pt")``, as our weights and back.

No number changes on the way, whatever its type: weights are moved as the integers that their bits are.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch

from converters.torch.names import to_mlx, to_torch
from wotd_mlx.io.files import write_atomically

# NumPy has no bfloat16, but it has integers of that many bits.
_TYPES = (
    (torch.float32, torch.int32, mx.float32, mx.int32),
    (torch.float16, torch.int16, mx.float16, mx.int16),
    (torch.bfloat16, torch.int16, mx.bfloat16, mx.int16),
)


def read_pt(name: str, file: Path, cfg: Any) -> dict[str, mx.array]:
    """The weights of a checkpoint under our names, for ``build(name, cfg).load_weights(list(weights.items()))``.

    Args:
        name: the model's key.
        cfg: its ``Config``.

    Raises:
        ValueError: a damaged file, one that holds more than a ``state_dict``, another model's or another size's.
        OSError: no such file.
    """
    state = _load(file)
    module = import_module(f"converters.torch.{name}")
    _check(state, name, module, cfg, str(file))
    found: dict[str, mx.array] = {}
    for theirs, integer, ours, _ in _TYPES:
        bits = {key: t.detach().contiguous().view(integer).numpy() for key, t in state.items() if t.dtype == theirs}
        found |= {key: mx.array(array).view(ours) for key, array in to_mlx(bits, module.rules(cfg)).items()}
    return found


def write_pt(name: str, weights: Mapping[str, mx.array], file: Path, cfg: Any) -> None:
    """Write weights under the reference's names, for ``Reference(cfg).load_state_dict(torch.load(file))``.

    Args:
        weights: all of ``build(name, cfg)``, frozen ones too; of a trained ``NextVector``, those of its ``predictor``.

    Raises:
        ValueError: weights of another model, another size or another type.
        OSError: the file can't be written; one that stood there is as it was.
    """
    module = import_module(f"converters.torch.{name}")
    known = {ours for _, _, ours, _ in _TYPES}
    if other := [f"{key} {weight.dtype}" for key, weight in weights.items() if weight.dtype not in known]:
        raise ValueError(f"weights of other types: {', '.join(other[:3])}; expected float32, float16 or bfloat16")
    state = {}
    for theirs, _, ours, integer in _TYPES:
        bits = {key: np.array(weight.view(integer)) for key, weight in weights.items() if weight.dtype == ours}
        for key, array in to_torch(bits, module.rules(cfg)).items():
            # A layout may hand out a view, and torch writes the whole of what is viewed.
            state[key] = torch.from_numpy(np.array(array, order="C")).view(theirs)
    _check(state, name, module, cfg, "what was given")
    write_atomically(file, lambda out: torch.save(state, out))


def _load(file: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        first = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{file} can't be read as a checkpoint ({type(error).__name__}: {first}); it is cut short, or holds more "
            "than tensors: write it with torch.save(reference.state_dict(), file)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        held = f"a dict of {', '.join(map(str, list(state)[:5]))}" if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{file} holds {held}; expected names and tensors: torch.save(reference.state_dict(), file)")
    return state


def _check(state: Mapping[str, torch.Tensor], name: str, module: Any, cfg: Any, where: str) -> None:
    """Raise ValueError where names, shapes or types aren't those of the reference."""
    try:
        with torch.device("meta"):
            reference = module.Reference(cfg)
    except NotImplementedError:  # performer-pytorch draws its directions by way of the CPU
        reference = module.Reference(cfg)
    expected = {key: tuple(tensor.shape) for key, tensor in reference.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    wrong = sorted((key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)), key=str)
    if wrong:
        faults = [f"{key} {found.get(key, 'missing')}, expected {expected.get(key, 'none')}" for key in wrong[:3]]
        raise ValueError(
            f"{where} doesn't fit {name} at this size: {len(wrong)} weights differ from the {len(expected)} expected, "
            f"such as {'; '.join(faults)}"
        )
    if other := [f"{key} {t.dtype}" for key, t in state.items() if t.dtype not in {row[0] for row in _TYPES}]:
        raise ValueError(f"{where} has {', '.join(other[:3])}; expected float32, float16 or bfloat16")
