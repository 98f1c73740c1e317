"""Codes that were fitted, ours and others', behind one interface, so that all are measured alike.

A coder is fitted to centred vectors (N, D) and codes, decodes, and searches centred vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wotd_mlx.arrays import Vectors
from wotd_mlx.codes.axes import turned_axes
from wotd_mlx.codes.binary import Binary
from wotd_mlx.codes.detail import Detail
from wotd_mlx.config.codes import byte_levels

Search = Callable[[Vectors, Any], Callable[[], object]]
"""Queries (M, D) and codes -> what finds the ten nearest codes of each query; preparing isn't counted."""


def _same(x: Vectors) -> Vectors:
    return x


@dataclass(frozen=True)
class Coder:
    """A fitted code.

    Args:
        encode, decode: (N, D) -> codes -> (N, D).
        model_bytes: of all that coding and decoding need.
        stored: bytes a vector beyond the bits.
        products: what a whole vector is compared as, (N, K).
        signs: what a code is compared as, (N, K); by default what comes back.
    """

    encode: Callable[[Vectors], Any]
    decode: Callable[[Any], Vectors]
    model_bytes: int
    search: Search
    stored: int = 0
    products: Callable[[Vectors], Vectors] = _same
    signs: Callable[[Any], Vectors] | None = None

    def compared(self, codes: Any) -> Vectors:
        """Codes -> what they are compared as."""
        return (self.signs or self.decode)(codes)


@dataclass(frozen=True)
class Method:
    """A way to code: its name, the bits of a vector, and what fits it by training vectors and a seed.

    ``by_texts``: it codes vectors (N, 2D) that have their texts' own embeddings beside them.
    """

    name: str
    bits: float
    fit: Callable[[Vectors, int], Coder]
    by_texts: bool = False


def brute(decode: Callable[[Any], Vectors]) -> Search:
    """Search among vectors that were decoded, in blocks that fit memory."""

    def search(queries: Vectors, codes: Any) -> Callable[[], object]:
        def run() -> object:
            scores = [queries @ decode(codes[n : n + 8192]).T for n in range(0, len(codes), 8192)]
            return np.argpartition(-np.concatenate(scores, axis=1), 10, axis=1)[:, :10]

        return run

    return search


def hamming(pack: Callable[[Any], np.ndarray], encode: Callable[[Vectors], Any]) -> Search:
    """Search by bits that differ, FAISS's."""

    def search(queries: Vectors, codes: Any) -> Callable[[], object]:
        import faiss

        packed = np.ascontiguousarray(pack(codes))
        index = faiss.IndexBinaryFlat(8 * packed.shape[1])
        index.add(packed)
        asked = np.ascontiguousarray(pack(encode(queries)))
        return lambda: index.search(asked, 10)

    return search


def tables(books: list[Vectors]) -> Search:
    """Search by tables of each codebook's products with the query: codes are added up, not decoded."""

    def search(queries: Vectors, codes: Any) -> Callable[[], object]:
        columns = np.ascontiguousarray(np.asarray(codes).astype(np.uint8).T)

        def run() -> object:
            out = []
            for query in queries:
                scores = np.zeros(columns.shape[1], np.float32)
                for book, column in zip(books, columns, strict=True):
                    scores += (book @ query)[column]
                out.append(np.argpartition(-scores, 10)[:10])
            return out

        return run

    return search


# --- ours ---


def residual(bits: int) -> Callable[[Vectors, int], Coder]:
    """Our residual code, alone."""

    def fit(x: Vectors, seed: int) -> Coder:
        import mlx.core as mx

        detail = Detail(byte_levels(bits), x.shape[1])
        detail.start(x, seed)
        books = [np.asarray(book) for book in detail.books]
        return Coder(
            lambda v: np.asarray(detail.encode(mx.array(v))),
            lambda codes: np.asarray(detail.ids_to_codes(mx.array(codes))),
            sum(book.nbytes for book in books),
            tables(books),
        )

    return fit


def binary(bits: int) -> Callable[[Vectors, int], Coder]:
    """Our binary code."""

    def fit(x: Vectors, seed: int) -> Coder:
        import mlx.core as mx

        code = Binary(byte_levels(bits), x.shape[1])
        code.start(x, seed)

        def encode(v: Vectors) -> Vectors:
            return np.asarray(code.codes_to_ids(mx.array(v)))

        return Coder(
            encode,
            lambda ids: np.asarray(code.ids_to_codes(mx.array(ids))),
            code.into.nbytes + code.back.nbytes,
            hamming(lambda ids: np.asarray(ids).astype(np.uint8), encode),
            products=lambda v: v @ np.asarray(code.into),
            signs=lambda ids: np.asarray(code.signs(mx.array(ids))),
        )

    return fit


# --- others' ---


def faiss_index(
    make: Callable[[int], Any],
    model_bytes: Callable[[Any, int], int],
    stored: int = 0,
    prepare: Callable[[Any], None] = lambda index: None,
    products: Callable[[Any], Callable[[Vectors], Vectors]] = lambda index: _same,
) -> Callable[[Vectors, int], Coder]:
    """A FAISS index as a coder; ``make`` gives the untrained index for a width."""

    def fit(x: Vectors, seed: int) -> Coder:
        # FAISS's starts can't all be seeded: the order of the rows stands for a seed.
        rows = np.random.default_rng(seed).permutation(len(x))
        index = make(x.shape[1])
        index.train(np.ascontiguousarray(x[rows]))
        prepare(index)

        def search(queries: Vectors, codes: Any) -> Callable[[], object]:
            index.reset()
            index.add(index.sa_decode(codes))  # an index behind a transform takes no codes as they are
            return lambda: index.search(np.ascontiguousarray(queries), 10)

        return Coder(
            lambda v: index.sa_encode(np.ascontiguousarray(v)),
            index.sa_decode,
            model_bytes(index, x.shape[1]),
            search,
            stored=stored,
            products=products(index),
        )

    return fit


def level_bits(bits: int, most: int) -> list[int]:
    """``bits`` in as few levels of at most ``most`` bits as can be."""
    return [most] * (bits // most) + ([bits % most] if bits % most else [])


def faiss_rq(bits: int, most: int) -> Callable[[Vectors, int], Coder]:
    """FAISS's residual quantiser, coding with a beam of 16, trained with its default beam of 5."""

    def make(width: int) -> Any:
        import faiss

        sizes = faiss.UInt64Vector()
        faiss.copy_array_to_vector(np.array(level_bits(bits, most), np.uint64), sizes)
        index = faiss.IndexResidualQuantizer(
            width, sizes, faiss.METRIC_INNER_PRODUCT, faiss.AdditiveQuantizer.ST_LUT_nonorm
        )
        index.rq.max_beam_size = 5
        return index

    def widen(index: Any) -> None:
        index.rq.max_beam_size = 16

    return faiss_index(make, lambda index, width: index.rq.total_codebook_size * width * 4, prepare=widen)


def faiss_lsq(parts: int, bits: int) -> Callable[[Vectors, int], Coder]:
    """FAISS's local search quantiser (LSQ++)."""

    def make(width: int) -> Any:
        import faiss

        metric, search = faiss.METRIC_INNER_PRODUCT, faiss.AdditiveQuantizer.ST_LUT_nonorm
        index = faiss.IndexLocalSearchQuantizer(width, parts, bits, metric, search)
        index.lsq.train_iters, index.lsq.encode_ils_iters = 8, 8
        return index

    return faiss_index(make, lambda index, width: parts * 2**bits * width * 4)


def faiss_opq(parts: int, bits: int) -> Callable[[Vectors, int], Coder]:
    """FAISS's product quantiser behind an optimised rotation."""

    def make(width: int) -> Any:
        import faiss

        wide = -(-width // parts) * parts
        return faiss.index_factory(width, f"OPQ{parts}_{wide},PQ{parts}x{bits}", faiss.METRIC_INNER_PRODUCT)

    return faiss_index(make, lambda index, width: (2**bits + width) * width * 4)


def rabitq(bits: int) -> Callable[[Vectors, int], Coder]:
    """FAISS's RaBitQ behind as many principal axes as bits; its two factors a vector are stored."""

    def make(width: int) -> Any:
        import faiss

        return faiss.index_factory(width, f"PCA{bits},RaBitQ", faiss.METRIC_INNER_PRODUCT)

    def products(index: Any) -> Callable[[Vectors], Vectors]:
        import faiss

        axes = faiss.vector_to_array(faiss.downcast_VectorTransform(index.chain.at(0)).A).reshape(bits, -1)
        return lambda v: v @ axes.T @ axes

    return faiss_index(make, lambda index, width: bits * (width + 1) * 4, stored=8, products=products)


def itq(bits: int) -> Callable[[Vectors, int], Coder]:
    """ITQ, from a random start: principal axes, turned towards their signs (Gong and Lazebnik, CVPR 2011).

    FAISS's own ITQTransform always starts at the same rotation; a test has ours come as near to its signs.
    """

    def fit(x: Vectors, seed: int) -> Coder:
        into = turned_axes(x, bits, 0.0, seed)
        length = float(np.abs(x @ into).mean())

        def encode(v: Vectors) -> Vectors:
            return np.asarray(v @ into > 0)

        def signs(codes: Vectors) -> Vectors:
            return np.where(codes, np.float32(1), np.float32(-1))

        return Coder(
            encode,
            lambda codes: length * signs(codes) @ into.T,
            into.nbytes,
            hamming(lambda codes: np.packbits(codes, axis=1), encode),
            products=lambda v: v @ into,
            signs=signs,
        )

    return fit


def kmeans(count: int) -> Callable[[Vectors, int], Coder]:
    """Flat k-means."""

    def fit(x: Vectors, seed: int) -> Coder:
        import faiss

        means = faiss.Kmeans(x.shape[1], count, niter=20, seed=seed, min_points_per_centroid=1)
        means.train(np.ascontiguousarray(x))

        def decode(codes: Vectors) -> Vectors:
            return np.asarray(means.centroids[codes])

        return Coder(
            lambda v: means.index.search(np.ascontiguousarray(v), 1)[1][:, 0],
            decode,
            means.centroids.nbytes,
            brute(decode),
        )

    return fit


def nearest_word(x: Vectors, seed: int) -> Coder:
    """The nearest training word, shrunk, and a five-bit code for what is left: the plain baseline of a dictionary."""
    import faiss

    index = faiss.IndexFlatL2(x.shape[1])
    index.add(np.ascontiguousarray(x))
    other = x[index.search(np.ascontiguousarray(x), 2)[1][:, 1]]
    shrink = float((other * x).sum() / (other * other).sum())
    means = faiss.Kmeans(x.shape[1], 32, niter=20, seed=seed)
    means.train(np.ascontiguousarray(x - shrink * other))

    def encode(v: Vectors) -> Vectors:
        near = index.search(np.ascontiguousarray(v), 1)[1][:, 0]
        left = means.index.search(np.ascontiguousarray(v - shrink * x[near]), 1)[1][:, 0]
        return np.stack([near, left], axis=1)

    def decode(codes: Vectors) -> Vectors:
        return np.asarray(shrink * x[codes[:, 0]] + means.centroids[codes[:, 1]])

    return Coder(encode, decode, x.nbytes + means.centroids.nbytes, brute(decode))
