"""Write docs/reference/cli.md from the commands' help, and settings.md from the dataclasses in wotd_mlx/config.

python -m scripts.reference
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

import click
from msgspec import Meta

from wotd_mlx import config
from wotd_mlx.cli import main
from wotd_mlx.config.ranges import MAX_COUNT, MAX_SEED

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
CLI, SETTINGS = FOLDER / "cli.md", FOLDER / "settings.md"
CLI_HEAD = """\
# Command line

What `--help` says of each command, gathered by `python -m scripts.reference`; a test refuses a stale copy. Each takes
`--json`: one object a line on stdout, all else on stderr. Exit codes: 0; 1 with one `error:` line for what went wrong;
2 for wrong usage.

"""
SETTINGS_HEAD = """\
# Settings

Every field of every settings class, gathered from `wotd_mlx/config` by `python -m scripts.reference`; a test refuses a
stale copy. `wotd-mlx train --config FILE` reads a YAML file of `TrainingConfig`'s fields, those of other classes
nested under their names; an unknown key is an error, and so is a value out of its range.

"""
_UNBOUNDED = {MAX_COUNT, MAX_SEED, 1e9}


def cli() -> str:
    """The whole of docs/reference/cli.md."""
    return CLI_HEAD + "\n".join(f"## {name}\n\n```text\n{help_}\n```\n" for name, help_ in _helps(main, "wotd-mlx"))


def _helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    shape = {**command.context_settings, "terminal_width": 100}
    with click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **shape) as context:
        yield name, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield from _helps(found, f"{name} {inner}", context)


def settings() -> str:
    """The whole of docs/reference/settings.md."""
    return SETTINGS_HEAD + "\n".join(map(_table, classes()))


def classes() -> list[type]:
    """The settings classes, in the order of their modules."""
    found: list[type] = []
    for module in sorted(module.name for module in pkgutil.iter_modules(config.__path__)):
        home = import_module(f"{config.__name__}.{module}")
        found += [
            kind
            for kind in vars(home).values()
            if inspect.isclass(kind) and is_dataclass(kind) and kind.__module__ == home.__name__
        ]
    return found


def _table(kind: type) -> str:
    said, text = _said(kind), inspect.getdoc(kind) or ""
    types = typing.get_type_hints(kind, include_extras=True)
    rows = [f"| `{f.name}` | {_type(types[f.name])} | {_default(f)} | {said.get(f.name, '')} |" for f in fields(kind)]
    head = "| field | type | default | |\n| --- | --- | --- | --- |"
    return f"## {kind.__name__}\n\n{_plain(text.split('Args:')[0])}\n\n" + "\n".join([head, *rows]) + "\n"


def _said(kind: type) -> dict[str, str]:
    """What the ``Args`` of a docstring say of each field; several named together share a sentence."""
    args = (inspect.getdoc(kind) or "").partition("Args:\n")[2]
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.+(?:\n {8}.+)*)", args, re.MULTILINE):
        found |= dict.fromkeys((name.strip() for name in names.split(",")), _plain(text))
    return found


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is Annotated:
        kind, *extras = typing.get_args(annotation)
        return f"{_type(kind)}{''.join(_range(extra) for extra in extras if isinstance(extra, Meta))}"
    if arguments := [part for part in typing.get_args(annotation) if part is not Ellipsis]:
        if NoneType in arguments:
            return " or ".join("none" if part is NoneType else _type(part) for part in arguments)
        if typing.get_origin(annotation) is typing.Literal:
            return ", ".join(f"`{part}`" for part in arguments)
        return f"list of {_type(arguments[0])}"
    name: str = annotation.__name__
    return f"[{name}](#{name.lower()})" if is_dataclass(annotation) and name.endswith(("Config", "Recipe")) else name


def _range(meta: Meta) -> str:
    bounds = ((" ≥ ", meta.ge), (" > ", meta.gt), (" ≤ ", meta.le), (" < ", meta.lt))
    told = (f"{sign}{bound:g}" for sign, bound in bounds if bound is not None and bound not in _UNBOUNDED)
    return ",".join(told)


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value: Any = field.default_factory() if field.default_factory is not MISSING else field.default
    if is_dataclass(value) or (isinstance(value, tuple) and value and is_dataclass(value[0])):
        return "see there"
    if isinstance(value, tuple):
        return f"`{list(value)}`" if value else "none"
    return "none" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    for file, make in ((CLI, cli), (SETTINGS, settings)):
        file.write_text(make(), encoding="utf-8")
        print(file.name)
