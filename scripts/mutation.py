"""Measure how many small faults the tests notice: ``python -m scripts.mutation [--only GLOB] [--sample N] [--seed S]``.

cosmic-ray lists every mutation that its default operators can make in :data:`TARGETS`; a seeded sample of them, uniform
over all, is made one by one in a copy of the tree, and each file's own tests (:func:`own_tests`) run on the copy. A
mutant is killed if they fail or take far longer than without it. The score is the share killed; survivors are told with
file, line and change.

Left out, since no test could or should notice them, are mutations

- in annotations, in what is raised or logged or printed, in ``__all__`` and below ``if TYPE_CHECKING``;
- in the test cases that stand beside an op and their arrays, and the loss of a decorator that registers or remembers;
- of ``strict=`` and ``frozen=``, guards which change nothing that a correct caller sees;
- of ``==`` into ``is`` and the reverse (small numbers and names are shared objects);
- that don't compile.

Each test run is a fork of a process that has loaded the libraries, which saves most of its time; so it needs Linux.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import importlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast_from_path
from cosmic_ray.commands.init import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import mutate_code, use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.util import read_python_source
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

from benchmarks.timing import RESULTS, machine

ROOT = Path(__file__).parents[1]
OUT = RESULTS / "mutation.json"
# pytest last: it rewrites the assertions of what is imported after it.
LIBRARIES = (
    *("numpy", "scipy.special", "mlx.core", "mlx.nn", "mlx.optimizers"),
    *("coremltools", "torch", "faiss", "hypothesis", "pytest"),
)
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-W", "ignore"]


# What prints or logs, and what makes test cases and their arrays (converters/coreml/ops/registry.py).
UNSEEN_CALLS = {
    *("print", "log", "logger", "logging", "warnings"),
    *("Case", "integers", "booleans", "uniform", "given", "typed"),
}


@dataclass(frozen=True)
class Target:
    """What is mutated, and where its tests are.

    ``sources`` are files or folders, ``tests`` the folder that has them; ``others`` run for a file without tests of its
    name and, where there are none such, what imports it. ``cases``: the op table's cases are its tests too.
    """

    sources: tuple[str, ...]
    tests: str
    others: tuple[str, ...] = ()
    cases: bool = False


TARGETS = (
    Target(("wotd_mlx/codes",), "tests/codes"),
    Target(tuple(f"wotd_mlx/language/{name}.py" for name in ("dsl", "pattern", "constrain")), "tests/language"),
    Target(("wotd_mlx/lvm/parts",), "tests/lvm"),
    Target(("converters/coreml/ops",), "tests/converters/ops", cases=True),
    Target(
        ("converters/passes",),
        "tests/converters/passes",
        ("tests/converters/passes", "tests/converters/test_passes.py"),
    ),
    Target(
        ("converters/coreml/executor/ops",),
        "tests/converters/executor",
        ("tests/converters/executor", "tests/converters/test_executor_mil.py", "tests/converters/test_executor.py"),
    ),
)


def main() -> None:
    """Measure, print a line for each mutant and each folder, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="*", metavar="GLOB", help="files to mutate, as in 'wotd_mlx/codes/*'")
    parser.add_argument("--sample", type=int, default=300, help="mutants to try (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--commit", help="measure this commit, not the tracked files as they are")
    parser.add_argument("--out", type=Path, help=f"write the figures here, as {OUT.relative_to(ROOT)}")
    args = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _copy(tree, args.commit)
        mutants = sample(tree, args.only, args.sample, args.seed)
        rows = [_tried(tree, mutant, f"{n}/{len(mutants)}") for n, mutant in enumerate(mutants, 1)]
    figures = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "commit": args.commit or _git("rev-parse", "--short", "HEAD").decode().strip(),
        "only": args.only,
        "seed": args.seed,
        **summary(rows),
    }
    print(json.dumps({name: figures[name] for name in ("mutants", "killed", "score", "folders")}, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares killed, of all and by folder, and the survivors."""
    folders: dict[str, Counter[str]] = {}
    for row in rows:
        folders.setdefault(str(Path(row["file"]).parent), Counter())[row["outcome"]] += 1
    survivors = [row for row in rows if row["outcome"] == "survived"]
    killed = len(rows) - len(survivors)
    return {
        "mutants": len(rows),
        "killed": killed,
        "score": round(killed / max(len(rows), 1), 3),
        "folders": {
            name: {"mutants": count.total(), "killed": count["killed"]} for name, count in sorted(folders.items())
        },
        "survivors": survivors,
    }


def sample(tree: Path, only: str, count: int, seed: int) -> list[MutationSpec]:
    """``count`` mutations of the tree's targets, or all where there are fewer, drawn alike from all that count."""
    sources = [tree / source for target in TARGETS for source in target.sources]
    modules = [path for path in find_modules(sources) if fnmatch.fnmatch(str(path.relative_to(tree)), only)]
    with use_db(":memory:", WorkDB.Mode.create) as database:
        init(modules, database, {})
        every = [mutation for item in database.work_items for mutation in item.mutations]
    every.sort(key=lambda m: (str(m.module_path), m.operator_name, m.occurrence))
    random.Random(seed).shuffle(every)
    chosen: list[MutationSpec] = []
    for mutation in every:
        if len(chosen) == count:
            break
        if not left_out(mutation):
            chosen.append(mutation)
    return chosen


def left_out(mutation: MutationSpec) -> bool:
    """True for mutations that no test could or should notice, by the module's rules."""
    operator = mutation.operator_name.rpartition("/")[2]
    if {tuple(operator.split("_")[-2:])} & {("Eq", "Is"), ("NotEq", "IsNot"), ("Is", "Eq"), ("IsNot", "NotEq")}:
        return True
    if any(_unseen(node, child, operator) for node, child in _ancestors(mutation)):
        return True
    mutated = mutate_code(
        read_python_source(mutation.module_path), get_operator(mutation.operator_name)(), mutation.occurrence
    )
    try:
        compile(mutated, str(mutation.module_path), "exec")
    except SyntaxError:
        return True
    return False


@cache
def _parsed(path: Path) -> Any:
    return get_ast_from_path(path)


def _ancestors(mutation: MutationSpec) -> Iterator[tuple[Any, Any]]:
    """The syntax nodes around a mutation, innermost first, each with its child on the way."""
    line, column = mutation.start_pos
    # Where two leaves meet, parso gives the one before.
    child = _parsed(mutation.module_path).get_leaf_for_position((line, column + 1))
    while child.parent is not None:
        yield child.parent, child
        child = child.parent


def _unseen(node: Any, child: Any, operator: str) -> bool:
    """True where what stands in this node leaves no trace in what the program computes."""
    before = "".join(c.get_code() for c in node.children[: node.children.index(child)]).strip()
    called = node.get_code().strip().lstrip("@").partition("(")[0]
    call = node.type in {"atom_expr", "power"} and before
    return (
        node.type in {"tfpdef", "raise_stmt"}
        or (node.type == "annassign" and before == ":")
        or (node.type == "funcdef" and before.endswith("->"))
        or (node.type == "if_stmt" and before.endswith("TYPE_CHECKING:"))
        or (node.type == "expr_stmt" and before.startswith("__all__"))
        or (node.type == "argument" and before in {"strict=", "frozen="})
        or (bool(call) and called.partition(".")[0] in UNSEEN_CALLS)
        or (operator == "RemoveDecorator" and called in {"op", "cache", "lru_cache", "overload"})
    )


def own_tests(tree: Path, source: str) -> list[str]:
    """What pytest is told to run for a file: tests of its name, else the target's others, else those that import it."""
    path = Path(source)
    target = next(t for t in TARGETS if any(path.is_relative_to(s) for s in t.sources))
    named = [str(file.relative_to(tree)) for file in sorted((tree / target.tests).rglob(f"test_{path.stem}.py"))]
    if target.cases:
        ops = _forked(partial(_op_names, str(tree), path.stem), tree, 300)[1].split()
        names = [f"{name}-" for name in ops] + [Path(name).name for name in named]
        return [*named, "tests/converters/test_ops.py", "-k", " or ".join(names)]
    if found := named or [file for file in target.others if (tree / file).exists()]:
        return found
    return _importing_tests(tree, target.tests, source)


def _importing_tests(tree: Path, tests: str, source: str) -> list[str]:
    """The test files that import a module or bear its name; where there are none, those of its importers, and so on."""
    package = tree / Path(source).parts[0]
    imports = {file: _imports(file) for file in [*package.rglob("*.py"), *(tree / tests).rglob("test_*.py")]}
    seen: set[str] = set()
    modules = {_module(tree, tree / source)}
    while modules - seen:
        seen |= modules
        found = {file for file, names in imports.items() if names & modules}
        own = {f"test_{module.rpartition('.')[2]}" for module in modules}
        chosen = {file for file in imports if file.is_relative_to(tree / tests) and (file in found or file.stem in own)}
        if chosen:
            return sorted(str(file.relative_to(tree)) for file in chosen)
        modules = {_module(tree, file) for file in found}
    return []


def _module(tree: Path, file: Path) -> str:
    parts = file.relative_to(tree).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(file: Path) -> set[str]:
    """Every dotted name that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _op_names(tree: str, family: str) -> int:
    """Print the primitives that a file of converters/coreml/ops lowers, or those of the files that import it."""
    table = importlib.import_module("converters.coreml.ops").OPS
    module = f"converters.coreml.ops.{family}"
    folder = Path(tree) / "converters" / "coreml" / "ops"
    families = {family, *(file.stem for file in folder.glob("*.py") if module in _imports(file))}
    homes = {name: row.lower.__module__.rpartition(".")[2] for name, row in table.items()}
    own = [name for name, home in homes.items() if home == family]
    print(*(own or [name for name, home in homes.items() if home in families]), flush=True)
    return 0


def _tried(tree: Path, mutation: MutationSpec, number: str) -> dict[str, Any]:
    """One mutant, tested."""
    source = str(mutation.module_path.relative_to(tree))
    tests, limit = _baseline(tree, source)
    started = time.monotonic()
    with use_mutation(mutation.module_path, get_operator(mutation.operator_name)(), mutation.occurrence) as codes:
        code, _ = _forked(partial(_pytest, tests), tree, limit) if tests else (0, "")
    before, after = (code.splitlines() for code in codes)
    line = mutation.start_pos[0]
    outcome = "survived" if code == 0 else "killed"
    changed = {f"- {text.strip()}" for text in before if text not in after}
    changes = sorted(changed) + sorted({f"+ {text.strip()}" for text in after if text not in before})
    operator = mutation.operator_name.rpartition("/")[2]
    print(f"{number} {outcome} {time.monotonic() - started:.0f}s {source}:{line} {operator}", flush=True)
    return {"file": source, "line": line, "operator": operator, "outcome": outcome, "diff": changes}


@cache
def _baseline(tree: Path, source: str) -> tuple[list[str], float]:
    """A file's own tests, which must pass as they are, and the seconds after which a mutant counts as hanging."""
    tests = own_tests(tree, source)
    started = time.monotonic()
    if tests:
        code, output = _forked(partial(_pytest, tests), tree, 1200)
        if code:
            raise SystemExit(f"{source}: its own tests fail as they are ({' '.join(tests)})\n{output[-4000:]}")
    print(f"{source}: {time.monotonic() - started:.0f}s for {' '.join(tests) or 'no tests'}", flush=True)
    return tests, 30 + 5 * (time.monotonic() - started)


def _pytest(tests: Sequence[str]) -> int:
    return int(importlib.import_module("pytest").main([*PYTEST, *tests]))


def _forked(call: partial[int], tree: Path, limit: float) -> tuple[int, str]:
    """Exit status (nonzero where it was killed for its time) and output of a call in a forked process, in the tree."""
    with tempfile.TemporaryFile("w+") as output:
        process = multiprocessing.get_context("fork").Process(target=_child, args=(call, tree, output.fileno()))
        process.start()
        process.join(limit)
        if process.is_alive():
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
        shutil.rmtree(tree / ".hypothesis", ignore_errors=True)  # its examples would carry over to the next mutant
        output.seek(0)
        return process.exitcode or 0, output.read()


def _child(call: partial[int], tree: Path, output: int) -> None:
    os.setsid()
    os.chdir(tree)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ["PYTHONPATH"] = str(tree)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(tree))
    for name in [n for n in sys.modules if n.partition(".")[0] in {"scripts", "benchmarks"}]:
        del sys.modules[name]
    os._exit(call())


def _copy(tree: Path, commit: str | None) -> None:
    """The tracked files, as they are or as a commit has them."""
    if commit:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
            archive.extractall(tree, filter="data")
        return
    for name in _git("ls-files", "-z").decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _git(*args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
