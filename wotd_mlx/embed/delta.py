"""A low-rank delta of an encoder's dense layers: trained beside them, kept in a small file, merged when loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
from mlx import nn

from wotd_mlx.embed.bert import Bert, BertConfig, load_bert
from wotd_mlx.embed.models import EmbeddingModel
from wotd_mlx.io.safetensors import DIGEST, check_arrays, named, read_arrays, read_metadata, write_arrays
from wotd_mlx.kernels.dense import Dense

HINT = "install wotd-mlx again"
BASE = "base"
"""The metadata's key of the model that a delta belongs to."""
SHARE = "share"
"""The array beside the layers' own: how much of A B is added."""


class LowRank(Dense):
    r"""A frozen dense layer and its delta.

    .. math:: y = x (W + A B) + c

    A starts at random and B at zero, so that the start is the layer itself.

    Shape: x (…, inputs) -> (…, outputs); A (inputs, rank), B (rank, outputs).
    Reference:
        Hu et al. 2021, arXiv 2106.09685, without its factor α/r, which a learning rate takes over.
    """

    def __init__(self, dense: Dense, rank: int):
        super().__init__(0, 0)
        self.weight, self.bias = dense.weight, dense.bias
        inputs, outputs = dense.weight.shape
        self.a = mx.random.normal((inputs, rank), scale=inputs**-0.5)
        self.b = mx.zeros((rank, outputs))
        self.freeze(recurse=False, keys=["weight", "bias"])

    def __call__(self, x: mx.array) -> mx.array:
        out: mx.array = mx.addmm(super().__call__(x), x @ self.a, self.b)
        return out


def _dense(bert: Bert) -> Iterator[tuple[str, nn.Module, str, Dense]]:
    """Each dense layer's name, what holds it, its key there, and the layer."""
    for i, layer in enumerate(bert.layers):
        for key, dense in layer.children().items():
            if isinstance(dense, Dense):
                yield f"layers.{i}.{key}", layer, key, dense


def add_delta(bert: Bert, rank: int, seed: int) -> None:
    """Freeze an encoder in place but for a delta of each dense layer, which starts at nothing."""
    mx.random.seed(seed)
    bert.freeze()
    for _, layer, key, dense in [*_dense(bert)]:
        setattr(layer, key, LowRank(dense, rank))
    mx.eval(bert.parameters())


def write_delta(path: Path, bert: nn.Module, base: str, share: float = 1.0) -> str:
    r"""Write the delta of an encoder that :func:`add_delta` prepared, in float16; returns the digest of what it holds.

    Args:
        base: id of the model whose weights it is added to.
        share: :math:`\alpha` of :math:`W + \alpha A B`, how far to go from the plain weights to the tuned ones.

    Reference:
        Weights between two models as one that has the virtues of both: Wortsman et al. 2021, arXiv 2109.01903.
    """
    arrays = {name: value.astype(mx.float16) for name, value in named(bert.trainable_parameters()).items()}
    arrays[SHARE] = mx.array(share)
    return write_arrays(path, arrays, {BASE: base})


def merge_delta(bert: Bert, path: Path, base: str) -> None:
    """Add what a file holds, α A B a layer, to a plain encoder's weights, in place: it then costs what it did before.

    Raises:
        WotdError: the file can't be read, or belongs to another model or one of another shape.
    """
    arrays = read_arrays(path, HINT, {BASE: base}).arrays
    layers = {name: dense for name, _, _, dense in _dense(bert)}
    rank = next((a.shape[1] for name, a in arrays.items() if name.endswith(".a") and a.ndim == 2), 1)
    expected = {SHARE: mx.array(1.0)}
    for name, dense in layers.items():
        inputs, outputs = dense.weight.shape
        expected |= {
            f"{name}.a": mx.zeros((inputs, rank), mx.float16),
            f"{name}.b": mx.zeros((rank, outputs), mx.float16),
        }
    check_arrays(arrays, expected, path, HINT)
    for name, dense in layers.items():
        a, b = (arrays[f"{name}.{part}"].astype(mx.float32) for part in "ab")
        dense.weight = dense.weight + arrays[SHARE] * (a @ b)
    mx.eval(bert.parameters())


def load_encoder(model: EmbeddingModel, folder: Path) -> tuple[BertConfig, Bert]:
    """A model's encoder from the folder of its checkpoint, its delta merged where it has one.

    Raises:
        WotdError: as :func:`~wotd_mlx.embed.bert.load_bert` and :func:`merge_delta`.
    """
    cfg, bert = load_bert(folder, model.pooling)
    if model.delta is not None:
        merge_delta(bert, model.delta, model.base or "")
    return cfg, bert


def version_of(model: EmbeddingModel) -> str:
    """A published model's id, and behind it the digest of what its delta holds: two with one version give the same
    vectors."""
    if model.delta is None:
        return model.id
    return f"{model.id}@{read_metadata(model.delta, HINT)[DIGEST]}"
