"""Write docs/layout.md, the tree of the source with the first sentence of each file: ``python -m scripts.layout``."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "layout.md"
FOLDERS = ("wotd_mlx", "converters", "benchmarks", "scripts")
HEAD = """\
# Where things are

Made from the first sentence of each file by `python -m scripts.layout`; a test refuses a stale copy. Imports run one
way: words → embed → codes → the run in use → language; `lvm/` stands beside them, `cli/` on top and holds no logic;
`converters/` knows MLX functions and arrays, and nothing of words.

```text
"""
_WIDTH = 140
_INDENT = "  "


def page(files: Iterable[Path] | None = None) -> str:
    """The whole of docs/layout.md, of these files or of all that git knows of."""
    folders: dict[PurePosixPath, list[PurePosixPath]] = {}
    said: dict[PurePosixPath, str] = {}
    for file in source() if files is None else files:
        path = PurePosixPath(file.relative_to(ROOT).as_posix())
        if path.name == "__init__.py":
            said[path.parent] = first_sentence(file)
        elif path.name != "__main__.py":
            said[path] = first_sentence(file)
            folders.setdefault(path.parent, []).append(path)
    every = sorted({folder for path in folders for folder in (path, *path.parents)} - {PurePosixPath(".")})
    lines: list[str] = []
    for top in FOLDERS:
        _tell(PurePosixPath(top), 0, every, folders, said, lines)
    return HEAD + "\n".join(lines) + "\n```\n"


def source() -> list[Path]:
    """The Python and Swift files of :data:`FOLDERS`, those that git doesn't know yet and doesn't ignore included."""
    asked = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *FOLDERS)
    names = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    files = (ROOT / name for name in sorted(set(names)) if name.endswith((".py", ".swift")))
    return [file for file in files if file.exists()]


def first_sentence(file: Path) -> str:
    """What a file says of itself: its docstring's or, in Swift, its first comment's first sentence."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".swift":
        said = re.search(r"^///? (?!swift-)(.+)$", text, re.MULTILINE)
        start = said.group(1) if said else ""
    else:
        start = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.])\.(?=\s|$)|: ``python", start)[0].replace("``", "`").strip()


def _tell(
    folder: PurePosixPath,
    depth: int,
    every: list[PurePosixPath],
    folders: dict[PurePosixPath, list[PurePosixPath]],
    said: dict[PurePosixPath, str],
    lines: list[str],
) -> None:
    lines.append(_line(f"{folder.name}/", depth, said.get(folder, "")))
    lines += [_line(file.name, depth + 1, said[file]) for file in folders.get(folder, [])]
    for inner in every:
        if inner.parent == folder:
            _tell(inner, depth + 1, every, folders, said, lines)


def _line(name: str, depth: int, said: str) -> str:
    line = f"{_INDENT * depth}{name}"
    line = f"{line:<32}  {said}" if said else line
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 2].rsplit(' ', 1)[0]} …"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(f"{FILE.name}: {len(source())} files")
