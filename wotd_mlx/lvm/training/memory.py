"""Trainings that fit a limit of memory: whether all weights at once, and on how many windows, by measuring."""

from __future__ import annotations

import logging

import mlx.core as mx

from wotd_mlx.backend import GIB
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm.parts.base import Predictor
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.training.layerwise import WORK_BYTES, LayerwiseTrainer, blocks_of, size_of
from wotd_mlx.lvm.training.loop import Loop, Trainer
from wotd_mlx.lvm.training.windows import Batch
from wotd_mlx.schemas import TooLargeError, WotdError

log = logging.getLogger("wotd_mlx")

_SHARE = 0.9
"""Of the limit that a plan may use: measurements differ a little from step to step."""


def goes_by_blocks(model: NextVector, recipe: Recipe, limit: int) -> bool:
    """Whether a model's weights, gradients and moments leave no other way than block by block; computes nothing.

    Raises:
        TooLargeError: so they do, but the model or the recipe needs all weights at once, or blocks don't fit either.
    """
    predictor = model.predictor
    needed = _update_bytes(4 * predictor.size, _copies(recipe) * 4 * predictor.size)
    if needed <= _SHARE * limit:
        return False
    optimizer = "Adafactor" if recipe.optimizer == "adafactor" else "AdamW"
    said = (
        f"{optimizer} on {predictor.size / 1e6:,.1f}M parameters takes {needed / GIB:.2f} GB, "
        f"the limit is {limit / GIB:.2f} GB"
    )
    larger = f"raise --memory-limit to {needed / _SHARE / GIB:.2f}"
    try:
        blocks = blocks_of(predictor)
    except WotdError as error:
        raise TooLargeError(f"{said}, and there is no training block by block ({error}); {larger}") from error
    asked = [name for name in ("contrastive", "ema", "noise", "context_dropout") if getattr(recipe, name)]
    asked += ["base"] if recipe.base != "none" else []
    if asked:
        raise TooLargeError(
            f"{said}, and training block by block has no {', '.join(asked)}; leave that out, or {larger}"
        )
    least = 2 * predictor.size + WORK_BYTES * max(map(size_of, blocks))
    if least > _SHARE * limit:
        raise TooLargeError(f"{said}; block by block it takes {least / GIB:.2f} GB: raise --memory-limit")
    log.info("memory: %s; so block by block in bfloat16 with Adafactor, which takes %.2f GB", said, least / GIB)
    return True


def see_batch_fits(recipe: Recipe, dims: int, limit: int) -> None:
    """See that the vectors of a batch, (B, L, D) twice, and its candidates alone leave room under a limit.

    Raises:
        TooLargeError: they don't.
    """
    places = recipe.batch * recipe.context
    numbers = 2 * places + (places + recipe.negatives if recipe.contrastive else 0)
    if (needed := 4 * dims * numbers) > _SHARE * limit:
        raise TooLargeError(
            f"a batch of {recipe.batch:,} windows of {recipe.context} vectors takes {needed / GIB:,.2f} GB, the limit "
            f"is {limit / GIB:.2f} GB; lower --batch or --context, or raise --memory-limit"
        )


def fit_into(trainer: Loop, limit: int) -> None:
    """See to it that a trainer's steps stay under ``limit`` bytes.

    Raises:
        TooLargeError: they can't.
    """
    # What else this process holds, such as another model in a notebook, is not the training's.
    others = max(0, mx.get_active_memory() - _held(trainer))
    if isinstance(trainer, Trainer):
        _fit_windows(trainer, limit, others)
    if isinstance(trainer, LayerwiseTrainer):
        batch, context = trainer.recipe.batch, trainer.recipe.context
        peak = trainer.layerwise.at_work(mx.zeros((batch, context, trainer.vectors.shape[1]))) - others
        if peak > _SHARE * limit:
            raise TooLargeError(
                f"a step on {batch} windows of {context} vectors takes {peak / GIB:.2f} GB block by block, the limit "
                f"is {limit / GIB:.2f} GB; lower --batch or --context, or raise --memory-limit"
            )


def _fit_windows(trainer: Trainer, limit: int, others: int) -> None:
    """Set ``trainer.parts`` so that a step stays under ``limit`` bytes beside what others hold; layers give up
    activations if they must.

    The peaks of one window and of two are measured, and so is that of as many as then seem to fit. What the plan chose
    is said in one line where it is not the whole batch at once.

    Raises:
        TooLargeError: not even one window fits.
    """
    predictor = getattr(trainer.model, "predictor", None)
    batch = trainer.recipe.batch
    for recomputing in (False, True):
        if recomputing and not isinstance(predictor, Predictor):
            break
        if isinstance(predictor, Predictor):
            predictor.recomputing = recomputing
        one, two = _peak(trainer, 1, others), _peak(trainer, 2, others)
        room = _SHARE * limit - one
        most = min(batch, 1 + int(room // max(two - one, 1))) if room >= 0 else 0
        # What few windows take may hide what each adds: the plan is measured too.
        while most > 1 and _peak(trainer, most, others) > _SHARE * limit:
            most //= 2
        # Time for memory: only where windows one by one wouldn't fit, or nearly so.
        if most >= min(batch, 4) or (most >= 1 and recomputing):
            trainer.parts = -(-batch // most)
            if trainer.parts > 1 or recomputing:
                log.info(
                    "memory: %d of %d windows at once%s, for a limit of %.1f GB (one takes %.2f GB)",
                    most,
                    batch,
                    ", activations computed again" if recomputing else "",
                    limit / GIB,
                    one / GIB,
                )
            return
    raise TooLargeError(
        f"one window of {trainer.recipe.context} vectors takes {one / GIB:.2f} GB, the limit is {limit / GIB:.2f} GB; "
        "raise --memory-limit, lower --context, or take a smaller preset"
    )


def _peak(trainer: Trainer, windows: int, others: int) -> int:
    """Bytes at the peak of a step on so many windows, without those of others: gradients, and what lives through the
    optimiser's update."""
    recipe = trainer.recipe
    dims = trainer.vectors.shape[1]
    B, L = windows, recipe.context
    K = recipe.batch * L + recipe.negatives if recipe.contrastive else 0
    x = mx.zeros((B, L, dims))
    whole, rows = mx.ones((B, L)), mx.zeros((B, L), mx.int32)
    batch = Batch(x, x, whole, rows, rows, mx.ones((K, dims)), mx.ones(K, mx.int32))
    mx.eval(batch, trainer.parameters, trainer.optimizer.state)
    mx.clear_cache()
    mx.reset_peak_memory()
    trainer.model.train()
    mx.eval(trainer.gradients(batch, batch.mask.sum()))
    peak = int(mx.get_peak_memory()) - others
    mx.clear_cache()
    weights = sum(w.nbytes for w in named(trainer.parameters).values())
    return max(peak, _update_bytes(weights, _held(trainer)))


def _held(trainer: Loop) -> int:
    """Bytes of what a trainer keeps between steps."""
    return sum(array.nbytes for array in trainer.arrays().values())


def _update_bytes(weights: int, held: int) -> int:
    """Of an update, whatever the windows: old and new together of all that is held, and the gradients."""
    return 2 * held + weights


def _copies(recipe: Recipe) -> int:
    """Numbers held of each weight between steps: itself, AdamW's two moments, its average."""
    return 1 + (2 if recipe.optimizer == "adamw" else 0) + (1 if recipe.ema else 0)
