"""What several commands share: options and arguments, and how a result is printed."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import click

from wotd_mlx.backend import DEVICES
from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.schemas import WotdError

F = TypeVar("F", bound=Callable[..., Any])


class _Text(click.ParamType[str]):
    """A text; the shell's bytes may be none."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            code = ord(value[error.start]) - 0xDC00  # how Python holds a byte that isn't UTF-8
            what = f"byte 0x{code:02x}" if 0 <= code < 256 else "half of a surrogate pair"
            told = f"the text {value[:60]!r} is not UTF-8 ({what} at {error.start + 1}); convert it first"
            raise WotdError(told) from error
        return value


class Float(click.FloatRange):
    """A number in a range, which NaN is in none of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return found


class RenamedCommand(click.Command):
    """A command that takes old names of its options too, and says on stderr what they are called now.

    Args:
        renamed: old name → new name, such as ``{"--shown": "--exclude"}``; gone with the next version.
    """

    def __init__(self, *args: Any, renamed: Mapping[str, str] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.renamed = renamed or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(map(self._current, args)))

    def _current(self, arg: str) -> str:
        old, equals, value = arg.partition("=")
        if (new := self.renamed.get(old)) is None:
            return arg
        click.echo(f"note: {old} is now {new}; the old name goes with the next version", err=True)
        return new + equals + value


class NumbersCommand(RenamedCommand):
    """A command whose argument may be ``-1,0,0,0``: no option, and so an error that tells the range."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        numbers = [arg for arg in args if re.match(r"-\d[\d\s]*,", arg)]
        rest = [arg for arg in args if arg not in numbers]
        return super().parse_args(ctx, [*rest, *(["--"] if numbers and "--" not in rest else []), *numbers])


def in_range(kind: Any) -> click.ParamType[Any]:
    """The option type of a setting's own: an int or a float in the range that its ``Annotated`` type declares."""
    bare, meta = get_args(kind)
    low, high = (meta.ge if meta.gt is None else meta.gt), (meta.le if meta.lt is None else meta.lt)
    ranged = click.IntRange if bare is int else Float
    return ranged(low, high, min_open=meta.gt is not None, max_open=meta.lt is not None)


TEXT = _Text()

_BREAKS = {ord(c): json.dumps(c)[1:-1] for c in "\x85\u2028\u2029"}
"""What some readers of lines take for the end of one, though JSON doesn't."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, all else on stderr.")
run_folder = click.option(
    "--run",
    default="runs/default",
    show_default=True,
    metavar="DIR",
    help="The run that `wotd-mlx train` made.",
)


with_gloss = click.option("--gloss", "with_gloss", is_flag=True, help="What each word means too, in short.")
known_run = click.option(
    "--run",
    metavar="DIR",
    help="The run that `wotd-mlx train` made  [default: runs/default, or without one the words that the package ships]",
)


class _Pair(click.ParamType[tuple[str, str]]):
    """``name=value``."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, wanted = value.partition("=")
        if not (name.strip() and equals and wanted.strip()):
            self.fail(f"{value!r} is not NAME=VALUE, such as style=romantic.", param, ctx)
        return name.strip(), wanted.strip()


def attributes(command: F) -> F:
    """Options that ask for values of attributes: those of the default attributes, and ``--attribute`` for any."""
    for attribute in reversed(DEFAULT_ATTRIBUTES):
        values = ", ".join(attribute.values)
        command = click.option(f"--{attribute.name}", metavar="VALUE", help=f"Only these: {values}.")(command)
    pair = click.option(
        "--attribute",
        "pairs",
        type=_Pair(),
        multiple=True,
        metavar="NAME=VALUE",
        help="Any attribute of the run's own.",
    )
    return pair(command)


def wanted_values(given: Mapping[str, Any]) -> dict[str, str]:
    """What :func:`attributes` asked for: attribute → value."""
    named = {a.name: given[a.name] for a in DEFAULT_ATTRIBUTES if given.get(a.name) is not None}
    return named | dict(given["pairs"])


def _select(ctx: click.Context, param: click.Parameter, name: str) -> str:
    from wotd_mlx.backend import select_device

    # MLX's own default is the GPU where there is one; what needs no MLX shall not load it.
    if name != DEVICES[0]:
        select_device(name)
    return name


device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_select,
    help="Where MLX computes.",
)


def print_json(row: dict[str, Any]) -> None:
    """One line, at once: whoever reads the pipe is waiting for it."""
    click.echo(json.dumps(row, ensure_ascii=False).translate(_BREAKS))


def one_line(text: str) -> str:
    """A text as a cell of a table: what would break its row, or steer the terminal, is written as an escape."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in text
    )


def describe(labels: Mapping[str, str | None]) -> str:
    """``classical, beautiful, shakespearean``, without those that aren't known; a dash where none is."""
    return one_line(", ".join(filter(None, labels.values()))) or "-"


def rounded(probability: Mapping[str, float | None]) -> dict[str, float | None]:
    """Probabilities with the digits that mean something."""
    return {name: None if p is None else round(p, 3) for name, p in probability.items()}
