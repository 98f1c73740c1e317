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

from tests.conftest import rewrite_config
from wotd_mlx import pipeline
from wotd_mlx.cli import COMMANDS, main
from wotd_mlx.cli.generate import command as generate_command
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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell):
    assert "_WOTD_MLX_COMPLETE" in run("completion", shell).stdout
    asked = {"COMP_WORDS": "wotd-mlx today --co", "COMP_CWORD": "2" if shell != "fish" else "--co"}
    done = process(env={**os.environ, **asked, "_WOTD_MLX_COMPLETE": f"{shell}_complete"})
    assert b"--count" in done.stdout


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
        assert list(row) == ["text", "id", "labels", "probability", "source", "truncated", "detail"]
        assert len(row["id"]) == 4
    plain = run("encode", "--run", finished.run, "forsooth")
    assert plain.stdout.startswith(f"forsooth\t[{','.join(map(str, found[0]['id']))}]\t")


def test_encode_with_the_student_answers_any_text_without_the_embedding_model(taught, tmp_path):
    texts = ["forsooth", "a quiet joy", "", "日本", "x" * 10_000]
    folder = tmp_path / "run"
    shutil.copytree(taught.run, folder)
    rewrite_config(folder, embedding="gone/model")
    found = rows(run("encode", "--run", folder, "--encoder", "student", "--json", *texts))
    assert [row["text"] for row in found] == texts
    assert all(len(row["id"]) == 4 and len(row["labels"]) == 3 for row in found)
    assert run("encode", "--run", folder, "a quiet joy").exit_code == 1
    assert run("encode", "--run", folder, "forsooth").exit_code == 0


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
        (["train", "--codes", "residual"], 1, "nobody reads an ID of residual codes"),
        (["train", "--levels", "8,x"], 2, "is not a list such as"),
        (["train", "--config", "no/such.yaml"], 1, "error: no file no/such.yaml"),
        (["train", "--seed", "-5"], 2, "-5 is not in the range 0<=x<=4294967295"),
        (["train", "--seed", "9" * 23], 2, "is not in the range 0<=x<=4294967295"),
        (["train", "--epochs", "9" * 5000], 2, "Invalid value for '--epochs'"),
        (["train", "--memory-limit", "nan"], 2, "nan is not in the range 0.5<=x<=1000000.0"),
        (["train", "--memory-limit", "inf"], 2, "is not in the range"),
        (["train", "--levels", "9" * 30 + ",8,8,8"], 1, "error: options: codes.levels[0] is 999"),
        (["decode", "2,1,3,0", "-n", "-1"], 2, "-1 is not in the range"),
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


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("-1,0,0,0", "number 1 is -1; this run allows 0 to 7 there"),
        ("[0,0,0,-3]", "number 4 is -3; this run allows 0 to 2047 there"),
        ("-99999999999999999,0,0,0", "this run allows 0 to 7 there"),
        ("9" * 5000 + ",0,0,0", "is not a semantic ID; write 4 numbers"),
    ],
)
def test_numbers_out_of_range_are_told_the_range(finished, number, message):
    result = run("decode", "--run", finished.run, number)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_option_of_decode_is_still_told(finished):
    assert "No such option" in run("decode", "--run", finished.run, "--vektor", "2,1,3,0").stderr


@pytest.mark.parametrize("command", [["encode"], ["decode"], ["interpolate", "a"]], ids=lambda c: c[0])
def test_bytes_that_are_no_text_are_one_line(finished, command):
    bad = b"caf\xe9"
    result = process(*command, "--run", finished.run, "--json", os.fsdecode(bad))
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.splitlines() == [
        rb"error: the text 'caf\udce9' is not UTF-8 (byte 0xe9 at 4); convert it first"
    ]


def test_control_characters_leave_a_table_whole(finished):
    texts = ["a\nb", "a\tb", "\x1b[31mred", "\u2028", "ok\u200d"]
    result = run("encode", "--run", finished.run, *texts)
    lines = result.stdout.split("\n")[:-1]
    assert [line.split("\t")[0] for line in lines] == ["a\\nb", "a\\tb", "\\x1b[31mred", "\\u2028", "ok\u200d"]
    assert all(line.count("\t") == 3 for line in lines)
    assert [row["text"] for row in rows(run("encode", "--run", finished.run, "--json", *texts))] == texts


def test_a_text_longer_than_the_model_reads_is_said(finished):
    # The tests' model takes 64 tokens, two of them around the text, and spells letter by letter.
    texts = ["a" * 62, "a" * 63, "ab " * 31, "ab " * 31 + "c", "forsooth", "日" * 40_000]
    found = rows(run("encode", "--run", finished.run, "--json", *texts))
    assert [row["truncated"] for row in found] == [False, True, False, True, False, True]
    assert found[0]["id"] == found[1]["id"]
    told = run("encode", "--run", finished.run, *texts)
    assert told.stderr.splitlines() == [
        "warning: 3 of 6 texts are longer than what is read; their IDs are their beginnings'"
    ]
    assert run("encode", "--run", finished.run, "forsooth").stderr == ""
    assert "its beginning counts" in run("interpolate", "--run", finished.run, "a" * 63, "forsooth").stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process")
def test_a_line_without_an_end_takes_no_memory(finished):
    code = (
        "import json\n"
        "from wotd_mlx.backend import resident_bytes\n"
        "from wotd_mlx.cli.encode import _lines\n"
        "texts = [(len(t), cut) for batch in _lines(0) for t, cut in batch]\n"
        "print(json.dumps([texts, resident_bytes('VmHWM')]))"
    )
    peaks = []
    for megabytes in (1, 64):
        line = "é".encode() * (megabytes << 19)
        done = subprocess.run(
            [sys.executable, "-c", code], input=b"first\n" + line + b"\nlast", capture_output=True, check=True
        )
        texts, peak = json.loads(done.stdout)
        assert texts == [[5, False], [1 << 16, True], [4, False]]
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("size", [1, 2, 3, 65_535, 65_536, 131_071, 131_072])
def test_lines_are_the_same_however_they_come(size, monkeypatch):
    from wotd_mlx.cli import encode

    lines = ["a" * size, "", "é" * (size // 2), "日本\r", "x" * 200_000, "end"]
    stream = "\n".join(lines).encode()
    for chunk in (1 << 16, 1009):
        pieces = iter([stream[i : i + chunk] for i in range(0, len(stream), chunk)] + [b"", b""])
        monkeypatch.setattr(encode.os, "read", lambda *_, pieces=pieces: next(pieces))
        found = [row for batch in encode._lines(0) for row in batch]
        assert found == [
            *((line.removesuffix("\r"), False) for line in lines[:4]),
            ("x" * 131_072, True),
            ("end", False),
        ]


def test_a_file_in_place_of_a_run_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for command in (["encode", "a"], ["decode", "0,0,0,0"], ["codes"], ["generate", "[0,0,0,0]"]):
        result = run(command[0], "--run", tmp_path / "file", *command[1:])
        assert result.exit_code == 1
        assert "file is a file, expected a run folder" in result.stderr


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


def test_a_home_that_cannot_be_written_costs_the_cache_not_the_run(checkpoint, finished, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    seen = []
    monkeypatch.setattr(pipeline, "train_wotd_pipeline", lambda config, out: seen.append(config.cache) or finished)
    result = run("train", "--embedding", checkpoint, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert "warning: no cache of embedded words" in result.stderr
    assert seen == [None]


@pytest.mark.parametrize("text", ["codes: 5", "codes: [a]", "language: x", "corpus: 7", "corpus: [a]", "codes: null"])
def test_settings_of_another_form_are_one_line_whatever_the_options(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    result = run(
        "train", "--config", tmp_path / "c.yaml", "--codes", "fsq", "--language", "none", "--out", tmp_path / "r"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {tmp_path}/c.yaml: {text.split(':')[0]}")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_levels_auto_wants_bits():
    result = CliRunner().invoke(main, ["train", "--levels", "auto"])
    assert result.exit_code == 2
    assert "--levels auto needs --bits, such as --bits 20" in result.stderr


def test_codes_draws_and_prints_a_line_a_code(finished, tmp_path):
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(main, ["codes", "--run", str(finished.run), "--json"])
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["coordinate"], r["code"]) for r in rows] == [
        (name, code)
        for name in ("style", "complexity", "era")  # the last number is an address
        for code in range(8)
    ]
    assert all(set(r) == {"coordinate", "code", "name", "words", "members"} for r in rows)
    assert sum(r["members"] for r in rows if r["coordinate"] == "style") == 1200
    arguments = ["codes", "--run", str(finished.run), "--coordinate", "era", "--plot", str(tmp_path / "p")]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.stderr
    assert "era" in shown.stdout
    assert [f.name for f in (tmp_path / "p").iterdir()] == ["era.png"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--exclude", "seen.txt"], ""),
        (["--shown", "seen.txt"], "note: --shown is now --exclude; the old name goes with the next version\n"),
        (["--shown=seen.txt"], "note: --shown is now --exclude; the old name goes with the next version\n"),
        (["--anywhere"], "note: --anywhere is now --any-word; the old name goes with the next version\n"),
    ],
)
def test_an_old_name_of_an_option_still_works_with_a_note(given, told, tmp_path):
    context = generate_command.make_context("generate", ["[0,*]", *given])
    assert context.params["exclude"] == (None if given == ["--anywhere"] else Path("seen.txt"))
    assert context.params["any_word"] == (given == ["--anywhere"])
    result = CliRunner().invoke(main, ["generate", "--run", str(tmp_path / "none"), "[0,*]", *given])
    assert result.stderr.startswith(told + "error: ")
    assert len(result.stderr.splitlines()) == 1 + bool(told)
