"""A small bundle, and WOTDKit built from it: as it is, and with stand-ins for Apple's modules beside two programs.

Everything is built once a session, away from the sources. Where there is no `swift`, what needs it is skipped.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wotd_mlx.config.export import ExportConfig
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export import targets
from wotd_mlx.export.bundle import export
from wotd_mlx.words.normal import normal

HERE = Path(__file__).parent / "swift"


@dataclass(frozen=True)
class Package:
    """A Swift package, built in one language mode; a warning is a failure."""

    folder: Path
    scratch: Path
    mode: str
    release: bool = False

    def swift(self, verb: str, *options: str, **environment: str) -> str:
        """What ``swift build`` or ``swift test`` prints; fails with it where that fails or warns."""
        command = ["swift", verb, "--package-path", str(self.folder), "--scratch-path", str(self.scratch), "-j", "2"]
        command += ["-Xswiftc", "-swift-version", "-Xswiftc", self.mode, "-c", "release" if self.release else "debug"]
        # An index of the sources takes as long as all else; tests are found by it.
        command += ["-Xswiftc", "-index-ignore-system-modules"]
        command += [*options] if verb == "test" or "--build-tests" in options else ["--disable-index-store", *options]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
        printed = done.stdout + done.stderr
        # Not asked of the compiler: in the mode of Swift 6 it warns of what `swift build` itself writes for the tests.
        lines = re.findall(r"^\S.*\bwarning: .*", printed, re.MULTILINE)
        warnings = [line for line in lines if not line.startswith(str(self.scratch))]
        assert (done.returncode, warnings) == (0, []), f"{' '.join(command)}\n{printed[-8000:]}"
        return printed

    def program(self, name: str) -> Path:
        return self.scratch / ("release" if self.release else "debug") / name


@pytest.fixture(scope="session")
def bundle(finished, tmp_path_factory) -> Path:
    """A text encoder's bundle of a tiny BERT."""
    out = tmp_path_factory.mktemp("bundles") / "swift"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "CHECKED", 40)
        export(SemanticEncoder.load(finished.run), "text-encoder", out, ExportConfig("float32"))
    telling = [c for c in map(chr, range(sys.maxunicode + 1)) if told(c)]
    rng = random.Random(0)
    mixed = ["".join(rng.choices([*telling, *"aE \u0301\u0323"], k=rng.randint(2, 9))) for _ in range(5000)]
    texts = [*telling, *mixed, " two\u00a0\u2003words\ufeff ", "ΟΔΟΣ ὈΔΟΎΣ"]
    (out / "normal_forms.json").write_text(json.dumps([[text, normal(text)] for text in texts]))
    return out


def told(c: str) -> bool:
    """Whether a character says something of what :func:`normal` does: it changes, alone or beside others."""
    kind = unicodedata.category(c)
    cherokee = "CHEROKEE" in unicodedata.name(c, "")  # folded to its capitals, as nothing else is
    return kind not in ("Cn", "Cs", "Co") and not cherokee and (normal(c) != c or kind in ("Mn", "Zs"))


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Iterator[Path]:
    """A folder for what Swift builds, some hundred megabytes, for as long as the session lasts."""
    if why := no_swift():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("swift")
    yield folder
    shutil.rmtree(folder)


def no_swift() -> str | None:
    """Why WOTDKit can't be built and tested on this machine."""
    if shutil.which("swift") is None:
        return "no `swift` on PATH: WOTDKit is neither compiled nor tested; install it from https://swift.org/install"
    if subprocess.run(["swift", "--version"], capture_output=True, check=False).returncode != 0:
        return "`swift --version` fails: WOTDKit is neither compiled nor tested"
    if (
        sys.platform == "darwin"
        and subprocess.run(["xcrun", "--find", "xctest"], capture_output=True, check=False).returncode
    ):
        return "no XCTest: WOTDKit is neither compiled nor tested; install Xcode, or choose it with xcode-select"
    return None


@pytest.fixture(scope="session")
def workshop(workspace, bundle) -> Path:
    """The package's files with the tests' programs and stand-ins, as one package."""
    folder = workspace / "workshop"
    shutil.copytree(HERE, folder)
    for part in ("Sources", "Tests"):
        shutil.copytree(bundle / "WOTDKit" / part, folder / part)
    return folder


@pytest.fixture(scope="session")
def programs(workspace, workshop) -> Package:
    """The programs, optimised, in Swift 6's mode."""
    package = Package(workshop, workspace / "programs6", "6", release=True)
    package.swift("build")
    return package
