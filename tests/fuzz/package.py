"""Core ML packages: read, bound and run by the reference executor."""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from converters.coreml.executor import Executor, PackageError
from tests.converters import test_executor_package as weights
from tests.converters.saved import build
from tests.converters.test_executor_mil import TABLE
from tests.fuzz.mutate import damaged, number, real, text

documented = (PackageError, FileNotFoundError, NotImplementedError)
quick = 500

Files = dict[str, bytes]
MANIFEST, MODEL = "Manifest.json", "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
TOGETHER = 13


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-package-")


def _folder() -> Path:
    return Path(_temporary().name)


@cache
def _packages() -> list[Files]:
    """The operations of the executor's tests, several to a package, and a linear layer with all kinds of weights."""
    found = []
    for target in dict.fromkeys(row[3] for row in TABLE.values()):
        names = [name for name, row in TABLE.items() if row[3] == target]
        found += [_together(names[at : at + TOGETHER], target) for at in range(0, len(names), TOGETHER)]
    for name in ("int8", "palette4", "sparse", "int4_blocks", "palette4_groups", "sparse_palette4"):
        target, compress, _ = weights.COMPRESSIONS[name]
        compress(weights.model(target, half=name == "int8")).save(str(_folder() / f"{name}.mlpackage"))
        found.append(_files(_folder() / f"{name}.mlpackage"))
    return found


def _together(names: list[str], target: Any) -> Files:
    """A package of several rows of the table, each with inputs of its own."""
    inputs = {f"i{n}_{key}": array for n, name in enumerate(names) for key, array in TABLE[name][1].items()}

    def program(*given: Any) -> tuple[Any, ...]:
        by_name = dict(zip(inputs, given, strict=True))
        parts = [{key: by_name[f"i{n}_{key}"] for key in TABLE[name][1]} for n, name in enumerate(names)]
        return tuple(TABLE[name][0](**part) for name, part in zip(names, parts, strict=True))

    # The builder reads the inputs' names from the code object.
    named = eval(f"lambda {', '.join(inputs)}: program({', '.join(inputs)})", {"program": program})
    return _files(build(_folder() / f"{names[0]}.mlpackage", named, inputs, target))


def _files(package: Path) -> Files:
    return {str(f.relative_to(package)): f.read_bytes() for f in package.rglob("*") if f.is_file()}


def make(rng: random.Random) -> Files:
    """A package damaged in its model, its weights or its manifest."""
    from coremltools.proto import Model_pb2

    files = dict(rng.choice(_packages()))
    how = rng.random()
    if how < 0.7:
        model = Model_pb2.Model()
        model.ParseFromString(files[MODEL])
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            _field(rng, model)
        files[MODEL] = model.SerializeToString()
    elif how < 0.85:
        files[MODEL] = damaged(rng, files[MODEL])
    elif how < 0.95 and WEIGHTS in files:
        # The header, a record's metadata, or anything.
        stored = files[WEIGHTS]
        begin = rng.choice([0, stored.index(b"\xef\xbe\xad\xde"), stored.rindex(b"\xef\xbe\xad\xde")])
        files[WEIGHTS] = damaged(rng, stored, begin, rng.choice([begin + 64, len(stored)]))
    else:
        files[MANIFEST] = _manifest(rng, files[MANIFEST])
    if rng.random() < 0.01:
        del files[rng.choice(list(files))]
    return files


def read(made: Files) -> None:
    """Run the package on inputs of the shapes that it declares, where these are of a usual size."""
    package = _folder() / "made.mlpackage"
    shutil.rmtree(package, ignore_errors=True)
    for name, content in made.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(content)
    executor = Executor(package)
    inputs = {}
    for name, (shape, dtype) in executor.inputs.items():
        sizes = [2 if size is None else size for size in shape or ()]
        if math.prod(sizes) > 1 << 20 or len(sizes) > 32:
            sizes = []
        inputs[name] = np.ones(sizes, np.float32 if dtype.startswith(("fp", "bf")) else np.int32)
    executor.trace(inputs)


def _messages(message: Any) -> Iterator[Any]:
    """A message and all below it."""
    yield message
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = value.values() if field.message_type.fields_by_name["value"].message_type else ()
        else:
            parts = value if field.is_repeated else (value,)
        for part in parts:
            yield from _messages(part)


def _field(rng: random.Random, model: Any) -> None:
    """Change one field of one message of the program, or of the whole."""
    program = model.mlProgram if rng.random() < 0.95 else model
    every = list(_messages(program))
    message = rng.choice(every)
    if not (fields := message.ListFields()):
        return
    field, value = rng.choice(fields)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif field.type == field.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
        _entry(rng, field, value)
    elif field.is_repeated:
        _repeated(rng, field, value)
    elif field.type == field.TYPE_MESSAGE:
        # By way of a third one, for the message may be a part of what it replaces.
        other = type(value)()
        other.CopyFrom(rng.choice([one for one in every if one.DESCRIPTOR is value.DESCRIPTOR]))
        value.CopyFrom(other)
    else:
        setattr(message, field.name, _scalar(rng, field, _texts(every)))


def _texts(every: list[Any]) -> Callable[[random.Random], str]:
    """Draws an odd text, or a name that the program has somewhere."""

    def draw(rng: random.Random) -> str:
        if rng.random() < 0.3:
            return text(rng)
        found = ""
        while not found:
            fields = rng.choice(every).ListFields()
            found = next((v for f, v in fields if f.type == f.TYPE_STRING and not f.is_repeated), "")
        return found

    return draw


def _entry(rng: random.Random, field: Any, value: Any) -> None:
    """An entry of a map lost, or under another name."""
    key = rng.choice(list(value))
    if isinstance(key, str) and field.message_type.fields_by_name["value"].message_type and rng.random() < 0.6:
        value[rng.choice([text(rng), f"{key}x", *value])].CopyFrom(value[key])
    if rng.random() < 0.6:
        del value[key]


def _repeated(rng: random.Random, field: Any, value: Any) -> None:
    """Elements lost, twice, in another order or changed."""
    at = rng.randrange(len(value))
    match rng.randrange(4):
        case 0:
            del value[at]
        case 1 if field.type == field.TYPE_MESSAGE:
            value.add().CopyFrom(value[at])
        case 2:
            del value[at + 1 :]
        case _ if field.type == field.TYPE_MESSAGE:
            value.add().CopyFrom(value[at])
            del value[at]
        case _:
            value[at] = _scalar(rng, field, text)


def _scalar(rng: random.Random, field: Any, draw: Callable[[random.Random], str]) -> Any:
    """Another value of a field's type."""
    kinds = {field.CPPTYPE_INT32: (32, True), field.CPPTYPE_INT64: (64, True), field.CPPTYPE_UINT32: (32, False)}
    kinds[field.CPPTYPE_UINT64] = (64, False)
    if field.cpp_type in kinds:
        return number(rng, *kinds[field.cpp_type])
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return real(rng)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == field.CPPTYPE_ENUM:
        return rng.choice([*field.enum_type.values_by_number, 0, 99])
    return draw(rng) if field.type == field.TYPE_STRING else rng.randbytes(rng.choice([0, 1, 4, 8, 100]))


def _manifest(rng: random.Random, stored: bytes) -> bytes:
    """Another manifest, down to none at all."""
    content = json.loads(stored)
    root = content["rootModelIdentifier"]
    odd: list[Any] = [None, 7, [], {}, "x", text(rng), "a/" * 3000, "/etc/passwd", "../" * 9, [[1]], True, 1e300]
    match rng.randrange(8):
        case 0:
            content["itemInfoEntries"][root]["path"] = rng.choice(odd)
        case 1:
            content[rng.choice(list(content))] = rng.choice(odd)
        case 2:
            content["itemInfoEntries"][root] = rng.choice(odd)
        case 3:
            content["itemInfoEntries"] = {key: rng.choice(odd) for key in content["itemInfoEntries"]}
        case 4:
            return b"[" * rng.choice([10, 100_000])
        case 5:
            return json.dumps(rng.choice(odd)).encode()
        case 6:
            return b'{"rootModelIdentifier": ' + b"9" * 5000 + b"}"
        case _:
            return damaged(rng, stored)
    return json.dumps(content).encode()
