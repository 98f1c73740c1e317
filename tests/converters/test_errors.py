"""docs/errors.md has a heading for every message of the converter and every finding of its doctor, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.doctor import HEADINGS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
ERRORS = {"ConversionError", "UnsupportedOpsError", "GateError", "PackageError"}
PASSED_ON = "PACKAGE: …"
"""Stands for what the executor's parts raise; ``failure`` puts the package before it."""


def messages(source: str, name: str = "") -> dict[str, str]:
    """Message -> where it is raised; what changes in it is …"""
    found = {}
    for function in _functions(ast.parse(source)):
        for call in _calls(function):
            for message in _of(call, function):
                where = f"{name}:{message.lineno}"
                found[_text(message, where)] = where
    return found


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    """The outermost functions and methods: inner ones belong to them."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))


def _of(call: ast.Call, function: ast.AST) -> list[ast.expr]:
    if call.func.id == "failure":
        # Its second argument is an error that it is handed, or one made on the spot.
        made = call.args[1]
        # What the runtime's process answered is passed on too.
        new = isinstance(made, ast.Call) and not isinstance(made.args[0], ast.Subscript)
        return [_named(made.args[0], function)] if new else []
    if call.func.id not in ERRORS:
        return []
    match call.args[0]:
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.Name(id=listed)]):
            return [
                node.args[0]
                for node in ast.walk(function)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and (node.func.attr, getattr(node.func.value, "id", None)) == ("append", listed)
            ]
    return [_named(call.args[0], function)]


def _named(message: ast.expr, function: ast.AST) -> ast.expr:
    """A message, or what the name that stands there was given."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == getattr(message, "id", None):
                return value
    return message


def _text(message: ast.expr, where: str) -> str:
    match message:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return re.sub("…+", "…", "".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts))
    raise AssertionError(f"{where}: the message can't be read off the source; write it as one string or f-string")


def test_messages_are_read_off_the_source():
    source = """
class A:
    def f(self, x):
        faults = []
        faults.append(f"{x} is " "odd")
        if faults:
            raise ConversionError("; ".join(faults)) from None
        raise GateError(f"too far: {x:.1f}{x}; expected {x}")
def g(e):
    told = f"no {e}"
    raise failure("there", ValueError(told))
def h(e):
    raise ValueError("another kind")
    raise failure("there", e)
"""
    assert sorted(messages(source)) == ["no …", "too far: …; expected …", "… is odd"]
    with pytest.raises(AssertionError, match=r"x\.py:2: the message can't be read"):
        messages("def f(x):\n    raise PackageError(x)", "x.py")


def test_page_has_each_message_and_finding_once():
    found = dict.fromkeys(HEADINGS.values(), "converters/doctor.py")
    for file in sorted((ROOT / "converters").rglob("*.py")):
        if file.name != "errors.py" and "torch" not in file.parts:
            found |= messages(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT)))
    found[PASSED_ON] = "converters/errors.py"
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    missing = [f"  ### {message}    ({where})" for message, where in found.items() if message not in headings]
    left = [f"  ### {heading}" for heading in headings if heading not in found]
    assert not missing, "docs/errors.md lacks these; say why and how to mend it in a sentence:\n" + "\n".join(missing)
    assert not left, "docs/errors.md has headings that no message or finding has any more:\n" + "\n".join(left)
    assert len(headings) == len(set(headings))


def test_each_message_is_explained():
    parts = re.split(r"^#+ .+$", PAGE.read_text(encoding="utf-8").partition("\n### ")[2], flags=re.MULTILINE)
    assert all(len(part.split()) > 5 for part in parts if part.strip())
