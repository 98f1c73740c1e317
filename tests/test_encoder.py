"""SemanticEncoder on a finished run, and runs that it must refuse."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tests.conftest import rewrite_config, small_config, write_checkpoint
from tests.tolerances import close
from wotd_mlx import SemanticEncoder, WotdError, train_wotd_pipeline
from wotd_mlx.codes.student import Student
from wotd_mlx.config.student import StudentConfig
from wotd_mlx.run_folder import RunFolder


@pytest.fixture(scope="module")
def coder(finished) -> SemanticEncoder:
    return SemanticEncoder.load(finished.run)


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.run, tmp_path / "run")
    return tmp_path / "run"


def test_ids_of_many_are_ids_of_each(coder):
    texts = ["serendipity", "forsooth", "", "two words", "naïve", "日本", "x" * 3000]
    together = coder.encode(texts)
    assert together == [coder.encode([text])[0] for text in texts]
    assert coder.encode([]) == []
    assert all(0 <= n < k for i in together for n, k in zip(i, coder.levels, strict=True))


def test_decode_gives_the_vector_that_training_decoded_to(coder):
    _, vectors = coder.words
    ids = coder.encode_vectors(vectors)
    decoded = coder.decode(ids)
    assert decoded.shape == vectors.shape
    relative = ((vectors - decoded) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum()
    assert relative < 1
    for i in ids[:20]:
        close(coder.decode([i])[0], decoded[ids.index(i)], "sum_order")


def test_labels_of_an_id_are_those_that_most_words_with_its_codes_have(coder):
    for number in coder.encode(["forsooth", "telephone"]):
        for a, (attribute, value) in enumerate(coder.labels([number])[0].items()):
            row = np.array(coder.model.tables[a])[number[a]]
            assert value == (coder.config.attributes[a].values[int(row.argmax())] if row.any() else None), attribute


def test_what_evidence_says_of_a_word_wins_however_it_is_typed(finished):
    coder = SemanticEncoder.load(finished.run)
    words = [word for word in coder.words[0] if len(word.labels) == 3][:20]
    for word, found in zip(words, coder.read([f" {word.text.upper()} " for word in words]), strict=True):
        assert (found.labels, found.source, found.truncated) == (word.labels, "known", False)
        assert set(found.probability.values()) == {1.0}
        assert found.id == coder.own_ids[word.text]
    assert "embedder" not in vars(coder)


def test_what_is_predicted_says_so_and_how_likely_it_is(coder):
    found = coder.read(["two words", "forsooth"])
    assert [reading.source for reading in found] == ["predicted", "known"]
    for name, p in found[0].probability.items():
        assert (found[0].labels[name] is None) == (p <= 0.5)


def test_a_prediction_goes_by_the_vector_and_the_embedding_that_no_dictionary_changed(coder):
    """Each step by hand: the embedding, the map of what no dictionary has, the reader of both."""
    texts = ["qorving", "two words", "unforsoothing"]
    bare = mx.array(coder.embedder.embed(texts))
    posteriors = coder.model.text_reader.posteriors(mx.concatenate([coder.meaning(bare), bare], axis=1))
    for attribute, part in zip(coder.config.attributes, map(np.array, posteriors), strict=True):
        for found, row in zip(coder.predict(texts), part, strict=True):
            close(found.probability[attribute.name], row.max(), "sum_order")
            wanted = attribute.values[int(row.argmax())] if row.max() > 0.5 else None
            assert found.labels[attribute.name] == wanted


def test_nearest_finds_a_word_of_the_run_itself(coder):
    vectors = coder.embed(["forsooth", "telephone"])
    found = coder.nearest(vectors, 3)
    assert [n[0].word for n in found] == ["forsooth", "telephone"]
    assert all(len(n) == 3 and n[0].cosine >= n[1].cosine >= n[2].cosine for n in found)
    close([n[0].cosine for n in found], [1, 1], "sum_order")


def test_interpolation_begins_at_a_and_ends_at_b(coder):
    a, b = coder.embed(["forsooth", "telephone"])
    path = coder.interpolate(a, b, 7)
    assert [round(p.alpha, 6) for p in path] == [round(n / 6, 6) for n in range(7)]
    assert path[0].nearest[0].word == "forsooth"
    assert path[-1].nearest[0].word == "telephone"
    assert [path[0].id, path[-1].id] == coder.encode(["forsooth", "telephone"])


def test_ids_on_the_way_never_turn_back(coder):
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(size=(2, 32)).astype(np.float32)
        path = coder.interpolate(a, b, 12)
        unit = coder.decode([p.id for p in path])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert (np.diff(unit @ unit[-1]) >= -1e-6).all()
        assert (np.diff(unit @ unit[0]) <= 1e-6).all()


def test_neighbours_are_all_ids_within_the_radius_nearest_first(coder):
    centre = (2, 0, 4, 1)
    for radius in (0, 1, 2):
        found = coder.neighbours(centre, radius)
        grid = np.stack(np.meshgrid(*map(np.arange, coder.levels), indexing="ij"), axis=-1).reshape(-1, 4)
        distances = np.abs(grid - centre).sum(axis=1)
        assert {tuple(i) for i in found} == {tuple(i) for i in grid[(distances <= radius) & (distances > 0)]}
        if radius:
            unit = coder.decode([centre, *found])
            unit /= np.linalg.norm(unit, axis=1, keepdims=True)
            assert (np.diff(unit[1:] @ unit[0]) <= 1e-6).all()
    for bad, radius, message in ((centre, -1, "radius is -1"), ((9, 0, 0, 0), 1, "allows 0 to 7")):
        with pytest.raises(WotdError, match=message):
            coder.neighbours(bad, radius)


def test_words_of_the_corpora_have_the_ids_of_the_run(coder):
    ids = coder.run.read_json(coder.run.semantic_ids)["words"]
    assert [list(i) for i in coder.encode(list(ids)[:50])] == list(ids.values())[:50]


def test_a_run_with_detail_gives_more_of_a_vector_back(checkpoint, tmp_path):
    config = small_config(checkpoint)
    config = replace(config, codes=replace(config.codes, kind="hvq", detail=24))
    info = train_wotd_pipeline(config, tmp_path / "run")
    coder = SemanticEncoder.load(info.run)
    texts = ["forsooth", "telephone", ""]
    ids, detail = coder.encode_whole(texts)
    assert ids == coder.encode(texts)
    assert [len(d) for d in detail] == [3, 3, 3]
    vectors = coder.embed(texts)
    errors = [np.square(vectors - v).sum() for v in (coder.decode(ids), coder.decode(ids, detail))]
    assert errors[1] < errors[0]
    codes = info.metrics["codes"]
    assert codes["detail"]["relative_mse"] < codes["relative_mse"]
    assert codes["detail"]["bits"] == pytest.approx(codes["bits"] + 24)
    assert codes["detail"]["collision_rate"] <= codes["collision_rate"]
    for bad in (detail[:2], [[0, 0]] * 3, [[0, 0, 256]] * 3):
        with pytest.raises(WotdError, match="detail doesn't fit this run: 3 rows of 3 numbers"):
            coder.decode(ids, bad)


@pytest.mark.parametrize("bad", [[(1, 2, 3)], [(8, 0, 0, 0)], [(0, 0, 0, -1)]])
def test_ids_that_are_none_of_this_run_are_refused(coder, bad):
    with pytest.raises(WotdError, match=r"numbers;|allows 0 to"):
        coder.decode(bad)


def test_vectors_of_another_width_are_refused(coder):
    with pytest.raises(WotdError, match=r"got vectors of shape \(2, 7\); this run's are \(N, 32\)"):
        coder.encode_vectors(np.ones((2, 7), np.float32))


def test_a_folder_without_a_checkpoint_names_what_is_missing(copy, tmp_path):
    (copy / "codes" / "model.safetensors").unlink()
    with pytest.raises(WotdError, match=r"has no codes/model.safetensors.*wotd-mlx train --out"):
        SemanticEncoder.load(copy)
    with pytest.raises(WotdError, match="no run folder"):
        SemanticEncoder.load(tmp_path / "absent")


def test_a_truncated_checkpoint_is_named(copy):
    file = copy / "codes" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WotdError, match=r"model.safetensors can't be read"):
        SemanticEncoder.load(copy)


def test_a_checkpoint_of_other_shapes_is_named(copy):
    config = json.loads((copy / "config.json").read_text())
    rewrite_config(copy, codes=config["codes"] | {"latent": 16})
    with pytest.raises(
        WotdError, match=r"decoder.linear.weight, which is float32 \(32, 8\), expected float32 \(32, 16\)"
    ):
        SemanticEncoder.load(copy).decode([(0, 0, 0, 0)])


def test_the_student_answers_alone_and_the_teacher_does_the_rest(taught):
    coder = SemanticEncoder.load(taught.run, encoder="student")
    texts = ["thou and thee", "telephones ring", "two words", "日本"]
    ids = coder.encode(texts)
    assert "embedder" not in vars(coder)
    assert [list(i) for i in ids] == coder.student.encode(texts).tolist()
    assert coder.encode([]) == []
    assert coder.decode(ids).shape == (4, 32)
    assert len(coder.labels(ids)) == 4
    assert coder.encode(["forsooth"]) == [coder.own_ids["forsooth"]]
    with pytest.raises(WotdError, match="encoder 'pupil' is unknown; expected one of teacher, student"):
        SemanticEncoder.load(taught.run, encoder="pupil")


def test_a_missing_or_damaged_student_is_named(copy, taught, tmp_path):
    with pytest.raises(WotdError, match=r"has no student; make one with `wotd-mlx train --student --out"):
        SemanticEncoder.load(copy, encoder="student")
    file = copy / "codes" / "student.safetensors"
    file.write_bytes((taught.run / "codes" / "student.safetensors").read_bytes()[:-100])
    with pytest.raises(WotdError, match=r"student.safetensors can't be read"):
        SemanticEncoder.load(copy, encoder="student")
    other = Student(
        SemanticEncoder.load(taught.run, encoder="student").student._tokenizer, (3, 3), StudentConfig(width=2)
    )
    codes = {"codes": RunFolder(copy).model_metadata()["digest"]}
    RunFolder(copy).write_arrays(file, other.arrays(), codes)
    with pytest.raises(WotdError, match=r"learnt levels \[3, 3\], the codes have \[8, 8, 8, 2048\]; delete it"):
        SemanticEncoder.load(copy, encoder="student")
    RunFolder(copy).write_arrays(file, {"about": np.zeros(3, np.uint8)}, codes)
    with pytest.raises(WotdError, match=r"student.safetensors: not a student's weights"):
        SemanticEncoder.load(copy, encoder="student")


def test_a_run_whose_embedding_changed_is_refused(copy, tmp_path):
    rewrite_config(copy, embedding=str(write_checkpoint(tmp_path / "other", width=16)))
    with pytest.raises(WotdError, match=r"trained on 32-wide vectors .* now 16 wide"):
        SemanticEncoder.load(copy).encode(["a word that nobody knows"])
    rewrite_config(copy, embedding="gone/model")
    with pytest.raises(WotdError, match="unknown embedding 'gone/model'"):
        SemanticEncoder.load(copy).encode(["a word that nobody knows"])


def test_inference_never_falls_back_to_a_default_embedding(copy):
    config = json.loads((copy / "config.json").read_text())
    del config["dims"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WotdError, match="dims"):
        SemanticEncoder.load(copy)
