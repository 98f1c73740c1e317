"""Read a saved ``.mlpackage`` that holds an ML program: its types, operations and constants."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.coreml.executor.blob import STORAGE, Array, BlobFile, decode
from converters.errors import PackageError, failure
from converters.names import from_metadata

# MIL's own number of each dtype, and the name that programs write in `cast`.
DTYPES = {
    1: "bool",
    2: "string",
    10: "fp16",
    11: "fp32",
    12: "fp64",
    13: "bf16",
    21: "int8",
    22: "int16",
    23: "int32",
    24: "int64",
    25: "int4",
    31: "uint8",
    32: "uint16",
    33: "uint32",
    34: "uint64",
    35: "uint4",
    36: "uint2",
    37: "uint1",
    38: "uint6",
    39: "uint3",
}
PROGRAM_VERSION = 1
NEWEST_SPECIFICATION = 10
# In which field of a message numbers of each of NumPy's kinds may stand; all but texts may be bytes too.
FIELDS = {"floats": "f", "doubles": "f", "ints": "iu", "longInts": "iu", "bools": "b", "bytes": "biuf"}
# How many numbers a program may hold, those that it computes included: so many, and so many for each byte on disk.
# A bit of a palette can stand for a vector of eight.
ROOM, ROOM_A_BYTE = 1 << 27, 64

# An operation's argument: a name of an earlier value, or a constant written in place.
Binding = str | Array


@dataclass(frozen=True)
class Value:
    """The type of a named tensor; a dimension of None is not fixed, and a shape of None has no fixed rank."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def fixed(self) -> bool:
        """True where the shape is known."""
        return self.shape is not None and None not in self.shape

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, with 0 for what isn't known."""
        return (0,) if self.shape is None else tuple(d or 0 for d in self.shape)

    @property
    def count(self) -> int:
        """How many numbers it holds, where its shape is known; else 0."""
        return math.prod(self.sizes)

    def __str__(self) -> str:
        dims = "any" if self.shape is None else ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name[:60]}: {self.dtype} ({dims})"


@dataclass(frozen=True)
class Operation:
    """One operation: its MIL type, its arguments by parameter, the values it defines, its attributes."""

    type: str
    inputs: Mapping[str, tuple[Binding, ...]]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Array] = field(default_factory=dict)
    blocks: int = 0
    inner: tuple[Operation, ...] = ()
    """The operations of its blocks, all of them."""

    @property
    def name(self) -> str:
        return self.outputs[0].name if self.outputs else self.type

    def __str__(self) -> str:
        return f"{self.type:.60} {self.name[:60]!r}"


@dataclass(frozen=True)
class Package:
    """One function of a package; ``room`` is how many numbers it may hold, constants and computed ones together.

    ``public`` tells what inputs and outputs are called where that is no name for Core ML; the int32 of ``unsigned``
    outputs is to be read as the uint32 of the same bits.
    """

    path: Path
    function: str
    functions: tuple[str, ...]
    specification: int
    opset: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    room: int
    public: Mapping[str, str]
    unsigned: frozenset[str]

    @property
    def opset_version(self) -> int:
        """The number in ``CoreML7``: 5 is iOS 15, 6 iOS 16, 7 iOS 17, 8 iOS 18."""
        return int(self.opset.removeprefix("CoreML"))


@contextmanager
def blamed(where: str) -> Iterator[None]:
    """Turn whatever a damaged part raises into a PackageError that names it, unless it says so itself."""
    try:
        yield
    except (PackageError, FileNotFoundError, NotImplementedError):
        raise
    except Exception as error:
        raise failure(where, error) from error


def _inside(root: str, folder: Path, name: str) -> Path:
    """The file called ``root/name``, which must lie in the folder that ``root`` stands for."""
    relative = name.removeprefix(f"{root}/") if root else name
    parts = relative.split("/")
    strange = len(name) > 1000 or not name.isprintable() or "\\" in name or not {"", ".."}.isdisjoint(parts)
    if strange or (root and relative == name):
        raise ValueError(f"its file {name[:60]!r} is not in the package")
    return folder / relative


def _spec_path(path: Path) -> Path:
    """The file of the root model, by the manifest."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such package")
    manifest = path / "Manifest.json"
    if not manifest.is_file():
        raise ValueError("not a Core ML package: it is no folder with a Manifest.json")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        item = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        spec = _inside("", path / "Data", item)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"Manifest.json names no root model: {type(error).__name__}: {error}") from error
    if not spec.is_file():
        raise FileNotFoundError(f"{spec}: the manifest names this model, but it is missing")
    return spec


def load_spec(path: Path) -> tuple[Any, Path]:
    """Parse the model's protobuf; returns it and its file, whose folder ``@model_path`` stands for."""
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    file = _spec_path(path)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file.name}: not a Core ML model, or truncated ({error})") from error
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise ValueError(f"{file.name}: a model of type {kind}; only mlProgram can be executed")
    if not 6 <= spec.specificationVersion <= NEWEST_SPECIFICATION:
        raise ValueError(
            f"{file.name}: specification version {spec.specificationVersion}; "
            f"known versions of an ML program are 6 to {NEWEST_SPECIFICATION}"
        )
    if spec.mlProgram.version != PROGRAM_VERSION:
        raise ValueError(
            f"{file.name} has ML program version {spec.mlProgram.version}; only {PROGRAM_VERSION} is known"
        )
    return spec, file


class _Reader:
    """Turns protobuf messages into the dataclasses above, with the package's weight files at hand."""

    def __init__(self, path: Path, spec: Path):
        self.path, self.folder = path, spec.parent
        self.files: dict[str, BlobFile] = {}
        self.room = ROOM + ROOM_A_BYTE * spec.stat().st_size
        self.taken = 0

    def take(self, count: int) -> None:
        """Reckon with so many more numbers."""
        self.taken += count
        if self.taken > self.room:
            raise ValueError(f"the program holds {self.taken:,} numbers; for files of this size expected {self.room:,}")

    def type_of(self, name: str, value_type: Any) -> Value:
        kind = value_type.WhichOneof("type")
        if kind != "tensorType":
            return Value(name, str(kind).removesuffix("Type"), None)
        tensor = value_type.tensorType
        dtype = DTYPES.get(tensor.dataType)
        if dtype is None:
            raise ValueError(f"{name[:60]!r} has the dtype number {tensor.dataType}; known are {[*DTYPES]}")
        shape: list[int | None] = []
        for dim in tensor.dimensions:
            which = dim.WhichOneof("dimension")
            if which is None:
                raise ValueError(f"{name[:60]!r} has a dimension without a size")
            if which == "unknown" and dim.unknown.variadic:
                return Value(name, dtype, None)
            shape.append(int(dim.constant.size) if which == "constant" else None)
        if tensor.rank != len(shape):
            raise ValueError(f"{name[:60]!r} has rank {tensor.rank} and {len(shape)} dimensions")
        return Value(name, dtype, tuple(shape))

    def constant(self, value: Any) -> Array:
        """A constant's array: numbers in the declared dtype, texts as objects."""
        kind = self.type_of("the constant", value.type)
        if kind.dtype == "list":
            return np.array([self.constant(v)[()] for v in value.immediateValue.list.values], dtype=object)
        if kind.dtype not in STORAGE and kind.dtype != "string":
            raise ValueError(f"a constant of type {kind.dtype} has no array")
        if not kind.fixed:
            raise ValueError(f"got a constant of a shape that is not fixed, {kind}")
        shape = kind.sizes
        if value.WhichOneof("value") == "blobFileValue":
            blob = self._file(value.blobFileValue.fileName)
            self.take(math.prod(shape))
            return blob.read(int(value.blobFileValue.offset), kind.dtype, shape)
        which = value.immediateValue.WhichOneof("value")
        if which != "tensor":
            raise ValueError(f"a constant of kind {which} has no array")
        return self._immediate(kind.dtype, shape, value.immediateValue.tensor)

    def _file(self, name: str) -> BlobFile:
        if name not in self.files:
            self.files[name] = BlobFile(_inside("@model_path", self.folder, name))
            self.room += ROOM_A_BYTE * self.files[name].size
        return self.files[name]

    def _immediate(self, dtype: str, shape: tuple[int, ...], tensor: Any) -> Array:
        which = tensor.WhichOneof("value")
        count = math.prod(shape)
        values: Any = getattr(tensor, which).values if which else []
        if dtype == "string":
            array = np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object)
        elif which == "bytes":
            array = np.frombuffer(values, dtype=np.uint8)
            if len(values) != count or STORAGE[dtype].itemsize > 1:
                return decode(array, dtype, shape)
            array = array.view(STORAGE[dtype])
        elif which and STORAGE[dtype].kind not in FIELDS.get(which, ""):
            raise ValueError(f"{which} in a constant of {dtype}")
        else:
            array = np.array(values, dtype=STORAGE[dtype])
        if len(array) != count:
            raise ValueError(f"{len(array)} values for the shape {shape}")
        return array.reshape(shape)

    def operation(self, message: Any) -> Operation:
        outputs = tuple(self.type_of(o.name, o.type) for o in message.outputs)
        label = f"{self.path}: {Operation(message.type, {}, outputs)}"
        with blamed(label):
            inputs: dict[str, tuple[Binding, ...]] = {}
            for key, argument in message.inputs.items():
                with blamed(f"{label}: {key[:60]}"):
                    inputs[key] = tuple(map(self._binding, argument.arguments))
            attributes = {}
            for key, value in message.attributes.items():
                if value.type.WhichOneof("type") in {"tensorType", "listType"}:
                    with blamed(f"{label}: {key[:60]}"):
                        attributes[key] = self.constant(value)
            inner = tuple(self.operation(o) for block in message.blocks for o in block.operations)
            return Operation(message.type, inputs, outputs, attributes, len(message.blocks), inner)

    def _binding(self, argument: Any) -> Binding:
        return argument.name if argument.WhichOneof("binding") == "name" else self.constant(argument.value)


def load_package(path: Path | str, function: str = "main") -> Package:
    """Read one function of the package at ``path``, with its constants.

    Raises:
        FileNotFoundError: no such package, or a file that it names is missing.
        PackageError: it is damaged, or has no such function.
    """
    path = Path(path)
    with blamed(str(path)):
        return _load(path, function)


def _load(path: Path, function: str) -> Package:
    spec, file = load_spec(path)
    program = spec.mlProgram
    names = tuple(sorted(program.functions))
    if function not in program.functions:
        raise ValueError(f"has no function {function!r}; its functions are {list(names)}")
    chosen = program.functions[function]
    if chosen.opset not in chosen.block_specializations or not re.fullmatch(r"CoreML[1-9]\d?", chosen.opset):
        raise ValueError(
            f"function {function!r} is for opset {chosen.opset!r}, expected one such as CoreML7; "
            f"its blocks are for {sorted(chosen.block_specializations)}"
        )
    block = chosen.block_specializations[chosen.opset]
    reader = _Reader(path, file)
    inputs = tuple(reader.type_of(i.name, i.type) for i in chosen.inputs)
    operations = tuple(reader.operation(o) for o in block.operations)
    known = {v.name: v for v in inputs}
    for operation in operations:
        for value in operation.outputs:
            if value.name in known:
                raise ValueError(f"{operation}: a second value {value.name[:60]!r}")
            known[value.name] = value
            if operation.type != "const":
                with blamed(f"{path}: {operation}"):
                    reader.take(value.count)
    if not block.outputs or (missing := [name for name in block.outputs if name not in known]):
        raise ValueError(f"no operation defines the outputs {missing if block.outputs else 'that it should have'}")
    public, unsigned = from_metadata(spec.description.metadata.userDefined)
    return Package(
        path=path,
        function=function,
        functions=names,
        specification=int(spec.specificationVersion),
        opset=chosen.opset,
        inputs=inputs,
        outputs=tuple(known[name] for name in block.outputs),
        operations=operations,
        room=reader.room,
        public=public,
        unsigned=unsigned,
    )
