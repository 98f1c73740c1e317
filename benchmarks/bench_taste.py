"""Does it learn? Simulated people are given three words a day for sixty days, by several strategies.

    python -m benchmarks.bench_taste --works FOLDER [--seeds 5] [--only PART,…] [--predictor DIR]

A person names three words that they like; then votes on each word that is given, one vote in ten the other way. The
figure is the share of given words that they truly like. Words are those worth meeting that the package ships, one a
family. ``choices`` measures constants on people of other topics, authors and periods than ``people`` has. What
results/taste.json holds already is not measured again. The picture is results/taste.png.

A predictor of the next vector is one of the strategies: it reads the last five liked words. What it learns from are
words that people of other topics liked, one after another:

    python -m benchmarks.bench_taste --works FOLDER --diaries diaries.tsv
    wotd-mlx lvm train gru --data diaries.tsv --context 5 --base added --epochs 3 --out artifacts/diaries
    python -m benchmarks.bench_taste --works FOLDER --predictor artifacts/diaries/models/gru
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.people import People, Person
from benchmarks.taste_picture import A_DAY, draw
from benchmarks.timing import RESULTS, write_results
from wotd_mlx.arrays import Vectors
from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.daily.predict import by_prediction
from wotd_mlx.taste.choose import STRATEGIES, Pool, Said, Scores, by_nearness, choose
from wotd_mlx.taste.features import Features, Rows
from wotd_mlx.vocabulary import Vocabulary

PARTS = ("choices", "people")
RULED = "nearest, by the same rules"
DAYS, NAMED, NOISE = 60, 3, 0.1
_KEPT = NAMED + DAYS * A_DAY


class Remembered(Features):
    """Features that keep what was asked: a simulation asks for the same words day after day."""

    def alike(self, rows: Rows, others: Rows | None = None) -> dict[str, Vectors]:
        if others is not None:
            return super().alike(rows, others)
        place, kept = self._kept
        asked = dict.fromkeys(rows.tolist())
        if len(place.keys() | asked) > _KEPT:
            place.clear()
        if new := [row for row in asked if row not in place]:
            for name, found in super().alike(np.array(new, np.int64)).items():
                kept[name][len(place) : len(place) + len(new)] = found.T
            place |= {row: len(place) + n for n, row in enumerate(new)}
        at = [place[row] for row in rows.tolist()]
        return {name: kept[name][at].T for name in self.kernels}

    @cached_property
    def _kept(self) -> tuple[dict[int, int], dict[str, Vectors]]:
        return {}, {name: np.empty((_KEPT, len(self)), np.float32) for name in self.kernels}


def simulate(pool: Pool, person: Person, scores: Scores, seed: int) -> dict[str, Any]:
    """A person's sixty days; their likes day by day, and how much they met that was new."""
    rng, config = np.random.default_rng(seed), pool.features.config
    # Whoever is asked first names the same words and is as often of two minds, whatever the strategy.
    rows = rng.choice(np.flatnonzero(person.likes & pool.open), NAMED, replace=False).tolist()
    mistakes = rng.random((DAYS, A_DAY)) < NOISE
    votes, noise = [1.0] * NAMED, [config.sure] * NAMED
    given, last, liked, outside, alike = list[int](), list[int](), list[list[bool]](), 0, 0
    unit, draws = pool.features.unit, np.random.default_rng([seed, 1])
    for day in range(DAYS):
        said = Said(np.array(rows, np.int64), np.array(votes, np.float32), np.array(noise, np.float32))
        chosen = choose(pool, said, given, last, A_DAY, draws, scores)
        near = unit[chosen] @ unit[said.liked].T
        outside += int((near.max(axis=1) <= config.outside).sum())
        alike += bool(last) and bool((unit[chosen] @ unit[last].T).max() >= config.apart)
        likes = person.likes[chosen]
        liked.append(likes.tolist())
        rows += chosen
        votes += (likes ^ mistakes[day]).astype(float).tolist()
        noise += [config.noise] * A_DAY
        given, last = given + chosen, chosen
    shown = DAYS * A_DAY
    return {
        "liked": float(np.mean(liked)),
        # Of each day's words, a digit each: as a list it would be most of the file.
        "by_day": "".join(str(sum(day)) for day in liked),
        "outside": outside / shown,
        "alike_days": alike / DAYS,
        "most": float(min(shown, int((person.likes & pool.open).sum()) - NAMED) / shown),
    }


def plain(pool: Pool) -> Pool:
    """The same without rules about what is new or too alike: peers are held to none, save :data:`RULED`."""
    return replace(pool, features=replace(pool.features, config=replace(pool.features.config, new=10**6, apart=1.0)))


def pools(words: Vocabulary, rows: Rows) -> Callable[[Person, TasteConfig], Pool]:
    """What makes a person's pool; all that is the same for all people is made once."""
    known = words.known
    vectors = known.word_rows.rows(rows), known.first_senses(rows)
    zipf, families = words.zipf[rows], known.families[rows]
    codes = known.id_shares(rows)

    def pool(person: Person, config: TasteConfig) -> Pool:
        features = Remembered.of(*vectors, person.labels, zipf, codes, config)
        return Pool(features, families, np.ones(len(rows), np.float32), np.ones(len(rows), bool))

    return pool


def measure(
    people: Iterable[Person],
    strategies: Mapping[str, Scores],
    make: Callable[[Person, TasteConfig], Pool],
    config: TasteConfig,
    rows: list[dict[str, Any]],
    seeds: int,
    wrote: Callable[[], None],
) -> None:
    """Add to ``rows`` what isn't there yet."""
    done = {(row["person"], row["strategy"], row["seed"]) for row in rows}
    for person in people:
        pool = None
        for strategy, scores in strategies.items():
            if strategy == "codes" and not person.by_codes:
                continue
            for seed in range(seeds):
                if (person.name, strategy, seed) in done:
                    continue
                pool = pool or make(person, config)
                started = time.perf_counter()
                held = strategy in ("taste", RULED)
                found = simulate(pool if held else plain(pool), person, scores, seed)
                size = int(person.likes.sum())
                rows.append({"person": person.name, "words": size, "strategy": strategy, "seed": seed, **found})
                told = {key: round(found[key], 3) for key in ("liked", "outside", "alike_days", "most")}
                print(person.name, size, strategy, seed, told, f"{time.perf_counter() - started:.0f} s", flush=True)
        wrote()


def tried() -> dict[str, TasteConfig]:
    """Constants that were tried, each beside those that stand."""
    stands = TasteConfig()
    often = replace(stands, likes=0.1)
    other = {
        "likes .1": often,
        "likes .2": replace(stands, likes=0.2),
        "likes .1, variance .1": replace(often, variance=0.1),
        "likes .1, variance .4": replace(often, variance=0.4),
        "likes .1, trust 0": replace(often, trust=0),
        "variance .1": replace(stands, variance=0.1),
        "trust 0": replace(stands, trust=0),
        "trust 3": replace(stands, trust=3),
        "gloss .25": replace(stands, gloss=0.25),
        "near .25": replace(stands, near=(0.25,)),
        "rarity 1": replace(stands, rarity=1.0),
        "no rule about what is new": replace(stands, new=10**6),
    }
    return {"stands": stands, **other}


def main() -> None:
    """Measure the parts asked for, write benchmarks/results/taste.json and taste.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=Path, required=True, help="folder of literature with a manifest")
    parser.add_argument("--seeds", type=int, default=5, help="how many times each person begins")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--predictor", type=Path, help="OUT/models/NAME of a training, a strategy more")
    parser.add_argument("--diaries", type=Path, help="write what a predictor learns from to this file, and stop")
    arguments = parser.parse_args()
    asked, file = arguments.only.split(","), RESULTS / "taste.json"
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    figures = {part: figures[part] for part in PARTS if part in figures}

    def wrote() -> None:
        write_results("taste", figures)

    words = Vocabulary.open(None)
    rows = words.known.one_a_family(np.flatnonzero(words.known.meet))
    people, make = People(words, rows, arguments.works), pools(words, rows)
    if arguments.diaries is not None:
        people.diaries(arguments.diaries)
        return
    if "choices" in asked:
        chosen = list(people.for_choices())
        for name, config in tried().items():
            part = figures.setdefault("choices", {}).setdefault(name, [])
            strategies = ("nearest", "taste") if name == "stands" else ("taste",)
            scores = {strategy: STRATEGIES[strategy] for strategy in strategies}
            measure(chosen, scores, make, config, part, min(arguments.seeds, 3), wrote)
    if "people" in asked:
        part = figures.setdefault("people", [])
        strategies = {**STRATEGIES, RULED: by_nearness}
        if arguments.predictor is not None:
            scores = by_prediction(arguments.predictor, words.known.word_rows.rows(rows), words.known.embedding)
            strategies[f"predictor {arguments.predictor.name}"] = scores
        measure(people.tested(), strategies, make, TasteConfig(), part, arguments.seeds, wrote)
        draw(part, RESULTS / "taste.png")


if __name__ == "__main__":
    main()
