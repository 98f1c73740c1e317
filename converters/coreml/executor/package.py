"""Read a saved ``.mlpackage`` that holds an ML program: its types, operations and constants."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.coreml.executor.blob import STORAGE, Array, BlobFile, decode

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

# An operation's argument: a name of an earlier value, or a constant written in place.
Binding = str | Array


@dataclass(frozen=True)
class Value:
    """The type of a named tensor; a dimension of None is not fixed, and a shape of None has no fixed rank."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        dims = "any" if self.shape is None else ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype} ({dims})"


@dataclass(frozen=True)
class Operation:
    """One operation: its MIL type, its arguments by parameter, the values it defines, its attributes."""

    type: str
    inputs: Mapping[str, tuple[Binding, ...]]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Array] = field(default_factory=dict)
    blocks: int = 0

    @property
    def name(self) -> str:
        return self.outputs[0].name if self.outputs else self.type


@dataclass(frozen=True)
class Package:
    """One function of a package."""

    path: Path
    function: str
    functions: tuple[str, ...]
    specification: int
    opset: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operations: tuple[Operation, ...]

    @property
    def opset_version(self) -> int:
        """The number in ``CoreML7``: 5 is iOS 15, 6 iOS 16, 7 iOS 17, 8 iOS 18."""
        found = re.fullmatch(r"CoreML(\d+)", self.opset)
        return int(found[1]) if found else 0


def _spec_path(path: Path) -> Path:
    """The file of the root model, by the manifest."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such package")
    manifest = path / "Manifest.json"
    if not manifest.is_file():
        raise ValueError(f"{path}: not a Core ML package: it is no folder with a Manifest.json")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        item = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest}: names no root model ({type(error).__name__}: {error})") from None
    spec = path / "Data" / str(item)
    if not spec.is_file():
        raise FileNotFoundError(f"{spec}: the manifest names this model, but it is missing")
    return spec


def load_spec(path: Path) -> tuple[Any, Path]:
    """Parse the model's protobuf; returns it and the folder that ``@model_path`` stands for."""
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    file = _spec_path(path)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file}: not a Core ML model, or truncated ({error})") from None
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise ValueError(f"{file}: holds a model of type {kind}; only mlProgram can be executed")
    if not 6 <= spec.specificationVersion <= NEWEST_SPECIFICATION:
        raise ValueError(
            f"{file}: specification version {spec.specificationVersion}; "
            f"known versions of an ML program are 6 to {NEWEST_SPECIFICATION}"
        )
    if spec.mlProgram.version != PROGRAM_VERSION:
        raise ValueError(f"{file}: ML program version {spec.mlProgram.version}; only {PROGRAM_VERSION} is known")
    return spec, file.parent


class _Reader:
    """Turns protobuf messages into the dataclasses above, with the package's weight files at hand."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[str, BlobFile] = {}

    def type_of(self, name: str, value_type: Any) -> Value:
        kind = value_type.WhichOneof("type")
        if kind != "tensorType":
            return Value(name, str(kind).removesuffix("Type"), None)
        tensor = value_type.tensorType
        dtype = DTYPES.get(tensor.dataType)
        if dtype is None:
            raise ValueError(f"{name}: dtype number {tensor.dataType} is unknown; known are {DTYPES}")
        shape: list[int | None] = []
        for dim in tensor.dimensions:
            if dim.WhichOneof("dimension") == "constant":
                shape.append(int(dim.constant.size))
            elif dim.unknown.variadic:
                return Value(name, dtype, None)
            else:
                shape.append(None)
        return Value(name, dtype, tuple(shape))

    def constant(self, name: str, value: Any) -> Array:
        """A constant's array: numbers in the declared dtype, texts as objects."""
        kind = self.type_of(name, value.type)
        if kind.dtype == "list":
            return np.array([self.constant(name, v)[()] for v in value.immediateValue.list.values], dtype=object)
        shape = tuple(int(d or 0) for d in kind.shape or ())
        if value.WhichOneof("value") == "blobFileValue":
            blob = value.blobFileValue
            if blob.fileName not in self.files:
                root, _, relative = blob.fileName.partition("/")
                if root != "@model_path" or ".." in relative.split("/"):
                    raise ValueError(f"{name}: its weight file {blob.fileName!r} is not in the package")
                self.files[blob.fileName] = BlobFile(self.folder / relative)
            return self.files[blob.fileName].read(int(blob.offset), kind.dtype, shape)
        which = value.immediateValue.WhichOneof("value")
        if which != "tensor":
            raise ValueError(f"{name}: a constant of kind {which} has no array")
        return self._immediate(name, kind.dtype, shape, value.immediateValue.tensor)

    def _immediate(self, name: str, dtype: str, shape: tuple[int, ...], tensor: Any) -> Array:
        which = tensor.WhichOneof("value")
        count = int(np.prod(shape, dtype=np.int64))
        if which is None:
            return np.zeros(shape, dtype=object if dtype == "string" else STORAGE[dtype])
        values = getattr(tensor, which).values
        if dtype == "string":
            return np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object).reshape(shape)
        if which == "bytes":
            raw = np.frombuffer(values, dtype=np.uint8)
            if len(values) == count and STORAGE[dtype].itemsize == 1:
                return raw.view(STORAGE[dtype]).reshape(shape)
            return decode(raw, dtype, shape)
        if len(values) != count:
            raise ValueError(f"{name}: {len(values)} numbers for the shape {shape}")
        return np.array(values, dtype=STORAGE[dtype]).reshape(shape)

    def operation(self, message: Any) -> Operation:
        outputs = tuple(self.type_of(o.name, o.type) for o in message.outputs)
        label = outputs[0].name if outputs else message.type
        inputs: dict[str, tuple[Binding, ...]] = {}
        for key, argument in message.inputs.items():
            inputs[key] = tuple(
                a.name if a.WhichOneof("binding") == "name" else self.constant(f"{label}.{key}", a.value)
                for a in argument.arguments
            )
        attributes = {
            key: self.constant(f"{label}.{key}", value)
            for key, value in message.attributes.items()
            if value.type.WhichOneof("type") in {"tensorType", "listType"}
        }
        return Operation(message.type, inputs, outputs, attributes, len(message.blocks))


def load_package(path: Path | str, function: str = "main") -> Package:
    """Read one function of the package at ``path``, with its constants."""
    path = Path(path)
    spec, folder = load_spec(path)
    program = spec.mlProgram
    names = tuple(sorted(program.functions))
    if function not in program.functions:
        raise ValueError(f"{path}: has no function {function!r}; its functions are {list(names)}")
    chosen = program.functions[function]
    if chosen.opset not in chosen.block_specializations:
        raise ValueError(
            f"{path}: function {function!r} is for opset {chosen.opset!r}, "
            f"but its blocks are for {sorted(chosen.block_specializations)}"
        )
    block = chosen.block_specializations[chosen.opset]
    reader = _Reader(folder)
    operations = tuple(reader.operation(o) for o in block.operations)
    inputs = tuple(reader.type_of(i.name, i.type) for i in chosen.inputs)
    known = {v.name: v for o in operations for v in o.outputs} | {v.name: v for v in inputs}
    if missing := [name for name in block.outputs if name not in known]:
        raise ValueError(f"{path}: no operation defines the outputs {missing}")
    return Package(
        path=path,
        function=function,
        functions=names,
        specification=int(spec.specificationVersion),
        opset=chosen.opset,
        inputs=inputs,
        outputs=tuple(known[name] for name in block.outputs),
        operations=operations,
    )
