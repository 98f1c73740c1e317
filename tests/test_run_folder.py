"""A run's files belong together: what was changed, lost or left from another training is told when it is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import small_config
from wotd_mlx import SemanticEncoder, TrainingConfig, WotdError, train_wotd_pipeline
from wotd_mlx.io.safetensors import read_arrays, read_metadata, write_arrays
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import MissingError


@pytest.fixture
def run(finished, tmp_path) -> RunFolder:
    shutil.copytree(finished.run, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def vectors_of(run: RunFolder, change) -> None:
    """Write the run's vectors changed, as a damaged writer would: with the right digests."""
    stored = read_arrays(run.vectors, "")
    write_arrays(run.vectors, {"vectors": change(np.array(stored.arrays["vectors"]))}, stored.metadata)


def put(row: int, value: float):
    def change(x: np.ndarray) -> np.ndarray:
        x[row] = value
        return x

    return change


def edit(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))


def lines(file: Path, change) -> None:
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


def test_a_missing_run_is_told_from_an_unfinished_one_and_from_a_file(tmp_path, run):
    with pytest.raises(MissingError, match=r"no run folder .*absent; make one with"):
        RunFolder(tmp_path / "absent").read_config()
    run.model.unlink()
    with pytest.raises(MissingError, match=r"has no codes/model.safetensors, so it holds no finished run"):
        SemanticEncoder.load(run.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WotdError, match=r"file is a file, expected a run folder"):
        SemanticEncoder.load(tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:-1], r"vectors, which is float32 \(1199, 32\), expected float32 \(1200, 32\)"),
        (lambda x: np.concatenate([x, x[:1]]), r"float32 \(1201, 32\), expected float32 \(1200, 32\)"),
        (lambda x: x[:0], r"float32 \(0, 32\), expected"),
        (lambda x: x.T, r"float32 \(32, 1200\), expected"),
        (lambda x: x.ravel(), r"float32 \(38400,\), expected"),
        (lambda x: x.astype(np.float16), r"float16 \(1200, 32\), expected float32"),
        (lambda x: x.view(np.int32), r"int32 \(1200, 32\), expected float32"),
        (put(3, np.nan), "vectors holds numbers that aren't finite"),
        (put(3, np.inf), "vectors holds numbers that aren't finite"),
        (put(1199, 0), "row 1199 has length 0, expected 1"),
        (lambda x: 2 * x, "row 0 has length 2, expected 1"),
    ],
)
def test_vectors_that_are_no_unit_vectors_of_the_words_are_refused(run, change, message):
    vectors_of(run, change)
    with pytest.raises(WotdError, match=message) as caught:
        run.read_words()
    assert "embeddings.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:10] + rows[11:],
        lambda rows: rows[:11] + rows[10:],
        lambda rows: [rows[1], rows[0], *rows[2:]],
        lambda rows: [*rows, b'{"word": "zzz"}\n'],
        lambda rows: rows[: len(rows) // 2],
    ],
    ids=["one less", "one twice", "swapped", "one more", "half"],
)
def test_words_that_were_changed_are_told_and_never_trained_on(run, change, checkpoint):
    lines(run.corpus, change)
    with pytest.raises(WotdError, match=r"known.safetensors doesn't belong to the words here: it was made from"):
        SemanticEncoder.load(run.path).nearest(np.ones((1, 32), np.float32))
    with pytest.raises(WotdError, match=r"embeddings.safetensors doesn't belong to the words here: .*; restore"):
        train_wotd_pipeline(small_config(checkpoint), run.path)
    run.model.unlink()
    before = run.semantic_ids.read_bytes()
    with pytest.raises(WotdError, match="doesn't belong to the words here"):
        train_wotd_pipeline(small_config(checkpoint), run.path)
    assert run.semantic_ids.read_bytes() == before


def test_codes_of_other_settings_vectors_or_ids_are_refused(run, checkpoint):
    edit(run.config, b'"seed": 0', b'"seed": 1')
    with pytest.raises(WotdError, match=r"model.safetensors doesn't belong to the settings here"):
        SemanticEncoder.load(run.path)
    edit(run.config, b'"seed": 1', b'"seed": 0')
    vectors_of(run, lambda x: -x)
    with pytest.raises(WotdError, match=r"model.safetensors doesn't belong to the vectors here"):
        train_wotd_pipeline(small_config(checkpoint), run.path)
    vectors_of(run, lambda x: -x)
    words = json.loads(run.semantic_ids.read_text())
    first, second = list(words["words"])[:2]
    words["words"][first], words["words"][second] = words["words"][second], words["words"][first]
    run.semantic_ids.write_text(json.dumps(words))
    with pytest.raises(WotdError, match=r"known.safetensors doesn't belong to the IDs here"):
        SemanticEncoder.load(run.path).encode(["forsooth"])


def test_memory_and_cache_may_change_under_finished_codes(run, finished):
    config = json.loads(run.config.read_text())
    run.config.write_text(json.dumps(config | {"cache": "other.sqlite", "memory_limit": 1 << 33}))
    assert SemanticEncoder.load(run.path).encode(["forsooth"]) == SemanticEncoder.load(finished.run).encode(
        ["forsooth"]
    )


def test_a_flipped_bit_in_the_codes_is_told(run):
    content = bytearray(run.model.read_bytes())
    content[-5] ^= 1
    run.model.write_bytes(content)
    with pytest.raises(WotdError, match="was changed or damaged after it was written"):
        SemanticEncoder.load(run.path).decode([(0, 0, 0, 0)])


def test_codes_that_are_not_finite_are_told(run):
    stored = read_arrays(run.model, "")
    stored.arrays["mean"] = stored.arrays["mean"] * float("nan")
    write_arrays(run.model, stored.arrays, stored.metadata)
    with pytest.raises(WotdError, match=r"model.safetensors: mean holds numbers that aren't finite"):
        SemanticEncoder.load(run.path).decode([(0, 0, 0, 0)])


def test_a_file_of_another_writer_is_told(run):
    stored = read_arrays(run.model, "")
    from safetensors.numpy import save_file

    save_file({name: np.asarray(value) for name, value in stored.arrays.items()}, run.model)
    with pytest.raises(WotdError, match="doesn't belong to the settings here: it doesn't say which"):
        SemanticEncoder.load(run.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids: [], "it is [], expected keys and values"),
        (lambda ids: ids | {"words": 5}, "words is 5, expected keys and values"),
        (lambda ids: {"corpora": ids["corpora"]}, "lacks words"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": 1.5}}, "words.morn is 1.5, expected a list"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": [1, 2, None, 0]}}, "words.morn[2] is None, expected int"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": [1, 2, True, 0]}}, "words.morn[2] is True, expected int"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": [0, 0, 0, 10**12]}}, "number 4 is 1000000000000"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": [0, 0, 0, -1]}}, "number 4 is -1"),
        (lambda ids: ids | {"words": ids["words"] | {"morn": [0]}}, "the ID [0] has 1 numbers"),
    ],
)
def test_ids_of_another_form_are_named_with_their_word(run, change, message):
    run.semantic_ids.write_text(json.dumps(change(json.loads(run.semantic_ids.read_text()))))
    with pytest.raises(WotdError) as caught:
        run.read_ids(TrainingConfig().codes.levels)
    assert message in str(caught.value)
    assert "semantic_ids.json" in str(caught.value)
    with pytest.raises(WotdError, match=r"known.safetensors doesn't belong to the IDs here"):
        SemanticEncoder.load(run.path).encode(["forsooth"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {k: v for k, v in c.items() if k != "dims"}, "dims is None, expected the embedding's width"),
        (lambda c: c | {"dims": -1}, "dims is -1"),
        (lambda c: c | {"dims": True}, "dims is True"),
        (lambda c: c | {"attributes": [{"name": "style"}]}, "attributes[0] lacks values"),
        (
            lambda c: c | {"codes": c["codes"] | {"levels": [10**9] * 4}},
            "codes.levels[0] is 1000000000, expected",
        ),
        (lambda c: c | {"colour": 1}, "unknown keys 'colour'"),
    ],
)
def test_settings_of_another_form_are_named_with_their_key(run, change, message):
    run.config.write_text(json.dumps(change(json.loads(run.config.read_text()))))
    with pytest.raises(WotdError) as caught:
        SemanticEncoder.load(run.path)
    assert message in str(caught.value)


@pytest.mark.parametrize("part", ["seconds", "peak_bytes", "codes"])
def test_metrics_of_another_form_are_named(run, part, checkpoint):
    metrics = json.loads(run.metrics.read_text())
    run.metrics.write_text(json.dumps(metrics | {part: ["x"]}))
    with pytest.raises(WotdError, match=rf"metrics.json: {part}"):
        train_wotd_pipeline(small_config(checkpoint), run.path)


def test_the_student_belongs_to_its_codes(taught, tmp_path):
    shutil.copytree(taught.run, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    stored = read_arrays(run.student, "")
    write_arrays(run.student, stored.arrays, {"codes": "0" * 32})
    with pytest.raises(WotdError, match=r"student.safetensors doesn't belong to the codes here"):
        SemanticEncoder.load(run.path, encoder="student")
    assert read_metadata(run.student, "")["codes"] == "0" * 32


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_vector_that_nothing_is_near_to_is_refused(finished, value):
    coder = SemanticEncoder.load(finished.run)
    vectors = coder.embed(["forsooth", "telephone"])
    vectors = np.array(vectors)
    vectors[1] = value
    for ask in (coder.encode_vectors, coder.nearest):
        with pytest.raises(WotdError, match=r"vector 1 of 2 is (zero|not finite)"):
            ask(vectors)


def test_more_neighbours_than_words_are_all_words(finished):
    coder = SemanticEncoder.load(finished.run)
    found = coder.nearest(coder.embed(["forsooth"]), 5000, distinct=False)[0]
    assert len({n.word for n in found}) == len(found) == 1200
