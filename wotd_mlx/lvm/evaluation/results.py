"""The three files that an evaluation writes, and what stands in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wotd_mlx.config.ranges import Count, Natural, Share, Weight
from wotd_mlx.io.files import read_bytes
from wotd_mlx.training.state import Real, Size

HINT = "make it with `wotd-mlx lvm evaluate`"

Point = tuple[Real, Real]


@dataclass(frozen=True)
class Files:
    """Where they lie. ``validation`` is written first; the others hold its digest, which tells that they belong."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out / "evaluation"

    @property
    def validation(self) -> Path:
        return self.folder / "validation_results.json"

    @property
    def retrieval(self) -> Path:
        return self.folder / "retrieval_results.json"

    @property
    def benchmarks(self) -> Path:
        return self.folder / "inference_benchmarks.json"

    def digest(self) -> str:
        """What tells this evaluation from another."""
        return hashlib.sha256(read_bytes(self.validation, HINT)).hexdigest()[:16]


@dataclass(frozen=True)
class Summary:
    """How near predictions come, over ``count`` targets; quartiles are the cosine's, from its least to its most."""

    count: Natural
    mse: Real
    cosine: Real
    deviation: Real
    margin: Real
    quartiles: tuple[Real, Real, Real, Real, Real]


@dataclass(frozen=True)
class Bucket:
    """Figures of one kind of targets."""

    bucket: str
    count: Natural
    cosine: Real
    margin: Real


@dataclass(frozen=True)
class Failure:
    """A target that a model ranks low."""

    title: str
    context: list[str]
    wanted: str
    got: str
    cosine: Real
    rank: Real


@dataclass(frozen=True)
class Row:
    """A baseline's or a model's line of the validation; the fields after ``gap`` are of models alone.

    Args:
        weights: the digest of the weights that were measured.
    """

    kind: Literal["baseline", "model"]
    train: Summary | None = None
    valid: Summary | None = None
    test: Summary | None = None
    ood: Summary | None = None
    gap: Real | None = None
    weights: str | None = None
    parameters: Size | None = None
    bytes: Size | None = None
    epochs: Count | None = None
    best_epoch: Count | None = None
    seconds: Weight | None = None
    training_peak_bytes: Size | None = None
    by_length: list[Bucket] = field(default_factory=list)
    by_topic: list[Bucket] = field(default_factory=list)
    by_similarity: list[Bucket] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """Articles in each part of a split."""

    train: Count
    valid: Count
    test: Count


@dataclass(frozen=True)
class Data:
    """What was evaluated on; ``ood`` is what the other text is called."""

    file: str = "unknown"
    sentences: Count | None = None
    articles: Count | None = None
    embedding: str = "unknown"
    dims: Count | None = None
    split: Parts | None = None
    ood: str | None = None


@dataclass(frozen=True)
class Validation:
    """``validation_results.json``."""

    data: Data
    context: Count
    rows: dict[str, Row]

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("no rows; expected baselines and models")


@dataclass(frozen=True)
class Shares:
    """Shares of targets among the best k candidates, and the mean reciprocal rank."""

    top1: Share
    top5: Share
    top10: Share
    top20: Share
    mean_reciprocal_rank: Share


@dataclass(frozen=True)
class Ranked:
    """With the whole context left out of the candidates, and with the newest five."""

    context: Shares
    newest5: Shares


@dataclass(frozen=True)
class RankedParts:
    """Retrieval in each part of the data."""

    valid: Ranked | None = None
    test: Ranked | None = None
    ood: Ranked | None = None


@dataclass(frozen=True)
class Confusion:
    """Shares (wanted, got) of topics."""

    topics: list[str]
    matrix: list[list[Share]]

    def __post_init__(self) -> None:
        if {len(self.matrix), *map(len, self.matrix)} != {len(self.topics)}:
            raise ValueError(f"{len(self.topics)} topics; expected as many rows, each as long")


@dataclass(frozen=True)
class Projection:
    """Targets and predictions in a plane."""

    method: str
    targets: list[Point]
    predictions: dict[str, list[Point]]


@dataclass(frozen=True)
class Retrieval:
    """``retrieval_results.json``; ``validation`` is the digest of the file of that name."""

    validation: str
    candidates: Count
    ood_candidates: Count | None
    rows: dict[str, RankedParts]
    confusion: dict[str, Confusion]
    projection: Projection | None


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    p50: Weight
    p95: Weight


@dataclass(frozen=True)
class Speed:
    """How fast a model is, and how large."""

    latency_ms: Latency
    step_ms: Weight
    throughput_per_s: Weight
    peak_bytes: Size
    parameters: Size
    bytes: Size


@dataclass(frozen=True)
class Benchmarks:
    """``inference_benchmarks.json``; ``validation`` as in :class:`Retrieval`."""

    validation: str
    machine: dict[str, Any]
    context: Count
    rows: dict[str, Speed]
