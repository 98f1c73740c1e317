"""Settings of a training as YAML."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

from tests.fuzz.mutate import damaged, number, text
from wotd_mlx.config import TrainingConfig
from wotd_mlx.io.records import checked
from wotd_mlx.io.yaml import read_yaml
from wotd_mlx.schemas import WotdError

documented = (WotdError,)
quick = 400

WHOLE = """\
corpus: builtin
lexicon: false
seed: 7
held_out: 0.15
attributes:
  - {name: style, values: [classical, modern]}
codes:
  kind: fsq
  levels: [8, 8, 8, 5]
  learning_rate: 2e-3
  compile: false
language:
  model: none
  recipe: {steps: 10, lora: {rank: 4, keys: [self_attn.q_proj]}}
"""
ODD = ["&a", "*a", "<<: *a", "!!binary aGk=", "!!set {a}", "? [a]", "- - -", ".inf", ".nan", "~", "2020-01-01", "1:30"]
ODD += ["0x1F", "1_000", "|", ">", "%YAML 1.1", "---", "...", "{", "[", "'", '"', "#", "\t", "@", "`", "yes", "no"]


@cache
def _file() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-yaml-")) / "settings.yaml"


def make(rng: random.Random) -> bytes:
    """Settings with some values or lines replaced by odd ones, or their bytes damaged."""
    lines = WHOLE.splitlines()
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(lines))
        odd = rng.choice([rng.choice(ODD), rng.choice(ODD), str(number(rng, signed=True)), text(rng), "9" * 5000])
        if rng.random() < 0.02:  # PyYAML takes long over these
            odd = rng.choice(["[" * 3000, "{a: " * 2000])
        match rng.randrange(5):
            case 0 | 1 if ": " in lines[at]:
                lines[at] = f"{lines[at].partition(': ')[0]}: {odd}"
            case 2:
                lines[at] = odd
            case 3:
                lines.insert(at, rng.choice(lines))
            case _:
                lines[at] = f"{lines[at]} {odd}"
    stored = "\n".join(lines).encode("utf-8", "surrogatepass")
    return damaged(rng, stored) if rng.random() < 0.4 else stored


def read(made: bytes) -> None:
    """Read them as a training's settings."""
    _file().write_bytes(made)
    checked(TrainingConfig, read_yaml(_file()), "settings.yaml")
