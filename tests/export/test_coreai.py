"""`--format`: bundles of Core ML, of Core AI and of both, held to the same run."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from converters import coreml
from tests.export.test_lvm import CONTEXT, DIMS, trained
from tests.tolerances import close
from wotd_mlx.cli import main
from wotd_mlx.config import export as config
from wotd_mlx.config.export import ExportConfig
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export import packages, predictor, targets
from wotd_mlx.export.bundle import export
from wotd_mlx.export.checks import checks
from wotd_mlx.export.dictionary import CodeBook
from wotd_mlx.schemas import WotdError

try:
    importlib.import_module("converters.coreai")
    why_not = ""
except coreml.ConversionError as error:
    why_not = str(error)
needs_coreai = pytest.mark.skipif(bool(why_not), reason=why_not)


@pytest.fixture(autouse=True, scope="module")
def _few_examples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "CHECKED", 40)
        patch.setattr(predictor, "CHECKED", 40)
        yield


@pytest.fixture(scope="module")
def coder(finished):
    return SemanticEncoder.load(finished.run)


@pytest.fixture(scope="module")
def both(finished, tmp_path_factory):
    """A text encoder's bundle of both, by the command: the folder and the line that it printed."""
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    argv = ["export", "text-encoder", "--run", str(finished.run), "--out", str(out), "--format", "both", "--json"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def size(folder) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@needs_coreai
def test_both_packages_lie_in_one_bundle(both):
    out, row = both
    assert sorted(p.name for p in out.iterdir()) == [
        *("TextEncoder.aimodel", "TextEncoder.mlpackage", "WOTDKit", "dictionary.wotd", "fixtures.json"),
        *("manifest.json", "tokenizer.json", "words.wotd"),
    ]
    assert list(row) == ["package", "bytes", "psnr_db", "codes_equal", "coreai"]
    assert list(row["coreai"]) == ["package", "bytes", "psnr_db", "codes_equal"]
    for told, name in ((row, "TextEncoder.mlpackage"), (row["coreai"], "TextEncoder.aimodel")):
        assert told["package"] == str(out / name)
        assert told["bytes"] == size(out / name)
        assert told["psnr_db"] >= 50
        assert told["codes_equal"] >= 0.995


@needs_coreai
def test_the_manifest_tells_of_each(both):
    out, row = both
    found = manifest(out)
    first, second = found["packages"]
    assert [first["format"], second["format"]] == ["coreml", "coreai"]
    assert [first["minimum_deployment_target"], second["minimum_deployment_target"]] == ["iOS17", "iOS27"]
    for told, package in ((row, first), (row["coreai"], second)):
        outputs = package["verification"]["outputs"]
        assert package["bytes"] == told["bytes"]
        assert min(outputs[name]["psnr_db"] for name in ("vector", "probabilities")) == told["psnr_db"]
        assert package["verification"]["codes_equal"] == outputs["id"]["equal"] == told["codes_equal"]
        assert (package["verification"]["examples"], package["verification"]["examples_left_out"]) == (40, 0)
        assert [(port["name"], port["shape"]) for port in package["inputs"]] == [
            ("token_ids", [1, 16]),
            ("mask", [1, 16]),
        ]
        assert package["sha256"] == {
            file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in (out / package["package"]).rglob("*")
            if file.is_file()
        }
        assert package["sha256"].items() <= found["sha256"].items()
    assert first["verification"]["engine"] in ("reference", "coreml")
    assert second["verification"]["engine"] == "coreai"
    assert [port["dtype"] for port in second["inputs"]] == ["uint32", "int32"]
    assert {port["name"]: port["dtype"] for port in second["outputs"]} == {
        "vector": "float32",
        "probabilities": "float32",
    }


@needs_coreai
def test_readers_that_know_of_one_package_find_the_core_ml_one(both):
    out, _ = both
    found = manifest(out)
    first = found["packages"][0]
    assert found["package"] == "TextEncoder.mlpackage"
    for name in ("inputs", "outputs", "verification", "neural_engine", "minimum_deployment_target"):
        assert found[name] == first[name]
    assert [port["dtype"] for port in found["inputs"]] == ["int32", "int32"]


@needs_coreai
def test_ids_are_those_of_mlx_by_either_package(both, coder):
    out, _ = both
    book = CodeBook((out / "dictionary.wotd").read_bytes())
    texts = ["qorving", "two words", "ember", "morn", "", "今日は"]
    wanted = [tuple(reading.id) for reading in coder.predict(texts)]
    examples = targets.tokens(coder, texts, 16)
    for name in ("TextEncoder.mlpackage", "TextEncoder.aimodel"):
        made = [coreml.run(out / name, example) for example in examples]
        found = [tuple(book.search(m["vector"], book.told(m["probabilities"]))[0].tolist()) for m in made]
        assert found == wanted, name


@needs_coreai
def test_an_app_can_check_each_package_on_three_cases(both):
    out, _ = both
    found = manifest(out)["checks"]
    cases = {case["text"]: case for case in json.loads((out / "fixtures.json").read_text())["cases"]}
    book = CodeBook((out / "dictionary.wotd").read_bytes())
    assert len({case["text"] for case in found}) == 3
    for case in found:
        assert case.items() <= cases[case["text"]].items()
        for name in ("TextEncoder.mlpackage", "TextEncoder.aimodel"):
            inputs = {"token_ids": np.array([case["tokens"]]), "mask": np.array([case["mask"]])}
            got = coreml.run(out / name, inputs)
            assert book.search(got["vector"], book.told(got["probabilities"]))[0].tolist() == case["id"]
            close(got["vector"][0], np.array(case["vector"]), "executor_half")


@needs_coreai
def test_cases_that_a_package_gets_wrong_are_no_checks(both, caplog):
    out, _ = both
    cases = json.loads((out / "fixtures.json").read_text())["cases"]
    made = [packages.Exported(out / name, 0, None, 0, []) for name in ("TextEncoder.mlpackage", "TextEncoder.aimodel")]
    book = (out / "dictionary.wotd").read_bytes()
    other = [{**case, "id": [*case["id"][:3], case["id"][3] + 1]} for case in cases]
    assert checks(other, made, book) == []
    assert "only 0 of 32 texts serve WOTDKit to check a package with; 3 were wanted" in caplog.text
    turned = [{**case, "vector": case["vector"][::-1]} for case in cases]
    assert checks(turned, made, book) == []


@needs_coreai
@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_other_targets(coder, tmp_path, name):
    made = export(coder, name, tmp_path / "bundle", ExportConfig("float32", format="both"))
    assert made.coreai
    assert made.coreai.package == tmp_path / "bundle" / f"{name.title()}.aimodel"
    assert (made.report.codes_equal, made.coreai.report.codes_equal) == (1, 1)
    for case in json.loads((tmp_path / "bundle" / "fixtures.json").read_text())["cases"][:5]:
        if name == "encoder":
            got = coreml.run(made.coreai.package, {"vector": np.array([case["vector"]], np.float32)})
            assert got["id"][0].tolist() == case["id"]
        else:
            got = coreml.run(made.coreai.package, {"id": np.array([case["id"]])})
            close(got["vector"][0], coder.decode([case["id"]])[0], "sum_order")
    assert "checks" not in manifest(tmp_path / "bundle")


@needs_coreai
def test_core_ai_alone(finished, tmp_path):
    argv = ["export", "encoder", "--run", str(finished.run), "--out", str(tmp_path / "bundle"), "--format", "coreai"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    assert "40 words by coreai:" in result.output
    assert "Neural Engine" not in result.output
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == [
        *("Encoder.aimodel", "fixtures.json", "manifest.json", "words.wotd"),
    ]
    found = manifest(tmp_path / "bundle")
    assert (found["package"], found["minimum_deployment_target"]) == ("Encoder.aimodel", "iOS27")
    assert [row["format"] for row in found["packages"]] == ["coreai"]
    assert found["inputs"] == [{"name": "vector", "shape": [1, 32], "dtype": "float32"}]


@needs_coreai
def test_fewer_examples_are_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(packages.SLOW, ("coreai", "int8"), 7)
    trained(tmp_path / "run", "linformer")
    config = ExportConfig("int8", format="both", force=True)
    made = predictor.export_predictor(tmp_path / "run", "linformer", tmp_path / "bundle", config)
    assert made.coreai
    assert (made.report.examples, made.left_out) == (40, 0)
    assert (made.coreai.report.examples, made.coreai.left_out) == (7, 33)
    found = [p["verification"] for p in manifest(tmp_path / "bundle")["packages"]]
    assert [(v["examples"], v["examples_left_out"]) for v in found] == [(40, 0), (7, 33)]
    assert "comparing the Core AI package on 7 of 40 contexts: in int8 it computes slowly here" in caplog.text


@needs_coreai
def test_small_parts_are_compared_on_all(coder, tmp_path, monkeypatch):
    monkeypatch.setitem(packages.SLOW, ("coreai", "int8"), 7)
    made = export(coder, "decoder", tmp_path / "bundle", ExportConfig("int8", format="coreai"))
    assert (made.report.examples, made.left_out) == (40, 0)


@needs_coreai
def test_a_predictor_of_both(tmp_path):
    trained(tmp_path / "run", "gru")
    argv = ["export", "lvm:gru", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "bundle"), "--format", "both"]
    result = CliRunner().invoke(main, [*argv, "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout.splitlines()[-1])
    assert (row["codes_equal"], row["coreai"]["codes_equal"]) == (None, None)
    assert min(row["psnr_db"], row["coreai"]["psnr_db"]) >= 50
    found = manifest(tmp_path / "bundle")
    assert [p["verification"]["codes_equal"] for p in found["packages"]] == [None, None]
    assert [p["verification"]["contexts"][:7] for p in found["packages"]] == ["made up", "made up"]
    case = json.loads((tmp_path / "bundle" / "fixtures.json").read_text())["cases"][0]
    assert np.shape(case["x"]) == (CONTEXT, DIMS)
    for told in (row, row["coreai"]):
        got = coreml.run(told["package"], {"x": np.array([case["x"]], np.float32)})
        close(got["prediction"][0], np.array(case["prediction"]), "executor_half")


@needs_coreai
def test_choices_are_the_converters():
    """Declared where the command can show them without loading it."""
    from converters.coreai import backend

    assert set(config.COREAI_PRECISIONS) == set(backend.PRECISIONS)
    assert (*packages.SUFFIXES, config.BOTH) == config.FORMATS
    assert packages.SUFFIXES == {"coreml": ".mlpackage", "coreai": ".aimodel"}


@needs_coreai
def test_one_package_below_its_gate_leaves_nothing(coder, tmp_path, monkeypatch):
    made = packages.make

    def second_fails(found, folder, kind, *rest):
        if kind == "coreai":
            monkeypatch.setitem(packages.coreml.Report.faults.__globals__["GATES_DB"], "float16", 500.0)
        return made(found, folder, kind, *rest)

    monkeypatch.setattr("wotd_mlx.export.bundle.make", second_fails)
    with pytest.raises(WotdError, match=r"Core AI: the package is too far.*float16 asks for 500.*--force"):
        export(coder, "decoder", tmp_path / "bundle", ExportConfig(format="both"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["palette6", "palette4"])
@pytest.mark.parametrize("asked", ["coreai", "both"])
def test_palettes_are_core_mls(finished, tmp_path, precision, asked):
    argv = ["export", "encoder", "--run", str(finished.run), "--out", str(tmp_path / "bundle")]
    result = CliRunner().invoke(main, [*argv, "--precision", precision, "--format", asked])
    assert result.exit_code == 1
    assert result.output.startswith(f"error: export precision is '{precision}', and Core AI has no palettes; expected")
    assert len(result.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_core_ai_has_one_target(tmp_path):
    argv = ["export", "encoder", "--out", str(tmp_path / "bundle"), "--format", "coreai", "--minimum-target", "iOS18"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 2
    assert "--minimum-target is for Core ML; a Core AI package needs iOS 27" in result.output


def test_another_format_is_refused():
    with pytest.raises(WotdError, match="export format is 'onnx'; expected one of coreml, coreai, both"):
        ExportConfig(format="onnx")


@pytest.mark.parametrize("asked", ["coreai", "both"])
def test_without_the_wheel_one_line_says_so(finished, tmp_path, monkeypatch, asked):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    for name in [name for name in sys.modules if name.startswith("converters.coreai")]:
        monkeypatch.delitem(sys.modules, name)
    argv = ["export", "encoder", "--run", str(finished.run), "--out", str(tmp_path / "bundle"), "--format", asked]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 1
    assert result.output.startswith("error: Core AI packages need coreai-core 1.0.0b3, which isn't installed: pip")
    assert len(result.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
