"""A tuning from start to end: what is read, trained and kept."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from wotd_mlx.embed.tuning.pairs import Thesaurus
from wotd_mlx.embed.tuning.task import TuningState, TuningTask
from wotd_mlx.kernels.compile import jit_available
from wotd_mlx.training.checkpoint import Checkpoint, train
from wotd_mlx.training.trainer import Trainer
from wotd_mlx.words.dictionary.denckring import Denckring


def thesaurus_of(reader: Denckring) -> Thesaurus:
    """What the package of Open English WordNet says of all its words."""
    words = list(reader.words())
    return Thesaurus(
        {word: [sense.gloss for sense in reader.senses(word)] for word in words},
        {word: found for word in words if (found := reader.antonyms(word))},
    )


def tune(
    task: TuningTask,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] = lambda n: None,
    *,
    compiled: bool | None = None,
) -> list[float]:
    """Train the task's encoder in place, and leave the average of its last weights in it; returns the mean contrast
    between one record and the next.

    Args:
        checkpoint: written on the way, and gone on from where it is there.
        compiled: fuse a step with ``mx.compile``; None where that can be done.
    """
    trainer = Trainer(task, task.step(jit_available() if compiled is None else compiled), TuningState())
    history = list(train(trainer, checkpoint, progress))
    task.model.update(trainer.stepper.kept)
    mx.eval(task.model.parameters())
    return history
