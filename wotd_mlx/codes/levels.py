"""How many coordinates, and how many codes in each, for a number of bits: what is least wrong on validation words."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import mlx.core as mx

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.split import Split
from wotd_mlx.codes.train import fit
from wotd_mlx.config import MAX_CODES, CodesConfig
from wotd_mlx.schemas import Attribute, WotdError

log = logging.getLogger("wotd_mlx")


# The shapes that others stand beside.
USUAL = ("like 8,8,8,5", "four alike")
# Enough epochs to tell levels apart, for the kinds that learn by gradient.
EPOCHS = 6


class Trial(NamedTuple):
    """Levels that were tried: what for, their bits, and their error on validation words, labels' errors included."""

    name: str
    levels: tuple[int, ...]
    bits: float
    relative_mse: float
    loss: float


def proposals(bits: int, attributes: Sequence[Attribute]) -> dict[str, tuple[int, ...]]:
    """Levels of (nearly) so many bits, by what they are: the two usual shapes, and an attribute's coordinates of 4 to
    64 codes with as many free coordinates as take the rest.

    Raises:
        WotdError: no levels give each attribute a code a value and leave a free coordinate.
    """
    like, alike = USUAL
    usual = {
        like: tuple(max(2, math.floor(k ** (bits / math.log2(2560)) + 1e-9)) for k in (8, 8, 8, 5)),
        alike: (max(2, math.floor(2 ** (bits / 4) + 1e-9)),) * 4,
    }
    found = {name: levels for name, levels in usual.items() if max(levels) <= MAX_CODES}
    # A coordinate has a code for none, too.
    tied, most = len(attributes), max((len(a.values) for a in attributes), default=1)
    for k in (4, 8, 16, 32, 64) if tied else (2,):
        rest = bits - tied * math.log2(k)
        free = max(1, math.ceil(rest / math.log2(MAX_CODES) - 1e-9))
        if k > most and rest >= 1:
            levels = (k,) * tied + (math.floor(2 ** (rest / free) + 1e-9),) * free
            found[f"{k} an attribute" if tied else "free"] = levels
    fits = {
        name: _fill(levels, bits)
        for name, levels in found.items()
        if len(levels) > tied and all(len(a.values) < k for a, k in zip(attributes, levels, strict=False))
    }
    if not fits:
        raise WotdError(
            f"{bits} bits are too few for {tied} attributes with up to {most} values each and a free coordinate; "
            f"give {math.ceil(tied * math.log2(most + 1)) + 1} or more"
        )
    distinct: dict[tuple[int, ...], str] = {}
    for name, levels in fits.items():  # two names for the same levels are one trial, under the first
        distinct.setdefault(levels, name)
    return {name: levels for levels, name in distinct.items()}


def _fill(levels: tuple[int, ...], bits: int) -> tuple[int, ...]:
    """The same, and one code more in each coordinate, from the last on, as long as the bits allow."""
    out = list(levels)
    while True:
        for q in reversed(range(len(out))):
            if out[q] < MAX_CODES and math.prod(out) // out[q] * (out[q] + 1) <= 2**bits:
                out[q] += 1
                break
        else:
            return tuple(out)


def choose_levels(
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    attributes: Sequence[Attribute],
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Trial]:
    """Try each of :func:`proposals` for ``cfg.bits``; the best trial comes first."""

    def trials() -> Iterator[Trial]:
        for name, levels in proposals(cfg.bits, attributes).items():
            tried = replace(cfg, levels=levels, bits=0, detail=0, epochs=min(cfg.epochs, EPOCHS))
            mx.random.seed(seed)
            model = Autoencoder(x.shape[1], tried, attributes)
            best = min(fit(model, x, labels, split, tried, seed), key=lambda epoch: epoch.valid_loss)
            progress(1)
            trial = Trial(name, levels, model.quantizer.bits, best.relative_mse, best.valid_loss)
            log.info("levels %s (%s): relative MSE %.4f", list(levels), name, trial.relative_mse)
            yield trial

    return sorted(trials(), key=lambda trial: trial.loss)
