"""Texts to vectors: tokenise, sort by length, run passes side by side, remember what was embedded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Protocol

import mlx.core as mx
import numpy as np
from tokenizers import Tokenizer

from wotd_mlx.arrays import Embeddings
from wotd_mlx.embed.bert import Group
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.delta import load_encoder, version_of
from wotd_mlx.embed.models import DEFAULT_MODEL, MODELS, find_model, resolve
from wotd_mlx.kernels.choice import cpu_path, lanes
from wotd_mlx.kernels.threads import one_blas_thread
from wotd_mlx.schemas import WotdError

Progress = Callable[[int], None]
TokenIds = list[int]
Pass = list[list[int]]
"""Row numbers of the texts that go through the model together, a list for each length."""
Done = tuple[list[int], mx.array]
"""Row numbers and their vectors."""

# A pass that outgrows the processor's cache gains nothing on a CPU; a GPU wants many tokens at once.
_CPU_TOKENS, _GPU_TOKENS = 1024, 16384
_WORTH_SHARING = 128
"""Tokens from which on a batch is shared among streams."""
_SHORT_TEXT = 32
"""Characters below which, on average, texts are tokenised one by one."""
_MAX_CHARACTERS = 1 << 15
"""Of a text that are looked at: a tokenizer takes a hundred bytes a character, and the tokens are full long before."""
_LONE_TEXTS = 3
"""One-text calls before their graph is compiled, which may take seconds of C++ compiler on a new machine."""


class Embedder(Protocol):
    """Anything that turns N texts into (N, D) float32 vectors of unit length."""

    id: str
    dims: int

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """texts (N,) -> (N, D); ``progress`` is called with the number of texts just done."""
        ...

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """texts (N,) -> whether each is longer than what is read of it."""
        ...


def passes(lengths: Sequence[int], tokens: int, lanes: int = 1) -> list[Pass]:
    """Cut texts into passes of about equal work, ``lanes`` of them or a multiple, each into runs of one length.

    No pass has more than ``tokens`` tokens, unless a text alone has more. Every row number is in exactly one run.
    The longest texts come first, so that the first passes need the most memory.
    """
    total, longest = sum(lengths), max(lengths, default=0)
    rounds = -(-total // (lanes * max(1, tokens - longest + 1)))
    share = -(-total // (lanes * rounds)) if total else 1
    out: list[Pass] = []
    before, current = 0, -1
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if before // share != current:
            current = before // share
            out.append([])
        if not out[-1] or lengths[out[-1][-1][0]] != lengths[row]:
            out[-1].append([])
        out[-1][-1].append(row)
        before += lengths[row]
    return out


class BertEmbedder:
    """An MLX BERT behind ``embed(texts) -> (N, D)``, with an optional cache; any thread may call it.

    Args:
        embedding: a registry id, its short form, or a checkpoint folder.
        cache: where embedded texts are kept; None keeps nothing.
        tokens: the most tokens in one forward pass; by default what suits the device.
        download: the hub may be asked for weights that aren't on this machine.
    """

    def __init__(
        self,
        embedding: str = DEFAULT_MODEL,
        cache: EmbeddingCache | None = None,
        tokens: int | None = None,
        download: bool = True,
    ):
        model = find_model(embedding)
        folder = resolve(model, download=download)
        self.id, self.dims, self.cache = model.id, model.dims, cache
        self.tokens = tokens or (_CPU_TOKENS if cpu_path() else _GPU_TOKENS)
        cfg, self.bert = load_encoder(model, folder)
        if cfg.hidden_size != model.dims:
            raise WotdError(f"{folder} is {cfg.hidden_size} wide; {model.id} should be {model.dims}")
        self.max_tokens = min(model.max_tokens, cfg.max_position_embeddings)
        self.tokenizer = _load_tokenizer(folder, self.max_tokens)
        # A GPU wants few shapes: lengths are padded up to a multiple of this. A CPU wants no padding at all.
        self.multiple = 1 if cpu_path() else 8
        # A published model never changes under its id; a delta may with a version of this package, and a folder's
        # contents at any time.
        changed = (folder / "model.safetensors").stat().st_mtime_ns
        self._key = version_of(model) if model.id in MODELS else f"{folder.resolve()}@{changed}"
        self._local = threading.local()

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """texts (N,) -> (N, D) float32, unit length, in order; equal texts are computed once.

        A lone surrogate, which no tokenizer takes, counts as U+FFFD; a NUL is dropped, as BERT's tokenizer does.

        Raises:
            WotdError: the cache can't be read or written.
        """
        if isinstance(texts, str):
            raise TypeError(f"embed takes a list of texts, got the text {texts!r}; write [{texts!r}]")
        times = Counter(texts)

        def done(new: Sequence[str]) -> None:
            if progress and new:
                progress(sum(times[text] for text in new))

        known = self.cache.get(self._key, list(times), self.dims) if self.cache else {}
        done(list(known))
        if missing := [text for text in times if text not in known]:
            fresh = self._compute(missing, done)
            known |= dict(zip(missing, fresh, strict=True))
            if self.cache:
                self.cache.put(self._key, missing, fresh)
        return np.stack([known[text] for text in texts]) if texts else np.empty((0, self.dims), np.float32)

    def pieces(self, texts: Sequence[str]) -> list[int]:
        """texts (N,) -> how many word pieces each is to the model."""
        return [len(ids) - 2 for ids in self._encode(texts)]  # less the marks around a text

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """texts (N,) -> whether each is longer than what is read of it: as many tokens as the model takes, and 32,768
        characters."""
        # A token has a character at least, and two are taken by the marks around a text.
        return [
            len(text) > _MAX_CHARACTERS
            or (len(text) > self.max_tokens - 2 and bool(self.tokenizer.encode(_readable(text)).overflowing))
            for text in texts
        ]

    def _compute(self, texts: Sequence[str], done: Callable[[Sequence[str]], None]) -> Embeddings:
        encoded = self._encode(texts)
        if len(texts) == 1:
            vector = np.asarray(self._lone(encoded[0]))
            done(texts)
            return vector
        out = np.empty((len(texts), self.dims), np.float32)
        lengths = [-(-len(ids) // self.multiple) * self.multiple for ids in encoded]
        streams = self._streams(sum(lengths))
        plan = passes(lengths, self.tokens, len(streams))
        with one_blas_thread() if len(streams) > 1 else nullcontext():
            for rows, vectors in self._run(plan, encoded, streams):
                out[rows] = np.asarray(vectors)
                done([texts[row] for row in rows])
        return out

    def _encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of what is read of each text; the tokenizer's threads pay for long texts only, words take half as
        long without."""
        texts = [_readable(text) for text in texts]
        if sum(map(len, texts)) < _SHORT_TEXT * len(texts):
            return [self.tokenizer.encode(text).ids for text in texts]
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]

    def _lone(self, ids: TokenIds) -> mx.array:
        """ids of one text -> (1, D); a compiled graph, since Python would take a fifth of the time."""
        calls = self._local.__dict__.setdefault("calls", 0)
        self._local.calls = calls + 1
        if calls < _LONE_TEXTS:
            return self.bert(mx.array([ids]))
        if not hasattr(self._local, "compiled"):
            self._local.compiled = mx.compile(self.bert)
        vector: mx.array = self._local.compiled(mx.array([ids]))
        return vector

    def _streams(self, tokens: int) -> list[mx.Stream]:
        """The streams that share a batch: this thread's own, since MLX binds a stream to the thread that made it."""
        count = lanes() if tokens >= _WORTH_SHARING else 1
        if count == 1:
            return [mx.default_stream(mx.default_device())]
        made: list[mx.Stream] = self._local.__dict__.setdefault("streams", [])
        while len(made) < count:
            made.append(mx.new_stream(mx.default_device()))
        return made[:count]

    def _run(self, plan: list[Pass], encoded: list[TokenIds], streams: list[mx.Stream]) -> Iterator[Done]:
        """Yield rows and their vectors, a pass on each stream; the next passes are under way by then."""
        before: list[Done] = []
        for start in range(0, len(plan), len(streams)):
            together = plan[start : start + len(streams)]
            batches = [[self._group([encoded[row] for row in run]) for run in runs] for runs in together]
            vectors = self._side_by_side(batches, streams)
            yield from before
            before = [([*chain(*runs)], v) for runs, v in zip(together, vectors, strict=True)]
        yield from before

    def _side_by_side(self, batches: list[list[Group]], streams: list[mx.Stream]) -> list[mx.array]:
        """A pass on each stream, layer by layer: MLX takes few tasks at once, and one whole pass would fill it."""
        running = [(stream, self.bert.ragged(groups)) for stream, groups in zip(streams, batches, strict=False)]
        now: list[mx.array] = []
        for _ in range(len(self.bert.layers) + 1):
            now = []
            for stream, states in running:
                with mx.stream(stream):
                    now.append(next(states))
            mx.async_eval(now)
        return now

    def _group(self, encoded: list[TokenIds]) -> Group:
        """Texts of one padded length as arrays; without a mask where nothing is padded."""
        length = -(-max(map(len, encoded)) // self.multiple) * self.multiple
        ids = np.zeros((len(encoded), length), np.int32)
        mask = np.zeros((len(encoded), length), np.float32)
        for i, row in enumerate(encoded):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return Group(mx.array(ids), None if mask.all() else mx.array(mask))


class BGEEmbedder(BertEmbedder):
    """:class:`BertEmbedder` on BGE, CLS-pooled (Xiao et al. 2023, arXiv 2309.07597)."""

    def __init__(self, embedding: str = "BAAI/bge-small-en-v1.5", cache: EmbeddingCache | None = None):
        super().__init__(embedding, cache)


def _readable(text: str) -> str:
    return without_surrogates(text[:_MAX_CHARACTERS])


def without_surrogates(text: str) -> str:
    # UTF-16 writes a lone surrogate as two bytes, so that reading puts one U+FFFD in its place.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise WotdError(f"{folder}/tokenizer.json can't be read ({error}); download it again") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer
