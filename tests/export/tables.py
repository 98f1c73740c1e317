"""A reader of ``words.wotd`` that shares nothing with its writer, and a word table drawn by chance."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from wotd_mlx.export.table import Table
from wotd_mlx.words.normal import normal


@dataclass(frozen=True)
class Read:
    words: list[bytes]
    ids: np.ndarray
    owners: np.ndarray
    scales: np.ndarray
    vectors: np.ndarray
    pieces: list[bytes]
    numbers: np.ndarray


def read_table(raw: bytes) -> Read:
    """The parts of a table, by the layout that its writer's docstring tells."""
    assert raw[:8] == b"WOTDTABL"
    version, n, q, width, m, d, p, zero = struct.unpack_from("<8I", raw, 8)
    word_bytes, piece_bytes = struct.unpack_from("<2Q", raw, 40)
    assert (version, zero) == (1, 0)
    at = 56

    def part(dtype: str, count: int) -> np.ndarray:
        nonlocal at
        padding = -at % 16
        assert raw[at : at + padding] == bytes(padding)
        array = np.frombuffer(raw, dtype, count, at + padding)
        at += padding + array.nbytes
        return array

    def texts(count: int, size: int) -> list[bytes]:
        ends, joined = part("<u4", count).tolist(), part("u1", size).tobytes()
        return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    found = Read(
        texts(n, word_bytes),
        part(f"<u{width}", n * q).reshape(n, q),
        part("<u4", m),
        part("<f4", m),
        part("i1", m * d).reshape(m, d),
        texts(p, piece_bytes),
        part("<u4", p),
    )
    part("u1", 0)
    assert struct.unpack_from("<I", raw, at) == (zlib.adler32(raw[:at]),)
    assert len(raw) == at + 4
    return found


def random_table(seed: int) -> Table:
    """Words of few letters, so that many begin alike; some tables have no word, no vector or no piece."""
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    letters = rng.choice(["ab", "aé", "日a\U0001f600", "ab c'"])
    texts = {normal("".join(rng.choices(letters, k=rng.randint(1, 7)))) for _ in range(rng.choice([0, 1, 40, 400]))}
    words = rng.sample(sorted(texts - {""}), len(texts - {""}))
    levels = rng.choice([(3,), (8, 8, 8, 2048), (4, 1 << 16), (5, 70_000), (2, (1 << 31) - 1)])
    own = rng.sample(range(len(words)), rng.randint(0, len(words)))
    ids = np.stack([draw.integers(0, k, len(words)) for k in levels], axis=1)
    vectors = draw.normal(size=(len(own), rng.choice([1, 7, 8, 24, 384]))).astype(np.float32)
    pieces = {text: rng.randrange(1 << 31) for text in sorted(texts)[: rng.randint(0, len(texts))]}
    return Table(words, ids, own, vectors, pieces)
