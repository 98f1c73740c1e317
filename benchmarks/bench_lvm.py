"""The thirteen predictors beside their PyTorch reference implementations, and what a longer context costs them.

    python -m benchmarks.bench_lvm [--only NAME …] [--quick] [--plot]

Speed: forward and training step (forward, backward, AdamW) of the tiny preset at 384 dimensions, 32 windows of 16
vectors, dropout 0, two threads a side. As users run them, our step is compiled by ``mx.compile``, as the trainer does,
and our forward is not, as in evaluation; the reference is eager torch, in its fastest form. Both hold the same
weights, their outputs are compared first, and they take turns in one process.

Context: forward over 5 to 4,096 vectors at batch 1, uncompiled, as a call runs; seconds, MLX's peak memory beyond what
the weights hold, and the exponent of each over the upper lengths, beside the paper's claim.

Each measurement has a process of its own. Written: ``results/lvm_speed.json`` and ``results/lvm_cost.png``; with
``--only`` the other models' rows stay as they are. ``--quick`` tries it with few repeats and short contexts and writes
nothing; ``--plot`` draws the rows that are there and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS, alternate, write_results
from wotd_mlx.lvm import NAMES, architecture, build, preset

THREADS, DIMS, BATCH, LENGTH = 2, 384, 32, 16
LENGTHS = (5, 16, 64, 256, 1024, 4096)
UPPER = 256
"""Context from which on the exponent is fitted; below, what a call costs at any length counts most."""
QUICK = (5, 16, 64)
SECONDS, REPEATS = 12.0, (7, 60)
"""What alternating the four calls may take, and the fewest and most turns."""
RATE, DECAY = 5e-4, 0.01
EXPONENTS = ("time_exponent", "memory_exponent")
FILE, PICTURE = RESULTS / "lvm_speed.json", RESULTS / "lvm_cost.png"


def config(name: str, **changes: Any) -> Any:
    """The tiny preset at :data:`DIMS` without dropout."""
    return preset(name, "tiny", dims=DIMS, dropout=0.0, **changes)


def reference_of(name: str) -> tuple[Any, Any]:
    """The PyTorch reference in its fastest form, and the rules that give its weights our names."""
    module = import_module(f"converters.torch.{name}")
    if name == "linformer":
        return module.Reference(config(name), fast=True), module.rules(config(name))
    # transformers fills a sequence up to a whole chunk, and computes with what it filled in.
    cfg = config(name, chunk=LENGTH) if name in ("mamba2", "hybrid") else config(name)
    return module.Reference(cfg), module.rules(cfg)


def speed(name: str, quick: bool) -> dict[str, Any]:
    """Forward and training step, ours and the reference's; to be called in a fresh process."""
    import mlx.core as mx
    import torch

    from converters.torch.names import to_mlx

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    mx.random.seed(0)
    reference, rules = reference_of(name)
    model = build(name, config(name))
    model.load_weights(
        list(map_arrays(to_mlx({n: w.numpy() for n, w in reference.state_dict().items()}, rules)).items())
    )
    rng = np.random.default_rng(0)
    x, target = (rng.normal(size=(BATCH, LENGTH, DIMS)).astype(np.float32) for _ in range(2))
    calls = calls_of_ours(model, x, target) | calls_of_the_reference(reference, x, target)
    want, got = np.asarray(calls["reference forward"]()), np.asarray(calls["ours forward"]())
    difference = float(np.abs(got - want).max())
    if not difference < 1e-3:
        raise RuntimeError(f"{name} and its reference differ by {difference}: their times can't be compared")

    repeats, warmup = (3, 1) if quick else (turns(calls.values()), 3)
    # Forward and step apart: each leaves the caches as the other side of the same pair finds them.
    found: dict[str, float] = {}
    for kind in ("forward", "step"):
        found |= alternate({n: call for n, call in calls.items() if n.endswith(kind)}, repeats, warmup)
    return {
        "parameters": model.size,
        "repeats": repeats,
        "largest_difference": difference,
        **{f"{n.replace(' ', '_')}_ms": s * 1e3 for n, s in found.items()},
        **{f"{kind}_ratio": found[f"ours {kind}"] / found[f"reference {kind}"] for kind in ("forward", "step")},
    }


def map_arrays(weights: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy's arrays as MLX's."""
    import mlx.core as mx

    return {name: mx.array(weight) for name, weight in weights.items()}


def calls_of_ours(model: Any, x: Any, target: Any) -> dict[str, Callable[[], Any]]:
    """A forward without gradients, and a step that moves the weights; both wait for their result."""
    from functools import partial

    import mlx.core as mx
    from mlx import nn, optimizers

    mx.eval(model.parameters())
    given, wanted = mx.array(x), mx.array(target)
    optimizer = optimizers.AdamW(RATE, weight_decay=DECAY, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    state = [model.state, optimizer.state]
    loss_and_gradient = nn.value_and_grad(model, lambda x, target: mx.square(model(x)[0] - target).mean())

    @partial(mx.compile, inputs=state, outputs=state)
    def update(x: Any, target: Any) -> Any:
        loss, gradients = loss_and_gradient(x, target)
        optimizer.update(model, gradients)
        return loss

    def forward() -> Any:
        model.eval()
        y = model(given)[0]
        mx.eval(y)
        return y

    def step() -> float:
        # MLX traces once; which form it traced is told by the mode it stood in then.
        model.train()
        loss = update(given, wanted)
        mx.eval(loss, state)
        return float(loss.item())

    return {"ours forward": forward, "ours step": step}


def calls_of_the_reference(reference: Any, x: Any, target: Any) -> dict[str, Callable[[], Any]]:
    """The same of the reference."""
    import torch

    given, wanted = torch.from_numpy(x), torch.from_numpy(target)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=RATE, weight_decay=DECAY)

    def forward() -> Any:
        reference.eval()
        with torch.inference_mode():
            return reference(given)

    def step() -> float:
        reference.train()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(reference(given), wanted)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return {"reference forward": forward, "reference step": step}


def turns(calls: Any) -> int:
    """How often all calls can take turns in :data:`SECONDS`."""
    total = 0.0
    for call in calls:
        call()
        started = time.perf_counter()
        call()
        total += time.perf_counter() - started
    fewest, most = REPEATS
    return int(min(most, max(fewest, SECONDS / total)))


def length(name: str, quick: bool) -> dict[str, Any]:
    """Forward time and peak memory at growing contexts; to be called in a fresh process."""
    import mlx.core as mx

    mx.random.seed(0)
    lengths = QUICK if quick else LENGTHS
    fields = architecture(name).Config.__dataclass_fields__
    model = build(name, config(name, **({"longest": LENGTHS[-1]} if "longest" in fields else {})))
    mx.eval(model.parameters())
    model.eval()
    rows = []
    for count in lengths:
        x = mx.random.normal((1, count, DIMS))
        mx.eval(x, model(x)[0])
        mx.clear_cache()
        mx.reset_peak_memory()
        held = mx.get_active_memory()
        times: list[float] = []
        while len(times) < 3 or (sum(times) < (0.2 if quick else 2.0) and len(times) < 30):
            started = time.perf_counter()
            mx.eval(model(x)[0])
            times.append(time.perf_counter() - started)
        rows.append(
            {
                "context": count,
                "forward_ms": statistics.median(times) * 1e3,
                "repeats": len(times),
                "peak_bytes": mx.get_peak_memory(),
                "working_bytes": mx.get_peak_memory() - held,
            }
        )
    about = architecture(name).ABOUT
    return {
        "claim": about.complexity,
        "claimed_step_memory": about.step_memory,
        "time_exponent": exponent(rows, "forward_ms"),
        "memory_exponent": exponent(rows, "working_bytes"),
        "rows": rows,
    }


def exponent(rows: Sequence[Mapping[str, float]], figure: str) -> float | None:
    """The slope of log figure over log context, by least squares, from :data:`UPPER` on; None for fewer than two."""
    upper = [row for row in rows if row["context"] >= UPPER]
    if len(upper) < 2:
        return None
    return float(np.polyfit(np.log([r["context"] for r in upper]), np.log([r[figure] for r in upper]), 1)[0])


def draw(models: Mapping[str, Any], file: Path) -> None:
    """Both costs over the context, a line a model."""
    from matplotlib import rc_context

    from wotd_mlx.lvm.report.figures import STYLE, log_ticks, look, panels

    found = {name: models[name]["context"] for name in NAMES if "context" in models.get(name, {})}
    shown = (
        ("forward_ms", 1.0, f"time of one forward of batch 1 on {THREADS} threads, ms"),
        ("working_bytes", 1e-6, "memory beyond weights, MB"),
    )
    with rc_context(STYLE):
        figure, axes = panels(2, 2, 5, 5)
        for at, (key, scale, label) in zip(axes, shown, strict=True):
            for n, (name, costs) in enumerate(found.items()):
                exponents = " / ".join("–" if (e := costs[k]) is None else f"{e:.2f}" for k in EXPONENTS)
                at.plot([r["context"] for r in costs["rows"]], [r[key] * scale for r in costs["rows"]], **look(n),
                        markersize=4, label=f"{name}: {exponents}, {costs['claim']}")  # fmt: skip
            at.set(xscale="log", yscale="log", xlabel="context, embeddings", ylabel=label)
            log_ticks(at.yaxis)
            at.set_xticks(LENGTHS, map(str, LENGTHS))
            at.minorticks_off()
            at.grid(alpha=0.3)
        keys = axes[0].get_legend_handles_labels()
        title = f"exponents of time / memory from {UPPER} on,\nthe paper's cost"
        figure.legend(*keys, loc="outside right upper", title=title)
        figure.savefig(file)


def in_a_process(part: str, name: str, quick: bool) -> dict[str, Any]:
    """What a part finds in a fresh process of :data:`THREADS` threads.

    Raises:
        RuntimeError: it ended with an error; its last lines are told.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
    command = [sys.executable, "-m", "benchmarks.bench_lvm", "--part", part, "--only", name]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{name}, {part}: " + "\n".join(done.stderr.strip().splitlines()[-12:]))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PARTS = {"speed": speed, "context": length}


def main() -> None:
    """Measure model after model; write what was found as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help="these models")
    parser.add_argument("--quick", action="store_true", help="few repeats, short contexts, nothing written")
    parser.add_argument("--plot", action="store_true", help="draw what was measured before")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(PARTS[args.part](args.only[0], args.quick)))
        return
    models: dict[str, Any] = json.loads(FILE.read_text())["models"] if FILE.exists() else {}
    for name in [] if args.plot else args.only:
        found = {part: in_a_process(part, name, args.quick) for part in PARTS}
        print(f"{name:12} {told(found)}", flush=True)
        if not args.quick:
            models[name] = found
            ordered = {n: models[n] for n in NAMES if n in models}
            settings = {"threads": THREADS, "dims": DIMS, "batch": BATCH, "length": LENGTH, "preset": "tiny"}
            write_results("lvm_speed", {**settings, "exponent_from": UPPER, "models": ordered})
    if models and not args.quick:
        draw(models, PICTURE)
        print(f"wrote {PICTURE}")


def told(found: Mapping[str, Any]) -> str:
    """A model's figures in one line."""
    fast, costs = found["speed"], found["context"]
    pairs = []
    for kind in ("forward", "step"):
        ours, reference = fast[f"ours_{kind}_ms"], fast[f"reference_{kind}_ms"]
        pairs.append(f"{kind} {ours:.1f} / {reference:.1f} ms = {fast[f'{kind}_ratio']:.2f}×")
    last = costs["rows"][-1]
    exponents = ", ".join("–" if costs[k] is None else f"{costs[k]:.2f}" for k in EXPONENTS)
    return (
        f"{'  '.join(pairs)}  context {last['context']:,}: {last['forward_ms']:.1f} ms, "
        f"{last['working_bytes'] / 1e6:.1f} MB, exponents {exponents} ({costs['claim']})"
    )


if __name__ == "__main__":
    main()
