"""Activations computed again on the way back rather than kept: mlx-lm's patch of a layer's class, and its undoing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.dropout import Dropout, drawn_from


@contextmanager
def checkpointed(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, the model's layers keep no activations in training (Chen et al. 2016, arXiv 1604.06174).

    mlx-lm's ``grad_checkpoint`` patches the class, for all models and for good; here the class is itself again
    afterwards. Both times a layer is computed its dropout drops the same numbers.
    """
    kinds: dict[Any, nn.Module] = {type(layer): layer for layer in model.layers} if wanted else {}
    own = {kind: kind.__dict__.get("__call__") for kind in kinds}
    try:
        for kind, layer in kinds.items():
            _patch(kind, layer)
        yield
    finally:
        for kind, call in own.items():
            if call is not None:
                kind.__call__ = call
            elif "__call__" in kind.__dict__:
                del kind.__call__


def _patch(kind: Any, layer: nn.Module) -> None:
    from mlx_lm.tuner.trainer import grad_checkpoint

    plain: Callable[..., Any] = kind.__call__

    def drawing(layer: nn.Module, key: Callable[[], mx.array], *args: Any, **kwargs: Any) -> Any:
        with drawn_from(key()):
            return plain(layer, *args, **kwargs)

    kind.__call__ = drawing
    grad_checkpoint(layer)
    again: Callable[..., Any] = kind.__call__

    def keyed(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        key = mx.random.randint(0, 2**31 - 1, (2,)).astype(mx.uint32)
        # Behind a function: an array among the arguments would be differentiated, and drawing can't be.
        return again(layer, lambda: key, *args, **kwargs)

    kind.__call__ = keyed


def repeatable_dropout(model: nn.Module) -> None:
    """Put dropout into a model's adapters that draws the same numbers again where a layer is computed again."""
    for _, module in model.named_modules():
        found = getattr(module, "dropout", None)
        if isinstance(found, nn.Dropout) and not isinstance(found, Dropout):
            module.dropout = Dropout(1 - found._p_1)
