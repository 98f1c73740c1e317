"""Rate and distortion of every code beside its strongest peers, what similarity survives, bytes, and speed.

    python -m benchmarks.bench_codes --run DIR [--data FOLDER] [--cache FILE] [--seeds 3] [--only PART,…]

Words: the words and vectors of a run of ``wotd-mlx train`` on the defaults, trained on its training words and measured
on its test words; no word family is in both. Sentences: from ``--data``, a folder with ``wiki/concepts.tsv``,
``sts/*.tsv`` and ``wordsim/*.tsv``, trained on six sevenths of the articles. All methods see the same rows, less the
same mean. Constants come from ``choices``, on words and articles that are neither trained nor measured on.

Every method is fitted with three seeds. What results/codes.json holds already is not measured again: delete it, or
its part, to begin anew. The picture is results/codes.png.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import coders, torch_coders
from benchmarks.coders import Coder, Method
from benchmarks.codes_picture import draw
from benchmarks.timing import RESULTS, write_results
from wotd_mlx.arrays import Embeddings, Vectors
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import label_matrix
from wotd_mlx.codes.levels import choose_levels
from wotd_mlx.codes.metrics import neighbours, spearman
from wotd_mlx.codes.report import quality
from wotd_mlx.codes.split import Split, split_by_family
from wotd_mlx.codes.train import Texts, fit
from wotd_mlx.config import CodesConfig, TrainingConfig
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.pipeline import read_texts
from wotd_mlx.run_folder import RunFolder

PARTS = ("choices", "sentences", "words", "levels")
# Codes that a search goes through, and whole queries that are asked.
SEARCHED, QUERIES = 100_000, 32


@dataclass(frozen=True)
class Words:
    """A run's words: vectors (N, D), labels (N, A), who is trained and measured on, and what a reader learns from."""

    x: Embeddings
    labels: np.ndarray
    split: Split
    texts: Texts


def read_words(folder: Path) -> Words:
    """The words of a finished run."""
    run = RunFolder(folder)
    words, x = run.read_words()
    config, _ = run.read_config()
    split = split_by_family([word.text for word in words], config)
    return Words(x, label_matrix(words, config.attributes), split, read_texts(run, x.shape[1]))


def ours(words: Words, cfg: CodesConfig, labelled: bool = False) -> Callable[[Vectors, int], Coder]:
    """Codes with an ID of ours. A labelled coder takes vectors with their texts' own embeddings beside them."""

    def fitted(x: Vectors, seed: int) -> Coder:
        import mlx.core as mx
        from mlx.utils import tree_flatten

        mx.random.seed(seed)
        attributes = TrainingConfig().attributes if labelled else ()
        labels = words.labels if labelled else words.labels[:, :0]
        model = Autoencoder(words.x.shape[1], cfg, attributes)
        list(fit(model, words.x, labels, words.split, cfg, seed, texts=words.texts if labelled else None))
        mean, dims = np.asarray(model.mean), words.x.shape[1]

        def encode(v: Vectors) -> Vectors:
            vectors = mx.array(v[:, :dims] + mean)
            told = model.told(vectors, mx.array(v[:, dims:])) if labelled else None
            ids = model.encode(vectors, told)
            if model.detail is None:
                return np.asarray(ids)
            return np.concatenate([np.asarray(ids), np.asarray(model.encode_detail(vectors, ids))], axis=1)

        def decode(codes: Vectors) -> Vectors:
            ids, rest = mx.array(codes[:, : len(cfg.levels)]), mx.array(codes[:, len(cfg.levels) :])
            back = model.decode(ids) if model.detail is None else model.decode_detail(ids, rest)
            return np.asarray(back) - mean

        size = sum(value.nbytes for _, value in tree_flatten(model.parameters()))
        return Coder(encode, decode, size, coders.brute(decode))

    return fitted


def methods_of_words(words: Words) -> list[Method]:
    """Ours and their peers, by bits."""
    default, narrow, wide = (CodesConfig("hvq", levels) for levels in ((), (8, 8, 8, 5), (32,) * 4))
    detailed = {bits: CodesConfig("hvq", (32,) * 4, detail=bits - 20) for bits in (64, 123)}
    return [
        Method("HVQ", 11.32, ours(words, narrow)),
        Method("FSQ", 11.32, ours(words, CodesConfig("fsq", (8, 8, 8, 5)))),
        Method("flat k-means", 11.32, coders.kmeans(2560)),
        Method("vector-quantize-pytorch FSQ", 11.32, torch_coders.fsq),
        Method("HVQ, labelled", 20, ours(words, default, labelled=True), by_texts=True),
        Method("HVQ", 20, ours(words, wide)),
        Method("RVQ", 20, ours(words, CodesConfig("rvq", (32,) * 4))),
        Method("nearest word + 5 bits", float(np.log2(len(words.split.train))) + 5, coders.nearest_word),
        Method("FAISS RQ", 20, coders.faiss_rq(20, 10)),
        Method("ITQ", 20, coders.itq(20)),
        Method("vector-quantize-pytorch ResidualVQ", 20, torch_coders.residual_vq),
        *(Method("HVQ + detail", bits, ours(words, cfg)) for bits, cfg in detailed.items()),
        *whole_methods(),
    ]


def whole_methods() -> Iterator[Method]:
    """Codes that keep most of a vector: 64 and 123 bits, or the next number that a peer can make."""
    for bits in (64, 123):
        parts = -(-bits // 8)
        yield Method("residual", bits, coders.residual(bits))
        yield Method("binary", bits, coders.binary(bits))
        yield Method("ITQ", bits, coders.itq(bits))
        yield Method("RaBitQ", bits, coders.rabitq(bits))
        yield Method("FAISS RQ", bits, coders.faiss_rq(bits, 8))
        yield Method("FAISS OPQ", 8 * parts, coders.faiss_opq(parts, 8))
        yield Method("FAISS LSQ", 8 * parts, coders.faiss_lsq(parts, 8))


def measured(
    methods: list[Method],
    rows: list[dict[str, Any]],
    x: Vectors,
    held: Vectors,
    beside: Vectors,
    also: Callable[[Coder], dict[str, Any]],
    wrote: Callable[[], None],
    seeds: int,
) -> None:
    """Fit each method to x (N, D) with each seed, and add what it makes of held (M, D) to ``rows``; both less the mean.

    Args:
        beside: (M, D), the own embeddings of the texts of ``held``, for methods that go by them too.
        also: further figures of a coder.
        wrote: called after each.
    """
    done = {(row["code"], row["bits"], row["seed"]) for row in rows}
    for seed in range(seeds):
        for method in methods:
            if (method.name, method.bits, seed) in done:
                continue
            started = time.perf_counter()
            coder = method.fit(x, seed)
            seconds = time.perf_counter() - started
            asked = np.concatenate([held, beside], axis=1) if method.by_texts else held
            started = time.perf_counter()
            codes = coder.encode(asked)
            encoded = len(held) / (time.perf_counter() - started)
            row = {
                "code": method.name,
                "bits": method.bits,
                "seed": seed,
                **quality(held, coder.decode(codes), np.zeros(held.shape[1], np.float32)),
                **also(coder),
                "model_bytes": coder.model_bytes,
                "bytes_a_vector": -(-int(np.ceil(method.bits)) // 8) + coder.stored,
                "fit_seconds": seconds,
                "encoded_per_second": encoded,
                "searched_per_second": searched(coder, codes, held),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
            wrote()


def searched(coder: Coder, codes: Any, held: Vectors) -> float:
    """Codes that a second's search goes through, a query at a time counted."""
    many = codes[np.arange(SEARCHED) % len(codes)]
    run = coder.search(np.ascontiguousarray(held[:QUERIES]), many)
    started = time.perf_counter()
    run()
    return SEARCHED * QUERIES / (time.perf_counter() - started)


def measure_words(words: Words, part: dict[str, Any], wrote: Callable[[], None], seeds: int) -> None:
    """Every method on a run's test words."""
    x = words.x[words.split.train]
    mean = x.mean(axis=0)
    part.update({"trained_on": len(x), "held_out": len(words.split.test), "gaussian": gaussian(x - mean)})
    if "qinco" not in part:
        part["qinco"] = torch_coders.qinco_cost(x - mean, 64)
        wrote()
    held, beside = words.x[words.split.test] - mean, words.texts.own[words.split.test]
    measured(
        methods_of_words(words), part.setdefault("rows", []), x - mean, held, beside, lambda coder: {}, wrote, seeds
    )


def gaussian(x: Vectors) -> list[tuple[float, float]]:
    r"""Bits and relative MSE of the best possible code for a Gaussian of the same covariance: reverse water-filling.

    .. math:: D(\theta) = \sum_i \min(\theta, \sigma_i^2), \quad R(\theta) = \sum_i \tfrac12 \log_2^+ \sigma_i^2/\theta
    """
    variances = np.maximum(np.linalg.eigvalsh((x.T @ x / len(x)).astype(np.float64)), 1e-12)
    out = []
    for level in np.geomspace(variances.max(), variances.max() * 1e-3, 60):
        rate = 0.5 * np.log2(np.maximum(variances / level, 1)).sum()
        out.append((float(rate), float(np.minimum(level, variances).sum() / variances.sum())))
    return out


# --- sentences ---


@dataclass(frozen=True)
class Sentences:
    """Vectors of articles' sentences in three parts, and of pairs (a, b, people's score) a set."""

    train: Vectors
    valid: Vectors
    test: Vectors
    sets: dict[str, tuple[Vectors, Vectors, np.ndarray]]


def read_sentences(folder: Path, embed: Callable[[list[str]], Embeddings]) -> Sentences:
    """A twelfth of the articles is measured on, a twentieth chooses constants; less the mean of the rest."""
    fields = [line.split("\t") for line in (folder / "wiki" / "concepts.tsv").read_text("utf-8").splitlines()[1:]]
    x, article = embed([f[4] for f in fields]), np.array([int(f[1]) for f in fields])
    order = np.random.default_rng(0).permutation(article.max() + 1)
    ends = len(order) // 12, len(order) // 12 + len(order) // 20
    test, valid, train = (x[np.isin(article, part)] for part in np.split(order, ends))
    mean, sets = train.mean(axis=0), {}
    files = [(file, (1, 2, 0), 1) for file in sorted((folder / "sts").glob("*.tsv"))]
    files += [(folder / "wordsim" / f"{name}.tsv", (0, 1, 2), 0) for name in ("ws-353-all", "mturk-771", "simlex-999")]
    for file, (a, b, score), skip in files:
        rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()[skip:]]
        left, right = embed([r[a] for r in rows]), embed([r[b] for r in rows])
        sets[file.stem] = (left - mean, right - mean, np.array([float(r[score]) for r in rows]))
    return Sentences(train - mean, valid - mean, test - mean, sets)


def cosines(u: Vectors, v: Vectors) -> Vectors:
    """u, v (N, W) -> (N,)."""
    length = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.asarray((u * v).sum(axis=1) / np.maximum(length, 1e-12))


def kept(coder: Coder, a: Vectors, b: Vectors, scores: np.ndarray) -> dict[str, float]:
    """The share of Spearman's ρ with people that survives, of two coded vectors and of a whole one and a coded one.

    ``…_scaled`` divides by one more stored byte a vector: its cosine with its own code, in steps of 1/255.
    """
    full = spearman(cosines(a, b), scores)
    (wa, ca), (wb, cb) = ((coder.products(v), coder.compared(coder.encode(v))) for v in (a, b))
    sa, sb = (np.maximum(np.rint(255 * cosines(w, c)), 1) / 255 for w, c in ((wa, ca), (wb, cb)))
    coded, left, right = cosines(ca, cb), cosines(wa, cb), cosines(ca, wb)
    return {
        "coded": spearman(coded, scores) / full,
        "whole": (spearman(left, scores) + spearman(right, scores)) / 2 / full,
        "coded_scaled": spearman(coded / sa / sb, scores) / full,
        "whole_scaled": (spearman(left / sb, scores) + spearman(right / sa, scores)) / 2 / full,
    }


def measure_sentences(data: Sentences, part: dict[str, Any], wrote: Callable[[], None], seeds: int) -> None:
    """Every code that keeps most of a vector, on sentences and words that people compared."""
    part.update(
        {
            "trained_on": len(data.train),
            "held_out": len(data.test),
            "full": {name: spearman(cosines(a, b), scores) for name, (a, b, scores) in data.sets.items()},
        }
    )

    def also(coder: Coder) -> dict[str, Any]:
        return {"kept": {name: kept(coder, *found) for name, found in data.sets.items()}}

    rows = part.setdefault("rows", [])
    measured(list(whole_methods()), rows, data.train, data.test, data.test[:, :0], also, wrote, seeds)


# --- constants ---


def choices(words: Words, data: Sentences | None, part: dict[str, Any], wrote: Callable[[], None]) -> None:
    """What the constants were chosen by: validation words, and pairs of validation articles' sentences."""
    from wotd_mlx.codes import binary, detail, hvq

    x, mean = words.x[words.split.train], words.x[words.split.train].mean(axis=0)
    held, beside = words.x[words.split.valid] - mean, words.texts.own[words.split.valid]

    def of_words(fitted: Callable[[Vectors, int], Coder], by_texts: bool = False) -> dict[str, float]:
        coder = fitted(x - mean, 0)
        codes = coder.encode(np.concatenate([held, beside], axis=1) if by_texts else held)
        found = quality(held, coder.decode(codes), np.zeros_like(mean))
        print(json.dumps(found), flush=True)
        return found

    def trial(name: str, stands: Any, values: list[Any], run: Callable[[Any], dict[str, float]]) -> None:
        if name not in part:
            part[name] = [{"value": value, "stands": value == stands, **run(value)} for value in values]
            wrote()

    def of_constant(
        name: str, module: Any, constant: str, values: list[Any], run: Callable[[], dict[str, float]]
    ) -> None:
        stands = getattr(module, constant)

        def with_value(value: Any) -> dict[str, float]:
            setattr(module, constant, value)
            try:
                return run()
            finally:
                setattr(module, constant, stands)

        trial(name, stands, values, with_value)

    wide = CodesConfig("hvq", (32,) * 4)
    mixes = [(0.8, 0.55, 0.35), (0.75, 0.5, 0.35), (0.7, 0.5, 0.3), (0.7, 0.45, 0.35), (0.65, 0.45, 0.35)]
    of_constant("HVQ: weights of an entry and a neighbour", hvq, "MIX", mixes, lambda: of_words(ours(words, wide)))
    trial(
        "HVQ: weight of neighbours",
        wide.neighbour_weight,
        [0.0, 0.1, 0.35, 1.0],
        lambda kappa: of_words(ours(words, replace(wide, neighbour_weight=kappa))),
    )
    labelled = ours(words, CodesConfig(), labelled=True)
    of_constant(
        "HVQ: worth of a prediction", hvq, "WORTH", [0.03, 0.05, 0.1], lambda: of_words(labelled, by_texts=True)
    )
    constants = (
        ("ridge", "_WEIGHT", [5.0, 10.0, 15.0, 20.0]),
        ("passes", "_PASSES", [8, 12, 20]),
        ("rounds", "_ROUNDS", [0, 1, 2]),
    )
    for name, constant, values in constants:
        of_constant(f"residual: {name}", detail, constant, values, lambda: of_words(coders.residual(64)))
    if data is not None:
        left, right = pairs(data.valid)
        true = cosines(left, right)

        def of_pairs() -> dict[str, float]:
            found = []
            for seed in range(8):
                coder = coders.binary(123)(data.train, seed)
                a, b = (coder.compared(coder.encode(v)) for v in (left, right))
                found.append(spearman(cosines(a, b), true))
            return {"spearman": float(np.mean(found)), "spread": float(np.ptp(found))}

        of_constant("binary: scaling of axes", binary, "WHITEN", [0.0, 0.25, 0.5, 1.0], of_pairs)


def pairs(x: Vectors) -> tuple[Vectors, Vectors]:
    """Pairs of all degrees of likeness, of x (N, D): each with a near one, with any, and with mixtures of both."""
    rng = np.random.default_rng(0)
    near = x[neighbours(x, 16)[np.arange(len(x)), rng.integers(0, 16, len(x))]]
    unlike, share = x[rng.permutation(len(x))], rng.random((len(x), 1), np.float32)
    others = [near, unlike, x + share * (near - x), x + share * (unlike - x)]
    return np.concatenate([x] * 4), np.concatenate(others)


def levels(words: Words) -> dict[str, Any]:
    """What ``--levels auto`` tries, on labelled words, at 11 and at 20 bits."""
    out = {}
    for bits in (11, 20):
        cfg, attributes = CodesConfig("hvq", bits=bits), TrainingConfig().attributes
        trials = choose_levels(words.x, words.labels, words.split, cfg, attributes, 0)
        out[str(bits)] = [{**trial._asdict(), "levels": list(trial.levels)} for trial in trials]
        print("levels", bits, json.dumps(out[str(bits)]), flush=True)
    return out


def main() -> None:
    """Measure the parts asked for, write benchmarks/results/codes.json and codes.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/default"), help="a run of the defaults")
    parser.add_argument("--data", type=Path, help="folder with wiki/, sts/ and wordsim/")
    parser.add_argument("--cache", type=Path, help="file that keeps embedded texts for the next time")
    parser.add_argument("--seeds", type=int, default=3, help="how many each method is fitted with")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    asked, file = arguments.only.split(","), RESULTS / "codes.json"
    embedding = TrainingConfig().embedding
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    figures = {"embedding": embedding} | {part: figures[part] for part in PARTS if part in figures}

    def wrote() -> None:
        write_results("codes", figures)

    words = read_words(arguments.run) if {"words", "choices", "levels"} & set(asked) else None
    data = None
    if arguments.data is not None and {"sentences", "choices"} & set(asked):
        with tempfile.TemporaryDirectory() as folder:
            cache = EmbeddingCache(arguments.cache or Path(folder) / "vectors.sqlite")
            data = read_sentences(arguments.data, BertEmbedder(embedding, cache).embed)
    if words is not None and "choices" in asked:
        choices(words, data, figures.setdefault("choices", {}), wrote)
    if data is not None and "sentences" in asked:
        measure_sentences(data, figures.setdefault("sentences", {}), wrote, arguments.seeds)
    if words is not None and "words" in asked:
        measure_words(words, figures.setdefault("words", {}), wrote, arguments.seeds)
    if words is not None and "levels" in asked and "levels" not in figures:
        figures["levels"] = levels(words)
        wrote()
    draw(figures, RESULTS / "codes.png")


if __name__ == "__main__":
    main()
