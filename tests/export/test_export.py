"""What `wotd-mlx export` leaves: whole bundles, true manifests, fixtures that the package keeps."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from converters import coreml, report
from converters.coreml import lower
from tests.conftest import small_config
from tests.export.tables import read_table
from tests.tolerances import close
from wotd_mlx import train_wotd_pipeline
from wotd_mlx.cli import main
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.config import export as config
from wotd_mlx.config.export import ExportConfig
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export import agreement, targets
from wotd_mlx.export.bundle import export
from wotd_mlx.export.dictionary import CodeBook, searchable
from wotd_mlx.export.fixtures import COUNT, ODD_TEXTS
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.normal import normal


@pytest.fixture(autouse=True)
def _few_words(monkeypatch):
    monkeypatch.setattr(targets, "CHECKED", 40)


@pytest.fixture(scope="module")
def coder(finished):
    return SemanticEncoder.load(finished.run)


@pytest.fixture(scope="module")
def bundle(coder, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "CHECKED", 250)
        return out, export(coder, "text-encoder", out, ExportConfig("float32"))


def read(folder, name="manifest.json"):
    return json.loads((folder / name).read_text())


def test_bundle_holds_all_that_an_app_needs(bundle):
    out, made = bundle
    assert sorted(p.name for p in out.iterdir()) == [
        *("TextEncoder.mlpackage", "WOTDKit", "dictionary.wotd", "fixtures.json", "manifest.json", "tokenizer.json"),
        "words.wotd",
    ]
    assert (out / "WOTDKit" / "Package.swift").is_file()
    assert made.package == out / "TextEncoder.mlpackage"
    assert made.bytes == sum(f.stat().st_size for f in made.package.rglob("*") if f.is_file())


def test_manifest_is_true(bundle, coder):
    out, made = bundle
    manifest = read(out)
    assert manifest["kind"] == "text-encoder"
    assert manifest["inputs"] == [
        {"name": "token_ids", "shape": [1, 16], "dtype": "int32"},
        {"name": "mask", "shape": [1, 16], "dtype": "int32"},
    ]
    assert {o["name"]: o["shape"] for o in manifest["outputs"]} == {
        "vector": [1, 32],
        "probabilities": [1, sum(coder.model.text_reader.sizes)],
    }
    assert manifest["dictionary"] == {"file": "dictionary.wotd", "entries": len(coder.model.quantizer.atoms)}
    assert manifest["codes"]["levels"] == [8, 8, 8, 2048]
    assert [c["name"] for c in manifest["codes"]["coordinates"]] == ["style", "complexity", "era", "variation"]
    assert [len(c["codes"]) for c in manifest["codes"]["coordinates"]] == [8, 8, 8, 0]
    assert manifest["verification"]["codes_equal"] == made.report.codes_equal
    assert manifest["verification"]["outputs"]["vector"]["psnr_db"] == round(made.report.psnr_db["vector"], 2)
    for row in manifest["codes"]["coordinates"][0]["codes"]:
        assert row["label"] == coder.labels([[row["code"], 0, 0, 0]])[0]["style"]


def test_every_known_word_is_there_with_its_id(bundle, coder):
    out, _ = bundle
    table = read_table((out / "words.wotd").read_bytes())
    words = [word.decode() for word in table.words]
    assert table.words == sorted(word.encode() for word in coder.known.words)
    assert [tuple(number) for number in table.ids.tolist()] == [tuple(i) for i in coder.encode(words)]
    counts = {"count": len(words), "vectors": len(coder.own_ids), "dimensions": coder.dims}
    assert read(out)["words"] == {"file": "words.wotd", **counts}


def test_the_table_has_the_tokenizers_pieces(bundle):
    out, _ = bundle
    table = read_table((out / "words.wotd").read_bytes())
    pieces = dict(zip((piece.decode() for piece in table.pieces), table.numbers.tolist(), strict=True))
    assert pieces == Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab()
    settings = read(out)["tokenizer"]
    assert [settings[f"{name}_id"] for name in ("unknown", "start", "end", "pad")] == [1, 2, 3, 0]
    assert (settings["max_length"], settings["strip_accents"], settings["lowercase"]) == (16, True, True)


def test_every_file_has_its_hash(bundle):
    out, _ = bundle
    hashes = read(out)["sha256"]
    files = {f.relative_to(out).as_posix() for f in out.rglob("*") if f.is_file() and "WOTDKit" not in f.parts} - {
        "manifest.json"
    }
    assert set(hashes) == files
    for name, digest in hashes.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_fixtures_are_what_the_package_gives(bundle):
    out, made = bundle
    fixtures = read(out, "fixtures.json")
    assert len(fixtures["cases"]) == COUNT + len(ODD_TEXTS)
    same = 0
    for case in fixtures["cases"]:
        inputs = {"token_ids": np.array([case["tokens"]]), "mask": np.array([case["mask"]])}
        got = coreml.run(made.package, inputs) if case["text"] in ODD_TEXTS[:12] else None
        if got is None:
            continue
        close(got["vector"][0], np.array(case["vector"]), "sum_order")
        close(got["probabilities"][0], np.array(case["probabilities"]), "sum_order")
        same += searched(out, got) == tuple(case["id"])
    assert same == 12


def test_a_package_predicts_what_the_run_predicts(bundle, coder):
    out, made = bundle
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tokenizer.enable_padding(length=16)
    texts = ["qorving", "two words", "ember", "morn"]
    for text, wanted in zip(texts, coder.predict(texts), strict=True):
        encoded = tokenizer.encode(text)
        inputs = {"token_ids": np.array([encoded.ids]), "mask": np.array([encoded.attention_mask])}
        assert searched(out, coreml.run(made.package, inputs)) == tuple(wanted.id)


def searched(out, got) -> tuple[int, ...]:
    """The ID that the bundle's dictionary has for what its package gave."""
    book = CodeBook((out / "dictionary.wotd").read_bytes())
    return tuple(book.search(got["vector"], book.told(got["probabilities"]))[0].tolist())


def test_ids_are_compared_as_an_app_finds_them(bundle):
    out, made = bundle
    told = read(out)["verification"]["outputs"]
    assert set(told) == {"vector", "probabilities", "id", "id[:3]"}
    assert made.report.codes_equal == told["id"]["equal"] <= told["id[:3]"]["equal"]
    assert told["id"]["equal"] >= 0.995


def test_only_a_dictionary_with_labels_and_without_a_detail_is_searched_by_the_caller(coder, tmp_path, checkpoint):
    assert searchable(coder.model) is coder.model.quantizer
    config = small_config(checkpoint).codes
    for changes, attributes in (({"detail": 20}, coder.config.attributes), ({}, ()), ({"kind": "rvq"}, ())):
        assert searchable(Autoencoder(32, replace(config, **changes), attributes)) is None


@pytest.mark.parametrize(
    ("precision", "least", "says"),
    [
        ("float16", "CODES_EQUAL", r"id is equal in .*% of rows; float16 asks for 200.0%.*--force"),
        ("int8", "READABLE_EQUAL", r"id\[:3\] is equal in .*% of rows; int8 asks for 200.0%.*--force"),
    ],
)
def test_other_ids_are_refused(coder, tmp_path, monkeypatch, precision, least, says):
    monkeypatch.setattr(agreement, least, 2.0)
    monkeypatch.setitem(report.GATES_DB, "int8", 0.0)
    with pytest.raises(WotdError, match=says):
        export(coder, "text-encoder", tmp_path / "bundle", ExportConfig(precision))
    assert list(tmp_path.iterdir()) == []


def test_fixtures_hold_what_the_tokenizer_makes(bundle):
    out, _ = bundle
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    for case in read(out, "fixtures.json")["cases"]:
        encoded = tokenizer.encode(normal(case["text"]))
        assert (case["tokens"], case["mask"]) == (encoded.ids, encoded.attention_mask)


def test_odd_texts_are_odd():
    assert "" in ODD_TEXTS
    assert max(map(len, ODD_TEXTS)) >= 5000
    assert {"日本語", "😀", "İstanbul", "\x00", "[SEP]"} < set(ODD_TEXTS)


def test_the_words_of_the_corpora_come_with_vectors(bundle, coder):
    out, _ = bundle
    table = read_table((out / "words.wotd").read_bytes())
    texts = [table.words[row].decode() for row in table.owners]
    assert sorted(texts) == sorted(coder.own_ids)
    vectors = table.scales[:, None] * table.vectors
    close(np.linalg.norm(vectors, axis=1), np.ones(len(vectors)), "sum_order")
    stored = {word.text: vector for word, vector in zip(*coder.words, strict=True)}
    cosines = (vectors * np.stack([stored[text] for text in texts])).sum(axis=1)
    assert cosines.min() > 0.9999


def test_what_encode_gives_is_told_for_known_and_unknown_texts(bundle, coder):
    out, _ = bundle
    fixtures = read(out, "fixtures.json")
    cases = {case["text"]: case["id"] for case in fixtures["cases"]}
    known = [row for row in fixtures["encoded"] if row["source"] == "known"]
    rest = [row for row in fixtures["encoded"] if row["source"] == "predicted"]
    assert len(known) >= 40
    assert len(rest) >= 40
    for row in known:
        found = coder.known.row(row["text"])
        assert row["id"] == coder.known.ids[found].tolist()
        assert row["text"] != coder.known.words[found]
    for row in rest:
        assert coder.known.row(row["text"]) is None
        assert row["id"] == cases[row["text"]]
    assert {row["text"] for row in rest} == {text for text in cases if coder.known.row(text) is None}


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_other_targets(coder, tmp_path, name):
    made = export(coder, name, tmp_path / "bundle")
    fixtures = read(tmp_path / "bundle", "fixtures.json")["cases"]
    assert read(tmp_path / "bundle")["kind"] == name
    for case in fixtures[:5]:
        if name == "encoder":
            got = coreml.run(made.package, {"vector": np.array([case["vector"]], np.float32)})
            assert got["id"][0].tolist() == case["id"]
        else:
            got = coreml.run(made.package, {"id": np.array([case["id"]])})
            close(got["vector"][0], coder.decode([case["id"]])[0], "executor_half")


def test_encoder_agrees_with_the_run(coder, tmp_path):
    made = export(coder, "encoder", tmp_path / "bundle", ExportConfig("float32"))
    words, vectors = coder.words
    for row in range(0, len(words), 97):
        got = coreml.run(made.package, {"vector": vectors[row : row + 1]})
        assert tuple(got["id"][0]) == coder.encode_vectors(vectors[row : row + 1])[0]


@pytest.mark.parametrize("kind", ["rvq", "fsq", "residual", "binary"])
def test_other_codes(checkpoint, tmp_path, kind):
    run = train_wotd_pipeline(small_config(checkpoint, kind=kind), tmp_path / "run")
    coder = SemanticEncoder.load(run.run)
    for name in ("encoder", "decoder"):
        made = export(coder, name, tmp_path / name, ExportConfig("float32"))
        assert made.report.codes_equal == 1
        assert made.report.psnr_db >= 90


def test_detail_leaves_with_the_id(checkpoint, tmp_path):
    config = small_config(checkpoint)
    run = train_wotd_pipeline(replace(config, codes=replace(config.codes, detail=20)), tmp_path / "run")
    coder = SemanticEncoder.load(run.run)
    made = export(coder, "encoder", tmp_path / "encoder", ExportConfig("float32"))
    _, vectors = coder.words
    ids = coder.model.encode(mx.array(vectors[:1]))
    detail = coder.model.encode_detail(mx.array(vectors[:1]), ids)
    got = coreml.run(made.package, {"vector": vectors[:1]})
    assert got["detail"].tolist() == np.asarray(detail).tolist()
    back = export(coder, "decoder", tmp_path / "decoder", ExportConfig("float32"))
    got = coreml.run(back.package, {"id": np.asarray(ids), "detail": np.asarray(detail)})
    close(got["vector"], coder.model.decode_detail(ids, detail), "sum_order")


def test_existing_folder_is_kept(coder, tmp_path):
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "mine").write_text("precious")
    with pytest.raises(WotdError, match=r"exists; choose another --out, or replace it with --force"):
        export(coder, "encoder", out)
    assert (out / "mine").read_text() == "precious"
    export(coder, "encoder", out, ExportConfig(force=True))
    assert not (out / "mine").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_leaves_nothing(coder, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("wotd_mlx.export.bundle._fill", broken)
    with pytest.raises(KeyboardInterrupt):
        export(coder, "encoder", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_far_is_refused(coder, tmp_path, monkeypatch):
    monkeypatch.setitem(report.GATES_DB, "float16", 500.0)
    with pytest.raises(
        WotdError, match=r"vector has .* dB; float16 asks for 500.*The worst tensor inside is .*--force"
    ):
        export(coder, "text-encoder", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "length", "says"),
    [
        ("student", 16, "can't export 'student'; expected one of encoder, text-encoder"),
        ("text-encoder", 999, "4 to 64"),
    ],
)
def test_wrong_wishes(coder, tmp_path, name, length, says):
    with pytest.raises(WotdError, match=says):
        export(coder, name, tmp_path / "bundle", ExportConfig(length=length))
    assert list(tmp_path.iterdir()) == []


def test_choices_are_the_converters():
    """Declared where the command can show them without loading it."""
    assert set(config.PRECISIONS) == set(lower.PRECISIONS)
    assert set(config.TARGETS) == set(lower.TARGETS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"precision": "int4"}, "export precision is 'int4'; expected one of float16, float32, int8, palette6, pal"),
        ({"target": "iOS16"}, "export target is 'iOS16'; expected one of iOS17, iOS18, iOS26"),
        ({"length": 3}, "export length is 3, expected int >= 4"),
        ({"context": 0}, "export context is 0, expected .*>= 1"),
        ({"context": 65537}, "export context is 65537, expected .*<= 65536"),
    ],
)
def test_settings_have_ranges(changes, says):
    with pytest.raises(WotdError, match=says):
        ExportConfig(**changes)


def test_command_prints_one_object(finished, tmp_path):
    argv = ["export", "encoder", "--run", str(finished.run), "--out", str(tmp_path / "bundle"), "--json"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert set(row) == {"package", "bytes", "psnr_db", "codes_equal"}
    assert row["package"] == str(tmp_path / "bundle" / "Encoder.mlpackage")
    assert (row["psnr_db"], row["codes_equal"]) == (None, 1.0)
    again = CliRunner().invoke(main, argv)
    assert again.exit_code == 1
    assert "error: " in again.output


def test_command_reads_for_people(finished, tmp_path):
    argv = ["export", "decoder", "--run", str(finished.run), "--out", str(tmp_path / "bundle"), "--layers"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    assert re.search(r"^ +\d+\.\d dB  codes\.decoder\.linear +codes_decoder_linear", result.output, re.MULTILINE)
    assert "40 words by reference" in result.output or "40 words by coreml" in result.output
    assert "dB" in result.output
    assert "not expected on the Neural Engine: " in result.output
