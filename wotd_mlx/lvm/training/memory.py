"""Trainings that fit a limit of memory: whether all weights at once, and on how many windows, by measuring."""

from __future__ import annotations

import logging

import mlx.core as mx

from wotd_mlx.backend import GIB
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.lvm.parts.base import Predictor
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.training.history import PredictorState
from wotd_mlx.lvm.training.task import PredictorTask
from wotd_mlx.lvm.training.windows import Batch
from wotd_mlx.schemas import TooLargeError, WotdError
from wotd_mlx.training.layerwise import WORK_BYTES, Layerwise, blocks_of, size_of
from wotd_mlx.training.memory import SHARE, bytes_of, peak_of, plan_within
from wotd_mlx.training.step import Step
from wotd_mlx.training.trainer import Trainer

log = logging.getLogger("wotd_mlx")


def goes_by_blocks(model: NextVector, recipe: Recipe, limit: int) -> bool:
    """Whether a model's weights, gradients and moments leave no other way than block by block; computes nothing.

    Raises:
        TooLargeError: so they do, but the model or the recipe needs all weights at once, or blocks don't fit either.
    """
    predictor = model.predictor
    # Of an update, whatever the windows: old and new together of all that is held, and the gradients.
    needed = (2 * _copies(recipe) + 1) * 4 * predictor.size
    if needed <= SHARE * limit:
        return False
    optimizer = "Adafactor" if recipe.optimizer == "adafactor" else "AdamW"
    said = (
        f"{optimizer} on {predictor.size / 1e6:,.1f}M parameters takes {needed / GIB:.2f} GB, "
        f"the limit is {limit / GIB:.2f} GB"
    )
    larger = f"raise --memory-limit to {needed / SHARE / GIB:.2f}"
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
    if least > SHARE * limit:
        raise TooLargeError(f"{said}; block by block it takes {least / GIB:.2f} GB: raise --memory-limit")
    log.info("memory: %s; so block by block in bfloat16 with Adafactor, which takes %.2f GB", said, least / GIB)
    return True


def see_batch_fits(recipe: Recipe, dims: int, limit: int) -> None:
    """See that the vectors of a batch, (B, L, D) twice, and its candidates alone leave room under a limit.

    Raises:
        TooLargeError: they don't.
    """
    positions = recipe.batch * recipe.context
    numbers = 2 * positions + (positions + recipe.negatives if recipe.contrastive else 0)
    if (needed := 4 * dims * numbers) > SHARE * limit:
        raise TooLargeError(
            f"a batch of {recipe.batch:,} windows of {recipe.context} vectors takes {needed / GIB:,.2f} GB, the limit "
            f"is {limit / GIB:.2f} GB; lower --batch or --context, or raise --memory-limit"
        )


def fit_into(trainer: Trainer[PredictorState], limit: int) -> None:
    """See to it that a trainer's steps stay under ``limit`` bytes; what the plan chose is said in one line where it is
    not the whole batch at once.

    Raises:
        TooLargeError: not even one window fits, or block by block the batch doesn't.
    """
    stepper = trainer.stepper
    # What else this process holds, such as another model in a notebook, is not the training's.
    room = int(SHARE * limit) + max(0, mx.get_active_memory() - bytes_of(stepper.held()))
    assert isinstance(trainer.task, PredictorTask)
    if isinstance(stepper, Step):
        _fit_windows(trainer.task, stepper, room, limit)
    elif isinstance(stepper, Layerwise):
        _see_blocks_fit(trainer.task, stepper, room, limit)


def _see_blocks_fit(task: PredictorTask, layerwise: Layerwise, room: int, limit: int) -> None:
    batch, context = task.recipe.batch, task.recipe.context
    peak = layerwise.at_work(mx.zeros((batch, context, task.embeddings.shape[1])))
    if peak > room:
        raise TooLargeError(
            f"a step on {batch} windows of {context} vectors takes {peak / GIB:.2f} GB block by block, the limit "
            f"is {limit / GIB:.2f} GB; lower --batch or --context, or raise --memory-limit"
        )


def _fit_windows(task: PredictorTask, step: Step, room: int, limit: int) -> None:
    recipe, predictor = task.recipe, getattr(task.model, "predictor", None)

    def peak(recomputing: bool, windows: int, context: int) -> int:
        if isinstance(predictor, Predictor):
            predictor.recomputing = recomputing
        batch = _zeros(task, windows, context)
        return peak_of(step, [(batch, batch.mask.sum())])

    ways = (False, True) if isinstance(predictor, Predictor) else (False,)
    plan = plan_within(room, recipe.batch, recipe.context, peak, ways)
    if not plan.rows:
        raise TooLargeError(
            f"one window of {recipe.context} vectors takes {plan.peak / GIB:.2f} GB, the limit is "
            f"{limit / GIB:.2f} GB; raise --memory-limit, lower --context, or take a smaller preset"
        )
    task.parts = -(-recipe.batch // plan.rows)
    if task.parts > 1 or plan.recomputing:
        log.info(
            "memory: %d of %d windows at once%s, %.2f GB at the peak, for a limit of %.2f GB",
            plan.rows,
            recipe.batch,
            ", activations computed again" if plan.recomputing else "",
            plan.peak / GIB,
            limit / GIB,
        )


def _zeros(task: PredictorTask, windows: int, context: int) -> Batch:
    """A batch of the shapes that a step on so many windows has."""
    recipe, dims = task.recipe, task.embeddings.shape[1]
    K = recipe.batch * context + recipe.negatives if recipe.contrastive else 0
    x = mx.zeros((windows, context, dims))
    whole, rows = mx.ones((windows, context)), mx.zeros((windows, context), mx.int32)
    batch = Batch(x, x, whole, rows, rows, mx.ones((K, dims)), mx.ones(K, mx.int32))
    mx.eval(batch)
    return batch


def _copies(recipe: Recipe) -> int:
    """Numbers held of each weight between steps: itself, AdamW's two moments, its average."""
    return 1 + (2 if recipe.optimizer == "adamw" else 0) + (1 if recipe.ema else 0)
