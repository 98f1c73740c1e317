"""Rate and distortion of every code beside FAISS's, what similarity survives, and how fast vectors are encoded.

    python -m benchmarks.bench_codes [--data FOLDER] [--cache FILE] [--only words,sentences,bytes,levels,speed]

Words: the 30,000 commonest of the built-in lexicon, 25,000 to train on, 5,000 to measure; split at random, and again
with word families together. Sentences, similarity sets: from ``--data``, a folder with ``wiki/concepts.tsv``,
``sts/stsb-dev.tsv`` and ``wordsim/*.tsv``; without it they are left out. Parts that aren't run keep the figures of the
file as it is. Writes results/codes.json and results/codes.png.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.timing import RESULTS, write_results
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import label_matrix
from wotd_mlx.codes.levels import choose_levels
from wotd_mlx.codes.metrics import spearman
from wotd_mlx.codes.report import quality
from wotd_mlx.codes.split import Split
from wotd_mlx.codes.train import fit
from wotd_mlx.config import CodesConfig, TrainingConfig
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.words.builtin import load_lexicon
from wotd_mlx.words.families import family

WORDS, HELD = 30_000, 5_000
# Beyond the 20 bits of the ID.
DETAIL = {64: 44, 123: 103, 320: 300}


def train(
    x: np.ndarray, labels: np.ndarray, split: Split, cfg: CodesConfig, labelled: bool
) -> tuple[Autoencoder, float]:
    """A model on these rows, and the seconds that it took."""
    import mlx.core as mx

    mx.random.seed(0)
    attributes = TrainingConfig().attributes if labelled else ()
    model = Autoencoder(x.shape[1], cfg, attributes)
    started = time.perf_counter()
    list(fit(model, x, labels if labelled else labels[:, :0], split, cfg, seed=0))
    return model, time.perf_counter() - started


def coded(model: Autoencoder, x: np.ndarray) -> np.ndarray:
    """What comes back of x (N, D), with detail where the model has one."""
    import mlx.core as mx

    ids = model.encode(mx.array(x))
    if model.detail is None:
        return np.asarray(model.decode(ids))
    return np.asarray(model.decode_detail(ids, model.encode_detail(mx.array(x), ids)))


def size(model: Autoencoder) -> int:
    """Bytes of the parameters, as a run stores them."""
    from mlx.utils import tree_flatten

    return sum(value.nbytes for _, value in tree_flatten(model.parameters()))


def alone(x: np.ndarray, train_rows: np.ndarray, bits: int, whiten: float, sharpen: float) -> tuple[Any, float]:
    """The residual code by itself, without an ID: a function that codes vectors, and the seconds it took to fit."""
    import mlx.core as mx

    from wotd_mlx.codes.detail import Detail, detail_levels

    mean, detail = x[train_rows].mean(axis=0), Detail(detail_levels(bits), x.shape[1], whiten=whiten, sharpen=sharpen)
    started = time.perf_counter()
    detail.fit(x[train_rows] - mean, seed=0)
    seconds = time.perf_counter() - started
    return (lambda v: np.asarray(detail.decode(detail.encode(mx.array(v - mean)))) + mean), seconds


def word_split(texts: list[str], families: bool) -> Split:
    """5,000 words to measure on, at random or in whole families; a twentieth of the rest decides on settings."""
    rng = np.random.default_rng(0)
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(family(text) if families else text, []).append(row)
    order = [row for n in rng.permutation(len(groups)) for row in list(groups.values())[n]]
    held, rest = order[:HELD], order[HELD:]
    valid = len(rest) // 20
    return Split(np.sort(rest[valid:]), np.sort(rest[:valid]), np.sort(held))


def words(embed: Callable[[list[str]], np.ndarray]) -> dict[str, Any]:
    """Every method on both splits."""
    lexicon = load_lexicon()[:WORDS]
    x, labels = embed([word.text for word in lexicon]), label_matrix(lexicon, TrainingConfig().attributes)
    texts = [word.text for word in lexicon]
    return {
        "random": on_split(x, labels, word_split(texts, families=False), full=True),
        "families": on_split(x, labels, word_split(texts, families=True), full=False),
    }


def on_split(x: np.ndarray, labels: np.ndarray, split: Split, full: bool) -> dict[str, Any]:
    """Every method on one split; the slow ones only where ``full``."""
    seen = np.sort(np.concatenate([split.train, split.valid]))  # peers have nothing to validate
    mean, held = x[seen].mean(axis=0), x[split.test]
    rows: list[dict[str, Any]] = []

    def add(label: str, bits: float, decoded: np.ndarray, seconds: float, bytes_: int) -> None:
        row = {"code": label, "bits": bits, **quality(held, decoded, mean), "seconds": seconds, "bytes": bytes_}
        print(json.dumps(row), flush=True)
        rows.append(row)

    for levels in ((8, 8, 8, 5), (32, 32, 32, 32)):
        for labelled in (False, True):
            model, seconds = train(x, labels, split, CodesConfig("hvq", levels), labelled)
            name = "HVQ, labelled" if labelled else "HVQ"
            add(name, model.quantizer.bits, coded(model, held), seconds, size(model))
    for bits, beyond in DETAIL.items():
        if full or bits == 123:
            model, seconds = train(x, labels, split, CodesConfig("hvq", (32,) * 4, detail=beyond), False)
            add("HVQ + detail", bits, coded(model, held), seconds, size(model))
            run, seconds = alone(x, seen, bits, 0.0, 0.0)
            add("detail alone", bits, run(held), seconds, bits // 8 * 256 * x.shape[1] * 4)
    for kind, levels in (("fsq", (8, 8, 8, 5)), ("rvq", (32,) * 4)):
        model, seconds = train(x, labels, split, CodesConfig(kind, levels), False)
        add(kind.upper(), model.quantizer.bits, coded(model, held), seconds, size(model))
    for peer in peers.ALL if full else peers.FEW:
        add(*peer(x[seen] - mean, held - mean, mean))
    return {"rows": rows, "gaussian": peers.gaussian(x[seen] - mean)}


def similarity(folder: Path, embed: Callable[[list[str]], np.ndarray]) -> dict[str, Any]:
    """Sentences: figures on held-out articles, and the rank correlation with people's scores that is kept."""
    lines = (folder / "wiki" / "concepts.tsv").read_text(encoding="utf-8").splitlines()[1:]
    fields = [line.split("\t") for line in lines]
    x = embed([f[4] for f in fields])
    articles = np.array([int(f[1]) for f in fields])
    held_articles = np.random.default_rng(0).permutation(articles.max() + 1)[: (articles.max() + 1) // 12]
    held = np.flatnonzero(np.isin(articles, held_articles))
    rest = np.setdiff1d(np.arange(len(x)), held)
    split = Split(rest[len(rest) // 20 :], rest[: len(rest) // 20], held)
    mean = x[rest].mean(axis=0)
    sets = {"stsb-dev": pairs(folder / "sts" / "stsb-dev.tsv", (1, 2, 0), skip=1)}
    for name in ("ws-353-all", "mturk-771", "simlex-999"):
        sets[name] = pairs(folder / "wordsim" / f"{name}.tsv", (0, 1, 2))
    vectors = {name: (embed(a), embed(b), np.array(scores)) for name, (a, b, scores) in sets.items()}
    rows: list[dict[str, Any]] = []

    def add(label: str, bits: float, code: Callable[[np.ndarray], np.ndarray], seconds: float) -> None:
        kept = {name: similarity_kept(code, mean, *found) for name, found in vectors.items()}
        row = {
            "code": label,
            "bits": bits,
            **quality(x[held], code(x[held]), mean),
            "seconds": seconds,
            "similarity": kept,
        }
        print("sentences", json.dumps(row), flush=True)
        rows.append(row)

    labels = np.empty((len(x), 0), np.int64)
    model, seconds = train(x, labels, split, CodesConfig("hvq", (32,) * 4), False)
    add("HVQ", model.quantizer.bits, lambda v: coded(model, v), seconds)
    for bits in DETAIL:
        for whiten, sharpen in ((0.0, 0.0), (0.5, 1.0)) if bits == 123 else ((0.5, 1.0),):
            code, seconds = alone(x, rest, bits, whiten, sharpen)
            add(f"detail alone, whiten {whiten:g}, sharpen {sharpen:g}", bits, code, seconds)
    for bits in DETAIL:
        code, seconds = peers.faiss_rq(x[rest] - mean, bits)
        add("FAISS RQ", bits, lambda v, code=code: code(v - mean) + mean, seconds)
    add("sign of 384 numbers", 384, lambda v: np.sign(v) + mean, 0.0)
    cut = {}
    for width in (256, 128):
        short = shorter(x, width)
        code, _ = alone(short, rest, 123, 0.5, 1.0)
        cut[width] = {
            name: similarity_kept(code, short[rest].mean(axis=0), shorter(a, width), shorter(b, width), scores)
            for name, (a, b, scores) in vectors.items()
        }
        print("cut to", width, json.dumps(cut[width]), flush=True)
    return {"trained_on": len(rest), "held_out": len(held), "rows": rows, "truncated_123_bits": cut}


def pairs(file: Path, columns: tuple[int, int, int], skip: int = 0) -> tuple[list[str], list[str], list[float]]:
    """Two lists of texts and people's scores."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[skip:]]
    a, b, score = columns
    return [r[a] for r in rows], [r[b] for r in rows], [float(r[score]) for r in rows]


def shorter(x: np.ndarray, width: int) -> np.ndarray:
    """The first ``width`` numbers of x (N, D), brought back to unit length."""
    return x[:, :width] / np.linalg.norm(x[:, :width], axis=1, keepdims=True)


def similarity_kept(
    code: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, a: np.ndarray, b: np.ndarray, scores: np.ndarray
) -> dict[str, float]:
    """Spearman with people: of full vectors, of coded ones, and of a full against a coded one (both ways, mean).

    Few bits leave a short vector on the mean, whose share in the cosine then hides the rest: so the full vector is
    compared with the coded one both as it comes back and less the mean.
    """

    def cosines(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (u * v).sum(axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)

    x, y = code(a), code(b)
    return {
        "full": spearman(cosines(a, b), scores),
        "symmetric": spearman(cosines(x, y), scores),
        "asymmetric": (spearman(cosines(a, y), scores) + spearman(cosines(x, b), scores)) / 2,
        "asymmetric_less_mean": (spearman(cosines(a, y - mean), scores) + spearman(cosines(x - mean, b), scores)) / 2,
    }


def model_bytes(embed: Callable[[list[str]], np.ndarray]) -> list[dict[str, Any]]:
    """20 bits, word families apart, with narrower and narrower dictionaries."""
    lexicon = load_lexicon()[:WORDS]
    texts = [word.text for word in lexicon]
    x, labels, split = embed(texts), label_matrix(lexicon, ()), word_split(texts, families=True)
    rows = []
    for width in (24, 48, 96, 192, 384):
        model, seconds = train(x, labels, split, CodesConfig("hvq", (32,) * 4, latent=width), False)
        figures = quality(x[split.test], coded(model, x[split.test]), x[split.train].mean(axis=0))
        rows.append({"width": width, "bytes": size(model), "seconds": seconds, **figures})
        print("bytes", json.dumps(rows[-1]), flush=True)
    return rows


def levels(embed: Callable[[list[str]], np.ndarray]) -> dict[str, Any]:
    """What `--levels auto` tries, on labelled words, at 11 and at 20 bits."""
    lexicon = load_lexicon()[:WORDS]
    texts = [word.text for word in lexicon]
    attributes = TrainingConfig().attributes
    x, labels, split = embed(texts), label_matrix(lexicon, attributes), word_split(texts, families=True)
    out = {}
    for bits in (11, 20):
        trials = choose_levels(x, labels, split, CodesConfig("hvq", bits=bits), attributes, 0)
        out[str(bits)] = [{**trial._asdict(), "levels": list(trial.levels)} for trial in trials]
        print("levels", bits, json.dumps(out[str(bits)]), flush=True)
    return out


def speed(embed: Callable[[list[str]], np.ndarray]) -> list[dict[str, Any]]:
    """Vectors a second, two threads: ours and FAISS's residual quantiser, on growing numbers of vectors."""
    import mlx.core as mx

    texts = [word.text for word in load_lexicon()[:WORDS]]
    x, split = embed(texts), word_split(texts, families=True)
    labels = np.empty((len(x), 0), np.int64)
    rng, rows = np.random.default_rng(0), []
    held = x[split.test]
    mean = x[split.train].mean(axis=0)
    encoders: list[tuple[str, int, Callable[[np.ndarray], object], dict[str, float]]] = []
    for bits, beyond in ((20, 0), (123, 103)):
        model, _ = train(x, labels, split, CodesConfig("hvq", (32,) * 4, detail=beyond), False)

        def encode(v: np.ndarray, model: Autoencoder = model) -> None:
            ids = model.encode(mx.array(v))
            mx.eval(model.encode_detail(mx.array(v), ids) if model.detail else ids)

        encoders.append(("HVQ + detail" if beyond else "HVQ", bits, encode, quality(held, coded(model, held), mean)))
        for peer in peers.BESIDE[bits]:
            run, quantizer = peers.faiss_rq_quantizer(x[split.train] - mean, peer)
            figures = quality(held, run(held - mean) + mean, mean)
            encoders.append((f"FAISS RQ, {peer} bits", bits, lambda v, q=quantizer: q.compute_codes(v - mean), figures))
    for label, bits, encode, figures in encoders:
        for n in (10_000, 100_000, 1_000_000):
            vectors = held[rng.integers(0, len(held), min(n, 100_000))] + rng.normal(0, 0.01, (1, x.shape[1]))
            vectors = np.ascontiguousarray(vectors, np.float32)
            started = time.perf_counter()
            for start in range(0, n, 100_000):
                encode(vectors[: min(100_000, n - start)])
            seconds = time.perf_counter() - started
            rows.append(
                {"code": label, "beside": bits, "vectors": n, "seconds": seconds, "per_second": n / seconds, **figures}
            )
            print("speed", json.dumps(rows[-1]), flush=True)
            if seconds > 12:  # the next would take minutes
                break
    return rows


def main() -> None:
    """Measure the parts asked for, write benchmarks/results/codes.json and codes.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with wiki/, sts/ and wordsim/")
    parser.add_argument("--cache", type=Path, help="file that keeps embedded texts for the next time")
    parser.add_argument("--only", default="words,sentences,bytes,levels,speed", help="parts, by comma")
    arguments = parser.parse_args()
    file = RESULTS / "codes.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    figures = {key: kept[key] for key in ("words", "sentences", "bytes", "levels", "speed") if key in kept}
    embedding = TrainingConfig().embedding
    with tempfile.TemporaryDirectory() as folder:
        embedder = BertEmbedder(embedding, EmbeddingCache(arguments.cache or Path(folder) / "vectors.sqlite"))
        parts: dict[str, Callable[[], Any]] = {
            "words": lambda: words(embedder.embed),
            "sentences": lambda: similarity(arguments.data, embedder.embed),
            "bytes": lambda: model_bytes(embedder.embed),
            "levels": lambda: levels(embedder.embed),
            "speed": lambda: speed(embedder.embed),
        }
        for part in arguments.only.split(","):
            if part == "sentences" and arguments.data is None:
                print("sentences: left out, no --data")
                continue
            figures[part] = parts[part]()
            write_results("codes", {"embedding": embedding, **figures})
    peers.draw(figures, RESULTS / "codes.png")


if __name__ == "__main__":
    main()
