"""What IDs and vectors mean: similarity, look-alikes, labels read back, prediction and calibration, finding words.

    wotd-mlx train && python -m benchmarks.bench_meaning [--run runs/default] [--similarity DIR] [--sentences FILE]
        [--wordnet DIR] [--gcide FILE]

Each figure stands beside that of the published embedding model without a dictionary. What needs data that isn't in this
repository is left out, with a line that says so: ``--similarity``, a folder with simlex-999.tsv, simverb-3500.tsv,
ws-353-all.tsv, mturk-771.tsv and rg-65.tsv, two words and a score a line; ``--sentences``, STS-B's development part;
``--wordnet``, WordNet's own files; ``--gcide``, Debian's gcide.dict.dz (GPL). Embedded texts are taken from the run's
cache; if the run's model is a tuned one, the first time embeds all words and glosses by the published one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.meaning_find import find_figures
from benchmarks.meaning_prediction import draw, prediction
from benchmarks.meaning_similarity import Confusion, WordNet, read_sets, sentences, similarity, words_of
from benchmarks.meaning_vectors import RECIPES, Space
from benchmarks.timing import RESULTS, write_results
from wotd_mlx import SemanticEncoder
from wotd_mlx.config.generate import GenerateConfig
from wotd_mlx.known import KNOWN
from wotd_mlx.language.generate import load_generator, words_wanted
from wotd_mlx.words.dictionary import load_dictionary
from wotd_mlx.words.dictionary.wordnet import find_wordnet

BEFORE = {
    "commit": "a07cd95",
    "similarity": 0.585,
    "alike_and_unrelated": 0.138,
    "ten_nearest_related": 0.33,
    "labels_read_back": 0.21,
    "own_word_first": 0.10,
    "asked_for_beautiful": 0.12,
}
"""The same figures before words had glosses and IDs their evidence."""
ASKED, TIMES = 500, 50
VALUE = "beautiful"


def labels(coder: SemanticEncoder) -> dict[str, Any]:
    """Whether IDs say what evidence says: the run's own figures for all words, and a sample through the API."""
    known, metrics = coder.known, coder.run.read_metrics()["codes"]
    labelled = np.flatnonzero((known.labels >= 0).any(axis=1))
    rows = np.random.default_rng(0).permutation(labelled)[:ASKED].tolist()
    words, evidence = [known.words[row] for row in rows], [known.evidence_of(row) for row in rows]
    ids = coder.encode(words)

    def read_back(told: list[dict[str, str | None]]) -> float:
        return float(np.mean([e.items() <= t.items() for e, t in zip(evidence, told, strict=True)]))

    first = coder.nearest(coder.decode(ids), 1, distinct=False)
    return {
        "labelled_words": len(labelled),
        "metrics": {name: value for name, value in metrics.items() if name.startswith(("labels_read", "own_word"))},
        "sample": len(words),
        "labels_read_back": read_back(coder.labels(ids)),
        # As of texts that nothing is known of; most of these words trained the classifier.
        "labels_read_back_without_the_table": read_back(coder.labels([told.id for told in coder.predict(words)])),
        "own_word_first": float(np.mean([near[0].word == word for near, word in zip(first, words, strict=True)])),
    }


def beautiful(coder: SemanticEncoder) -> dict[str, Any]:
    """Ask for beautiful words, each time without those that came: the share that evidence says so of."""
    generator, given = load_generator(coder.run.path), list[str]()
    request = words_wanted(VALUE, generator.known)
    right, while_they_last = list[bool](), list[bool]()
    known = coder.known
    column = next(attribute.name for attribute in known.attributes if VALUE in attribute.values)
    has = np.array([known.evidence_of(row).get(column) == VALUE for row in range(len(known))])
    families = len(np.unique(known.families[has]))
    for _ in range(TIMES):
        found = generator.generate(request, GenerateConfig(method="encoder", exclude=frozenset(given)))
        for answer in found.words:
            right.append(bool(has[known.row(answer.word)]))
            if answer.source == KNOWN or not while_they_last or len(given) < families:
                while_they_last.append(right[-1])
            given.append(answer.word)
    return {
        "times": TIMES,
        "answers": len(right),
        "known_words": int(has.sum()),
        "known_families": families,
        "beautiful": float(np.mean(right)),
        "beautiful_while_known_words_last": float(np.mean(while_they_last)),
    }


def measured(name: str, seconds: dict[str, float], made: Callable[[], Any]) -> Any:
    """What ``made`` gives; says how long it took."""
    started = time.perf_counter()
    found = made()
    seconds[name] = round(time.perf_counter() - started, 1)
    print(f"{name}: {seconds[name]:.0f} s", flush=True)
    return found


def main() -> None:
    """Measure what there is data for, write benchmarks/results/meaning.json and calibration.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default", help="a finished run (default: runs/default)")
    parser.add_argument("--similarity", type=Path, help="folder of word similarity sets")
    parser.add_argument("--sentences", type=Path, help="stsb-dev.tsv: score, s1, s2")
    parser.add_argument("--wordnet", type=Path, default=find_wordnet(), help="folder of WordNet's data files")
    parser.add_argument("--gcide", type=Path, help="gcide.dict.dz")
    parser.add_argument("--definitions", type=int, default=1000, help="words asked for by GCIDE's definition")
    args = parser.parse_args()
    coder, dictionary, seconds = SemanticEncoder.load(args.run), load_dictionary(), dict[str, float]()
    if coder.known.glosses != dictionary.digest:
        raise SystemExit(f"error: {args.run} was trained with another dictionary than is installed; train it again")
    sets = read_sets(args.similarity) if args.similarity else {}
    more = [word for word in words_of(sets) if coder.known.row(word) is None]
    own = measured("vectors of the run", seconds, lambda: Space.of_run(coder, more, dictionary))
    published = measured("vectors of the published model", seconds, lambda: Space.plain(coder, more, dictionary))
    # Without a tuned model the run's own is the published one.
    spaces = {"tuned": own, "published": published} if published else {"published": own}
    figures: dict[str, Any] = {
        "embedding": coder.config.embedding,
        "levels": list(coder.levels),
        "words": len(coder.known),
        "senses": len(coder.known.owner),
        "before": BEFORE,
        "labels": measured("labels", seconds, lambda: labels(coder)),
        "asked_for_beautiful": measured("beautiful", seconds, lambda: beautiful(coder)),
        "prediction": measured("prediction", seconds, lambda: prediction(own)),
    }
    draw(figures["prediction"], [a.name for a in coder.config.attributes], RESULTS / "calibration.png")
    parts: dict[str, tuple[Any, str, Callable[[], Any]]] = {
        "similarity": (args.similarity, "--similarity", lambda: {n: similarity(s, sets) for n, s in spaces.items()}),
        "sentences": (args.sentences, "--sentences", lambda: sentences(spaces, args.sentences)),
        "confusion": (args.wordnet, "--wordnet", lambda: confusion(spaces, args.wordnet)),
        "find": (args.gcide, "--gcide", lambda: find_figures(spaces, args.gcide, dictionary, args.definitions)),
    }
    for name, (given, option, made) in parts.items():
        if given:
            figures[name] = measured(name, seconds, made)
        else:
            print(f"{name} left out: its data is given by {option}")
    figures["seconds"] = seconds
    write_results("meaning", figures)


def confusion(spaces: dict[str, Space], folder: Path) -> dict[str, Any]:
    """Look-alikes and related words, a model and a recipe."""
    space = next(iter(spaces.values()))
    n = len(space.coder.known)
    asked = Confusion(space.words, np.flatnonzero(space.means[1][:n]).tolist(), WordNet(folder))
    told = {name: {recipe: asked(space.vectors(recipe)) for recipe in RECIPES} for name, space in spaces.items()}
    return {"words": len(asked.rows), "asked": len(asked.asked), **told}


if __name__ == "__main__":
    main()
