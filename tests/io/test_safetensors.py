"""Arrays as safetensors: read back as written, agreeing with the library, and every damage told."""

from __future__ import annotations

import json
import struct

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from wotd_mlx.io.safetensors import (
    Parts,
    check_arrays,
    check_finite,
    digest_of,
    read_arrays,
    read_metadata,
    write_arrays,
    write_parts,
)
from wotd_mlx.schemas import MissingError, WotdError

TYPES = [mx.bool_, mx.uint8, mx.int8, mx.int16, mx.uint32, mx.int32, mx.int64, mx.float16, mx.bfloat16, mx.float32]


def written(tmp_path, **arrays):
    file = tmp_path / "a.safetensors"
    write_arrays(file, arrays or {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"settings": "s"})
    return file


def header(file):
    raw = file.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]


def rewrite(file, head, data: bytes) -> None:
    raw = head if isinstance(head, bytes) else json.dumps(head).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_arrays_of_every_type_read_back(tmp_path, dtype):
    given = {
        "a": mx.array([[0, 1], [1, 0]]).astype(dtype),
        "scalar": mx.array(1).astype(dtype),
        "none": mx.zeros((0, 3)),
    }
    found = read_arrays(written(tmp_path, **given), "").arrays
    assert {n: (a.dtype, a.shape) for n, a in found.items()} == {n: (a.dtype, a.shape) for n, a in given.items()}
    assert all(mx.array_equal(found[name], given[name]) for name in given)


def test_the_library_reads_what_we_write_and_we_what_it_writes(tmp_path):
    arrays = {"scalar": np.float32(3).reshape(()), "table": np.arange(6, dtype=np.float32).reshape(3, 2).T}
    theirs = load_file(written(tmp_path, **arrays))
    assert all((theirs[name] == arrays[name]).all() and theirs[name].shape == arrays[name].shape for name in arrays)
    save_file(theirs, tmp_path / "b.safetensors")
    ours = read_arrays(tmp_path / "b.safetensors", "").arrays
    assert all((np.asarray(ours[name]) == arrays[name]).all() for name in arrays)


def test_the_digest_tells_names_types_shapes_and_values(tmp_path):
    base = {"a": np.arange(4, dtype=np.float32), "b": np.ones(2, np.float32)}
    others = [
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"].reshape(2, 2), "b": base["b"]},
        {"a": base["a"].view(np.int32), "b": base["b"]},
        {"a": base["a"] + np.float32(1e-6) * (base["a"] == 1), "b": base["b"]},
    ]
    file = tmp_path / "a"
    first = write_arrays(file, base)
    assert first == write_arrays(file, dict(reversed(base.items()))) == read_metadata(file, "")["digest"]
    assert len({first, *(write_arrays(file, other) for other in others)}) == 5


def test_settings_are_told_apart_whatever_their_order():
    assert digest_of({"a": 1, "b": (1, 2)}) == digest_of({"b": [1, 2], "a": 1}) != digest_of({"a": 1, "b": [2, 1]})


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_is_told(tmp_path_factory, at, bit):
    file = written(tmp_path_factory.mktemp("a"))
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)
    try:
        found = read_arrays(file, "", {"settings": "s"}).arrays
    except WotdError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:  # a letter of `"format":"mlx"`, which nothing depends on
        assert mx.array_equal(found["w"], mx.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-1]), "can't be read as safetensors"),
        (lambda f: f.write_bytes(f.read_bytes() + b"more"), "can't be read as safetensors"),
        (lambda f: f.write_bytes(b""), "can't be read as safetensors"),
        (lambda f: f.write_bytes(struct.pack("<Q", 2**62) + f.read_bytes()[8:]), "can't be read as safetensors"),
        (lambda f: f.write_bytes(b"\0" * 1000), "can't be read as safetensors"),
        (lambda f: rewrite(f, b"[" * 100_000 + b"]" * 100_000, header(f)[1]), "can't be read as safetensors"),
        (lambda f: f.unlink() or f.mkdir(), "is a folder, expected a file"),
    ],
)
def test_what_is_no_safetensors_is_one_line(tmp_path, damage, message):
    file = written(tmp_path)
    damage(file)
    with pytest.raises(WotdError, match=message) as caught:
        read_arrays(file, "train again")
    assert "train again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F64"])
def test_a_type_that_is_not_read_is_named(tmp_path, kind):
    file, width = tmp_path / "a", 8 if kind == "F64" else 1
    rewrite(file, {"w": {"dtype": kind, "shape": [4], "data_offsets": [0, 4 * width]}}, b"\0" * 4 * width)
    with pytest.raises(WotdError, match=f"w is stored as {kind}, expected one of BOOL"):
        read_arrays(file, "train again")


def test_what_was_made_from_something_else_is_told(tmp_path):
    file = written(tmp_path)
    assert read_arrays(file, "", {"settings": "s"}).metadata["settings"] == "s"
    with pytest.raises(WotdError, match="doesn't belong to the settings here: it was made from others"):
        read_arrays(file, "", {"settings": "t"})
    with pytest.raises(WotdError, match="doesn't belong to the words here: it doesn't say which"):
        read_arrays(file, "", {"words": "t"})
    save_file({"w": np.ones(1, np.float32)}, file)
    with pytest.raises(WotdError, match="was changed or damaged"):
        read_arrays(file, "", {})
    with pytest.raises(MissingError, match="no file"):
        read_arrays(tmp_path / "none", "")


def test_arrays_are_held_to_a_models(tmp_path):
    want = {"a": mx.zeros((2, 3)), "b": mx.zeros((1,), mx.int32)}
    check_arrays(want, want, tmp_path, "")
    for wrong, message in (
        ({"a": mx.zeros((3, 2)), "b": want["b"]}, r"a, which is float32 \(3, 2\), expected float32 \(2, 3\)"),
        ({"a": want["a"].astype(mx.bfloat16), "b": want["b"]}, r"a, which is bfloat16 \(2, 3\), expected float32"),
        ({"a": want["a"]}, r"b, which is not there, expected int32 \(1,\)"),
        (want | {"evil": want["a"]}, r"1 arrays differ, such as evil, which is float32 \(2, 3\), expected not there"),
        (want | {"a": want["a"] / 0}, "a holds numbers that aren't finite"),
    ):
        with pytest.raises(WotdError, match=message):
            check_arrays(wrong, want, tmp_path, "")
    large = mx.full((4,), 6e4, mx.float16)  # whose sum is infinite
    check_finite({"i": mx.array([1]), "none": mx.zeros((0,)), "large": large}, tmp_path, "")
    for bad in (float("inf"), -float("inf"), float("nan")):
        with pytest.raises(WotdError, match="large holds numbers"):
            check_finite({"large": mx.array([1.0, bad, -bad])}, tmp_path, "")


def test_deflated_arrays_read_back_and_every_damage_of_theirs_is_told(tmp_path):
    file, array = tmp_path / "a", np.arange(3000, dtype=np.uint16).reshape(30, 100) % 7
    write_parts(file, {"a": array, "b": np.ones(3, np.float32)}, deflated=["a"])
    parts = Parts(file, "")
    assert (parts.array("a", ["uint16"], [30, None]) == array).all()
    assert parts.array("a", ["uint16"], [30, None]).dtype == np.uint16
    assert parts.shape("a") == (30, 100)
    assert file.stat().st_size < 1500
    with pytest.raises(WotdError, match=r"a is uint16 \(30, 100\), expected int8 \(30, any\)"):
        parts.array("a", ["int8"], [30, None])
    texts = parts.metadata
    for form in ('{"dtype": "uint16", "shape": [30, 99]}', '{"dtype": "uint16", "shape": [99999999, 99999]}',
                 '{"dtype": "object", "shape": [1]}', '{"dtype": "uint8", "shape": [-1]}'):  # fmt: skip
        write_arrays(file, read_arrays(file, "").arrays, texts | {"deflated": '{"a": ' + form + "}"})
        with pytest.raises(WotdError, match="a was changed or damaged"):
            Parts(file, "").array("a", ["uint16", "uint8"], [None] * 2)
    for text in ("[]", "{", '{"a": 3}', '{"a": {"dtype": "uint8"}}'):
        write_arrays(file, read_arrays(file, "").arrays, texts | {"deflated": text})
        with pytest.raises(WotdError, match="its deflated arrays"):
            Parts(file, "")
