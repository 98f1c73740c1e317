"""The converter beside Apple's own ways from torch and beside other people's from MLX, on two models and lists of ops.

    python -m benchmarks.bench_convert [--run runs/default] [--fsq-run runs/fsq] [--only models,ops] [--repeats 3]
    python -m benchmarks.bench_convert --markdown      the tables, from what was measured last

Models: MiniLM without codes, token ids (1, 16) and mask to a unit vector, and the FSQ encoder, vector to ID. Each
conversion has a fresh process; its clock runs from capture to the saved package, after imports and with weights in
memory. Packages are computed on real words, Core ML's by the reference executor, Core AI's by its own runtime, which is
timed too. Others are tried where they are installed: `pip install --no-deps mlx2coreml==0.1.1 coreai-torch==0.4.3
strenum mlx2coreai==0.1.1`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from benchmarks.convert_routes import CONVERTERS, LENGTH, NOTES, Inputs, Job
from benchmarks.mlx2coreml_ops import COREAI_STATES, GROUPS, STATES, Listed
from benchmarks.timing import RESULTS, write_results
from converters import coreml
from converters.capture import named_outputs
from converters.coreml.backend import edge
from converters.coreml.executor import Executor
from converters.coreml.toolkit import quiet
from converters.front import runner
from converters.report import GATES_DB

WORDS = 100
PATIENCE = 60.0
"""Seconds of Core AI's runtime a row: in float16 torch's products take seconds a word on a CPU, so it gets fewer."""
PRECISIONS = ("float32", "float16")
SAME = ("const", "cast", "identity")
SKIPPED = {("fsq", "torch_plain"), ("fsq", "coreai_torch"), ("fsq", "mlx2coreai")}
PARTS = ("models", "ops")


def convert_once(job: Job, package: Path, with_source: bool) -> dict[str, Any]:
    """:func:`timed`, or what stops it: an exception of another package may not survive the way between processes."""
    try:
        return timed(job, package, with_source)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def timed(job: Job, package: Path, with_source: bool) -> dict[str, Any]:
    """One conversion in this process: its seconds, and what the source computes where that is asked for."""
    # On a Mac too: it is where both converters capture here.
    mx.set_default_device(mx.cpu)
    with quiet():
        route = CONVERTERS[job.converter](job)
        started = time.perf_counter()
        route.convert(package)
        found: dict[str, Any] = {"seconds": time.perf_counter() - started}
        if route.check:
            started = time.perf_counter()
            route.check(package)
            found["check_seconds"] = time.perf_counter() - started
        if with_source:
            found["source"] = np.stack([route.source(example) for example in job.examples])
    return found


def isolated(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call in a fresh process, forked from one that has imported coremltools and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["coremltools"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def deviation(want: np.ndarray, got: np.ndarray) -> dict[str, Any]:
    """Largest error, PSNR as the converter's gate has it (None: no error), and the share of equal rows."""
    error = want.astype(np.float64) - got.astype(np.float64)
    noise = math.sqrt(float((error**2).mean()))
    peak = float(np.abs(want).max()) or 1.0
    return {
        "max_abs_error": float(np.abs(error).max()),
        "psnr_db": 20 * math.log10(peak / noise) if noise else None,
        "equal_rows": float((error == 0).all(axis=-1).mean()),
    }


def inspect(package: Path, examples: Sequence[Inputs]) -> tuple[dict[str, Any], np.ndarray]:
    """Bytes and operations of a saved package, and what it computes."""
    if package.suffix == ".aimodel":
        return inspect_coreai(package, examples)
    executor = Executor(package)
    outputs = np.stack([next(iter(executor(example).values())) for example in examples])
    return sized(package, executor.op_counts()), outputs


def inspect_coreai(package: Path, examples: Sequence[Inputs]) -> tuple[dict[str, Any], np.ndarray]:
    """The same of Core AI, and milliseconds a call of its runtime on a CPU."""
    from converters.coreai.runtime import load

    call, outputs, calls = runner(package), [], []
    for example in examples:
        if sum(calls) > 1e3 * PATIENCE:
            break
        started = time.perf_counter()
        outputs.append(np.float32(next(iter(call(example).values()))))
        calls.append(1e3 * (time.perf_counter() - started))
    figures = {"ms_a_call": statistics.median(calls), "words": len(calls)}
    return sized(package, Counter(load(package).operations)) | figures, np.stack(outputs)


def sized(package: Path, operations: Counter[str]) -> dict[str, Any]:
    """Bytes of a package, and its operations by type."""
    counts = {name: n for name, n in operations.most_common() if name != "const"}
    return {
        "bytes": sum(file.stat().st_size for file in package.rglob("*") if file.is_file()),
        "operations": sum(counts.values()),
        "operations_without_casts": sum(n for name, n in counts.items() if name not in SAME),
        "by_type": counts,
    }


def text_examples(run: Path) -> tuple[Inputs, ...]:
    """Words of a run, evenly over it, as token ids and mask."""
    from wotd_mlx import SemanticEncoder
    from wotd_mlx.export.targets import tokens

    coder = SemanticEncoder.load(run)
    words, _ = coder.words
    rows = np.linspace(0, len(words) - 1, WORDS).round().astype(int)
    made = tokens(coder, [words[row].text for row in rows], LENGTH)
    return tuple({name: np.array(array).astype(np.int32) for name, array in example.items()} for example in made)


def vector_examples(run: Path) -> tuple[Inputs, ...]:
    """The vectors of such words."""
    from wotd_mlx import SemanticEncoder

    coder = SemanticEncoder.load(run)
    if coder.config.codes.kind != "fsq":
        raise SystemExit(f"error: {run} has {coder.config.codes.kind} codes; the second model is FSQ's encoder")
    _, vectors = coder.words
    rows = np.linspace(0, len(vectors) - 1, WORDS).round().astype(int)
    return tuple({"vector": vectors[row][None].astype(np.float32)} for row in rows)


def models(run: Path, fsq_run: Path, repeats: int) -> dict[str, Any]:
    """Both models by every converter in both precisions, taking turns; the median of ``repeats`` conversions."""
    sources = {"text": (run, text_examples(run)), "fsq": (fsq_run, vector_examples(fsq_run))}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for target, (path, examples) in sources.items():
            for precision in PRECISIONS:
                names = [n for n in CONVERTERS if available(n) and (target, n) not in SKIPPED]
                jobs = [Job(name, target, precision, path, examples) for name in names]
                rows += together(jobs, Path(folder), repeats)
    return {
        "inputs": {
            "text": f"token_ids, mask (1, {LENGTH}) int32 -> vector (1, D)",
            "fsq": "vector (1, D) -> id (1, Q)",
        },
        "target": "iOS17",
        "words": WORDS,
        "repeats": repeats,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "timing": "each conversion in a fresh process, from capture to the saved package; imports and weights before",
        "notes": {name: NOTES[name] if available(name) else f"{NOTES[name]}; not installed" for name in CONVERTERS},
        "rows": rows,
    }


def available(converter: str) -> bool:
    """Whether the package that a converter needs is there."""
    needed = {"torch": "torch", "torch_plain": "torch", "ours_coreai": "coreai"}
    needed = needed.get(converter, converter.removesuffix("_rewritten"))
    return converter == "ours" or importlib.util.find_spec(needed) is not None


def together(jobs: Sequence[Job], folder: Path, repeats: int) -> list[dict[str, Any]]:
    """The same model in the same precision by each converter; the first job, ours, also tells what MLX computes."""
    runs: dict[str, list[dict[str, Any]]] = {job.converter: [] for job in jobs}
    faults: dict[str, str] = {}
    packages = {
        job.converter: folder
        / f"{job.target}_{job.precision}_{job.converter}.{'aimodel' if 'coreai' in job.converter else 'mlpackage'}"
        for job in jobs
    }
    for n in range(repeats):
        for job in jobs:
            if job.converter in faults:
                continue
            package = packages[job.converter] if n == 0 else folder / f"{n}" / packages[job.converter].name
            package.parent.mkdir(exist_ok=True)
            found = isolated(convert_once, job, package, n == 0)
            if "error" in found:
                faults[job.converter] = found["error"]
            runs[job.converter].append(found)
    in_mlx = runs["ours"][0]["source"]
    rows = []
    for job in jobs:
        row: dict[str, Any] = {"model": job.target, "precision": job.precision, "converter": job.converter}
        if job.converter in faults:
            row["error"] = faults[job.converter]
        else:
            found = runs[job.converter]
            figures, outputs = inspect(packages[job.converter], job.examples)
            row["seconds"] = statistics.median(run["seconds"] for run in found)
            if "check_seconds" in found[0]:
                row["of_which_check"] = statistics.median(run["check_seconds"] for run in found)
            row |= figures
            row["from_source"] = deviation(found[0]["source"][: len(outputs)], outputs)
            row["from_mlx"] = deviation(in_mlx[: len(outputs)], outputs)
        print(json.dumps({key: value for key, value in row.items() if key != "by_type"}), flush=True)
        rows.append(row)
    return rows


def attempt(rows: Sequence[Listed], package: Path) -> dict[str, str]:
    """Convert the rows as one function and compare the package with MLX; name -> what is wrong, where anything is.

    Raises:
        ConversionError: one of them can't be converted.
    """
    examples = {row: row.case.example() for row in rows}

    def together(**arrays: mx.array) -> dict[str, mx.array]:
        made = {row: row.fn(*(arrays[f"{row.name}_{key}"] for key in example)) for row, example in examples.items()}
        return {f"{row.name}_{key}": array for row, out in made.items() for key, array in named_outputs(out).items()}

    flat = {f"{row.name}_{key}": array for row, example in examples.items() for key, array in example.items()}
    report = coreml.convert(together, flat, package, force=True)
    wrong = {
        name.partition("_output")[0]: f"{found.psnr_db:.1f} dB, equal in {found.equal:.1%} of rows"
        for name, found in report.outputs.items()
        if found.equal < 1 and not (found.is_float and found.psnr_db >= GATES_DB["float32"])
    }
    return {name: why for row in rows if (why := wrong.get(row.name)) for name in row.names.split()}


def parts(rows: Sequence[Listed], size: int = 12) -> list[list[Listed]]:
    """Rows that should convert, some at a time: a package of twelve takes little longer than one of one."""
    kept = [row for row in rows if not row.stops]
    return [kept[n : n + size] for n in range(0, len(kept), size)]


def attempt_all(rows: Sequence[Listed], folder: Path, suffix: str = ".mlpackage") -> dict[str, str]:
    """Name -> what stops it, for names that don't convert or are wrong; a part that fails is tried row by row."""
    stopped: dict[str, str] = {}
    for n, part in enumerate([*parts(rows), *([row] for row in rows if row.stops)]):
        try:
            stopped |= attempt(part, folder / f"{n}{suffix}")
        except coreml.ConversionError:
            for row in part:
                try:
                    stopped |= attempt([row], folder / f"{n}_{row.name}{suffix}")
                except coreml.ConversionError as error:
                    stopped |= dict.fromkeys(row.names.split(), f"{type(error).__name__}: {error}")
    return stopped


def attempt_elsewhere(rows: Sequence[Listed], folder: Path) -> dict[str, str]:
    """:func:`attempt_all` by mlx2coreml, row by row."""
    import mlx2coreml as other

    from converters.coreml.executor import Executor

    config = other.ConversionConfig(deployment_target="iOS17", compute_precision="fp32")
    stopped: dict[str, str] = {}
    for row in rows:
        example = {name: np.array(array) for name, array in row.case.example().items()}
        package = folder / f"other_{row.name}.mlpackage"
        try:
            # By name, since it hands the inputs over in an order of its own.
            call = partial(lambda fn, **x: fn(*(x[name] for name in sorted(x))), row.fn)
            with quiet():
                other.convert_mlx_to_coreml(call, example, config=config).model.save(str(package))
            wanted = named_outputs(row.case.call(**row.case.example()))
            got = Executor(package)({name: edge(array) for name, array in example.items()})
            for want, out in zip(map(edge, wanted.values()), got.values(), strict=True):
                if out.size != want.size:
                    raise ValueError(f"wrong: {out.shape} where MLX has {want.shape}")
                found = deviation(want, out.reshape(want.shape))
                if not (found["equal_rows"] == 1 or found["psnr_db"] >= GATES_DB["float32"]):
                    raise ValueError(f"wrong: {found['psnr_db']:.1f} dB")
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            stopped |= dict.fromkeys(row.names.split(), f"{type(error).__name__}: {text}")
    return stopped


def stopped_elsewhere(group: str) -> dict[str, str]:
    """:func:`attempt_elsewhere` for a list, with a folder of its own."""
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as folder:
        return attempt_elsewhere(GROUPS[group], Path(folder))


def ops() -> dict[str, Any]:
    """How many names of each list convert and agree with MLX, by ours and by mlx2coreml, and what stops the rest."""
    found: dict[str, Any] = {}
    for group, rows in GROUPS.items():
        names = sum(len(row.names.split()) for row in rows)
        with tempfile.TemporaryDirectory() as folder, quiet():
            stopped = attempt_all(rows, Path(folder))
        found[group] = {
            "names": names,
            "functions": len(rows),
            "ours": {"convert": names - len(stopped), "not": stopped},
        }
        if available("ours_coreai"):
            with tempfile.TemporaryDirectory() as folder, quiet():
                stopped = attempt_all(rows, Path(folder), ".aimodel")
            found[group]["ours_coreai"] = {"convert": names - len(stopped), "not": stopped}
        if available("mlx2coreml"):
            theirs = isolated(stopped_elsewhere, group)
            found[group]["mlx2coreml"] = {"convert": names - len(theirs), "not": theirs}
        print(group, {key: value["convert"] for key, value in found[group].items() if isinstance(value, dict)}, names)
    return {
        "gate_db": GATES_DB["float32"],
        "without_function": list(dict.fromkeys((*STATES, *COREAI_STATES))),
        "note": "captured on a CPU, where MLX takes rope, layer_norm and rms_norm apart; Metal leaves them whole",
        "groups": found,
    }


TITLES = {
    "supported": "mlx2coreml 0.1.1 converts",
    "not_yet_implemented": "it has not implemented",
    "not_supported": "it does not support",
    "elsewhere": "are on neither list, here to show what stops them",
    "coreai": "mlx2coreai 0.1.1 lists beside them",
}


def markdown(figures: Mapping[str, Any]) -> str:
    """Both tables."""
    numbers = ["seconds", "MB", "operations", "without casts", "largest error", "PSNR", "IDs equal", "ms a call"]
    lines = [
        f"| model | precision | converter | {' | '.join(numbers)} |",
        "| --- | --- | --- |" + " ---: |" * len(numbers),
    ]
    for row in figures["models"]["rows"]:
        start = f"| {row['model']} | {row['precision']} | {row['converter']} |"
        if "error" in row:
            lines.append(f"{start} – | | | | | | | |")
            continue
        error = row["from_mlx"]
        db = "exact" if error["psnr_db"] is None else f"{error['psnr_db']:.1f} dB"
        equal = f"{error['equal_rows']:.0%}" if row["model"] == "fsq" else ""
        calls = f"{row['ms_a_call']:.1f}" if "ms_a_call" in row else ""
        lines.append(
            f"{start} {row['seconds']:.2f} | {row['bytes'] / 1e6:.2f} | {row['operations']} | "
            f"{row['operations_without_casts']} | {error['max_abs_error']:.1e} | {db} | {equal} | "
            f"{calls} |"
        )
    head = "| names that | of | ours to Core ML | ours to Core AI | mlx2coreml |"
    lines += ["", head, "| --- | ---: | ---: | ---: | ---: |"]
    for group, found in figures["ops"]["groups"].items():
        theirs = found["mlx2coreml"]["convert"] if "mlx2coreml" in found else "–"
        ours = " | ".join(str(found[kind]["convert"]) for kind in ("ours", "ours_coreai"))
        lines.append(f"| {TITLES[group]} | {found['names']} | {ours} | {theirs} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the parts asked for, write benchmarks/results/convert.json; or print it as tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, default=Path("runs/default"), help="a finished run: its embedding, its words"
    )
    parser.add_argument("--fsq-run", type=Path, default=Path("runs/fsq"), help="a finished run with FSQ codes")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--repeats", type=int, default=3, help="conversions of each kind (default: 3)")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the last measurement")
    arguments = parser.parse_args()
    file = RESULTS / "convert.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if arguments.markdown:
        print(markdown(kept))
        return
    if not available("mlx2coreml"):
        print("mlx2coreml: not installed, left out; `pip install --no-deps mlx2coreml==0.1.1`")
    measures = {"models": lambda: models(arguments.run, arguments.fsq_run, arguments.repeats), "ops": ops}
    figures = {part: kept[part] for part in PARTS if part in kept}
    for part in arguments.only.split(","):
        figures[part] = measures[part]()
        write_results("convert", {key: figures[key] for key in PARTS if key in figures})


if __name__ == "__main__":
    main()
