"""Activations computed again on the way back rather than kept: mlx-lm's way, for the layers of one model only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.tuner.trainer import grad_checkpoint

from wotd_mlx.dropout import Dropout, drawn_from
from wotd_mlx.kernels.recast import recast


@contextmanager
def checkpointed(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, the model's layers keep no activations in training (Chen et al. 2016, arXiv 1604.06174).

    mlx-lm's ``grad_checkpoint`` patches a layer's class, for all models and for good; here it is given a class that
    is this model's alone. Both times a layer is computed its dropout drops the same numbers.
    """
    with recast(model.layers if wanted else (), _checkpointed):
        yield


@cache
def _checkpointed(kind: Any) -> Any:
    """A subclass whose activations are computed again."""

    def drawing(layer: nn.Module, key: Callable[[], mx.array], *args: Any, **kwargs: Any) -> Any:
        with drawn_from(key()):
            return kind.__call__(layer, *args, **kwargs)

    own: Any = type(kind.__name__, (kind,), {"__call__": drawing})
    # It looks at nothing but the class of what it is given.
    grad_checkpoint(own.__new__(own))
    again: Callable[..., Any] = own.__call__

    def keyed(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        key = mx.random.randint(0, 2**31 - 1, (2,)).astype(mx.uint32)
        # Behind a function: an array among the arguments would be differentiated, and drawing can't be.
        return again(layer, lambda: key, *args, **kwargs)

    own.__call__ = keyed
    return own


def repeatable_dropout(model: nn.Module) -> None:
    """Put dropout into a model's adapters that draws the same numbers again where a layer is computed again."""
    for _, module in model.named_modules():
        found = getattr(module, "dropout", None)
        if isinstance(found, nn.Dropout) and not isinstance(found, Dropout):
            module.dropout = Dropout(1 - found._p_1)
