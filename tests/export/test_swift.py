"""WOTDKit compiled and run: its own tests, and its encoder on stand-ins for Core ML that replay a bundle's fixtures."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import wotd_mlx
from scripts.tokenizer_vectors import small_table
from tests.export.conftest import HERE, Package, no_swift
from tests.export.tables import read_table
from tests.tolerances import close
from wotd_mlx.export.fixtures import ODD_TEXTS

SOURCE = Path(wotd_mlx.__file__).parent / "export" / "WOTDKit"
ROOT = Path(__file__).parents[2]
UNKNOWN = "今日は good day"
"""One of the odd texts: no word of the bundle."""
stand_ins = pytest.mark.skipif(
    sys.platform == "darwin", reason="Apple's own modules are here, which no stand-in replaces"
)


def passed(printed: str) -> int:
    """How many tests XCTest ran, none of them skipped."""
    found = re.findall(r"Executed (\d+) tests?, with 0 failures", printed)
    assert found, printed
    return int(found[-1])


def written() -> int:
    """How many the package has."""
    files = (SOURCE / "Tests").rglob("*.swift")
    return sum(len(re.findall(r"^    func test\w+\(\)", file.read_text(), re.MULTILINE)) for file in files)


def test_it_builds_as_it_is(workspace, bundle):
    """In the mode of Swift 5; all of it is built in that of Swift 6 with the programs."""
    assert "Build complete" in Package(bundle / "WOTDKit", workspace / "plain5", "5").swift("build")


@pytest.mark.skipif(sys.platform != "darwin", reason="they pass beside stand-ins, below")
def test_its_own_tests_pass_on_a_bundle(workspace, bundle):
    package = Package(bundle / "WOTDKit", workspace / "plain5", "5")
    package.swift("build", "--build-tests")
    assert passed(package.swift("test", "--skip-build", WOTD_BUNDLE=str(bundle))) == written() >= 33


@stand_ins
def test_all_of_it_passes_beside_stand_ins(workshop, workspace, bundle, tmp_path):
    package = Package(workshop, workspace / "workshop5", "5")
    package.swift("build", "--build-tests")
    printed = package.swift("test", "--skip-build", WOTD_BUNDLE=str(bundle), XDG_CACHE_HOME=str(tmp_path))
    assert passed(printed) == written() >= 33


def test_a_warning_is_a_failure(workspace):
    folder = workspace / "warned"
    (folder / "Sources/Warned").mkdir(parents=True)
    (folder / "Package.swift").write_text(
        "// swift-tools-version:5.9\nimport PackageDescription\n"
        'let package = Package(name: "Warned", targets: [.target(name: "Warned")])\n'
    )
    (folder / "Sources/Warned/Warned.swift").write_text("func f() { let unused = 1 }\n")
    with pytest.raises(AssertionError, match="'unused' was never used"):
        Package(folder, workspace / "warned5", "5").swift("build")


def test_it_is_in_the_formatters_form(workspace):
    version = subprocess.run(["swift", "format", "--version"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("6.3"):
        pytest.skip("the sources have the form of Swift 6.3's formatter, which others may not share")
    command = ["swift", "format", "lint", "--strict", "--configuration", str(ROOT / ".swift-format")]
    folders = [SOURCE, HERE, ROOT / "benchmarks" / "kit"]
    done = subprocess.run([*command, "--recursive", *map(str, folders)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_swift_the_reason_is_given(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert (no_swift() or "").startswith("no `swift` on PATH: WOTDKit is neither compiled nor tested")


class Machine:
    """A folder for caches and a record of Core ML's calls: what a user's machine keeps between two starts of an app."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.caches, self.record = program, folder / "caches", folder / "calls"
        self.together = folder / "together"

    def start(self, bundle: Path, *options: str) -> subprocess.Popen:
        environment = os.environ | {"XDG_CACHE_HOME": str(self.caches), "WOTD_CALLS": str(self.record)}
        environment["WOTD_TOGETHER"] = str(self.together)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([self.program, bundle, *options], text=True, env=environment, **pipes)

    def encode(self, bundle: Path, *texts: str, options: tuple[str, ...] = ()) -> list[dict]:
        process = self.start(bundle, *options)
        printed, errors = process.communicate("".join(json.dumps(text) + "\n" for text in texts))
        assert process.returncode == 0, errors
        return [json.loads(line) for line in printed.splitlines()]

    def calls(self) -> list[str]:
        """What was asked of Core ML since the last time."""
        lines = self.record.read_text().split() if self.record.exists() else []
        self.record.unlink(missing_ok=True)
        return lines

    def kept(self) -> list[Path]:
        return sorted((self.caches / "WOTDKit").iterdir())


@pytest.fixture
def machine(programs, tmp_path) -> Machine:
    return Machine(programs.program("encode"), tmp_path)


def fixture(bundle: Path, text: str) -> dict:
    cases = json.loads((bundle / "fixtures.json").read_text())["cases"]
    return next(case for case in cases if case["text"] == text)


def with_fixtures(bundle: Path, out: Path, change) -> Path:
    """A copy of the bundle whose model gives other outputs."""
    shutil.copytree(bundle, out)
    fixtures = json.loads((out / "fixtures.json").read_text())
    for case in fixtures["cases"]:
        change(case)
    (out / "fixtures.json").write_text(json.dumps(fixtures))
    return out


@stand_ins
def test_an_unknown_text_is_predicted(machine, bundle):
    (found,) = machine.encode(bundle, UNKNOWN)
    wanted = fixture(bundle, UNKNOWN)
    assert found["id"] == found["whole"] == wanted["id"]
    close(np.float32(found["vector"]), np.float32(wanted["vector"]), "exact")
    assert found["truncated"] is False
    assert "detail" not in found
    assert machine.calls() == ["compile", "load", "predict", "predict"]


def encoded(bundle: Path, source: str) -> list[dict]:
    """What the bundle says that ``encode`` gives."""
    return [row for row in json.loads((bundle / "fixtures.json").read_text())["encoded"] if row["source"] == source]


@stand_ins
def test_a_known_word_has_the_tables_id_and_is_not_predicted(machine, bundle):
    cases = {case["text"]: case["id"] for case in json.loads((bundle / "fixtures.json").read_text())["cases"]}
    # One whose own ID is not the model's: others were nearer to that.
    coder = read_table((bundle / "words.wotd").read_bytes())
    ids = dict(zip((word.decode() for word in coder.words), coder.ids.tolist(), strict=True))
    word = next(text for text, predicted in cases.items() if ids.get(text, predicted) != predicted)
    (found,) = machine.encode(bundle, word)
    assert found["id"] == ids[word]
    assert found["whole"] == cases[word]
    assert machine.calls().count("predict") == 1


@stand_ins
def test_many_texts_at_once_come_in_their_order(machine, bundle):
    rows = [*encoded(bundle, "predicted"), *encoded(bundle, "known")] * 2
    random.Random(0).shuffle(rows)
    (found,) = machine.encode(bundle, *(row["text"] for row in rows), options=("--together",))
    assert found == [row["id"] for row in rows]
    unknown = sum(row["source"] == "predicted" for row in rows)
    assert machine.calls() == ["compile", "load", *["predict"] * unknown]
    # Some overlap, and never so many that their buffers fill a phone.
    assert max(map(int, machine.together.read_text().split())) == 4
    assert machine.encode(bundle, options=("--together",)) == [[]]


@stand_ins
def test_a_model_is_prepared_where_and_when_an_app_wants(machine, bundle, tmp_path):
    options = (f"--kept={tmp_path / 'shared'}",)
    assert machine.encode(bundle, options=("--prepare", *options)) == []
    assert machine.calls() == ["compile", "load"]
    assert len(list((tmp_path / "shared").iterdir())) == 2
    assert not machine.caches.exists()
    machine.encode(bundle, UNKNOWN, options=options)
    assert machine.calls() == ["load", "predict", "predict"]
    assert machine.encode(bundle, options=("--prepare", *options)) == []
    assert machine.calls() == ["load"]


@stand_ins
def test_a_model_is_compiled_once_and_kept(machine, bundle):
    first = machine.encode(bundle, UNKNOWN)
    assert [path.suffix for path in machine.kept()] == [".mlmodelc", ".lock"]
    machine.calls()
    assert machine.encode(bundle, UNKNOWN) == first
    assert machine.calls() == ["load", "predict", "predict"]


@stand_ins
def test_another_model_is_compiled_and_takes_the_olders_place(machine, bundle, tmp_path):
    machine.encode(bundle, UNKNOWN)
    (first, _) = machine.kept()
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["sha256"]["TextEncoder.mlpackage/Manifest.json"] = "0" * 64
    (other / "manifest.json").write_text(json.dumps(manifest))
    machine.calls()
    machine.encode(other, UNKNOWN)
    assert machine.calls()[:2] == ["compile", "load"]
    (model, _) = machine.kept()
    assert model != first


@stand_ins
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_kept_model_is_compiled_again(machine, bundle, damage):
    first = machine.encode(bundle, UNKNOWN)
    file = machine.kept()[0] / "fixtures.json"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        file.unlink()
    machine.calls()
    assert machine.encode(bundle, UNKNOWN) == first
    assert machine.calls().count("compile") == 1
    machine.encode(bundle, UNKNOWN)
    assert machine.calls().count("compile") == 0
    assert len(machine.kept()) == 2


@stand_ins
@pytest.mark.parametrize("damaged", [False, True])
def test_processes_at_once_share_one_compilation(machine, bundle, damaged):
    if damaged:
        machine.encode(bundle, UNKNOWN)
        (machine.kept()[0] / "fixtures.json").write_text("{")
        machine.calls()
    processes = [machine.start(bundle) for _ in range(3)]
    printed = [process.communicate(json.dumps(UNKNOWN) + "\n")[0] for process in processes]
    assert [json.loads(line)["id"] for line in printed] == [fixture(bundle, UNKNOWN)["id"]] * 3
    assert machine.calls().count("compile") == 1
    assert len(machine.kept()) == 2


@stand_ins
def test_a_compiled_model_in_the_bundle_is_used_as_it_is(machine, bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    (copy / "TextEncoder.mlmodelc").mkdir()
    shutil.copy(copy / "fixtures.json", copy / "TextEncoder.mlmodelc")
    shutil.rmtree(copy / "TextEncoder.mlpackage")
    (found,) = machine.encode(copy, UNKNOWN)
    assert found["id"] == fixture(bundle, UNKNOWN)["id"]
    assert machine.calls() == ["load", "predict", "predict"]
    assert not machine.caches.exists()


@stand_ins
@pytest.mark.parametrize(("name", "rest"), [("probabilities", "vector"), ("vector", "probabilities")])
def test_a_missing_output_is_named(machine, bundle, tmp_path, name, rest):
    changed = with_fixtures(bundle, tmp_path / "bundle", lambda case: (case.pop(name), case.pop("id")))
    (found,) = machine.encode(changed, UNKNOWN)
    said = f"the model gave the outputs {rest}, expected probabilities and vector; export the bundle again"
    assert found == {"error": said}


@stand_ins
def test_without_a_dictionary_the_models_own_id_is_taken(machine, bundle, tmp_path):
    changed = with_fixtures(bundle, tmp_path / "bundle", lambda case: case.update(id=[1, 2, 3, 4]))
    manifest = json.loads((changed / "manifest.json").read_text())
    del manifest["dictionary"]
    (changed / "manifest.json").write_text(json.dumps(manifest))
    (found,) = machine.encode(changed, UNKNOWN)
    assert found["id"] == found["whole"] == [1, 2, 3, 4]


@stand_ins
def test_the_detail_is_read_where_there_is_one(machine, bundle, tmp_path):
    changed = with_fixtures(bundle, tmp_path / "bundle", lambda case: case.update(detail=[3, 1, 2]))
    (found,) = machine.encode(changed, UNKNOWN)
    assert found["detail"] == [3, 1, 2]


@stand_ins
def test_a_text_that_was_cut_says_so(machine, bundle):
    texts = ["word " * 300, "x" * 5000, "", "don't"]
    assert set(texts) <= set(ODD_TEXTS)
    found = machine.encode(bundle, *texts)
    assert [answer["id"] for answer in found] == [fixture(bundle, text)["id"] for text in texts]
    # One word of thousands of letters is one token.
    assert [answer["truncated"] for answer in found] == [True, False, False, False]


@stand_ins
def test_a_cancelled_task_asks_the_model_nothing(machine, bundle):
    assert machine.encode(bundle, UNKNOWN, "don't", options=("--cancelled",)) == [{"error": "cancelled"}] * 2
    assert machine.calls() == ["compile", "load"]


@stand_ins
@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda bundle: shutil.rmtree(bundle / "TextEncoder.mlpackage"), "neither TextEncoder.mlpackage nor"),
        (lambda bundle: (bundle / "TextEncoder.mlpackage/Manifest.json").unlink(), "is no package"),
        (lambda bundle: (bundle / "manifest.json").unlink(), "no manifest.json in"),
        (lambda bundle: (bundle / "words.wotd").unlink(), "words.wotd can't be read: No such file"),
        (lambda bundle: (bundle / "words.wotd").write_bytes(b"1234"), "it is no word table; export the bundle again"),
        (lambda bundle: (bundle / "words.wotd").write_bytes(small_table()), "words, vectors and dimensions, expected"),
        (lambda bundle: (bundle / "dictionary.wotd").unlink(), "dictionary.wotd can't be read: No such file"),
        (
            lambda bundle: (bundle / "dictionary.wotd").write_bytes(b"12"),
            "it is no dictionary; export the bundle again",
        ),
        (lambda bundle: (bundle / "manifest.json").write_text('{"format": 1}'), "has format 1, expected 2"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(machine, bundle, tmp_path, break_it, says):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    break_it(copy)
    process = machine.start(copy)
    printed, errors = process.communicate("")
    assert (process.returncode, printed) == (1, "")
    assert re.fullmatch(rf"error: .*{re.escape(says)}.*\n", errors), errors
