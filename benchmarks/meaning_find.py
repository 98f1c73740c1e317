"""The rank of the word for definitions that another dictionary gives, by what find does and by simpler ways."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.meaning_vectors import GLOSSED, Space
from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.find import find, sense_vectors, word_scores
from wotd_mlx.known import KnownWords
from wotd_mlx.words.dictionary import Dictionary
from wotd_mlx.words.families import family
from wotd_mlx.words.normal import normal

TOP = 100
"""Answers that find is asked for: below them, a rank is not looked for."""
SHORTEST = 4
"""Words of a definition at least."""
_POS = "a|n|v|t|i|adv|adj|prep|conj|interj|pron|p|pr|vb|imp|prenom|sing|obs|superl|compar"
_ENTRY = re.compile(
    r"(?P<word>[A-Za-z][a-z]+) \\[^\\]*\\\s*(?:\([^)]*\))?[,;]?"
    rf"(?:\s*(?:{_POS})\.[,;&\s]*)*(?:pl\.(?:\s+{{[^}}]*}}\s*(?:\([^)]*\))?[.,;]?)?)?\s"
)
_REST = re.compile(
    r"[;,:]\s+as[,:]|\s--|\bSee\b|\bCf\.|\be\. ?g\.|\bi\. ?e\.|\bSame as\b|\([b-z]\)|\.\s+(?=[A-Z(])", re.ASCII
)
"""What comes after a definition: examples, references, the next sentence."""


class Asked(NamedTuple):
    """A definition, and the row of the word that it is of."""

    row: int
    text: str


class Dense:
    """Vectors as they are, for many questions: :class:`wotd_mlx.codes.packed.Packed`."""

    def __init__(self, vectors: Embeddings):
        self.vectors, self.shape = vectors, vectors.shape

    def rows(self, numbers: np.ndarray) -> Embeddings:
        """Row numbers -> their vectors."""
        return self.vectors[numbers]

    def cosines(self, query: Embeddings) -> Embeddings:
        """A query -> its cosine with every vector."""
        return self.vectors @ query


def read_gcide(file: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Words that are wanted and their definitions in GCIDE, as dictd has it (``gcide.dict.dz``); not those that GCIDE
    took from WordNet."""
    text = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
    for entry in re.split(r"\n(?=[A-Z])", text):
        if not (head := _ENTRY.match(entry)) or not wanted(head["word"]) or "WordNet" in entry:
            continue
        body = entry[head.end() :]
        while (shorter := re.sub(r"\[[^\[\]]*\]", " ", body)) != body:
            body = shorter
        for part in re.split(r"\n\s*\n", body):
            if (told := _definition(part)) and len(told.split()) >= SHORTEST:
                yield normal(head["word"]), told


def _definition(part: str) -> str:
    """A paragraph's definition, without number, field, examples and references; empty where it is something else."""
    lines = part.strip("\n").split("\n")
    if len(lines[0]) - len(lines[0].lstrip()) > 5 or re.match(r"\s*(Syn|Note|Usage):", lines[0]):
        return ""
    text = " ".join(line.strip() for line in lines)
    text = re.sub(r"^\s*(\d+\.\s*)?(\([A-Z][A-Za-z.,& ]*\)\s*)?(\([a-z]\)\s*)?", "", text)
    text = re.sub(r"[{}<>*]|\([A-Z][A-Za-z.,& ]*\)", "", _REST.split(text)[0])
    return "" if "?" in text else re.sub(r"\s+", " ", text).strip(" .;,:")


def definitions(file: Path, known: KnownWords, count: int) -> list[Asked]:
    """For ``count`` known words, which a hash of the word chooses, the first definition that doesn't name the word, a
    form or a part of it."""
    found: dict[str, str] = {}
    for word, told in read_gcide(file, lambda word: known.row(word) is not None):
        parts = set(re.findall(r"[a-z]+", told.lower()))
        named = any(family(part) == family(word) or _kin(part, word) for part in parts)
        if word not in found and not named:
            found[word] = told
    order = sorted(found, key=lambda word: hashlib.sha256(word.encode()).digest())
    return [Asked(known.row(word) or 0, found[word]) for word in order[:count]]


def _kin(a: str, b: str) -> bool:
    """Whether words begin with the same five letters, or one, of five letters or more, is a part of the other."""
    same = len(a) > 4 and len(b) > 4 and a[:5] == b[:5]
    return same or (len(a) > 4 and a in b) or (len(b) > 4 and b in a)


def figures(ranks: np.ndarray) -> dict[str, float]:
    """The median rank and the shares of words that come first, among ten, and among a hundred."""
    return {
        "median_rank": float(np.median(ranks)),
        **{f"top_{n}": float((ranks <= n).mean()) for n in (1, 10, 100)},
    }


def ranks_by_find(known: KnownWords, space: Space, asked: list[Asked], queries: Embeddings, words: Dictionary) -> Any:
    """By the product's own function; 101 where the word isn't among a hundred."""
    quick = replace(known, word_rows=Dense(known.vectors), sense_rows=Dense(known.senses))
    row_of = {text: n for n, (_, text) in enumerate(asked)}

    def embed(texts: list[str]) -> Embeddings:
        return queries[[row_of[text] for text in texts]]

    out = []
    for row, text in asked:
        answers = [known.families[known.row(answer.word)] for answer in find(quick, embed, text, TOP, dictionary=words)]
        out.append(answers.index(known.families[row]) + 1 if known.families[row] in answers else TOP + 1)
    return np.array(out)


class Ranks:
    """Ranks by scores of words: one a family counts, and none of a family that the description names."""

    def __init__(self, known: KnownWords, asked: list[Asked]):
        self.known, self.asked = known, asked
        self.order = np.argsort(known.families, kind="stable")
        heads, self.starts = np.unique(known.families[self.order], return_index=True)
        self.number = {head: n for n, head in enumerate(heads.tolist())}

    def __call__(self, queries: Embeddings, words: Embeddings | None, senses: Embeddings | None) -> np.ndarray:
        """queries (n, D) beside words (N, D), the best of their senses (S, D), or both as ``find`` does -> (n,)."""
        out = []
        starts = np.flatnonzero(np.diff(self.known.owner, prepend=-1))
        for part in np.array_split(np.arange(len(queries)), max(1, len(queries) // 50)):
            scores = queries[part] @ words.T if words is not None else np.full((len(part), len(self.known)), -1.0)
            if senses is not None:
                best = scores.copy()
                best[:, self.known.owner[starts]] = np.maximum.reduceat(queries[part] @ senses.T, starts, axis=1)
                scores = word_scores(scores, best) if words is not None else best
            families = np.maximum.reduceat(scores[:, self.order], self.starts, axis=1)
            for row, (target, text) in zip(families, (self.asked[n] for n in part), strict=True):
                named = {self.known.row(word) for word in normal(text).split()} - {None}
                row[[self.number[self.known.families[n]] for n in named]] = -np.inf
                out.append(1 + int((row > row[self.number[self.known.families[target]]]).sum()))
        return np.array(out)


def find_figures(spaces: dict[str, Space], file: Path, words: Dictionary, count: int) -> dict[str, Any]:
    """Every way's figures on ``count`` definitions."""
    known = next(iter(spaces.values())).coder.known
    asked = definitions(file, known, count)
    ranks, out = Ranks(known, asked), {"definitions": len(asked), "candidates": len(known), "ways": {}}
    n, s = len(known), len(known.owner)
    for name, space in spaces.items():
        queries = space.embedder.embed([text for _, text in asked])
        centred, named = space.meaning.centred(queries), space.meaning.centred(space.senses[:s])
        words_of = space.vectors(GLOSSED)[:n]
        own = space.meaning.own_part(space.bare[:n])[known.owner]
        ways = {
            "nearest sense": (queries, None, unit(space.senses[:s])),
            "word and nearest sense": (centred, words_of, sense_vectors(named, own)),
        }
        if space.embedder.id == known.embedding:
            ways["word"] = (centred, words_of, None)
            ways["nearest sense, centred"] = (centred, None, named)
            ways["word and nearest sense, its name left in"] = (centred, words_of, named)
        for way, given in ways.items():
            out["ways"][f"{name}: {way}"] = figures(ranks(*given))
        if space.embedder.id == known.embedding:
            out["ways"]["find"] = figures(ranks_by_find(known, space, asked, queries, words))
    return out
