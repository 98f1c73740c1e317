"""Write the table of known words that the package ships, from a finished run.

    wotd-mlx train && python -m scripts.known_table [--run runs/default]

Words, IDs, labels and guesses are the run's, in alphabetical order. Vectors of words and senses share codebooks, a byte
for each, fitted together in the directions in which the vectors differ most. The same run gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.detail import Detail
from wotd_mlx.codes.packed import AdditiveRows, Books
from wotd_mlx.known import FILE, KnownWords
from wotd_mlx.run_folder import HINT, RunFolder
from wotd_mlx.vocabulary import SHIPPED

BOOKS, WIDTH, SENSES = 12, 128, 3
"""Codebooks, the directions that they lie in, and senses of a word that are kept, the first of the dictionary."""
MOST = 3_000_000
"""Bytes that the table may have."""
_FITTED, _BEAM = 25_000, 4


def small_table(known: KnownWords, books: int = BOOKS, width: int = WIDTH, senses: int = SENSES) -> KnownWords:
    """The same words in alphabetical order, their vectors coded."""
    order = np.array(sorted(range(len(known)), key=known.words.__getitem__))
    kept = [number for row in order.tolist() for number in list(known.senses_of(row))[:senses]]
    owner = np.repeat(np.arange(len(order)), [min(len(known.senses_of(row)), senses) for row in order.tolist()])
    words, told = known.vectors[order], known.sense_rows.rows(np.array(kept, np.int64))
    shared, codes = coded(np.concatenate([words, told]), books, width)
    return KnownWords(
        words=tuple(known.words[row] for row in order),
        ids=known.ids[order],
        labels=known.labels[order],
        guesses=known.guesses[order],
        probability=known.probability[order],
        word_rows=AdditiveRows(codes[: len(order)], shared),
        sense_rows=AdditiveRows(codes[len(order) :], shared),
        owner=owner.astype(np.int32),
        meet=known.meet[order],
        difficulty=known.difficulty[order],
        attributes=known.attributes,
        levels=known.levels,
        embedding=known.embedding,
        glosses=known.glosses,
        source=f"wotd-mlx: {len(order):,} words, {len(kept):,} senses",
        centre=known.centre,
    )


def coded(x: Embeddings, books: int, width: int) -> tuple[Books, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Vectors (N, D) -> codebooks, and the codes (N, books) whose sums come closest to them."""
    _, axes = np.linalg.eigh((x.T @ x / len(x)).astype(np.float64))
    directions = axes[:, ::-1][:, :width].T
    # An eigenvector's sign is arbitrary and differs between LAPACKs: the largest entry is made positive.
    largest = directions[np.arange(width), np.abs(directions).argmax(axis=1)]
    back = (directions * np.sign(largest)[:, None]).astype(np.float16)
    y = x @ back.astype(np.float32).T
    detail = Detail((256,) * books, width, beam=_BEAM)
    chosen = np.random.default_rng(0).permutation(len(y))[:_FITTED]
    detail.start(y[np.sort(chosen)], seed=0)
    values = np.stack([np.asarray(book) for book in detail.books])
    scales = (np.abs(values).max(axis=(1, 2)) / 127).astype(np.float32)
    rounded = np.rint(values / scales[:, None, None]).astype(np.int8)
    made = Books(rounded, scales, back)
    detail.books = [mx.array(book) for book in made.values]  # codes are chosen for the codebooks as they are stored
    return made, np.asarray(detail.encode(mx.array(y))).astype(np.uint8)


def main() -> None:
    """Write wotd_mlx/words/data/known.safetensors and say how near its vectors come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default", help="a finished run (default: runs/default)")
    parser.add_argument("--out", type=Path, default=SHIPPED, help=f"the table (default: {SHIPPED.name} in the package)")
    parser.add_argument("--books", type=int, default=BOOKS, help=f"bytes a vector (default: {BOOKS})")
    parser.add_argument("--senses", type=int, default=SENSES, help=f"of a word, at most (default: {SENSES})")
    args = parser.parse_args()
    known = KnownWords.read(RunFolder(args.run).path / FILE, HINT)
    made = small_table(known, args.books, senses=args.senses)
    made.write(args.out, small=True)
    row = [known.words.index(word) for word in made.words[:: len(made) // 1000]]
    near = (made.word_rows.rows(np.arange(len(made))[:: len(made) // 1000]) * known.vectors[row]).sum(axis=1).mean()
    size = args.out.stat().st_size
    print(f"{args.out}: {size:,} bytes, {made.source}; cosine of a coded vector and the run's {near:.3f}")
    if size > MOST:
        raise SystemExit(f"error: expected at most {MOST:,} bytes; take fewer --books")


if __name__ == "__main__":
    main()
