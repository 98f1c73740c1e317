"""The same functions to Core ML and to Core AI: thirteen predictors and other people's models, with random weights.

    python -m benchmarks.bench_both [--only predictors,others]
    python -m benchmarks.bench_both --markdown      the tables, from what was measured last

Core ML's packages are computed by the reference executor where there is no Core ML, Core AI's by its own runtime. Other
people's models are tried where they are installed: `pip install mlx-image`, and `whisper` of mlx-examples on the path.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map

from benchmarks.timing import RESULTS, write_results
from converters import coreml
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.export.predictor import Predict
from wotd_mlx.lvm import NAMES, preset
from wotd_mlx.lvm.store import Settings, untrained
from wotd_mlx.progress import progress

FILE = RESULTS / "both.json"
DIMS, CONTEXT = 24, 5
DRAWS = 5
"""Sets of weights and inputs of each predictor: what float32 makes of one differs by 20 dB from another."""
SUFFIXES = {"Core ML": ".mlpackage", "Core AI": ".aimodel"}
Examples = list[dict[str, mx.array]]


def predictor(name: str, seed: int) -> tuple[Callable[..., Any], Examples]:
    """A small predictor whose weights were moved: a head of zeros, as a training starts with, would hide the rest."""
    config = asdict(preset(name, "tiny", dims=DIMS))
    mx.random.seed(seed)
    model = untrained(Settings(name, "tiny", config, Recipe(context=CONTEXT, base="gates"), "", "", "0"))
    model.update(tree_map(lambda w: w + 0.1 * mx.random.normal(w.shape), model.parameters()))
    mx.eval(model.parameters())
    x = mx.random.normal((2, 1, CONTEXT, DIMS)) * DIMS**-0.5
    return Predict(model.eval()), [{"x": row} for row in x]


def mobilenet() -> tuple[Callable[..., Any], Examples]:
    """MobileNetV3 small of mlx-image."""
    from mlxim.model import create_model

    model = create_model("mobilenet_v3_small", weights=False)
    mx.eval(model.parameters())
    return model.eval(), [{"x": mx.random.normal((1, 224, 224, 3))}]


def qwen3() -> tuple[Callable[..., Any], Examples]:
    """Four layers of mlx-lm's Qwen3."""
    from mlx_lm.models import qwen3

    args = qwen3.ModelArgs(
        model_type="qwen3",
        hidden_size=256,
        num_hidden_layers=4,
        intermediate_size=768,
        num_attention_heads=4,
        rms_norm_eps=1e-6,
        vocab_size=4096,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rope_theta=1e4,
        head_dim=64,
        tie_word_embeddings=True,
    )
    model = qwen3.Model(args)
    mx.eval(model.parameters())
    return model, [{"inputs": mx.random.randint(0, 4096, (1, 32))}]


def whisper() -> tuple[Callable[..., Any], Examples]:
    """Whisper's encoder of mlx-examples, weights in float16, a quarter of its context."""
    from mlx_whisper.whisper import ModelDimensions, Whisper

    sides = {"n_audio_ctx": 375, "n_audio_state": 384, "n_audio_head": 6, "n_audio_layer": 4}
    text = {"n_vocab": 512, "n_text_ctx": 16, "n_text_state": 384, "n_text_head": 6, "n_text_layer": 1}
    model = Whisper(ModelDimensions(n_mels=80, **sides, **text), mx.float16)
    mx.eval(model.parameters())
    return model.encoder, [{"x": mx.random.normal((1, 750, 80)).astype(mx.float16)}]


OTHERS = {
    "MobileNetV3 small, 224 × 224": ("mlxim", mobilenet),
    "Qwen3, four layers of 256, 32 tokens": ("mlx_lm", qwen3),
    "Whisper's encoder, four layers of 384, 375 places": ("mlx_whisper", whisper),
}


def measured(function: Callable[..., Any], examples: Examples, precision: str) -> dict[str, dict[str, float]]:
    """Kind of package → decibels and bytes."""
    found = {}
    for kind, suffix in SUFFIXES.items():
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / f"made{suffix}"
            report = coreml.convert(function, examples, package, precision, force=True)
            size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
            found[kind] = {"psnr_db": min(o.psnr_db for o in report.outputs.values()), "bytes": size}
    return found


def predictors() -> Iterator[dict[str, Any]]:
    """All thirteen in float32, each with the decibels of its draws."""
    with progress("predictors", len(NAMES) * DRAWS) as advance:
        for name in NAMES:
            found: dict[str, list[float]] = {kind: [] for kind in SUFFIXES}
            for seed in range(DRAWS):
                for kind, figures in measured(*predictor(name, seed), "float32").items():
                    found[kind].append(figures["psnr_db"])
                advance(1)
            yield {"name": name, "float32": found}


def others() -> Iterator[dict[str, Any]]:
    """Those of :data:`OTHERS` that are installed, in both precisions."""
    for name, (needs, make) in OTHERS.items():
        if importlib.util.find_spec(needs) is None:
            print(f"{name}: {needs} isn't installed, left out")
            continue
        mx.random.seed(0)
        function, examples = make()
        yield {"name": name} | {p: measured(function, examples, p) for p in ("float32", "float16")}


PARTS: Mapping[str, Callable[[], Iterator[dict[str, Any]]]] = {"predictors": predictors, "others": others}


def markdown(figures: Mapping[str, Any]) -> str:
    """Both tables."""
    head = "| predictor, float32, median and range of draws | Core ML, dB | Core AI, dB |"
    lines = [head, "| --- | ---: | ---: |"]
    for row in figures["predictors"]:
        db = [row["float32"][kind] for kind in SUFFIXES]
        told = [f"{statistics.median(draws):.0f} ({min(draws):.0f}–{max(draws):.0f})" for draws in db]
        lines.append(f"| {row['name']} | {' | '.join(told)} |")
    head = "| | float32: Core ML, Core AI | float16: Core ML, Core AI | MB in float16 |"
    lines += ["", head, "| --- | --- | --- | ---: |"]
    for row in figures["others"]:
        db = [", ".join(f"{row[p][k]['psnr_db']:.0f} dB" for k in SUFFIXES) for p in ("float32", "float16")]
        size = ", ".join(f"{row['float16'][kind]['bytes'] / 1e6:.1f}" for kind in SUFFIXES)
        lines.append(f"| {row['name']} | {' | '.join(db)} | {size} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the parts asked for and write benchmarks/results/both.json, or print what it holds as tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the last measurement")
    arguments = parser.parse_args()
    figures = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if arguments.markdown:
        print(markdown(figures))
        return
    figures = {part: figures.get(part, []) for part in PARTS}
    for part in arguments.only.split(","):
        figures[part] = []
        for row in PARTS[part]():
            print(json.dumps(row), flush=True)
            figures[part].append(row)
            write_results("both", figures)


if __name__ == "__main__":
    main()
