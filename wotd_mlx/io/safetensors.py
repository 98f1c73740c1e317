"""Named arrays as safetensors: whole, of known types, with a digest of what they hold and of what made them.

Reference:
    The format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.io.files import open_file, write_atomically
from wotd_mlx.io.json import parse_json
from wotd_mlx.io.records import checked, line_of
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    import mlx.core as mx

DIGEST = "digest"
"""The metadata's key of the arrays' own digest."""
_EACH = "digests"
"""The metadata's key of the digests of single arrays, as JSON."""
_DEFLATED = "deflated"
"""The metadata's key of the types and shapes of arrays that are stored deflated, as JSON."""
_MOST = 1 << 26
"""Bytes that a deflated array may have: a few bytes of file could stand for any number."""

_TYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32")


@dataclass(frozen=True)
class Stored:
    """The arrays of a file, and the texts beside them."""

    arrays: dict[str, mx.array]
    metadata: dict[str, str]


def named(tree: Any) -> dict[str, mx.array]:
    """The arrays of a tree, such as a module's parameters, by their dotted names."""
    from mlx.utils import tree_flatten

    found = tree_flatten(tree, destination={})
    assert isinstance(found, dict)
    return found


def digest_of(value: Any) -> str:
    """What tells settings, or any value that JSON has a form for, from others: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()[:16]


def write_arrays(
    path: Path, arrays: Mapping[str, mx.array | NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> str:
    """Write named arrays, each in its own type, whole or not at all; returns the digest of what they hold.

    Args:
        metadata: texts beside them, such as a digest of the settings that made them.
    """
    import mlx.core as mx

    held = {name: value if isinstance(value, mx.array) else mx.array(value) for name, value in arrays.items()}
    digest = _digest(held)
    texts = {"format": "mlx", **(metadata or {}), DIGEST: digest}
    write_atomically(path, lambda file: mx.save_safetensors(file, held, texts))
    return digest


def read_metadata(path: Path, hint: str, made_from: Mapping[str, str] | None = None) -> dict[str, str]:
    """The texts beside the arrays, without reading these.

    Args:
        made_from: what they must say.

    Raises:
        MissingError: there is no such file.
        WotdError: cut short, no safetensors, or made from something else.
    """
    with _opened(path, hint) as file:
        metadata = dict(file.metadata() or {})
    for key, value in (made_from or {}).items():
        if metadata.get(key) != value:
            told = "doesn't say which" if key not in metadata else "was made from others"
            raise WotdError(f"{path} doesn't belong to the {key} here: it {told}; {hint}")
    return metadata


def read_arrays(path: Path, hint: str, made_from: Mapping[str, str] | None = None) -> Stored:
    """Read named arrays, all of them evaluated.

    Args:
        hint: what to do where they can't be read, such as ``train again into another folder``.
        made_from: what the metadata must say; with it the file must be one of :func:`write_arrays`, unchanged.

    Raises:
        MissingError: there is no such file.
        WotdError: cut short, no safetensors, of a type that isn't read here, changed after it was written, or made
            from something else.
    """
    import mlx.core as mx

    metadata = read_metadata(path, hint, made_from)
    with _opened(path, hint) as file:
        for name in file.keys():  # noqa: SIM118  no mapping
            if (kind := file.get_slice(name).get_dtype()) not in _TYPES:
                raise WotdError(f"{path}: {name} is stored as {kind}, expected one of {', '.join(_TYPES)}; {hint}")
    try:
        arrays = mx.load(str(path), format="safetensors")
        assert isinstance(arrays, dict)
        mx.eval(arrays)
    except (OSError, RuntimeError, ValueError) as error:
        raise WotdError(f"{path} can't be read as safetensors ({line_of(error)}); {hint}") from error
    if (made_from is not None or DIGEST in metadata) and metadata.get(DIGEST) != _digest(arrays):
        raise WotdError(f"{path} was changed or damaged after it was written; {hint}")
    return Stored(arrays, metadata)


class Parts:
    """The arrays of a file of :func:`write_parts`, each read, and compared with its digest, when it is asked for.

    No MLX is needed for that, and of a large file no more is read than what is used.
    """

    def __init__(self, path: Path, hint: str, made_from: Mapping[str, str] | None = None):
        self.path, self.hint = path, hint
        self.metadata = read_metadata(path, hint, made_from)
        where = f"{path}: its digests"
        self.digests = checked(dict[str, str], parse_json(self.metadata.get(_EACH, "").encode(), where), where)
        where, text = f"{path}: its deflated arrays", self.metadata.get(_DEFLATED, "{}")
        self._deflated = checked(dict[str, _Form], parse_json(text.encode(), where), where)

    def shape(self, name: str) -> tuple[int, ...]:
        """What an array's extents are, without reading it; none of them where the file lacks it."""
        with _opened(self.path, self.hint) as file:
            if name not in file.keys():  # noqa: SIM118  no mapping
                return ()
            form = self._deflated.get(name)
            return form.shape if form else tuple(file.get_slice(name).get_shape())

    def array(self, name: str, dtypes: Sequence[str], shape: Sequence[int | None]) -> NDArray[Any]:
        """One array.

        Args:
            dtypes: what it may be stored as, such as ``int8``.
            shape: its extents; None for any.

        Raises:
            WotdError: the file lacks it, it has another type or shape, or was damaged after it was written.
        """
        with _opened(self.path, self.hint) as file:
            if name not in file.keys():  # noqa: SIM118  no mapping
                raise WotdError(f"{self.path} lacks the array {name}; {self.hint}")
            kind = file.get_slice(name)
            if kind.get_dtype() not in _TYPES or kind.get_dtype() == "BF16":  # which NumPy lacks
                raise WotdError(f"{self.path}: {name} is stored as {kind.get_dtype()}; {self.hint}")
            found: NDArray[Any] = file.get_tensor(name)
        damaged = self.digests.get(name) != _part_digest(name, found)
        if form := self._deflated.get(name):
            inflated = None if damaged else _inflated(found.tobytes(), form)
            damaged = inflated is None
            found = np.zeros(0) if inflated is None else inflated
        if damaged:
            raise WotdError(f"{self.path}: {name} was changed or damaged after it was written; {self.hint}")
        fits = len(found.shape) == len(shape) and all(k in (None, n) for n, k in zip(found.shape, shape, strict=True))
        if found.dtype.name not in dtypes or not fits:
            wanted = f"{' or '.join(dtypes)} ({', '.join('any' if k is None else str(k) for k in shape)})"
            raise WotdError(f"{self.path}: {name} is {found.dtype.name} {found.shape}, expected {wanted}; {self.hint}")
        return found


@dataclass(frozen=True)
class _Form:
    """What a deflated array is."""

    dtype: str
    shape: tuple[int, ...]


def _inflated(raw: bytes, form: _Form) -> NDArray[Any] | None:
    """The array of a form; None where the bytes are none of it."""
    if form.dtype not in ("uint8", "int8", "uint16", "uint32", "int32") or min(form.shape, default=0) < 0:
        return None
    dtype = np.dtype(form.dtype)
    size = math.prod(form.shape) * dtype.itemsize
    if size > _MOST:
        return None
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(raw, size + 1)
    except zlib.error:
        return None
    return np.frombuffer(data, dtype).reshape(form.shape) if stream.eof and len(data) == size else None


def write_parts(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
    deflated: Collection[str] = (),
) -> str:
    """:func:`write_arrays`, and a digest of each array beside them, so that :class:`Parts` can read them singly.

    Args:
        deflated: arrays of integers that are stored smaller, and take a moment longer to read.
    """
    forms = {name: {"dtype": arrays[name].dtype.name, "shape": arrays[name].shape} for name in deflated}
    held = {name: _deflate(array) if name in forms else array for name, array in arrays.items()}
    digests = {name: _part_digest(name, array) for name, array in sorted(held.items())}
    texts = {**(metadata or {}), _EACH: json.dumps(digests)}
    return write_arrays(path, held, texts | ({_DEFLATED: json.dumps(forms, sort_keys=True)} if forms else {}))


def _deflate(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.compress(np.ascontiguousarray(array).tobytes(), 9), np.uint8)


def _part_digest(name: str, array: NDArray[Any]) -> str:
    found = hashlib.sha256(f"{name}:{array.dtype.name} {array.shape}\n".encode())
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:32]


def check_arrays(arrays: Mapping[str, mx.array], expected: Mapping[str, mx.array], path: Path, hint: str) -> None:
    """See that a file holds what a model has: the same names, shapes and types, and finite numbers.

    Raises:
        WotdError: it doesn't; one array is named, and what was expected of it.
    """
    if wrong := sorted(n for n in arrays.keys() | expected.keys() if _form(arrays.get(n)) != _form(expected.get(n))):
        got, want = (_form(of.get(wrong[0])) for of in (arrays, expected))
        raise WotdError(
            f"{path} doesn't fit: {len(wrong)} arrays differ, such as {wrong[0]}, which is {got}, expected {want}; "
            f"{hint}"
        )
    check_finite(arrays, path, hint)


def check_finite(arrays: Mapping[str, mx.array], path: Path, hint: str) -> None:
    """See that no number is NaN or infinite.

    Raises:
        WotdError: one is; its array is named.
    """
    import mlx.core as mx

    floats = {name: array for name, array in arrays.items() if mx.issubdtype(array.dtype, mx.floating) and array.size}
    # A sum is finite only if all it adds up are, and takes a third of the time; one that overflowed is looked into.
    sums = {name: mx.isfinite(array.sum()) for name, array in floats.items()}
    mx.eval(sums)
    doubtful = [name for name, found in sums.items() if not found.item()]
    if wrong := [name for name in doubtful if not mx.isfinite(floats[name]).all().item()]:
        raise WotdError(f"{path}: {wrong[0]} holds numbers that aren't finite; {hint}")


def _form(array: mx.array | None) -> str:
    if array is None:
        return "not there"
    return f"{str(array.dtype).removeprefix('mlx.core.')} {tuple(array.shape)}"


def _digest(arrays: Mapping[str, mx.array]) -> str:
    import mlx.core as mx

    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name}:{_form(array)}\n".encode())
        # NumPy has no bfloat16; its bits do.
        plain = array.view(mx.uint16) if array.dtype == mx.bfloat16 else array
        found.update(np.ascontiguousarray(np.asarray(plain)).data)
    return found.hexdigest()[:32]


@contextmanager
def _opened(path: Path, hint: str) -> Iterator[Any]:
    """The safetensors library's own view of a file, whose header and length it has checked."""
    from safetensors import SafetensorError, safe_open

    open_file(path, hint).close()
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise WotdError(f"{path} can't be read as safetensors ({line_of(error)}); {hint}") from error
