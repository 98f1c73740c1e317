"""How alike words and sentences are beside what people say, and whether the nearest word only looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.meaning_vectors import RECIPES, Space
from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import spearman, unit
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.words.families import family

SETS = ("simlex-999", "simverb-3500", "ws-353-all", "mturk-771", "rg-65")
ALIKE = 0.6
"""From so much likeness in spelling on, a word looks like another."""
SAMPLE = 1500
MANY = 40
"""Of so many nearest, ten are of other families."""
Pairs = list[tuple[str, str, float]]


def read_sets(folder: Path) -> dict[str, Pairs]:
    """The similarity sets of a folder: NAME.tsv, two words and a score a line."""
    out = {}
    for name in SETS:
        rows = [line.split("\t") for line in (folder / f"{name}.tsv").read_text(encoding="utf-8").splitlines()]
        out[name] = [(a.lower(), b.lower(), float(score)) for a, b, score in rows]
    return out


def words_of(sets: dict[str, Pairs]) -> list[str]:
    """All words of the sets, in alphabetical order."""
    return sorted({word for pairs in sets.values() for a, b, _ in pairs for word in (a, b)})


def similarity(space: Space, sets: dict[str, Pairs]) -> dict[str, Any]:
    """Spearman's ρ between cosines and people's scores, a recipe and a set; and the sets' mean."""
    row, out = {word: n for n, word in enumerate(space.words)}, {}
    for recipe in RECIPES:
        vectors = space.vectors(recipe)
        found = {}
        for name, pairs in sets.items():
            a, b = (vectors[[row[pair[side]] for pair in pairs]] for side in (0, 1))
            found[name] = spearman((a * b).sum(axis=1), np.array([score for *_, score in pairs]))
        out[recipe] = {"mean": float(np.mean(list(found.values()))), **found}
    return out


def sentences(spaces: dict[str, Space], file: Path) -> dict[str, float]:
    """Spearman's ρ on pairs of sentences, ``score``, ``s1``, ``s2`` a line: embeddings as they are, and through the
    map that words go through which no dictionary has."""
    import mlx.core as mx

    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    scores = np.array([float(score) for score, *_ in rows])
    out = {}
    for name, space in spaces.items():
        # Not the embedder that keeps what it embeds: these are no words of the run.
        embedder = BertEmbedder(space.embedder.id, download=False)
        both = embedder.embed([text for side in (1, 2) for row in rows for text in [row[side]]])
        for recipe, vectors in (("", both), (", through the map", np.asarray(space.meaning(mx.array(both))))):
            a, b = np.split(vectors, 2)
            out[f"{name}{recipe}"] = spearman((a * b).sum(axis=1), scores)
    return out


class WordNet:
    """Which words are related: their synsets are the same, or at most three steps apart along any of its pointers.

    Args:
        folder: WordNet's ``data.noun`` and so on.
    """

    def __init__(self, folder: Path):
        parts = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
        self.synsets: dict[str, set[tuple[str, str]]] = {}
        self.points: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for part in dict.fromkeys(parts.values()):
            for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
                if line.startswith("  "):  # the licence
                    continue
                fields = line.partition("|")[0].split()
                key, count = (part, fields[0]), int(fields[3], 16)
                for word in fields[4 : 4 + 2 * count : 2]:
                    self.synsets.setdefault(word.partition("(")[0].lower(), set()).add(key)
                start = 5 + 2 * count
                pointers = (fields[start + 4 * n : start + 4 * n + 4] for n in range(int(fields[start - 1])))
                self.points[key] = {(parts[kind], offset) for _, offset, kind, _ in pointers}
        self._reached: dict[str, tuple[set[tuple[str, str]], set[tuple[str, str]]]] = {}

    def __contains__(self, word: str) -> bool:
        return word in self.synsets

    def related(self, a: str, b: str) -> bool:
        """Whether one word is within a step of where the other comes in two."""
        (near_a, far_a), (near_b, far_b) = self._reach(a), self._reach(b)
        return bool(near_a & far_b or far_a & near_b)

    def _reach(self, word: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        if word not in self._reached:
            own = self.synsets.get(word, set())
            near = own.union(*(self.points[key] for key in own))
            self._reached[word] = near, near.union(*(self.points[key] for key in near))
        return self._reached[word]


class Confusion:
    """Asks a sample of the glossed words of a run that WordNet has for those nearest among all such.

    Args:
        words: the run's, of which ``rows`` are glossed.
    """

    def __init__(self, words: Sequence[str], rows: Sequence[int], net: WordNet, sample: int = SAMPLE):
        self.words, self.net = words, net
        self.rows = np.array([row for row in rows if words[row] in net])
        self.asked = np.random.default_rng(0).permutation(self.rows)[:sample]

    @cached_property
    def families(self) -> dict[int, str]:
        """The family of each row."""
        return {row: family(self.words[row]) for row in self.rows.tolist()}

    def __call__(self, vectors: Embeddings) -> dict[str, float]:
        """Vectors (N, D) of all words -> the share of words whose nearest word of another family is alike in spelling
        and unrelated, and the share of related words among the ten nearest."""
        near, confused, related = unit(vectors[self.rows]), 0, list[bool]()
        for part in np.array_split(self.asked, 10):
            cosines = unit(vectors[part]) @ near.T
            best = np.argpartition(-cosines, MANY, axis=1)[:, :MANY]
            best = np.take_along_axis(best, np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1), axis=1)
            for row, others in zip(part.tolist(), self.rows[best].tolist(), strict=True):
                ten = [other for other in others if self.families[other] != self.families[row]][:10]
                word, told = self.words[row], [self.net.related(self.words[row], self.words[o]) for o in ten]
                confused += not told[0] and likeness(word, self.words[ten[0]]) >= ALIKE
                related += told
        return {"alike_and_unrelated": confused / len(self.asked), "ten_nearest_related": float(np.mean(related))}


def likeness(a: str, b: str) -> float:
    """1 − Levenshtein's distance / the longer word's length."""
    before = list(range(len(b) + 1))
    for n, letter in enumerate(a, 1):
        now = [n]
        for m, other in enumerate(b, 1):
            now.append(min(before[m] + 1, now[-1] + 1, before[m - 1] + (letter != other)))
        before = now
    return 1 - before[-1] / max(len(a), len(b))
