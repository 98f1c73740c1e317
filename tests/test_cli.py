"""The command line as a user meets it: help, output, errors, exit codes, streams."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from wotd_mlx.cli import COMMANDS, main
from wotd_mlx.words.builtin import load_builtin


def run(*arguments: str, **options) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), **options)


def process(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "wotd_mlx.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **options)


def rows(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def walk(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that call each command, those of groups in groups too."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield from walk(command, (*before, name)) if isinstance(command, click.Group) else [(*before, name)]


CALLED = list(walk(main))


def test_a_group_in_the_group_is_walked_into():
    assert {words[0] for words in CALLED} == set(COMMANDS)
    assert ("lvm", "train") in CALLED


@pytest.mark.parametrize("arguments", [(), ("lvm",), *CALLED], ids=" ".join)
def test_help_loads_no_mlx_and_no_numpy(arguments):
    code = (
        "import sys; from wotd_mlx.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(bool({'mlx.core', 'numpy', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, *arguments, "--help"], check=False).returncode == 0


@pytest.mark.parametrize("words", CALLED, ids=" ".join)
def test_every_command_has_help_with_json(words):
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output


def test_encode_prints_a_line_a_text(finished):
    found = rows(run("encode", "--run", finished.run, "--json", "forsooth", "a quiet joy"))
    assert [row["text"] for row in found] == ["forsooth", "a quiet joy"]
    for row in found:
        assert list(row) == ["text", "id", "labels", "confidence", "detail"]
        assert len(row["id"]) == 4
    plain = run("encode", "--run", finished.run, "forsooth")
    assert plain.stdout.startswith(f"forsooth\t[{','.join(map(str, found[0]['id']))}]\t")


def test_encode_with_the_student_answers_any_text_without_the_embedding_model(taught, tmp_path):
    texts = ["forsooth", "a quiet joy", "", "日本", "x" * 10_000]
    folder = tmp_path / "run"
    shutil.copytree(taught.run, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "embedding": "gone/model"}))
    found = rows(run("encode", "--run", folder, "--encoder", "student", "--json", *texts))
    assert [row["text"] for row in found] == texts
    assert all(len(row["id"]) == 4 and len(row["labels"]) == 3 for row in found)
    assert run("encode", "--run", folder, "forsooth").exit_code == 1


def test_encode_without_a_student_says_how_to_make_one(finished):
    result = run("encode", "--run", finished.run, "--encoder", "student", "forsooth")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"error: {finished.run} has no student; make one with `wotd-mlx train --student --out {finished.run}`"
    ]
    assert run("encode", "--encoder", "pupil", "forsooth").exit_code == 2


def test_encode_reads_lines_from_stdin_in_order(finished):
    words = [w.text for w in load_builtin().words[:300]]
    text = "\n".join([*words, "", "naïve façade", "last without newline"])
    result = process("encode", "--run", finished.run, "--json", input=text.encode())
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert [row["text"] for row in found] == text.split("\n")
    ids = json.loads((finished.run / "semantic_ids.json").read_text())["words"]
    assert all(row["id"] == ids[row["text"]] for row in found[:300])


def test_encode_answers_before_its_input_ends(finished):
    command = [sys.executable, "-m", "wotd_mlx.cli", "encode", "--run", str(finished.run), "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for word in (b"forsooth", b"telephone"):
            child.stdin.write(word + b"\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["text"].encode() == word
        child.stdin.close()
    assert child.returncode == 0


def test_encode_of_nothing_is_nothing(finished):
    result = process("encode", "--run", finished.run, "--json", input=b"")
    assert (result.returncode, result.stdout) == (0, b"")


def test_invalid_utf8_on_stdin_names_the_line_after_answering_those_before(finished):
    result = process("encode", "--run", finished.run, "--json", input=b"good\nb\xffd\nlater\n")
    assert result.returncode == 1
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["good"]
    assert b"error: stdin line 2 is not UTF-8 (byte 2: 0xff)" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error(finished):
    command = f"{sys.executable} -m wotd_mlx.cli encode --run {finished.run} | head -1"
    text = "word\n" * 20_000
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], input=text.encode(), capture_output=True, check=False
    )
    assert result.stdout.count(b"\n") == 1
    assert b"Traceback" not in result.stderr
    assert b"rror" not in result.stderr


def test_decode_prints_labels_and_nearest_words(finished):
    (row,) = rows(run("decode", "--run", finished.run, "[2,1,3,0]", "--json", "--vector"))
    assert list(row) == ["id", "labels", "nearest", "vector"]
    assert row["id"] == [2, 1, 3, 0]
    assert len(row["nearest"]) == 5
    assert len(row["vector"]) == 32
    assert "vector" not in rows(run("decode", "--run", finished.run, "2,1,3,0", "--json"))[0]
    assert run("decode", "--run", finished.run, "2,1,3,0").stdout.startswith("[2,1,3,0]  ")


def test_interpolate_prints_a_line_a_step(finished):
    found = rows(run("interpolate", "--run", finished.run, "forsooth", "telephone", "--steps", "4", "--json"))
    assert [list(row) for row in found] == [["alpha", "id", "nearest"]] * 4
    assert found[0]["nearest"][0]["word"] == "forsooth"
    assert found[-1]["nearest"][0]["word"] == "telephone"


def test_status_tells_versions_device_and_blas():
    (found,) = rows(run("status", "--json"))
    assert {"wotd_mlx", "mlx", "device", "blas", "memory_limit", "embedding_weights"} <= set(found)
    assert run("status").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "--run", "no/such", "word"], 1, "error: no run folder no/such"),
        (["decode", "9,9,9,9"], 1, "error: "),
        (["train", "--embedding", "nope", "--out", "{tmp}/r"], 1, "error: unknown embedding 'nope'"),
        (
            ["train", "--corpus", "no/such", "--out", "{tmp}/r", "--embedding", "{bert}"],
            1,
            "error: no corpus 'no/such'",
        ),
        (["train", "--codes", "pq"], 2, "Invalid value for '--codes'"),
        (["train", "--gradient", "magic"], 2, "Invalid value for '--gradient'"),
        (["train", "--levels", "8,x"], 2, "is not a list such as"),
        (["train", "--config", "no/such.yaml"], 1, "error: no/such.yaml can't be read"),
        (["fly"], 2, "No such command 'fly'"),
        (["decode"], 2, "Missing argument"),
        (["interpolate", "a", "b", "--steps", "1"], 2, "--steps"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(arguments, code, message, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*(a.format(tmp=tmp_path, bert=checkpoint) for a in arguments))
    assert result.exit_code == code
    assert message in result.stderr
    if code == 1:
        assert len([line for line in result.stderr.splitlines() if line.startswith("error:")]) == 1


def test_malformed_ids_exit_with_1(finished):
    for bad in ("2,1,3", "a,b,c,d", "8,0,0,0"):
        result = run("decode", "--run", finished.run, bad)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")


def train(checkpoint: Path, out: Path, *more: str) -> list[str]:
    file = out.parent / "c.yaml"
    # No early stop: a training that is to be interrupted must not be done before.
    file.write_text("codes: {hidden: 16, batch: 64, patience: 100000}\n")
    return ["train", "--config", str(file), "--no-lexicon", "--epochs", "2", "--no-cache", "--embedding",
            str(checkpoint), "--out", str(out), "--language", "none", *more]  # fmt: skip


def test_train_ends_with_a_table_or_a_json_line(checkpoint, tmp_path):
    result = run(*train(checkpoint, tmp_path / "run"))
    assert result.exit_code == 0, result.output
    for part in ("relative MSE", "Ten of its words", "linear probe", "peak memory", "total", "codes"):
        assert part in result.stdout
    again = run(*train(checkpoint, tmp_path / "run", "--json"))
    (row,) = rows(again)
    assert list(row) == ["run", "seconds", "metrics"]
    assert "words, embed, codes" in again.stderr


def test_ctrl_c_ends_in_one_line_and_leaves_a_run_that_goes_on(checkpoint, tmp_path):
    import signal
    import time

    out = tmp_path / "run"
    arguments = [*train(checkpoint, out), "--codes", "fsq", "--epochs", "100000"]
    # A shell's background jobs ignore the signal, and what they start inherits that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from wotd_mlx.cli import main; main()", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stderr is not None
        while b"embed: done" not in child.stderr.readline():
            assert child.poll() is None
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read().decode()
    assert child.returncode == 1
    assert "error: interrupted in stage codes; the same command goes on" in rest
    assert "Traceback" not in rest
    assert list(json.loads((out / "metrics.json").read_text())["seconds"]) == ["words", "embed"]


@pytest.mark.skipif(os.name != "posix" or not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(finished):
    command = f"{sys.executable} -m wotd_mlx.cli encode --run {finished.run} word > /dev/full"
    result = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert result.returncode == 1
    assert b"No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_home_that_cannot_be_written_costs_the_cache_not_the_run(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [a for a in train(checkpoint, tmp_path / "run") if a != "--no-cache"]
    result = process(*arguments, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")})
    assert result.returncode == 0, result.stderr
    assert b"warning: no cache of embedded words" in result.stderr


def test_levels_auto_wants_bits():
    result = CliRunner().invoke(main, ["train", "--levels", "auto"])
    assert result.exit_code == 2
    assert "--levels auto needs --bits, such as --bits 20" in result.stderr


def test_codes_draws_and_prints_a_line_a_code(finished, tmp_path):
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(main, ["codes", "--run", str(finished.run), "--json", "--plot", str(tmp_path / "p")])
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["coordinate"], r["code"]) for r in rows] == [
        (name, code)
        for name, k in zip(("style", "complexity", "era", "variation"), (8, 8, 8, 5), strict=True)
        for code in range(k)
    ]
    assert all(set(r) == {"coordinate", "code", "name", "words", "members"} for r in rows)
    assert sum(r["members"] for r in rows if r["coordinate"] == "style") == 1200
    assert sorted(f.name for f in (tmp_path / "p").iterdir()) == [
        "complexity.png",
        "era.png",
        "style.png",
        "variation.png",
    ]
    shown = CliRunner().invoke(main, ["codes", "--run", str(finished.run), "--coordinate", "era"])
    assert shown.exit_code == 0
    assert "era" in shown.stdout
