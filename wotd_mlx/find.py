"""The words that a description means: by the senses whose glosses lie nearest to it, one word a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.known import KNOWN, LIKELY, PREDICTED, KnownWords, Near
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.normal import normal

if TYPE_CHECKING:
    from wotd_mlx.words.dictionary import Dictionary

Embed = Callable[[Sequence[str]], Embeddings]

_NAME = 0.4
"""The share of a name that is taken off its sense."""
_WORD = 0.25
"""What a word's meaning counts beside its nearest sense."""
SHORT = 72
"""Letters of a gloss that stand beside a word."""


class Found(NamedTuple):
    """A word that a description means.

    ``cosine`` is the description's with its nearest sense, and for a quarter with the word's meaning; ``gloss`` is that
    of this sense, None without a dictionary; ``labels`` has None where nothing can be said; ``source`` tells whether
    the labels that were asked for, or else all of them, are known, or in part predicted.
    """

    word: str
    cosine: float
    gloss: str | None
    labels: dict[str, str | None]
    source: str


class _Scores(NamedTuple):
    """How near each word (N,) and each sense (S,) lies."""

    words: Embeddings
    senses: Embeddings


def find(
    known: KnownWords,
    embed: Embed,
    description: str,
    n: int = 10,
    *,
    values: Mapping[str, str] | None = None,
    difficulty: int | None = None,
    dictionary: Dictionary | None = None,
) -> list[Found]:
    """The ``n`` words whose meaning lies nearest to a description; for a known word, those of like meaning.

    The description's own words, and their families, are no answers.

    Args:
        embed: texts (N,) -> (N, D), by the model that embedded the glosses.
        values: attribute → value that the words must have: by evidence, and where too few do, more likely than not.
        difficulty: the class of difficulty that they must be of.
        dictionary: where the glosses of the answers are from.

    Raises:
        WotdError: no description, or an attribute or a value that there is not.
    """
    text = normal(description)
    if not text:
        raise WotdError("the description is empty; write what the word should mean, such as 'pleasing to the ear'")
    values = values or {}
    sure, likely = having(known, values)
    if difficulty is not None:
        sure, likely = (rows & (known.difficulty == difficulty) for rows in (sure, likely))
    row = known.row(text)
    scores = _like(known, row) if row is not None else _described(known, embed, description)
    taken = [row for part in {text, *text.split()} if (row := known.row(part)) is not None]
    best: list[Near] = []
    for rows in (sure, likely):
        if len(best) < n and rows.any():
            best += known.best(np.where(rows, scores.words, -np.inf), n - len(best), exclude=taken)
            taken += [near.row for near in best]
    out = []
    for near in (_base(known, near, sure | likely, scores.words, dictionary) for near in best):
        guessed = {name: value for name, (value, _) in known.guess_of(near.row).items() if name in values}
        labels = known.labels_of(near.row)[0] | guessed
        senses = known.senses_of(near.row)
        sense = int(scores.senses[senses.start : senses.stop].argmax()) if len(senses) else 0
        gloss = gloss_of(known, near.row, dictionary, sense)
        out.append(Found(known.words[near.row], near.cosine, gloss, labels, source_of(known, near.row, values)))
    return out


def _base(
    known: KnownWords, near: Near, allowed: NDArray[np.bool_], scores: Embeddings, dictionary: Dictionary | None
) -> Near:
    """The shortest word of a family that means the same, by the same glosses: *sweet* in place of *sweetest*."""
    relatives = [row for row in known.relatives(near.row) if allowed[row]]
    if dictionary is None or not relatives or not (glosses := dictionary.glosses(known.words[near.row])):
        return near
    same = [row for row in relatives if dictionary.glosses(known.words[row]) == glosses]
    row = min([near.row, *same], key=lambda row: (len(known.words[row]), row))
    return Near(row, float(scores[row]))


def _described(known: KnownWords, embed: Embed, description: str) -> _Scores:
    """A word is as near as its nearest sense, and for a quarter its meaning, are; without senses, as its meaning."""
    query = embed([description])[0]
    if known.centre is not None:
        query = unit((query - known.centre)[None])[0]
    words, senses = known.word_rows.cosines(query), known.sense_rows.cosines(query)
    best = words.copy()
    starts = np.flatnonzero(np.diff(known.owner, prepend=-1))
    if len(starts):
        best[known.owner[starts]] = np.maximum.reduceat(senses, starts)
    return _Scores(word_scores(words, best), senses)


def _like(known: KnownWords, row: int) -> _Scores:
    vector = known.word_rows.rows(np.array([row]))[0]
    return _Scores(known.word_rows.cosines(vector), known.sense_rows.cosines(vector))


def word_scores(words: Embeddings, senses: Embeddings) -> Embeddings:
    """What words score (…, N) by the cosines of their meanings and of their nearest senses."""
    return np.float32(_WORD) * words + np.float32(1 - _WORD) * senses


def sense_vectors(named: Embeddings, own: Embeddings) -> Embeddings:
    r"""What a sense says beside the word's name: of each sense's vector less a part of its word's own.

    .. math:: s = \mathrm{unit}(n - 0.4\, u)

    A gloss is embedded behind its word's name, for the word's meaning; but a description has no name in it. Taking the
    name's part away finds as well as glosses embedded by themselves would, which takes as long again. Both constants
    were chosen on 500 definitions of another dictionary that aren't among those that figures are of.

    Args:
        named: (S, D) the senses' vectors, centred and of unit length.
        own: (S, D) that of the word of each.
    """
    return unit(named - _NAME * own)


def having(known: KnownWords, values: Mapping[str, str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rows (N,) that have values of attributes by evidence, and the others that are more likely than not to.

    Raises:
        WotdError: an attribute or a value that there is not; it lists what there is.
    """
    names = [attribute.name for attribute in known.attributes]
    sure, likely = np.ones((2, len(known)), bool)
    for name, value in values.items():
        if name not in names:
            raise WotdError(f"unknown attribute {name!r}; there is {', '.join(names) or 'none'}")
        a = names.index(name)
        if value not in (there := known.attributes[a].values):
            raise WotdError(f"unknown value {value!r} of {name}; there are {', '.join(there)}")
        number = there.index(value)
        sure &= known.labels[:, a] == number
        likely &= (known.likeliest[:, a] == number) & (known.probability[:, a] > LIKELY)
    return sure, likely & ~sure


def source_of(known: KnownWords, row: int, values: Mapping[str, str]) -> str:
    """Whether evidence says all labels that were asked for of a row, or a model some of them."""
    return KNOWN if values.keys() <= known.evidence_of(row).keys() else PREDICTED


def gloss_of(known: KnownWords, row: int, dictionary: Dictionary | None, sense: int = 0) -> str | None:
    """The gloss of one of a row's senses; the first where the dictionary isn't the one that the table was made with."""
    if dictionary is None or not (glosses := dictionary.glosses(known.words[row], sense + 1)):
        return None
    return glosses[sense] if sense < len(glosses) and known.glosses == dictionary.digest else glosses[0]


def short(gloss: str | None) -> str:
    """A gloss as it stands beside a word: its first part, cut at a word where that is long."""
    first = (gloss or "").split(";")[0].strip()
    return first if len(first) <= SHORT else first[:SHORT].rsplit(" ", 1)[0].rstrip(",:") + " …"
