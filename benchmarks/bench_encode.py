"""Text → ID and vector → ID, beside others' tools in the same run.

    python -m benchmarks.bench_encode [--run runs/fsq] [--dictionary runs/default]

Text → ID: our encoder against sentence-transformers on torch's CPU with the same autoencoder and FSQ written in torch
from the same weights, two threads each; the IDs are compared. Vector → ID: batch 1, beside FAISS's residual
quantiser at the next equal number of bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.timing import alternate, write_results
from wotd_mlx import SemanticEncoder
from wotd_mlx.embed.models import find_model, resolve
from wotd_mlx.words.builtin import load_builtin

THREADS = 2
SENTENCES = 64


def torch_encoder(coder: SemanticEncoder) -> Callable[[Sequence[str]], Any]:
    """sentence-transformers, then the run's encoder and FSQ, all in torch on the run's own weights."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer
    from vector_quantize_pytorch import FSQ

    torch.set_num_threads(THREADS)
    folder = resolve(find_model(coder.config.embedding))
    embedder = SentenceTransformer(str(folder), device="cpu")
    weights = {n: torch.from_numpy(np.array(w)) for n, w in coder.run.read_arrays(coder.run.model).items()}
    quantizer = FSQ(list(coder.levels))

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> Any:
        vectors = embedder.encode(
            list(texts), batch_size=256, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        x = (vectors - weights["mean"]) / weights["scale"]
        hidden = torch.relu(x @ weights["encoder.up.weight"].T + weights["encoder.up.bias"])
        z = x @ weights["encoder.linear.weight"].T + hidden @ weights["encoder.down.weight"].T
        _, ids = quantizer((z + weights["encoder.down.bias"])[None])
        return quantizer.indices_to_level_indices(ids[0]).int().numpy()

    return encode


def text_to_id(coder: SemanticEncoder) -> dict[str, Any]:
    """Milliseconds of both sides for words, many words and sentences of some 35 tokens; and whether the IDs agree."""
    import numpy as np

    theirs = torch_encoder(coder)
    words = [word.text for word in load_builtin().words]
    sentence = "the {} of the {} was as {} to them as any {} that a {} had ever {} in the {} of the {}, and the {} came"
    rng = np.random.default_rng(0)
    sentences = [sentence.format(*rng.choice(words, 9)) for _ in range(SENTENCES)]
    # By the vectors: words of the corpora may have been given an ID of their own.
    agree = (np.array(coder.encode_vectors(coder.embed(words))) == theirs(words)).all(axis=1).mean()
    out: dict[str, Any] = {"same_ids": float(agree)}
    bulk = [word.text for word in load_builtin().lexicon[5000:9000]]
    cases = {
        "1_word": (words[:1], 300),
        "256_words": (words[:256], 30),
        "4000_words": (bulk, 7),
        "64_sentences": (sentences, 15),
    }
    for name, (texts, repeats) in cases.items():
        found = alternate({"ours": lambda t=texts: coder.encode(t), "theirs": lambda t=texts: theirs(t)}, repeats)
        out[name] = {
            "ours_ms": found["ours"] * 1e3,
            "sentence_transformers_ms": found["theirs"] * 1e3,
            "speedup": found["theirs"] / found["ours"],
        }
    return out


def vector_to_id(coder: SemanticEncoder, dictionary: SemanticEncoder) -> dict[str, Any]:
    """Microseconds for one vector: FSQ, HVQ, and FAISS's residual quantiser of 12 bits, greedy and with beam 16."""
    import faiss
    import numpy as np

    x = coder.words[1]
    one = x[:1].copy()
    faiss.omp_set_num_threads(1)  # its best: one vector gives a second thread nothing to do but wake up
    calls: dict[str, Callable[[], object]] = {
        "fsq": lambda: coder.encode_vectors(one),
        "hvq": lambda: dictionary.encode_vectors(one),
    }
    for beam in (1, 16):
        quantizer = faiss.ResidualQuantizer(x.shape[1], 4, 3)
        quantizer.max_beam_size = beam
        quantizer.train(x)
        calls[f"faiss_rq_beam_{beam}"] = lambda q=quantizer: q.compute_codes(one)
    found = alternate(calls, 2000, warmup=100)
    batch = np.ascontiguousarray(x[:10_000])
    faiss.omp_set_num_threads(THREADS)
    each = {"fsq": lambda: coder.encode_vectors(batch), "hvq": lambda: dictionary.encode_vectors(batch)}
    alone = {name: alternate({name: call}, 300 if name == "fsq" else 100)[name] for name, call in calls.items()}
    return {
        **{f"{n}_us": s * 1e6 for n, s in found.items()},
        "alone_us": {name: seconds * 1e6 for name, seconds in alone.items()},
        "vectors_per_second": {name: len(batch) / s for name, s in alternate(each, 5).items()},
    }


def main() -> None:
    """Measure both on a finished FSQ run, write benchmarks/results/encode.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/fsq", help="a finished run with FSQ codes")
    parser.add_argument("--dictionary", default="runs/default", help="a finished run with HVQ codes")
    arguments = parser.parse_args()
    coder, dictionary = SemanticEncoder.load(arguments.run), SemanticEncoder.load(arguments.dictionary)
    if coder.config.codes.kind != "fsq":
        raise SystemExit(f"error: {coder.run.path} has {coder.config.codes.kind} codes; this benchmark compares FSQ")
    figures = {
        "threads": THREADS,
        "text_to_id": text_to_id(coder),
        "vector_to_id": vector_to_id(coder, dictionary),
    }
    write_results("encode", {"embedding": coder.config.embedding, "codes": list(coder.levels), **figures})


if __name__ == "__main__":
    main()
