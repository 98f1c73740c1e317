"""What a command line names: ``module:function`` as something to convert, ``x=1x384:float32`` as its example."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn

from converters.capture import Example, Function
from converters.errors import ConversionError

MAX_NUMBERS = 1 << 28
"""Of a drawn input: a slip in a shape shouldn't fill the memory."""
FORM = "NAME=SHAPE[:DTYPE[:BELOW]], such as x=1x384, mask=1x8:bool, ids=1x8:int32:30000 or t=scalar:float16"
_FLOATS = ("float32", "float16", "bfloat16")
_WHOLE = ("int32", "int64", "int16", "int8", "uint32", "uint64", "uint16", "uint8")
_INPUT = re.compile(r"(?P<name>[^\W\d]\w*)=(?P<shape>scalar|\d+(?:x\d+)*)(?::(?P<dtype>\w+)(?::(?P<below>\d+))?)?")


def subject(name: str) -> Function:
    """The function, method or module that ``package.module:attribute`` names, ready for conversion.

    A class, and a function without parameters, make what is to be converted: they are called. A module is put into
    inference, and its parameters are evaluated: what was never evaluated would be captured as its random start.

    Raises:
        ConversionError: there is no such thing, or it can't be called.
    """
    module, colon, path = name.partition(":")
    if not colon or not path or not module or module.endswith(".py"):
        raise ConversionError(f"{name!r} names no function; expected MODULE:FUNCTION, such as models.small:encoder")
    found = _imported(module)
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConversionError(f"{module} has no {path!r}; name something that it holds")
        found = getattr(found, part)
    if _makes(found):
        found = _called(found, name)
    if not callable(found):
        raise ConversionError(f"{name} is {type(found).__name__}; expected a function, a module, or what makes one")
    owner = found if isinstance(found, nn.Module) else getattr(found, "__self__", None)
    if isinstance(owner, nn.Module):
        owner.eval()
        mx.eval(owner.parameters())
    function: Function = found
    return function


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    # Whatever a stranger's file does when it is loaded, an exit included.
    except (Exception, SystemExit) as error:
        raise ConversionError(f"{module} can't be imported ({type(error).__name__}: {error})") from error


def _makes(found: Any) -> bool:
    if isinstance(found, nn.Module) or not callable(found):
        return False
    if inspect.isclass(found):
        return True
    try:
        return not inspect.signature(found).parameters
    except ValueError:
        # What is written in C tells no signature.
        return False


def _called(maker: Any, name: str) -> Any:
    try:
        return maker()
    except (Exception, SystemExit) as error:
        raise ConversionError(f"{name}() failed ({type(error).__name__}: {error})") from error


def drawn(specs: Sequence[str], seed: int = 0) -> dict[str, mx.array]:
    """Random inputs as they were asked for: floats are normal, whole numbers lie below BELOW, or 2.

    Raises:
        ConversionError: one isn't in :data:`FORM`.
    """
    made: dict[str, mx.array] = {}
    for n, spec in enumerate(specs):
        name, array = _input(spec, mx.random.key(seed + n))
        if name in made:
            raise ConversionError(f"input {name} is given twice; give each once")
        made[name] = array
    return made


def _input(spec: str, key: mx.array) -> tuple[str, mx.array]:
    if not (match := _INPUT.fullmatch(spec)):
        raise ConversionError(f"{spec!r} is no input; expected {FORM}")
    shape = () if match["shape"] == "scalar" else tuple(int(d) for d in match["shape"].split("x"))
    size = 1
    for side in shape:
        size *= side
    if not 0 < size <= MAX_NUMBERS:
        raise ConversionError(f"input {match['name']} has {size} numbers; expected 1 to {MAX_NUMBERS}")
    dtype, below = match["dtype"] or "float32", match["below"]
    if dtype in _FLOATS and below is None:
        return match["name"], mx.random.normal(shape, getattr(mx, dtype), key=key)
    if dtype == "bool" and below is None:
        return match["name"], mx.random.bernoulli(0.5, shape, key=key)
    if dtype in _WHOLE:
        top = int(below or 2)
        if not 0 < top <= mx.iinfo(getattr(mx, dtype)).max or top > 2**31:
            raise ConversionError(f"input {match['name']} is {dtype}; no such numbers lie below {below}")
        return match["name"], mx.random.randint(0, top, shape, mx.int32, key=key).astype(getattr(mx, dtype))
    known = ", ".join((*_FLOATS, "bool", *_WHOLE))
    raise ConversionError(
        f"{spec!r} has no dtype for an input; expected one of {known}, a bound for whole numbers only"
    )


def read(path: str | Path) -> Example:
    """The arrays of an ``.npz`` or ``.safetensors`` file by name; float64, NumPy's own default, as float32.

    Raises:
        ConversionError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".safetensors"):
        raise ConversionError(f"{path} is no example; expected an .npz or a .safetensors file of arrays by name")
    if not path.is_file():
        raise ConversionError(f"{path} is no file; expected arrays by name")
    try:
        found = mx.load(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise ConversionError(f"{path} can't be read ({error}); expected arrays by name") from error
    if not isinstance(found, dict) or not found:
        raise ConversionError(f"{path} holds no arrays by name")
    return {n: a.astype(mx.float32, mx.cpu) if a.dtype == mx.float64 else a for n, a in found.items()}
