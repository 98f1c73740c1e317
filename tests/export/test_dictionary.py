"""``dictionary.wotd``: its numpy reader finds what the run's own search finds, and it is as large as it says."""

from __future__ import annotations

import random
import struct
import zlib

import mlx.core as mx
import numpy as np
import pytest

from tests.export.dictionaries import asked, random_codes
from tests.tolerances import close
from wotd_mlx.codes.lattice import bytes_an_entry
from wotd_mlx.export.dictionary import CodeBook, encoded, ids, searchable, told
from wotd_mlx.schemas import WotdError


@pytest.mark.parametrize("seed", range(12))
def test_the_search_is_the_runs(seed):
    model = random_codes(seed)
    book = CodeBook(encoded(model, searchable(model)))
    vectors, probabilities = asked(model, 80, seed)
    want = ids(model, vectors, probabilities)
    got = book.search(vectors, book.told(probabilities))
    assert len(np.unique(want, axis=0)) > 1
    # Equal to the last number but where two codes are equally near, in float32.
    differ = np.flatnonzero((want != got).any(axis=1))
    assert len(differ) <= 1
    for row in differ:
        far, near = (np.array(model.decode(mx.array(i[None], mx.int32))) for i in (want[row], got[row]))
        close(((vectors[row] - far) ** 2).sum(), ((vectors[row] - near) ** 2).sum(), "sum_order")


def test_all_kinds_of_dictionaries_were_tried():
    shapes = []
    for seed in range(12):
        q = random_codes(seed).quantizer
        shapes.append((len(q.sizes), q.graph.shape[1] > 0, int(q.columns[1]) > 0, len(q.atoms) < 60))
    assert {s[0] for s in shapes} == {1, 2, 3}
    assert all({s[n] for s in shapes} == {True, False} for n in (1, 2, 3))


def test_the_values_told_are_the_readers():
    model = random_codes(1)
    x, own = (np.random.default_rng(n).normal(size=(60, 40)).astype(np.float32) for n in range(2))
    model = random_codes(1, dims=40)
    parts = model.posteriors(mx.array(x), mx.array(own))
    close(
        told(np.concatenate([np.array(p) for p in parts], axis=1), model.text_reader.sizes),
        model.told(mx.array(x), mx.array(own)),
        "ids",
    )


def test_an_entry_takes_the_bytes_that_the_lattice_says():
    model = random_codes(3, dims=96, words=900)
    q = model.quantizer
    raw, graph = encoded(model, searchable(model)), q.graph.shape[1]
    children = np.minimum(-(-(q.levels[-1] - np.array(q.place[:, 0])) // np.array(q.place[:, 1])), graph + 1)
    cells = (np.array(q.place)[:, 0] == 0).sum()
    entries = len(q.atoms) * (bytes_an_entry(96) + 4) + 2 * (children - 1).sum()
    space = 96 * 96 * 4 + 96 * 8 + cells * 4 * (1 + len(q.levels) - 1 + len(q.sizes))
    assert entries < len(raw) < entries + space + 16 * 16


def test_a_damaged_file_is_refused():
    raw = encoded(model := random_codes(0), searchable(model))
    rng = random.Random(0)
    for _ in range(100):
        place = rng.randrange(len(raw))
        for damaged in (raw[:place], raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]):
            with pytest.raises(WotdError, match="no dictionary, or a damaged one; export the bundle again"):
                CodeBook(damaged)
    other = raw[:8] + struct.pack("<I", 9) + raw[12:-4]
    with pytest.raises(WotdError, match="of version 9, expected 1"):
        CodeBook(other + struct.pack("<I", zlib.adler32(other)))


def test_entries_beside_the_lattice_are_refused():
    model = random_codes(0)
    model.quantizer.atoms = model.quantizer.atoms * 1.01
    with pytest.raises(WotdError, match="lie beside their lattice; train the codes again"):
        encoded(model, searchable(model))
