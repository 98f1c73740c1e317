"""The training loop: the same curve whether or not it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic

import mlx.core as mx
from mlx.utils import tree_map, tree_map_with_path

from wotd_mlx.io.safetensors import named
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.layerwise import Layerwise
from wotd_mlx.training.state import LARGEST, S
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task

Progress = Callable[[int, str], None]


class Trainer(Generic[S]):
    """Steps and evaluations of a task.

    The random numbers of a step depend on (seed, step) alone, so that a training that goes on from what :meth:`arrays`
    and ``state`` held takes the same steps as one that never stopped.
    """

    def __init__(self, task: Task[S], stepper: Step | Layerwise, state: S):
        self.task, self.stepper, self.state = task, stepper, state
        self.best = tree_map(mx.array, self._changing()) if task.keeps_best else {}

    def evaluations(
        self, progress: Progress = lambda n, note: None, save: Callable[[], None] = lambda: None
    ) -> Iterator[Any]:
        """Train on to the end of the plan or of patience; yields the history's record at each evaluation.

        Args:
            progress: called after each step with 1 and a note of the figures so far.
            save: called after each step; it may keep :meth:`arrays` and ``state``.

        Raises:
            WotdError: a figure is no longer a number.
        """
        now, task = self.state, self.task
        self._started = time.monotonic() - now.seconds
        mx.reset_peak_memory()
        task.model.train()
        if task.due(now) and not now.history:
            yield self._evaluate()
        while not self.ended:
            for parts in task.batches(now.epoch, now.batch):
                self.step(parts)
                now.seconds = time.monotonic() - self._started
                progress(1, self._note())
                if task.due(now):
                    yield self._evaluate()
                save()
                if self.ended:
                    return
            now.epoch, now.batch = now.epoch + 1, 0
            if task.evaluates_epochs:
                yield self._evaluate()

    def step(self, parts: Parts) -> list[float]:
        """Take one step and count it: the task's figures, and the gradient's norm.

        Raises:
            WotdError: one of them is no longer a number.
        """
        now, began = self.state, time.monotonic()
        # Large odd factors keep the seeds of two trainings apart.
        mx.random.seed((self.task.seed * 1_000_003 + now.step) % 2**32)
        figures = self.stepper.take(parts, self.task.rate(now.step, now), now.step)
        self._check(figures, f"step {now.step + 1}")
        now.add(figures, time.monotonic() - began)
        return figures

    @property
    def ended(self) -> bool:
        """Whether all steps are taken, or patience is at an end."""
        patience = self.task.patience
        return self.task.ended(self.state) or (patience is not None and self.state.plateau.waited >= patience)

    def _evaluate(self) -> Any:
        now, task = self.state, self.task
        task.model.eval()
        with self.stepper.showing_kept():
            valid = task.evaluate()
            self._check(valid, f"the validation after step {now.step}")
            rate = task.rate(max(0, now.step - 1), now)
            best = bool(valid) and now.plateau.update(valid[0], task.plateau)
            if best and task.keeps_best:
                self.best = tree_map(mx.array, self._changing())
            now.seconds = time.monotonic() - self._started
            record = task.record(now, valid, rate, best)
        now.close(record)
        task.model.train()
        mx.reset_peak_memory()
        return record

    def _names(self) -> tuple[str, ...]:
        return (*self.task.figures, "gradient norm")

    def _check(self, figures: list[float], where: str) -> None:
        for name, figure in zip(self._names(), figures, strict=False):
            if not abs(figure) <= LARGEST:
                raise WotdError(f"the {name} is {figure:g} in {where}; {self.task.advice}")

    def _note(self) -> str:
        figures = zip(self.task.figures, self.state.means, strict=False)
        return f"epoch {self.state.epoch}: " + ", ".join(f"{name} {mean:.4f}" for name, mean in figures)

    def _changing(self) -> dict[str, Any]:
        """The weights that are kept, and what else of the model changes."""
        moving = self.task.moving
        return {"parameters": self.stepper.kept, "moving": moving.parameters() if moving else {}}

    def restore_best(self) -> None:
        """Put the weights of the best evaluation into the model."""
        self.task.model.update(self.best["parameters"])
        if self.task.moving:
            self.task.moving.update(self.best["moving"])
        mx.eval(self.task.model.parameters())

    def arrays(self) -> dict[str, mx.array]:
        """All that a training needs beside ``state`` to go on, by name."""
        return named({**self.stepper.held(), "moving": self._changing()["moving"], "best": self.best})

    def resume(self, arrays: Mapping[str, mx.array], state: S) -> None:
        """Go on from what :meth:`arrays` gave.

        Raises:
            WotdError: the state has another number of figures than the task.
        """

        def read(tree: Any, place: str) -> Any:
            """The same tree with the arrays that were kept: its order decides the last digit of sums over it."""
            return tree_map_with_path(lambda name, _: arrays[f"{place}.{name}"], tree)

        if state.sums and len(state.sums) != len(self._names()):
            raise WotdError(f"sums are {len(state.sums)} numbers, expected {len(self._names())}")
        self.stepper.restore(read)
        if self.task.moving:
            self.task.moving.update(read(self.task.moving.parameters(), "moving"))
        self.best = read(self.best, "best")
        self.state = state
