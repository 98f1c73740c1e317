"""The command line as a process: where its output can't go, and Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from wotd_mlx.cli import main

ROOT = Path(__file__).parents[1]
INTERRUPTED = "error: interrupted\n"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and descriptors")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """``wotd-mlx`` in a line of the shell."""
    defined = f'wotd-mlx() {{ "{sys.executable}" -m wotd_mlx.cli "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", defined], capture_output=True, text=True, check=False)


COMMANDS = ["--help", "--version", "train --help", "lvm train --help", "status", "status --json", "language list"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_full_disk_is_one_line(arguments):
    found = shell(f"wotd-mlx {arguments} >/dev/full")
    assert (found.returncode, found.stderr) == (1, "error: writing: No space left on device\n")
    both = shell(f"wotd-mlx {arguments} >/dev/full 2>/dev/full")
    assert both.returncode == 1


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_closed_stdout_is_one_line(arguments):
    found = shell(f"wotd-mlx {arguments} >&-")
    assert (found.returncode, found.stderr) == (1, "error: stdout is closed; send it to a file, or to /dev/null\n")
    assert shell(f"wotd-mlx {arguments} >&- 2>&-").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code"), [("--help", 0), ("status", 0), ("fly", 2), ("decode --run no/such 1", 1)]
)
def test_a_closed_stderr_changes_neither_output_nor_exit_code(arguments, code):
    found = shell(f"wotd-mlx {arguments} 2>&-")
    usual = shell(f"wotd-mlx {arguments}")
    assert (found.returncode, found.stdout) == (code, usual.stdout)
    assert (found.stdout != "") == (code == 0)


def test_a_closed_stdin_is_an_empty_one(finished):
    found = shell(f"wotd-mlx encode --run {finished.run} <&-")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path):
    """What a library writes to stderr would go into a file of ours."""
    file = tmp_path / "file"
    code = f"import os; from wotd_mlx.cli.__main__ import run; run.__globals__['_open_streams']();\
file = open({str(file)!r}, 'w'); os.write(2, b'noise'); print(file.fileno() > 2)"
    found = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -c \"$0\" <&- 2>&-", code], capture_output=True, text=True, check=False
    )
    assert found.stdout == "True\n"
    assert file.read_text() == ""


@pytest.mark.parametrize("arguments", ["--help", "status"])
def test_a_reader_that_is_gone_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "wotd_mlx.cli", arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_without_a_file_name_in_a_stream_that_is_no_file(monkeypatch):
    def failing() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wotd_mlx.status.status", failing)
    result = CliRunner().invoke(main, ["status"])
    assert (result.exit_code, result.stderr) == (1, "error: writing: No space left on device\n")


# Ctrl-C


PROGRAM = """
import sys
from wotd_mlx.cli.__main__ import run
from signal import SIGINT, SIG_DFL, SIG_IGN, default_int_handler, getsignal, raise_signal, signal
# A shell's background jobs ignore the signal, and what they start inherits that.
signal(SIGINT, default_int_handler)
{before}
run()
"""


def program(before: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program in a process prepared by ``before``."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


AT_IMPORT = """
imports = 0
def hook(event, given):
    global imports
    if event == "import":
        imports += 1
        if imports == {number} or given[0] == {name!r}:
            raise_signal(SIGINT)
sys.addaudithook(hook)
"""


def imports(*arguments: str) -> int:
    """How many modules are looked for in a run that isn't interrupted."""
    counted = AT_IMPORT.format(number=None, name=None) + "import atexit; atexit.register(lambda: print(imports))"
    return int(program(counted, *arguments)[1].split()[-1])


@pytest.mark.parametrize("share", range(8))
@pytest.mark.parametrize("arguments", ["--help", "status"])
def test_ctrl_c_at_any_import_is_one_line(arguments, share):
    number = 1 + share * (imports(arguments) - 1) // 7
    assert program(AT_IMPORT.format(number=number, name=None), arguments) == (1, "", INTERRUPTED)


@pytest.mark.parametrize("name", ["click", "wotd_mlx.status", "mlx.core", "numpy", "tokenizers", "subprocess"])
def test_ctrl_c_as_this_is_imported_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where nothing is kept, so that a compiler runs
    if name == "subprocess" and sys.platform != "linux":
        pytest.skip("no compiler runs here")
    arguments = ["status"] if name == "wotd_mlx.status" else ["train", "--corpus", "no/such", "--out", str(tmp_path)]
    assert program(AT_IMPORT.format(number=None, name=name), *arguments) == (1, "", INTERRUPTED)


IN_STATUS = """
import wotd_mlx.status
{definitions}
wotd_mlx.status.status = status
"""


def in_status(definitions: str) -> tuple[int, str, str]:
    """The program ``status``, which calls this function of that name."""
    return program(IN_STATUS.format(definitions=definitions), "status")


def test_ctrl_c_in_a_command_unwinds():
    body = """
def status():
    try:
        raise_signal(SIGINT)
    finally:
        print("kept", flush=True)
"""
    assert in_status(body) == (1, "kept\n", INTERRUPTED)


def test_a_second_ctrl_c_does_not_wait():
    body = """
def status():
    try:
        raise_signal(SIGINT)
    finally:
        try:
            raise_signal(SIGINT)
        except KeyboardInterrupt:
            print("gone on", flush=True)
"""
    assert in_status(body) == (1, "", INTERRUPTED)


def test_ctrl_c_in_an_import_that_makes_another_error_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "another.py").write_text("""
import signal
try:
    signal.raise_signal(signal.SIGINT)
except BaseException:
    raise ImportError("a library that is broken")
""")
    assert in_status("def status(): import another") == (1, "", INTERRUPTED)


def test_ctrl_c_where_nothing_can_be_raised_is_one_line():
    body = """
class Left:
    def __del__(self):
        raise_signal(SIGINT)
def status():
    Left()
    print("gone on", flush=True)
    return {}
"""
    assert in_status(body) == (1, "", INTERRUPTED)


def test_what_else_cannot_be_raised_is_still_told():
    body = """
class Left:
    def __del__(self):
        raise ValueError("told")
def status():
    Left()
    return {"gone": "on"}
"""
    code, output, error = in_status(body)
    assert (code, output) == (0, "gone  on\n")
    assert "ValueError: told" in error


def test_ctrl_c_as_python_ends_is_nothing():
    body = """
import atexit
atexit.register(raise_signal, SIGINT)
def status():
    return {"done": "all"}
"""
    assert in_status(body) == (0, "done  all\n", "")


def test_who_is_told_to_ignore_ctrl_c_does():
    body = """
signal(SIGINT, SIG_IGN)
def status():
    raise_signal(SIGINT)
    return {"done": "all"}
"""
    assert in_status(body) == (0, "done  all\n", "")


def test_the_command_leaves_its_callers_ctrl_c_alone():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert CliRunner().invoke(main, ["status"]).exit_code == 0
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_the_installed_command_loads_next_to_nothing_before_it_heeds_ctrl_c():
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["wotd-mlx"]
    module, function = entry.split(":")
    code = f"""
import sys, signal
known = set(sys.modules)
from {module} import {function}
print(*sorted(set(sys.modules) - known))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["wotd_mlx", "wotd_mlx.cli", "wotd_mlx.cli.__main__"]
