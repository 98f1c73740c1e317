"""A language model in two parts: hidden states, and logits of those tokens alone that an answer may go on with.

Under a grammar a handful of some 50,000 tokens is allowed, and decoding waits for memory: of SmolLM2's 540 MB a token,
113 are the output matrix.
"""

from __future__ import annotations

import logging
from typing import Any

import mlx.core as mx
from mlx import nn

log = logging.getLogger("wotd_mlx")

# How far parts and whole may lie from each other, as a share of the largest logit: other sums, and the type's rounding.
_AGREE = {mx.float32: 1e-3, mx.float16: 1e-2, mx.bfloat16: 5e-2}


class Head:
    """logits = after(hidden · W[rows]ᵀ), W (V, D) the output matrix or the tied embedding, where that is safe.

    ``after`` is what a few architectures do to each logit: Gemma 2's cap c·tanh(x/c), Cohere's and Granite's scale.
    On construction a few tokens go through the model both ways. Where the logits differ, or the model has no such
    parts, its ``hidden`` are the logits themselves (D = V), and ``logits`` only picks rows: slower, and said in the
    log.

    Attributes:
        model: the model, unchanged; adapters put on it later are used.
        apart: whether it is taken apart.
        vocabulary: V, how many logits it has.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.apart = False
        was = model.training
        model.eval()  # no dropout
        try:
            tokens = mx.array([[3, 1, 2]])
            whole = model(tokens)
            self.vocabulary: int = whole.shape[-1]
            self.apart = self._agrees(tokens, whole)
        finally:
            model.train(was)
        if not self.apart:
            log.info(
                "%s can't be taken apart: every token computes all of its %d logits",
                type(model).__module__,
                self.vocabulary,
            )

    def hidden(self, tokens: mx.array, cache: list[Any] | None = None) -> mx.array:
        """Tokens (B, L) -> hidden states (B, L, D), those before the output matrix; ``cache`` as mlx-lm's models."""
        run = _body(self.model) if self.apart else self.model
        found: mx.array = run(tokens, cache=cache)
        return found

    def logits(self, hidden: mx.array, rows: mx.array | None = None) -> mx.array:
        """Hidden states (…, D) -> logits (…, V), or (…, len(rows)) of the tokens ``rows``."""
        if not self.apart:
            return hidden if rows is None else hidden[..., rows]
        matrix = _matrix(self.model)
        found = _all_rows(matrix, hidden) if rows is None else _some_rows(matrix, hidden, rows)
        return _after(self.model, found)

    def _agrees(self, tokens: mx.array, whole: mx.array) -> bool:
        self.apart = True
        rows = mx.array(sorted({0, 1, self.vocabulary // 2, self.vocabulary - 1}))
        try:
            hidden = self.hidden(tokens)
            ours, few = self.logits(hidden), self.logits(hidden[:, -1], rows)
        except (AttributeError, KeyError, TypeError, ValueError):  # it has no such parts
            return False
        if ours.shape != whole.shape:
            return False
        limit = _AGREE.get(whole.dtype, _AGREE[mx.float32]) * mx.abs(whole).max()
        far = mx.maximum(mx.abs(ours - whole).max(), mx.abs(few - whole[:, -1][:, rows]).max())
        return bool((far <= limit).item())


def _text(model: nn.Module) -> Any:
    """The language part of a model that sees too."""
    return model.get("language_model", model)


def _body(model: nn.Module) -> Any:
    return _text(model).model


def _matrix(model: nn.Module) -> Any:
    text = _text(model)
    return text.get("lm_head") or text.model.embed_tokens


def _after(model: nn.Module, logits: mx.array) -> mx.array:
    text = _text(model)
    args = getattr(text, "args", None)
    if cap := getattr(args, "final_logit_softcapping", None):
        logits = mx.tanh(logits / cap) * cap
    if scale := getattr(args, "logit_scale", None):
        logits = logits * scale
    if divisor := getattr(args, "logits_scaling", None):
        logits = logits / divisor
    return logits


def _all_rows(matrix: Any, hidden: mx.array) -> mx.array:
    linear = getattr(matrix, "as_linear", matrix)
    found: mx.array = linear(hidden)
    return found


def _some_rows(matrix: Any, hidden: mx.array, rows: mx.array) -> mx.array:
    """hidden (…, D) and rows (R,) -> (…, R), reading only those rows of the matrix where its kind is known."""
    if isinstance(matrix, (nn.QuantizedLinear, nn.QuantizedEmbedding)):
        biases = matrix.get("biases")
        found = mx.quantized_matmul(
            hidden,
            matrix.weight[rows],
            matrix.scales[rows],
            None if biases is None else biases[rows],
            transpose=True,
            group_size=matrix.group_size,
            bits=matrix.bits,
            mode=matrix.mode,
        )
    elif isinstance(matrix, (nn.Linear, nn.Embedding)):
        found = hidden @ matrix.weight[rows].T
    else:  # an adapter on the output matrix
        return _all_rows(matrix, hidden)[..., rows]
    return found + matrix.bias[rows] if "bias" in matrix else found
