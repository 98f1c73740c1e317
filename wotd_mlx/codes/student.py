"""Text straight to an ID, without the embedding model: one small network, which :mod:`.distil` teaches."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten
from numpy.typing import NDArray
from tokenizers import Tokenizer

from wotd_mlx.config.ranges import Count
from wotd_mlx.config.student import StudentConfig
from wotd_mlx.embed.embedder import without_surrogates
from wotd_mlx.io.json import parse_json
from wotd_mlx.io.records import checked, line_of
from wotd_mlx.schemas import WotdError

MAX_BYTES = 5_000_000
"""What a student may weigh on disk, its tokenizer included."""
_MAX_ABOUT = 1 << 26
"""Of what is packed beside the weights."""


@dataclass(frozen=True)
class _About:
    """What stands beside the weights."""

    config: StudentConfig
    levels: tuple[Count, ...]
    tokenizer: str


class Block(nn.Module):
    """x + down(relu(up(norm(x)))), (B, T) -> (B, T)."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.norm = nn.LayerNorm(cfg.trunk)
        self.up, self.down = nn.Linear(cfg.trunk, cfg.hidden), nn.Linear(cfg.hidden, cfg.trunk)
        self.drop = nn.Dropout(cfg.dropout)

    def __call__(self, x: mx.array) -> mx.array:
        return x + self.down(self.drop(nn.relu(self.up(self.norm(x)))))


class Student(nn.Module):
    r"""Word pieces, pooled, then a residual network and a classifier a coordinate.

    .. math::
        h = \mathrm{blocks}(A\,[\mathrm{mean}_l\, e_l;\ e_1;\ e_L] + a), \quad
        k_q = \arg\max_k\, (U_q\,\mathrm{norm}(h) + c_q)_k

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
        self._tokenizer, self._cfg = tokenizer, cfg
        self.pieces = mx.zeros((max(tokenizer.get_vocab().values()) + 1, cfg.width))
        self.enter = nn.Linear(3 * cfg.width, cfg.trunk)
        self.blocks = [Block(cfg) for _ in range(cfg.depth)]
        self.norm, self.drop = nn.LayerNorm(cfg.trunk), nn.Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.trunk, sum(self.levels))

    def hidden(self, embedded: mx.array, counts: mx.array) -> mx.array:
        """Embedded pieces (B, L, E), counts (B,) -> norm(h) (B, T)."""
        embedded = embedded * (mx.arange(embedded.shape[1]) < counts[:, None])[..., None]
        last = mx.take_along_axis(embedded, mx.maximum(counts - 1, 0)[:, None, None], axis=1)[:, 0]
        mean = embedded.sum(axis=1) / mx.maximum(counts, 1)[:, None]
        h = self.enter(self.drop(mx.concatenate([mean, embedded[:, 0], last], axis=1)))
        for block in self.blocks:
            h = block(h)
        return self.drop(self.norm(h))

    def __call__(self, ids: mx.array, counts: mx.array) -> mx.array:
        return self.head(self.hidden(self.pieces[ids], counts))

    def split(self, logits: mx.array) -> list[mx.array]:
        """(B, sum of levels) -> a part (B, K_q) for each coordinate."""
        ends = np.cumsum(self.levels)[:-1].tolist()
        parts: list[mx.array] = mx.split(logits, ends, axis=1)  # type: ignore[assignment]  # stub says array
        return parts

    def choose(self, logits: mx.array) -> mx.array:
        """Logits (B, sum of levels) -> ids (B, Q) int32, the likeliest code of each coordinate."""
        return mx.stack([part.argmax(axis=1) for part in self.split(logits)], axis=1).astype(mx.int32)

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
        """What ``codes/student.safetensors`` holds: the weights in fp16; shape, levels and tokenizer, packed."""
        weights = {n: np.asarray(v).astype(np.float16) for n, v in dict(tree_flatten(self.parameters())).items()}
        about = {"config": asdict(self._cfg), "levels": self.levels, "tokenizer": self._tokenizer.to_str()}
        return {**weights, "about": np.frombuffer(zlib.compress(json.dumps(about).encode(), 9), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Student:
        """The inverse of :meth:`arrays`; computes in fp32.

        Raises:
            WotdError: an array is absent or of another shape.
        """
        try:
            raw = zlib.decompressobj().decompress(arrays["about"].tobytes(), _MAX_ABOUT)
            about = checked(_About, parse_json(raw, "about"), "about")
            student = cls(Tokenizer.from_str(about.tokenizer), about.levels, about.config)
            student.load_weights([(n, mx.array(v.astype(np.float32))) for n, v in arrays.items() if n != "about"])
        except Exception as error:  # tokenizers raises no narrower class
            raise WotdError(f"not a student's weights: {line_of(error)}; train it again") from error
        student.eval()
        mx.eval(student.parameters())
        return student


def fitting(tokenizer: Tokenizer, levels: Sequence[int], cfg: StudentConfig) -> StudentConfig:
    """``cfg``, narrower where its student would pass :data:`MAX_BYTES`.

    Raises:
        WotdError: not even one number a piece fits.
    """
    one, two = (
        sum(array.nbytes for array in Student(tokenizer, levels, replace(cfg, width=width)).arrays().values())
        for width in (1, 2)
    )
    width = 1 + (MAX_BYTES - 4096 - one) // (two - one)  # safetensors' header takes less than 4 kB
    if width < 1:
        raise WotdError(f"a student of one number a word piece takes {one:,} bytes; {MAX_BYTES:,} are allowed")
    return replace(cfg, width=min(cfg.width, width))


def pad(tokens: Sequence[Sequence[int]], longest: int | None = None) -> tuple[mx.array, mx.array]:
    """Token ids of B texts -> (B, L) int32 with zeros behind them, and their counts (B,); cut to ``longest``."""
    counts = [len(row) if longest is None else min(len(row), longest) for row in tokens]
    ids = np.zeros((len(tokens), max([1, *counts])), np.int32)
    for row, (line, count) in enumerate(zip(tokens, counts, strict=True)):
        ids[row, :count] = line[:count]
    return mx.array(ids), mx.array(counts, mx.int32)
