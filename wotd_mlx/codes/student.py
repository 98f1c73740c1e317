"""Text straight to an ID, without the embedding model: one small network, distilled from embedding and quantiser."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from numpy.typing import NDArray
from tokenizers import Tokenizer

from wotd_mlx.codes.metrics import balanced_accuracy
from wotd_mlx.codes.train import Split
from wotd_mlx.embed.embedder import without_surrogates
from wotd_mlx.schemas import Attribute, WotdError

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]

MAX_BYTES = 5_000_000
"""What a student may weigh on disk, its tokenizer included."""


@dataclass(frozen=True)
class StudentConfig:
    """The student's shape and training.

    Args:
        width: numbers a word piece, E.
        hidden: width of the hidden layer.
        ids_weight: weight of the IDs' cross-entropy, mean over coordinates, beside the embedding's relative error.
        longest: pieces of a text that training reads; in use a text may have more.
        warmup: steps over which the learning rate rises; then it falls along a cosine.
    """

    width: int = 72
    hidden: int = 256
    epochs: int = 10
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    dropout: float = 0.1
    ids_weight: float = 0.2
    longest: int = 4
    warmup: int = 50


class Student(nn.Module):
    r"""Word pieces, pooled, then one hidden layer and a classifier a coordinate.

    .. math::
        f = [\mathrm{mean}_l\, e_l;\ e_1;\ e_L], \quad h = [f;\ \mathrm{relu}(W f + b)], \quad
        k_q = \arg\max_k\, (U_q h + c_q)_k

    A text without pieces pools to zeros.

    Args:
        tokenizer: text to word pieces; it travels in the student's file.
        levels: codes in each of the Q coordinates.
        cfg: widths.
    Shape:
        ids (B, L) int32, counts (B,) real pieces a row -> logits (B, sum of levels).
    Reference:
        Bags of subwords: Bojanowski et al. 2016, arXiv 1607.04606. Distillation: Hinton et al. 2015, arXiv 1503.02531.
    """

    def __init__(self, tokenizer: Tokenizer, levels: Sequence[int], cfg: StudentConfig):
        super().__init__()
        self.levels = tuple(levels)
        self._tokenizer = tokenizer
        self.pieces = mx.zeros((_pieces(tokenizer), cfg.width))
        self.up = nn.Linear(3 * cfg.width, cfg.hidden)
        self.head = nn.Linear(3 * cfg.width + cfg.hidden, sum(self.levels))
        self.drop = nn.Dropout(cfg.dropout)

    def hidden(self, embedded: mx.array, counts: mx.array) -> mx.array:
        """Embedded pieces (B, L, E), counts (B,) -> h (B, 3 E + hidden)."""
        real = mx.arange(embedded.shape[1]) < counts[:, None]
        embedded = embedded * real[..., None]
        last = mx.take_along_axis(embedded, mx.maximum(counts - 1, 0)[:, None, None], axis=1)[:, 0]
        mean = embedded.sum(axis=1) / mx.maximum(counts, 1)[:, None]
        pooled = self.drop(mx.concatenate([mean, embedded[:, 0], last], axis=1))
        return mx.concatenate([pooled, self.drop(nn.relu(self.up(pooled)))], axis=1)

    def __call__(self, ids: mx.array, counts: mx.array) -> mx.array:
        return self.head(self.hidden(self.pieces[ids], counts))

    def choose(self, logits: mx.array) -> mx.array:
        """Logits (B, sum of levels) -> ids (B, Q) int32, the likeliest code of each coordinate."""
        ends = np.cumsum(self.levels)[:-1].tolist()
        return mx.stack([part.argmax(axis=1) for part in mx.split(logits, ends, axis=1)], axis=1).astype(mx.int32)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """texts (N,) -> the word pieces of each, without the marks that BERT puts around them."""
        return [self._tokenizer.encode(without_surrogates(t), add_special_tokens=False).ids for t in texts]

    def encode(self, texts: Sequence[str], batch: int = 1024) -> NDArray[np.int32]:
        """texts (N,) -> IDs (N, Q); texts of like length go together, so that little is padded."""
        tokens = self.tokens(texts)
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        out = np.empty((len(texts), len(self.levels)), np.int32)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            out[rows] = np.asarray(self.choose(self(*pad([tokens[row] for row in rows]))))
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``codes/student.safetensors`` holds: the weights in fp16, the packed tokenizer, the levels."""
        weights = {n: np.asarray(v).astype(np.float16) for n, v in dict(tree_flatten(self.parameters())).items()}
        return {**weights, "tokenizer": _packed(self._tokenizer), "levels": np.array(self.levels, np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Student:
        """The inverse of :meth:`arrays`; computes in fp32.

        Raises:
            WotdError: an array is absent or of another shape.
        """
        try:
            weights = {n: mx.array(v.astype(np.float32)) for n, v in arrays.items() if n not in ("tokenizer", "levels")}
            tokenizer = Tokenizer.from_str(zlib.decompress(arrays["tokenizer"].tobytes()).decode())
            cfg = StudentConfig(width=weights["pieces"].shape[1], hidden=len(weights["up.weight"]))
            student = cls(tokenizer, arrays["levels"].tolist(), cfg)
            student.load_weights(list(weights.items()))
        except (KeyError, IndexError, ValueError, zlib.error) as error:
            raise WotdError(f"not a student's weights: {' '.join(str(error).split())}; train it again") from error
        student.eval()
        mx.eval(student.parameters())
        return student


def _pieces(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab().values()) + 1


def _packed(tokenizer: Tokenizer) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.compress(tokenizer.to_str().encode(), 9), np.uint8)


def fitting(cfg: StudentConfig, tokenizer: Tokenizer, levels: Sequence[int]) -> StudentConfig:
    """``cfg``, narrower where its student would pass :data:`MAX_BYTES`.

    Raises:
        WotdError: not even one number a piece fits.
    """
    pieces = _pieces(tokenizer)
    # fp16 numbers for one more of width, and for a width of none; safetensors' header and the levels take under 2 kB.
    each, rest = pieces + 3 * (cfg.hidden + sum(levels)), cfg.hidden + sum(levels) * (cfg.hidden + 1)
    width = ((MAX_BYTES - len(_packed(tokenizer)) - 2000) // 2 - rest) // each
    if width < 1:
        raise WotdError(f"a student of {pieces:,} word pieces passes {MAX_BYTES:,} bytes; use a smaller vocabulary")
    return replace(cfg, width=min(cfg.width, width))


def pad(tokens: Sequence[Sequence[int]], longest: int | None = None) -> tuple[mx.array, mx.array]:
    """Token ids of B texts -> (B, L) int32 with zeros behind them, and their counts (B,); cut to ``longest``."""
    counts = [len(row) if longest is None else min(len(row), longest) for row in tokens]
    ids = np.zeros((len(tokens), max([1, *counts])), np.int32)
    for row, (line, count) in enumerate(zip(tokens, counts, strict=True)):
        ids[row, :count] = line[:count]
    return mx.array(ids), mx.array(counts, mx.int32)


class Lesson(nn.Module):
    """The student as it learns: its table is a projection (E, D) of the embedding model's own word pieces, which
    carries over to pieces that no training word has; beside the IDs it also tells the embedding."""

    def __init__(self, student: Student, inputs: int, outputs: int):
        super().__init__()
        self.student = student
        width = student.pieces.shape[1]
        self.project = nn.Linear(inputs, width)
        self.regress = nn.Linear(student.head.weight.shape[1], outputs)
        student.freeze(recurse=False, keys=["pieces"])

    def __call__(self, pieces: mx.array, counts: mx.array) -> tuple[mx.array, mx.array]:
        """The embedding model's pieces (B, L, D), counts (B,) -> x̂ (B, D), logits (B, sum of levels)."""
        h = self.student.hidden(self.project(pieces), counts)
        return self.regress(h), self.student.head(h)


def distil(
    student: Student,
    table: Vectors,
    texts: Sequence[str],
    x: Vectors,
    ids: Indices,
    split: Split,
    cfg: StudentConfig,
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
) -> Iterator[float]:
    """Teach ``student`` the IDs (N, Q) and embeddings x (N, D) of texts (N,); yields, an epoch, the share of
    validation coordinates that agree with the teacher, and ends with the best epoch's weights, rounded to fp16.

    loss = mean (x − x̂)² / var x + ids_weight · mean over q of the cross-entropy of coordinate q.

    Args:
        table: the embedding model's word pieces (V, D).
    """
    mx.random.seed(seed)
    rng = np.random.default_rng(seed)
    table = (table - table.mean(axis=0)) / max(float(table.std()), 1e-12)
    lesson = Lesson(student, table.shape[1], x.shape[1])
    pieces, target = mx.array(table), mx.array((x - x[split.train].mean(axis=0)) / max(x[split.train].std(), 1e-12))
    tokens, counts = pad(student.tokens(texts), cfg.longest)
    codes, valid = mx.array(ids), mx.array(split.valid)
    ends = np.cumsum(student.levels)[:-1].tolist()
    batch = min(cfg.batch, len(split.train))
    steps = len(split.train) // batch
    warmup = min(cfg.warmup, max(1, cfg.epochs * steps // 10))
    rise = optim.linear_schedule(cfg.learning_rate / warmup, cfg.learning_rate, warmup)
    fall = optim.cosine_decay(cfg.learning_rate, max(1, cfg.epochs * steps - warmup))
    optimizer = optim.AdamW(optim.join_schedules([rise, fall], [warmup]), weight_decay=cfg.weight_decay)
    optimizer.init(lesson.trainable_parameters())

    def loss(rows: mx.array) -> mx.array:
        told, logits = lesson(pieces[tokens[rows]], counts[rows])
        parts = mx.split(logits, ends, axis=1)
        crossed = [nn.losses.cross_entropy(part, codes[rows, q]).mean() for q, part in enumerate(parts)]
        return ((told - target[rows]) ** 2).mean() + cfg.ids_weight * mx.stack(crossed).mean()

    loss_and_grad = nn.value_and_grad(lesson, loss)
    # Dropout draws from the random state; left out of it, a compiled step would drop the same numbers each time.
    state = [lesson.state, optimizer.state, mx.random.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def step(rows: mx.array) -> mx.array:
        found: mx.array
        found, gradients = loss_and_grad(rows)
        optimizer.update(lesson, gradients)
        return found

    best, best_agreement = tree_map(mx.array, lesson.parameters()), -1.0
    for _ in range(cfg.epochs):
        lesson.train()
        order = mx.array(rng.permutation(split.train))
        for n in range(steps):
            mx.eval(step(order[n * batch : (n + 1) * batch]), state)
            progress(1)
        lesson.eval()
        chosen = student.choose(lesson(pieces[tokens[valid]], counts[valid])[1])
        agreement = float((chosen == codes[valid]).mean())
        if agreement > best_agreement:
            best, best_agreement = tree_map(mx.array, lesson.parameters()), agreement
        yield agreement
    lesson.update(best)
    student.pieces = lesson.project(pieces)
    student.update(tree_map(lambda v: v.astype(mx.float16).astype(mx.float32), student.parameters()))
    mx.eval(student.parameters())


def student_metrics(
    found: NDArray[Any], ids: Indices, labels: Indices, tables: Sequence[mx.array], attributes: Sequence[Attribute]
) -> dict[str, Any]:
    """Of held-out words: how often the student's IDs (N, Q) agree with the teacher's a coordinate, and how well labels
    (N, A) read off them through the teacher's tables, balanced; None where there are none."""
    accuracy: dict[str, float | None] = {}
    for a, attribute in enumerate(attributes):
        known = labels[:, a] >= 0
        reading = np.asarray(tables[a]).argmax(axis=1)[found[known, a]]
        accuracy[attribute.name] = balanced_accuracy(reading, labels[known, a]) if known.any() else None
    return {"words_held_out": len(ids), "agreement": (found == ids).mean(axis=0).tolist(), "label_accuracy": accuracy}
