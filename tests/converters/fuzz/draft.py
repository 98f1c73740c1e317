"""A function as it grows: values made step by step on an example, replayed on any inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from tests.converters.fuzz.inputs import ANY, EXAMPLE, Role, draw

SIDES = (1, 1, 2, 3, 4, 5, 7)
MOST = 160
"""Numbers of a new array, at most."""
REUSED = 0.75
"""How often a value that is there is taken, where one fits."""
FLOATS = ("float32", "float32", "float32", "float32", "float16", "bfloat16")
INTEGERS = ("int32", "int32", "uint8", "int8", "int16", "uint16", "uint32", "int64")


def dtype_of(name: str) -> mx.Dtype:
    """``mx.float32`` for ``float32``."""
    return getattr(mx, {"bool": "bool_"}.get(name, name))


@dataclass(frozen=True)
class Value:
    """One value of a draft: its place among all, and what it is for the example."""

    at: int
    array: mx.array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> str:
        return str(self.array.dtype).removeprefix("mlx.core.")

    @property
    def is_float(self) -> bool:
        return "float" in self.dtype


@dataclass(frozen=True)
class Input:
    """What an input is for, and of which shape and dtype."""

    at: int
    shape: tuple[int, ...]
    dtype: str
    role: Role


@dataclass(frozen=True)
class Step:
    """A call: what it is told as, the function, where its operands are and where its results go."""

    told: str
    fn: Callable[..., Any]
    reads: tuple[int, ...]
    makes: tuple[int, ...]


class Draft:
    """A function in the making.

    Args:
        rng: decides everything.
        half: whether it will be computed in half precision, so that inputs are float16's numbers.
    """

    def __init__(self, rng: np.random.Generator, half: bool):
        self.rng = rng
        self.half = half
        self.target = "iOS18" if rng.random() < 0.3 else "iOS17"
        self.inputs: dict[str, Input] = {}
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.more: list[int] = []

    # What generators ask for.

    def shape(self, low: int = 0, high: int = 4, least: int = 1) -> tuple[int, ...]:
        """Sides of ``low`` to ``high`` axes, each ``least`` or more."""
        rank = int(self.rng.integers(low, high, endpoint=True))
        while True:
            sides = tuple(max(least, int(n)) for n in self.rng.choice(SIDES, rank))
            if int(np.prod(sides)) <= max(MOST, least**rank):
                return sides

    def input(self, shape: Sequence[int], dtype: str = "float32", role: Role = ANY) -> Value:
        """A new input."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = Input(len(self.values), tuple(shape), dtype, role)
        return self._add(self._drawn(self.inputs[name], EXAMPLE, self.rng))

    def constant(self, array: Any) -> Value:
        """A constant of the function."""
        made = mx.array(array)
        return self.apply(f"constant {made.dtype} {tuple(made.shape)}", lambda: made)

    def floats(self, low: int = 0, high: int = 4, least: int = 1, role: Role = ANY, dtype: str | None = None) -> Value:
        """A value of floats with ``low`` to ``high`` axes, each of ``least`` numbers or more."""
        fits = [v for v in self.values if v.is_float and self._fits(v, low, high, least) and dtype in (None, v.dtype)]
        if role == ANY and (found := self._again(fits)):
            return found
        return self.input(self.shape(low, high, least), dtype or str(self.rng.choice(FLOATS)), role)

    def whole(self, low: int = 0, high: int = 4, least: int = 1, role: Role = ANY, dtype: str | None = None) -> Value:
        """A value of integers."""
        fits = [v for v in self.values if "int" in v.dtype and self._fits(v, low, high, least)]
        if role == ANY and (found := self._again([v for v in fits if dtype in (None, v.dtype)])):
            return found
        return self.input(self.shape(low, high, least), dtype or str(self.rng.choice(INTEGERS)), role)

    def truths(self, low: int = 0, high: int = 4, least: int = 1) -> Value:
        """A value of booleans."""
        fits = [v for v in self.values if v.dtype == "bool" and self._fits(v, low, high, least)]
        return self._again(fits) or self.input(self.shape(low, high, least), "bool")

    def numbers(self, low: int = 0, high: int = 4, least: int = 1) -> Value:
        """A value of floats, or of integers."""
        return (self.floats if self.rng.random() < 0.6 else self.whole)(low, high, least)

    def any(self, low: int = 0, high: int = 4, least: int = 1) -> Value:
        """A value of any dtype."""
        return (self.numbers if self.rng.random() < 0.85 else self.truths)(low, high, least)

    def beside(self, x: Value, role: Role = ANY, dtype: str | None = None) -> Value:
        """A second operand that broadcasts with ``x``: a value that is there, an input, or a constant."""
        dtype = dtype or x.dtype
        fits = [v for v in self.values if v.dtype == dtype and _broadcasts(v.shape, x.shape)]
        if role == ANY and self.rng.random() < 0.5 and (found := self._again(fits)):
            return found
        sides = [n if self.rng.random() < 0.7 else 1 for n in x.shape][int(self.rng.integers(0, x.rank + 1)) :]
        if self.rng.random() < 0.25:
            return self.constant(self._array(draw(self.rng, role, tuple(sides), dtype, EXAMPLE, self.half), dtype))
        return self.input(sides, dtype, role)

    def axis(self, x: Value) -> int:
        """One of the axes, counted from the front or from the end."""
        return int(self.rng.integers(-x.rank, x.rank))

    def axes(self, x: Value) -> tuple[int, ...]:
        """Some of the axes, in any order."""
        count = int(self.rng.integers(1, x.rank, endpoint=True))
        return tuple(int(a) for a in self.rng.permutation(x.rank)[:count])

    def chance(self, share: float = 0.5) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def pick(self, *choices: Any) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """low <= n <= high."""
        return int(self.rng.integers(low, high, endpoint=True))

    def apply(self, told: str, fn: Callable[..., Any], *operands: Value) -> Value:
        """The first of what ``fn`` makes of the operands; the others are there for later steps too."""
        made = fn(*(v.array for v in operands))
        arrays = list(made) if isinstance(made, list | tuple) else [made]
        mx.eval(arrays)
        start = len(self.values)
        reads = tuple(v.at for v in operands)
        self.steps.append(Step(told, fn, reads, tuple(range(start, start + len(arrays)))))
        first, *_ = [self._add(array) for array in arrays]
        return first

    # What a trial asks for.

    def function(self, **given: mx.array) -> dict[str, mx.array]:
        """The steps on other inputs: what no step reads, by name."""
        values = {own.at: given[name] for name, own in self.inputs.items()}
        for step in self.steps:
            made = step.fn(*(values[at] for at in step.reads))
            values |= dict(zip(step.makes, made if isinstance(made, list | tuple) else [made], strict=True))
        read = {at for step in self.steps for at in step.reads} | {own.at for own in self.inputs.values()}
        made_by_steps = [at for step in self.steps if step.reads for at in step.makes]
        left = [at for at in made_by_steps if at not in read and self.values[at].dtype != "complex64"]
        outputs = {f"y{at}": values[at] for at in left or made_by_steps[-1:]}
        return outputs | {f"z{at}": values[at] for at in self.more}

    def finish(self) -> None:
        """Sometimes what is there leaves the function too: an input, what a later step reads, a thing twice."""
        shown = [v.at for v in self.values if v.dtype != "complex64" and v.array.size]
        self.more = self.rng.choice(shown, 1 + self.chance(0.3)).tolist() if self.chance(0.15) else []

    def drawn(self, profile: str, rng: np.random.Generator) -> dict[str, mx.array]:
        """Inputs of a profile."""
        return {name: self._drawn(own, profile, rng) for name, own in self.inputs.items()}

    def example(self) -> dict[str, mx.array]:
        """The inputs on which the draft was made."""
        return {name: self.values[own.at].array for name, own in self.inputs.items()}

    def told(self) -> str:
        """The inputs and steps, a line each."""
        inputs = [f"v{i.at} = {name}: {i.dtype} {i.shape}{i.role}" for name, i in self.inputs.items()]
        steps = [
            f"{', '.join(f'v{at}' for at in s.makes)} = {s.told}({', '.join(f'v{at}' for at in s.reads)})"
            f"  # {', '.join(f'{self.values[at].dtype} {self.values[at].shape}' for at in s.makes)}"
            for s in self.steps
        ]
        return "\n".join(inputs + steps)

    def _add(self, array: mx.array) -> Value:
        self.values.append(Value(len(self.values), array))
        return self.values[-1]

    def _drawn(self, own: Input, profile: str, rng: np.random.Generator) -> mx.array:
        return self._array(draw(rng, own.role, own.shape, own.dtype, profile, self.half), own.dtype)

    def _array(self, array: np.ndarray, dtype: str) -> mx.array:
        return mx.array(array).astype(dtype_of(dtype))

    def _again(self, fits: Sequence[Value]) -> Value | None:
        return fits[int(self.rng.integers(len(fits)))] if fits and self.rng.random() < REUSED else None

    def _fits(self, v: Value, low: int, high: int, least: int) -> bool:
        return low <= v.rank <= high and all(n >= least for n in v.shape) and 0 < v.array.size <= 2 * MOST


def _broadcasts(own: tuple[int, ...], other: tuple[int, ...]) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(own, other))) <= 2 * MOST
    except ValueError:
        return False


Generator = Callable[[Draft], Any]
GENERATORS: dict[str, Generator] = {}
HEAVY = ("inverse", "block_product")
"""Those of hundreds of operations, or of thousands of numbers: once in a round is enough."""
MAKES: dict[str, tuple[str, ...]] = {}


def makes(*primitives: str) -> Callable[[Generator], Generator]:
    """Register a generator of some of these primitives, by the op table's names."""

    def register(generator: Generator) -> Generator:
        name = generator.__name__.rstrip("_")
        if name in GENERATORS:
            raise ValueError(f"two generators are called {name}")
        GENERATORS[name], MAKES[name] = generator, primitives
        return generator

    return register


def drafted(seed: int, number: int) -> Draft:
    """The graph of that number: a generator after the other comes first, and up to four follow."""
    import tests.converters.fuzz.generators  # noqa: F401  registers them

    rng = np.random.default_rng([seed, number])
    draft = Draft(rng, half=bool(rng.random() < 0.4))
    names = sorted(GENERATORS)
    GENERATORS[names[number % len(names)]](draft)
    light = [name for name in names if name not in HEAVY]
    for _ in range(int(rng.choice([0, 0, 1, 2, 3, 4]))):
        GENERATORS[light[int(rng.integers(len(light)))]](draft)
    draft.finish()
    return draft


def replay(draft: Draft, inputs: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """What MLX computes, on its CPU."""
    with mx.stream(mx.cpu):
        made = draft.function(**inputs)
        mx.eval(made)
    return made
