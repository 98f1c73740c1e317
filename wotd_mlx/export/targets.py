"""What can be exported: MLX functions of fixed shape, with real inputs to check them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray
from tokenizers import Tokenizer

from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.config.export import MIN_LENGTH
from wotd_mlx.embed.bert import Bert
from wotd_mlx.embed.delta import load_encoder
from wotd_mlx.embed.embedder import BertEmbedder, without_surrogates
from wotd_mlx.embed.meaning import Meaning
from wotd_mlx.embed.models import find_model, resolve
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.dictionary import encoded, searchable
from wotd_mlx.kernels.choice import taking
from wotd_mlx.schemas import WotdError

Example = dict[str, mx.array]

CHECKED = 1000
"""Words of the run that every export is compared on."""


class VectorEncoder(nn.Module):
    """vector (1, D) -> id (1, Q), and detail (1, M) where the codes have one."""

    def __init__(self, codes: Autoencoder):
        super().__init__()
        self.codes = codes

    def __call__(self, vector: mx.array, own: mx.array | None = None) -> dict[str, mx.array]:
        ids = self.codes.encode(vector, None if own is None else self.codes.told(vector, own))
        if self.codes.detail is None:
            return {"id": ids}
        return {"id": ids, "detail": self.codes.detail.codes_to_ids(vector - self.codes.decode(ids))}


class TextEncoder(nn.Module):
    """token_ids (1, L), mask (1, L) -> id (1, Q), vector (1, D) of unit length, detail (1, M) where there is one."""

    def __init__(self, bert: Bert, codes: Autoencoder, meaning: Meaning | None = None):
        super().__init__()
        self.bert, self.encoder, self.meaning = bert, VectorEncoder(codes), meaning

    def __call__(self, token_ids: mx.array, mask: mx.array) -> dict[str, mx.array]:
        # A CPU's path is a dozen operations where the function itself is one, which Core ML has.
        with taking("gpu"):
            own = self.bert(token_ids, mask.astype(mx.float32))
        vector = own if self.meaning is None else self.meaning(own)
        return {**self.encoder(vector, own), "vector": vector}


class TextReader(nn.Module):
    """token_ids (1, L), mask (1, L) -> vector (1, D) of unit length, probabilities (1, ΣV) of all attributes' values.

    The nearest code is for the caller to search: on devices that is wrong in half precision, and most of a package.
    """

    def __init__(self, bert: Bert, codes: Autoencoder, meaning: Meaning | None = None):
        super().__init__()
        self.bert, self.reader, self.meaning = bert, codes.text_reader, meaning

    def __call__(self, token_ids: mx.array, mask: mx.array) -> dict[str, mx.array]:
        with taking("gpu"):
            own = self.bert(token_ids, mask.astype(mx.float32))
        vector = own if self.meaning is None else self.meaning(own)
        told = self.reader.posteriors(mx.concatenate([vector, own], axis=1))
        return {"vector": vector, "probabilities": mx.concatenate(told, axis=1)}


class Decoder(nn.Module):
    """id (1, Q) -> the vector (1, D) that it stands for; with detail (1, M), where there is one, a nearer one."""

    def __init__(self, codes: Autoencoder):
        super().__init__()
        self.codes = codes

    def __call__(self, id: mx.array, detail: mx.array | None = None) -> dict[str, mx.array]:
        vector = self.codes.decode(id)
        if detail is not None and self.codes.detail is not None:
            vector = vector + self.codes.detail.ids_to_codes(detail)
        return {"vector": vector}


@dataclass(frozen=True)
class Target:
    """One thing to export.

    ``float32`` names the modules that compute in float32 even where all else is float16: an ID is the nearest of
    thousands of entries, and two that are nearly as near swap places in float16.
    """

    name: str
    package: str
    function: Callable[..., dict[str, mx.array]]
    float32: tuple[str, ...]
    texts: tuple[str, ...]
    examples: tuple[Example, ...]
    unit: str = "words"
    """What an example is, in the plural."""
    dictionary: bytes | None = None
    """What the caller searches by the function's vector and probabilities, where it is to do so itself."""


def find_target(coder: SemanticEncoder, name: str, length: int) -> Target:
    """The target of that name, over a run.

    Raises:
        WotdError: an unknown name, or a length that the embedding model doesn't take.
    """
    if name not in TARGETS:
        raise WotdError(f"can't export {name!r}; expected one of {', '.join(TARGETS)}, lvm:NAME")
    return TARGETS[name](coder, length)


def tokens(coder: SemanticEncoder, texts: Sequence[str], length: int) -> list[Example]:
    """Each text as token_ids and mask (1, L), cut and padded to ``length``: what an app's tokenizer must give too."""
    if not isinstance(coder.embedder, BertEmbedder):
        raise WotdError(f"{coder.config.embedding} is no BERT of this package; only those can be exported")
    tokenizer = Tokenizer.from_str(coder.embedder.tokenizer.to_str())
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch([without_surrogates(text) for text in texts])
    return [
        {"token_ids": mx.array([e.ids], mx.uint32), "mask": mx.array([e.attention_mask], mx.int32)} for e in encoded
    ]


def _encoder(coder: SemanticEncoder, _: int) -> Target:
    texts, vectors = _sample(coder)
    examples = tuple({"vector": mx.array(v[None])} for v in vectors)
    return Target("encoder", "Encoder", VectorEncoder(coder.model), ("codes",), texts, examples)


def _text_encoder(coder: SemanticEncoder, length: int) -> Target:
    texts, _ = _sample(coder)
    model = find_model(coder.config.embedding)
    config, bert = load_encoder(model, resolve(model))
    if length > (limit := config.max_position_embeddings):
        told = f"length {length} is not possible; {model.id} takes {MIN_LENGTH} to {limit} tokens: try 16, 64 or 128"
        raise WotdError(told)
    examples = tuple(tokens(coder, texts, length))
    if (quantizer := searchable(coder.model)) is not None:
        reader, dictionary = TextReader(bert, coder.model, coder.meaning), encoded(coder.model, quantizer)
        return Target("text-encoder", "TextEncoder", reader, (), texts, examples, dictionary=dictionary)
    function = TextEncoder(bert, coder.model, coder.meaning)
    # A label is told or not at a probability of one half, and an ID hangs on that.
    searches = ("encoder.codes.quantizer", "encoder.codes.text_reader", "encoder.codes.detail")
    return Target("text-encoder", "TextEncoder", function, searches, texts, examples)


def _decoder(coder: SemanticEncoder, _: int) -> Target:
    texts, vectors = _sample(coder)
    ids = coder.model.encode(mx.array(vectors))
    examples = [{"id": row[None]} for row in ids]
    if coder.model.detail is not None:
        detail = coder.model.encode_detail(mx.array(vectors), ids)
        examples = [{**e, "detail": row[None]} for e, row in zip(examples, detail, strict=True)]
    return Target("decoder", "Decoder", Decoder(coder.model), (), texts, tuple(examples))


def _sample(coder: SemanticEncoder) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Up to :data:`CHECKED` of the run's words, evenly over its corpora, and their vectors."""
    words, vectors = coder.words
    rows = np.unique(np.linspace(0, len(words) - 1, min(CHECKED, len(words))).round().astype(int))
    return tuple(words[row].text for row in rows), vectors[rows]


TARGETS: dict[str, Callable[[SemanticEncoder, int], Target]] = {
    "encoder": _encoder,
    "text-encoder": _text_encoder,
    "decoder": _decoder,
}
