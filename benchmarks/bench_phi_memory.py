"""Whether LoRA on Phi-3.5-mini in 4 bits stays under 8 GB at 2,048 tokens: its true shape, random weights.

    python -m benchmarks.bench_phi_memory [--dry] > phi_memory.log 2>&1 &

Each measurement has a process of its own: one step of our trainer (rank 8 on all linear layers, AdamW, one row, loss on
every token but the first, not compiled), MLX's peak and the process's.

- ``whole``: all 32 layers in 4 bits (group 64, packed and never held in fp32) at 16, 32 and 64 tokens, with activations
  kept and computed again, and a line through each three. On a CPU, whose quantised products are slow, minutes each.
- ``long``: 2,048 tokens, where attention's L² counts, which the line can't show. What a step keeps doesn't depend on
  how weights are stored, so a few layers in fp32 are measured there, and a layer is what one more adds; the same at 64
  tokens says how well that agrees with ``whole``.
- Where there is CUDA, all 32 layers at 2,048 tokens are measured as they are, with tokens a second.

Written after each measurement: ``results/phi_memory.json``; ``--resume`` keeps those that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

import wotd_mlx.kernels  # noqa: F401  # before MLX: it brings the BLAS
from benchmarks.timing import RESULTS, machine, write_results

# microsoft/Phi-3.5-mini-instruct, config.json. The factors of its rope don't change what is held, only that there are
# 48 of them: half a head's width.
SHAPE: dict[str, Any] = {
    "model_type": "phi3",
    "hidden_size": 3072,
    "num_hidden_layers": 32,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "vocab_size": 32064,
    "rope_theta": 10000.0,
    "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1.0] * 48},
    "max_position_embeddings": 131072,
    "original_max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
GROUP, BITS, RANK = 64, 4, 8
SHORT, LONG = (16, 32, 64), 2048
FEW = {False: (1, 2, 3), True: (3, 5, 8)}
"""Layers that a line is drawn through. With activations computed again the first two add more than any after them: what
one layer takes while it is computed is at its largest beside the next one's."""
GIB = 1 << 30


def random_model(layers: int, quantised: bool, dtype: Any) -> Any:
    """Phi's shape with random weights, made layer by layer; quantised ones are drawn as packed integers."""
    import mlx.core as mx
    from mlx import nn
    from mlx.utils import tree_flatten
    from mlx_lm.models import phi3

    model = phi3.Model(phi3.ModelArgs.from_dict({**SHAPE, "num_hidden_layers": layers}))
    if quantised:
        nn.quantize(model, GROUP, BITS)  # lazily: nothing of it is ever computed
    rng = np.random.default_rng(0)
    scale = 0.02 / 4.6  # of 16 even levels, for weights that deviate by .02
    for _, module in model.named_modules():
        if (
            not any(isinstance(module, kind) for kind in (nn.Linear, nn.Embedding, nn.RMSNorm))
            and "scales" not in module
        ):
            continue
        for part, weight in tree_flatten(module.parameters()):
            if part == "weight" and weight.dtype == mx.uint32:
                made = mx.array(rng.integers(0, 2**32, weight.shape, dtype=np.uint32))
            elif part == "scales":
                made = mx.full(weight.shape, scale, dtype)
            elif part == "biases":
                made = mx.full(weight.shape, -7.5 * scale, dtype)
            elif weight.ndim == 1:
                made = mx.ones(weight.shape, dtype)
            else:
                made = mx.array(rng.standard_normal(weight.shape, dtype=np.float32) * 0.02).astype(dtype)
            mx.eval(made)
            module[part] = made
    return model


def one(layers: int, tokens: int, checkpointing: bool, quantised: bool, gpu: bool, answers: int) -> dict[str, Any]:
    """Peaks and seconds of a LoRA step; to be called in a fresh process."""
    import mlx.core as mx

    from wotd_mlx.backend import peak_bytes
    from wotd_mlx.config.language import LanguageRecipe, LoraConfig
    from wotd_mlx.language.chat import LoadedModel
    from wotd_mlx.language.lora import apply
    from wotd_mlx.language.training.batches import Rows
    from wotd_mlx.language.training.history import LanguageState
    from wotd_mlx.language.training.task import LanguageTask
    from wotd_mlx.training.trainer import Trainer

    mx.set_default_device(mx.gpu if gpu else mx.cpu)
    mx.set_cache_limit(GIB // 4)
    mx.random.seed(0)
    model = random_model(layers, quantised, mx.bfloat16 if gpu else mx.float32)
    held = mx.get_active_memory()
    built = peak_bytes()
    apply(model, LoraConfig(rank=RANK))
    row = np.random.default_rng(1).integers(0, SHAPE["vocab_size"], tokens + 1).astype(np.int32)
    rows = Rows((row,), np.array([tokens + 1 - (answers or tokens)]))
    recipe = LanguageRecipe(steps=10, batch=1, checkpointing=checkpointing, longest=tokens + 1, compile=False)
    language: Any = LoadedModel(model, None, "phi3")  # nothing is said to it in words
    task = LanguageTask(language, rows, rows, recipe)
    task.shared = task.shared[:0]
    trainer = Trainer(task, task.step(), LanguageState())
    task.plan(trainer.state, 10)
    model.train()
    repeats = 5 if gpu else 1
    if gpu:
        trainer.step(task.parts(np.array([0])))
    mx.clear_cache()
    mx.reset_peak_memory()
    begun = time.perf_counter()
    losses = [trainer.step(task.parts(np.array([0])))[0] for _ in range(repeats)]
    seconds = (time.perf_counter() - begun) / repeats
    return {
        "layers": layers,
        "tokens": tokens,
        "answers": answers or tokens,
        "checkpointing": checkpointing,
        "quantised": quantised,
        "device": "gpu" if gpu else "cpu",
        "peak_bytes": mx.get_peak_memory(),
        "process_peak_bytes": peak_bytes(),
        "built_peak_bytes": built,
        "weights_bytes": held,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "loss": losses[-1],
        # Rows that --resume keeps may be of another machine.
        "processor": machine()["processor"],
    }


def measured(known: list[dict[str, Any]], **asked: Any) -> dict[str, Any] | None:
    """A measurement in a process of its own, or the one that is known."""
    keys = {k: v for k, v in asked.items() if k != "gpu"} | {"device": "gpu" if asked["gpu"] else "cpu"}
    keys["answers"] = asked["answers"] or asked["tokens"]
    for row in known:
        if all(row[key] == value for key, value in keys.items()):
            return row
    print(f"{time.strftime('%H:%M:%S')} {keys}", flush=True)
    command = [sys.executable, "-m", "benchmarks.bench_phi_memory", "--one", json.dumps(asked)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"  failed with status {done.returncode}", flush=True)
        return None
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    known.append(row)
    print(
        f"  {row['peak_bytes'] / GIB:.2f} GB, process {row['process_peak_bytes'] / GIB:.2f} GB, {row['seconds']:.1f} s"
    )
    return row


def line(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """peak = a + b · tokens by least squares, and how far the points lie from it."""
    x, y = (np.array([row[key] for row in rows], dtype=float) for key in ("tokens", "peak_bytes"))
    b, a = np.polyfit(x, y, 1)
    residuals = y - (a + b * x)
    return {
        "bytes_at_0": a,
        "bytes_a_token": b,
        "residuals_bytes": residuals.tolist(),
        "largest_residual_share": float(np.abs(residuals).max() / y.max()),
        "line_at_2048_bytes": a + b * LONG,
    }


def by_layer(rows: list[dict[str, Any]], weights: float) -> dict[str, Any]:
    """A step on all 32 layers from steps on a few: what it takes beyond the weights grows by the same for each."""
    x = np.array([row["layers"] for row in rows], dtype=float)
    y = np.array([row["peak_bytes"] - row["weights_bytes"] for row in rows], dtype=float)
    b, a = np.polyfit(x, y, 1)
    total = weights + a + b * SHAPE["num_hidden_layers"]
    return {
        "bytes_a_layer": b,
        "bytes_beside": a,
        "residuals_bytes": (y - (a + b * x)).tolist(),
        "weights_bytes": weights,
        "peak_bytes": total,
        # Activations in half precision, as on a GPU; weights as they are.
        "peak_bytes_half": weights + (a + b * SHAPE["num_hidden_layers"]) / 2,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the measurements so far say."""
    found: dict[str, Any] = {}
    for again in (False, True):
        name = "checkpointed" if again else "kept"
        of = [row for row in rows if row["checkpointing"] == again and row["answers"] == row["tokens"]]
        whole = [row for row in of if row["quantised"] and row["device"] == "cpu" and row["layers"] == 32]
        part: dict[str, Any] = {}
        if len(whole) == len(SHORT):
            part["line"] = line(whole)
        weights = next((row["weights_bytes"] for row in rows if row["quantised"] and row["layers"] == 32), None)
        for tokens in (SHORT[-1], LONG):
            few = [r for r in of if not r["quantised"] and r["tokens"] == tokens and r["layers"] in FEW[again]]
            if len(few) == len(FEW[again]):
                part[f"by_layer_{tokens}"] = by_layer(few, weights or packed_bytes())
        if whole and f"by_layer_{SHORT[-1]}" in part:
            want = next((row["peak_bytes"] for row in whole if row["tokens"] == SHORT[-1]), None)
            if want:
                part["by_layer_over_measured_64"] = part[f"by_layer_{SHORT[-1]}"]["peak_bytes"] / want
        alone = [r for r in rows if r["checkpointing"] == again and r["answers"] == 1 and r["tokens"] == LONG]
        same = [r for r in of if not r["quantised"] and r["tokens"] == LONG and r["layers"] == FEW[again][0]]
        if alone and same:
            part["logits_bytes_2048"] = same[0]["peak_bytes"] - alone[0]["peak_bytes"]
        found[name] = part
    return found


def packed_bytes() -> int:
    """Bytes of all weights in 4 bits with fp32 scales and biases, as on the CPU."""
    D, F, V, n = (SHAPE[key] for key in ("hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers"))
    numbers = n * (D * 3 * D + D * D + D * 2 * F + F * D) + 2 * V * D
    return int(numbers * (BITS / 8 + 8 / GROUP) + 4 * D * (2 * n + 1))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help="keep what results/phi_memory.json has")
    parser.add_argument("--only", choices=("whole", "long", "cuda"), help="one part alone")
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(**args.one)))
        return
    import mlx.core as mx

    file = RESULTS / "phi_memory.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if args.resume and file.exists() else []
    plain = {"gpu": False, "answers": 0}
    plan: list[dict[str, Any]] = []
    if args.only in (None, "long"):
        plan += [
            {"layers": n, "tokens": t, "checkpointing": a, "quantised": False, **plain}
            for a in (False, True)
            for t in (SHORT[-1], LONG)
            for n in FEW[a]
        ]
        plan += [
            {"layers": FEW[a][0], "tokens": LONG, "checkpointing": a, "quantised": False, "gpu": False, "answers": 1}
            for a in (False, True)
        ]
    if args.only in (None, "whole"):
        n = SHAPE["num_hidden_layers"]
        plan += [
            {"layers": n, "tokens": t, "checkpointing": a, "quantised": True, **plain}
            for t in SHORT
            for a in (False, True)
        ]
    if args.only in (None, "cuda") and hasattr(mx, "cuda") and mx.cuda.is_available():
        n = SHAPE["num_hidden_layers"]
        plan += [
            {"layers": n, "tokens": LONG, "checkpointing": a, "quantised": True, "gpu": True, "answers": 0}
            for a in (False, True)
        ]
    command = "python -m benchmarks.bench_phi_memory"
    for asked in plan:
        measured(rows, **asked)
        if not args.dry:
            write_results("phi_memory", {"command": command, "shape": SHAPE, "summary": summary(rows), "rows": rows})
    print(json.dumps(summary(rows), indent=2))


if __name__ == "__main__":
    main()
