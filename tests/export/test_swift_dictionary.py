"""WOTDKit's search of ``dictionary.wotd`` beside the numpy reader's, and what it does with damaged files."""

from __future__ import annotations

import json
import random
import struct
import subprocess

import numpy as np
import pytest

from tests.export.dictionaries import asked, random_codes
from tests.export.test_table import damages, with_sum
from wotd_mlx.export.dictionary import CodeBook, encoded, searchable

SEEDS, DAMAGES = range(12), 150


@pytest.fixture(scope="module")
def ask(programs):
    def answers(questions: list[dict]) -> list[dict]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        command = [programs.program("search")]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return answers


@pytest.fixture(scope="module")
def files() -> list[tuple[bytes, np.ndarray, np.ndarray]]:
    """Dictionaries drawn by chance, and what to ask each."""
    models = [random_codes(seed) for seed in SEEDS]
    return [(encoded(m, searchable(m)), *asked(m, 60, seed)) for seed, m in zip(SEEDS, models, strict=True)]


def question(path, raw: bytes, vectors: np.ndarray, probabilities: np.ndarray) -> dict:
    path.write_bytes(raw)
    return {"file": str(path), "vectors": vectors.tolist(), "probabilities": probabilities.tolist()}


def test_the_search_is_the_exporters(ask, files, tmp_path):
    found = ask([question(tmp_path / f"{n}.wotd", *file) for n, file in enumerate(files)])
    rows = wrong = 0
    for answer, (raw, vectors, probabilities) in zip(found, files, strict=True):
        book = CodeBook(raw)
        assert answer["count"] == len(book.atoms)
        want = book.search(vectors, book.told(probabilities))
        rows, wrong = rows + len(want), wrong + int((want != np.array(answer["ids"])).any(axis=1).sum())
    # Two codes may be equally near, in float32.
    assert (rows, wrong <= 2) == (60 * len(files), True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v, p: (v[:, 1:], p), "expected 5 and"),
        (lambda v, p: (v, p[:, :0]), "and 0 probabilities, expected 5 and"),
        (lambda v, p: (v[:, :0], p), "got 0 numbers and"),
    ],
)
def test_other_numbers_are_refused(ask, files, tmp_path, change, says):
    raw, vectors, probabilities = files[0]
    (found,) = ask([question(tmp_path / "d.wotd", raw, *change(vectors, probabilities))])
    assert says in found["error"]


def test_a_damaged_file_ends_in_one_line(ask, files, tmp_path):
    rng, questions = random.Random(0), []
    for n in range(DAMAGES):
        raw, vectors, probabilities = rng.choice(files)
        questions.append(question(tmp_path / f"{n}.wotd", damages(raw, rng), vectors[:1], probabilities[:1]))
    for answer in ask(questions):
        assert answer["error"].endswith("; export the bundle again")
        assert "\n" not in answer["error"]


def test_a_file_that_lies_is_refused_or_answers(ask, files, tmp_path):
    """Its checksum fits, and its counts, places and numbers are anybody's."""
    rng, questions = random.Random(1), []
    for n in range(2 * DAMAGES):
        raw, vectors, probabilities = rng.choice(files)
        changed = bytearray(raw)
        place = 4 * rng.randrange(2, 19 if n % 2 else len(raw) // 4)
        changed[place : place + 4] = struct.pack(
            "<I", rng.choice([0, 1, 255, 65536, 0x7F000000, 0x7FC00000, 1 << 31, (1 << 32) - 1])
        )
        questions.append(question(tmp_path / f"{n}.wotd", with_sum(bytes(changed)), vectors[:3], probabilities[:3]))
    answers = ask(questions)
    assert len(answers) == len(questions)
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert DAMAGES // 2 < len(refused) < 2 * DAMAGES
    assert all(error.endswith("; export the bundle again") and "\n" not in error for error in refused)
