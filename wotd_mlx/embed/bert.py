"""The BERT encoder in MLX: token ids to one unit vector a text, weights straight from safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Positive, check
from wotd_mlx.io.json import read_json
from wotd_mlx.io.records import checked, line_of
from wotd_mlx.io.safetensors import check_finite, read_arrays
from wotd_mlx.kernels.activations import gelu
from wotd_mlx.kernels.attention import attention
from wotd_mlx.kernels.dense import Dense
from wotd_mlx.schemas import WotdError

POOLINGS = ("mean", "cls")
HINT = "download the checkpoint again"


@dataclass(frozen=True)
class BertConfig:
    """The keys of a Hugging Face ``config.json`` that a BERT encoder reads, under their own names."""

    vocab_size: Count
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Count
    max_position_embeddings: Count = 512
    type_vocab_size: Count = 2
    layer_norm_eps: Positive = 1e-12
    hidden_act: str = "gelu"

    def __post_init__(self) -> None:
        check(self, "BERT's")
        if self.hidden_size % self.num_attention_heads:
            raise WotdError(f"{self.num_attention_heads} heads don't share {self.hidden_size} numbers evenly")

    @classmethod
    def read(cls, folder: Path) -> BertConfig:
        """Read ``folder/config.json``; a published file has more keys than an encoder uses, so others pass.

        Raises:
            WotdError: it can't be read, describes another architecture, or lacks a key.
        """
        file = folder / "config.json"
        raw = read_json(file, dict[str, Any], HINT)
        kind = f"{raw.get('model_type')!r} with {raw.get('hidden_act', 'gelu')!r}"
        if kind != "'bert' with 'gelu'":
            raise WotdError(f"{file} describes {kind}; expected model_type 'bert' with hidden_act 'gelu'")
        return checked(cls, {f.name: raw[f.name] for f in fields(cls) if f.name in raw}, str(file))


class Group(NamedTuple):
    """Texts of one length inside a ragged batch."""

    ids: mx.array
    """(B, L) int32."""
    mask: mx.array | None = None
    """(B, L), 1 where a token is real; None where all are."""


class Layer(nn.Module):
    """One post-norm transformer layer on ragged tokens.

    Shape: x (T, D), T the tokens of all groups, one after the other -> (T, D).
    """

    def __init__(self, cfg: BertConfig):
        super().__init__()
        self.heads = cfg.num_attention_heads
        self.qkv = Dense(cfg.hidden_size, 3 * cfg.hidden_size)
        self.out = Dense(cfg.hidden_size, cfg.hidden_size)
        self.norm1 = nn.LayerNorm(cfg.hidden_size, cfg.layer_norm_eps)
        self.up = Dense(cfg.hidden_size, cfg.intermediate_size)
        self.down = Dense(cfg.intermediate_size, cfg.hidden_size)
        self.norm2 = nn.LayerNorm(cfg.hidden_size, cfg.layer_norm_eps)

    def __call__(self, x: mx.array, groups: Sequence[Group]) -> mx.array:
        parts = _split(self.qkv(x), groups)
        mixed = [self.mix(qkv, group) for qkv, group in zip(parts, groups, strict=True)]
        x = self.norm1(x + self.out(_join(mixed)))
        out: mx.array = self.norm2(x + self.down(gelu(self.up(x))))
        return out

    def mix(self, qkv: mx.array, group: Group) -> mx.array:
        """Attention inside one group: qkv (B*L, 3*D) -> (B*L, D)."""
        B, L = group.ids.shape
        width = qkv.shape[-1] // 3 // self.heads
        qkv = qkv.reshape(B, L, 3, self.heads, width).transpose(2, 0, 3, 1, 4)
        # A large negative number, not −inf: it survives a row without one real token, and fp16.
        bias = None if group.mask is None else ((1 - group.mask) * -1e4)[:, None, None, :].astype(qkv.dtype)
        mixed = attention(qkv, width**-0.5, bias)
        return mixed.transpose(0, 2, 1, 3).reshape(B * L, self.heads * width)


class Bert(nn.Module):
    r"""Token ids to one unit-length vector a text.

    .. math::
        v = p / \lVert p \rVert, \quad
        p = \textstyle\sum_l m_l h_l / \sum_l m_l \text{ (mean) or } h_0 \text{ (cls)}

    Args:
        cfg: the shape, as published.
        pooling: ``mean`` over real tokens, or ``cls``, the first token.
    Shape:
        ids (B, L) int32, mask (B, L) 1 where a token is real, or None where all are -> (B, D) float32.
    Reference:
        Devlin et al. 2018, arXiv 1810.04805; pooling as in Reimers & Gurevych 2019, arXiv 1908.10084.
    """

    def __init__(self, cfg: BertConfig, pooling: str = "mean"):
        super().__init__()
        if pooling not in POOLINGS:
            raise WotdError(f"pooling {pooling!r} is unknown; expected one of {', '.join(POOLINGS)}")
        self.pooling = pooling
        self.words = nn.Embedding(cfg.vocab_size, cfg.hidden_size)
        # Position and (constant) segment embedding in one table: both are added to every token.
        self.positions = mx.zeros((cfg.max_position_embeddings, cfg.hidden_size))
        self.norm = nn.LayerNorm(cfg.hidden_size, cfg.layer_norm_eps)
        self.layers = [Layer(cfg) for _ in range(cfg.num_hidden_layers)]

    def __call__(self, ids: mx.array, mask: mx.array | None = None) -> mx.array:
        *_, vectors = self.ragged([Group(ids, mask)])
        return vectors

    def ragged(self, groups: Sequence[Group]) -> Iterator[mx.array]:
        """Texts of several lengths in one pass, without padding: only attention and pooling go by group.

        Yields the tokens (T, D) after each layer, so that a caller may evaluate several passes side by side, and
        at last the vectors.

        Shape: ids (B_g, L_g) for each group -> (sum of B_g, D), in that order.
        """
        D = self.positions.shape[-1]
        x = _join([(self.words(g.ids) + self.positions[: g.ids.shape[1]]).reshape(-1, D) for g in groups])
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, groups)
            yield x
        parts = zip(_split(x, groups), groups, strict=True)
        pooled = _join([self.pool(part.reshape(*g.ids.shape, D), g.mask) for part, g in parts])
        yield pooled / mx.maximum(mx.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)

    def pool(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """x (B, L, D), mask (B, L) or None -> (B, D)."""
        if self.pooling == "cls":
            return x[:, 0]
        if mask is None:
            return x.mean(axis=1)
        return (x * mask[..., None]).sum(axis=1) / mx.maximum(mask.sum(axis=1, keepdims=True), 1)


def _split(x: mx.array, groups: Sequence[Group]) -> list[mx.array]:
    """x (T, …) -> one (B_g * L_g, …) a group."""
    ends = list(accumulate(g.ids.size for g in groups))
    return [x[start:end] for start, end in pairwise([0, *ends])]


def _join(parts: list[mx.array]) -> mx.array:
    return parts[0] if len(parts) == 1 else mx.concatenate(parts)


def load_bert(folder: Path, pooling: str) -> tuple[BertConfig, Bert]:
    """Build a :class:`Bert` from ``config.json`` and ``model.safetensors`` as published on the Hugging Face hub.

    Raises:
        WotdError: a file is missing, cut short, or a tensor is absent or of another shape.
    """
    cfg = BertConfig.read(folder)
    file = folder / "model.safetensors"
    loaded = read_arrays(file, HINT).arrays
    check_finite(loaded, file, HINT)
    published = {name.removeprefix("bert."): value for name, value in loaded.items()}
    model = Bert(cfg, pooling)
    try:
        weights = _rename(published, cfg)
        model.load_weights([(name, value.astype(mx.float32)) for name, value in weights.items()])
    except ValueError as error:
        raise WotdError(f"{file} doesn't hold the weights its config.json describes: {line_of(error)}") from error
    model.eval()
    mx.eval(model.parameters())
    return cfg, model


def _rename(published: dict[str, mx.array], cfg: BertConfig) -> dict[str, mx.array]:
    """Published tensor names to ours; query, key and value become one matrix, positions take the segment in.

    Raises:
        ValueError: tensors are absent, all named, or don't fit together.
    """
    out: dict[str, mx.array] = {}
    absent: list[str] = []

    def take(*names: str) -> list[mx.array]:
        absent.extend(name for name in names if name not in published)
        return [published[name] for name in names if name in published] or [mx.zeros((1, 1))]

    def norm(ours: str, theirs: str) -> None:
        for part in ("weight", "bias"):
            out[f"{ours}.{part}"] = take(f"{theirs}.{part}")[0]

    def dense(ours: str, *theirs: str) -> None:
        out[f"{ours}.weight"] = mx.contiguous(mx.concatenate(take(*(f"{t}.weight" for t in theirs))).T)
        out[f"{ours}.bias"] = mx.concatenate(take(*(f"{t}.bias" for t in theirs)))

    table = "embeddings.{}_embeddings.weight"
    out["words.weight"] = take(table.format("word"))[0]
    out["positions"] = take(table.format("position"))[0] + take(table.format("token_type"))[0][0]
    norm("norm", "embeddings.LayerNorm")
    for i in range(cfg.num_hidden_layers):
        theirs = f"encoder.layer.{i}"
        dense(f"layers.{i}.qkv", *(f"{theirs}.attention.self.{p}" for p in ("query", "key", "value")))
        dense(f"layers.{i}.out", f"{theirs}.attention.output.dense")
        norm(f"layers.{i}.norm1", f"{theirs}.attention.output.LayerNorm")
        dense(f"layers.{i}.up", f"{theirs}.intermediate.dense")
        dense(f"layers.{i}.down", f"{theirs}.output.dense")
        norm(f"layers.{i}.norm2", f"{theirs}.output.LayerNorm")
    if absent:
        raise ValueError(f"{len(absent)} tensors are absent: {', '.join(absent[:4])}{' …' * (len(absent) > 4)}")
    return out
