"""A finished run in use: texts to semantic IDs, IDs to vectors, labels and words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wotd_mlx.arrays import Embeddings, Indices, Vectors
from wotd_mlx.codes.interpolate import monotone, slerp
from wotd_mlx.codes.metrics import unit
from wotd_mlx.codes.names import CodeName, name_codes
from wotd_mlx.config import TrainingConfig
from wotd_mlx.config.student import ENCODERS
from wotd_mlx.io.safetensors import DIGEST, check_arrays, check_finite, named, read_metadata
from wotd_mlx.known import KNOWN, LIKELY, PREDICTED, UNKNOWN, KnownWords, told_of
from wotd_mlx.run_folder import HINT, RunFolder, settings_digest
from wotd_mlx.schemas import MissingError, SemanticID, Word, WotdError
from wotd_mlx.words.difficulty import HARD
from wotd_mlx.words.normal import normal
from wotd_mlx.words.spelling import Spelling

if TYPE_CHECKING:
    import mlx.core as mx

    from wotd_mlx.codes.autoencoder import Autoencoder
    from wotd_mlx.codes.student import Student
    from wotd_mlx.embed.embedder import Embedder
    from wotd_mlx.embed.meaning import Meaning
    from wotd_mlx.find import Found
    from wotd_mlx.words.dictionary import Dictionary

OWN, NEAREST = "own", "nearest"
"""Why a word comes for an ID."""
_SAME = 1e-3
"""By how much the cosine of a vector and a stored word's may differ from 1 where they are the same: a byte a number."""
_AT_ONCE = 256
"""Vectors whose cosines with all words are held at once."""


class Reading(NamedTuple):
    """What is known, or predicted, of a text.

    ``labels`` holds for each attribute its value, None where nothing can be said, and ``probability`` how likely that
    is: 1 for what evidence says. ``truncated`` tells that only the text's beginning counts; ``detail`` is the residual
    code beyond the ID, None without one.
    """

    text: str
    id: SemanticID
    labels: Mapping[str, str | None]
    probability: Mapping[str, float | None]
    source: str
    truncated: bool
    detail: list[int] | None


class Neighbour(NamedTuple):
    """A word of the run, the cosine between its vector and the one asked about, and why it came: it is the ``nearest``,
    or the ID asked about is its ``own``."""

    word: str
    cosine: float
    source: str = NEAREST


class Waypoint(NamedTuple):
    """One step between two texts: how far along, the ID there, and the words nearest to that point."""

    alpha: float
    id: SemanticID
    nearest: list[Neighbour]


def load_model(run: RunFolder, config: TrainingConfig, dims: int) -> Autoencoder:
    """The trained codes of a run.

    Raises:
        WotdError: there is no checkpoint, it is damaged, or it is of other settings than ``config.json`` holds.
    """
    import mlx.core as mx

    from wotd_mlx.codes.autoencoder import Autoencoder

    model = Autoencoder(dims, config.codes, config.attributes)
    arrays = run.read_arrays(run.model, {"settings": settings_digest(config)})
    model.quantizer.resize({name.rpartition(".")[2]: value.shape for name, value in arrays.items()})
    check_arrays(arrays, named(model.parameters()), run.model, HINT)
    model.load_weights(list(arrays.items()))
    model.eval()
    mx.eval(model.parameters())
    model.quantizer.prepare()
    return model


def load_student(run: RunFolder, levels: Sequence[int]) -> Student:
    """The student of a run.

    Raises:
        WotdError: the run has none, its file is damaged, or it learnt from other codes.
    """
    from wotd_mlx.codes.student import Student

    if not run.student.exists():
        raise MissingError(f"{run.path} has no student; make one with `wotd-mlx train --student --out {run.path}`")
    arrays = run.read_arrays(run.student, {"codes": run.model_metadata().get(DIGEST, "")})
    check_finite(arrays, run.student, HINT)
    try:
        student = Student.from_arrays({name: np.asarray(value) for name, value in arrays.items()})
    except WotdError as error:
        raise WotdError(f"{run.student}: {error}") from error
    if student.levels != tuple(levels):
        was, now = list(student.levels), list(levels)
        raise WotdError(f"{run.student} learnt levels {was}, the codes have {now}; delete it and train it again")
    return student


class SemanticEncoder:
    """Encode with a finished run; its embedding model and D come from the run's own ``config.json``.

    What the run knows of a word is looked up, however it is typed; only for other texts are models loaded.

    >>> coder = SemanticEncoder.load("runs/default")
    >>> ids = coder.encode(["serendipity"])
    >>> coder.labels(ids), coder.decode(ids).shape
    """

    def __init__(self, run: RunFolder, config: TrainingConfig, dims: int, student: Student | None = None):
        self.run, self.config, self.dims, self.student = run, config, dims, student
        self.levels = config.codes.levels

    @classmethod
    def load(cls, run: str | Path, encoder: str = "teacher") -> SemanticEncoder:
        """Open the run in folder ``run``; its codes and the embedding model are loaded when they are first needed.

        Args:
            run: the run folder.
            encoder: what :meth:`encode` uses: ``teacher``, embedding and quantiser, or ``student``, one small network
                that needs no embedding model and agrees with the teacher as ``metrics.json["student"]`` says.

        Raises:
            WotdError: no such folder, no finished run or no student in it, or a damaged file.
        """
        if encoder not in ENCODERS:
            raise WotdError(f"encoder {encoder!r} is unknown; expected one of {', '.join(ENCODERS)}")
        folder = RunFolder(run)
        config, dims = folder.read_config()
        read_metadata(folder.there(folder.model), HINT, {"settings": settings_digest(config)})
        student = load_student(folder, config.codes.levels) if encoder == "student" else None
        return cls(folder, config, dims, student)

    @cached_property
    def model(self) -> Autoencoder:
        """The codes that the run was trained to."""
        return load_model(self.run, self.config, self.dims)

    @cached_property
    def _encode_row(self) -> Callable[..., mx.array]:
        import mlx.core as mx

        # One row is the case that an app waits for; fused, it is half the calls.
        return mx.compile(self.model.encode) if self.config.codes.compile else self.model.encode

    @cached_property
    def known(self) -> KnownWords:
        """All words that the run knows."""
        return KnownWords.read(self.run.there(self.run.known), HINT, self.run.known_made_from())

    @cached_property
    def embedder(self) -> Embedder:
        """The embedding model that the run was trained with."""
        from wotd_mlx.embed.embedder import BertEmbedder

        # A run that came from elsewhere must not make this machine ask a hub for what it names.
        embedder = BertEmbedder(self.config.embedding, download=False)
        if embedder.dims != self.dims:
            raise WotdError(
                f"{self.run.path} was trained on {self.dims}-wide vectors of {self.config.embedding}, "
                f"which is now {embedder.dims} wide; restore that model or train again"
            )
        return embedder

    @cached_property
    def meaning(self) -> Meaning | None:
        """What makes a vector of a text's embedding; None where the run has no glosses, and embeddings are vectors."""
        return self.run.read_meaning(self.dims)

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """texts (N,) -> their vectors (N, D), unit length: a known word's own, any other text's by the models."""
        rows = [self.known.row(text) for text in texts]
        new = [text for text, row in zip(texts, rows, strict=True) if row is None]
        out = np.empty((len(texts), self.dims), np.float32)
        if new:
            out[[row is None for row in rows]] = self._unknown(new)[0]
        out[[row is not None for row in rows]] = self.known.word_rows.rows(
            np.array([row for row in rows if row is not None], np.int64)
        )
        return out

    def _unknown(self, texts: Sequence[str]) -> tuple[Embeddings, Embeddings]:
        """texts (N,) -> vectors (N, D) as of texts that no dictionary has, in the space of the run's words, and their
        own embeddings (N, D)."""
        own = self.embedder.embed([normal(text) for text in texts])
        if self.meaning is None or not len(own):
            return own, own
        import mlx.core as mx

        return np.asarray(self.meaning(mx.array(own))), own

    def encode(self, texts: Sequence[str]) -> list[SemanticID]:
        """texts (N,) -> N semantic IDs: a known word's own, however it is typed, a prediction for any other text."""
        return [reading.id for reading in self.read(texts)]

    def encode_whole(self, texts: Sequence[str]) -> tuple[list[SemanticID], list[list[int]] | None]:
        """:meth:`encode`, and the detail beyond each ID: the residual code's numbers, or None where the run was
        trained without one, or a student answers."""
        found = self.read(texts)
        details = [reading.detail for reading in found if reading.detail is not None]
        return [reading.id for reading in found], details if details and len(details) == len(found) else None

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """texts (N,) -> what the run knows of each, or else what its models predict."""
        rows = [self.known.row(text) for text in texts]
        new = [text for text, row in zip(texts, rows, strict=True) if row is None]
        predicted = iter(self.predict(new))
        stored = iter(self._stored([row for row in rows if row is not None]))
        return [
            next(predicted) if row is None else next(stored)._replace(text=text)
            for text, row in zip(texts, rows, strict=True)
        ]

    def _stored(self, rows: Sequence[int]) -> list[Reading]:
        """What the run knows of its words at these rows."""
        known, ids = self.known, [self.known.id_of(row) for row in rows]
        wanted = self.config.codes.detail and self.student is None
        details = self._details(known.word_rows.rows(np.array(rows, np.int64)), ids) if wanted else [None] * len(ids)
        return [
            Reading(known.words[row], number, *known.labels_of(row), KNOWN, False, detail)
            for row, number, detail in zip(rows, ids, details, strict=True)
        ]

    def predict(self, texts: Sequence[str]) -> list[Reading]:
        """texts (N,) -> what the models make of each, known or not."""
        if not texts:
            return []
        if self.student is not None:
            ids = [SemanticID(row) for row in self.student.encode([normal(text) for text in texts]).tolist()]
            unsure = dict.fromkeys(attribute.name for attribute in self.config.attributes)
            told = zip(texts, ids, self.labels(ids), strict=True)
            return [Reading(text, i, labels, unsure, PREDICTED, False, None) for text, i, labels in told]
        vectors, own = self._unknown(texts)
        guesses, probability = self._guess(texts, vectors, own)
        none = [len(attribute.values) for attribute in self.config.attributes]
        ids = self._ids(vectors, np.where(probability > LIKELY, guesses, none))
        details = self._details(vectors, ids) if self.config.codes.detail else [None] * len(ids)
        found = zip(texts, ids, guesses, probability, self.truncated(texts), details, strict=True)
        return [
            Reading(text, i, *told_of(self.config.attributes, guess, p), PREDICTED, cut, detail)
            for text, i, guess, p, cut, detail in found
        ]

    def _guess(self, texts: Sequence[str], vectors: Embeddings, own: Embeddings) -> tuple[Indices, Vectors]:
        """texts (N,) with vectors and own embeddings (N, D) -> the likeliest value of each attribute (N, A) and its
        probability (N, A); nothing of what isn't spelt as words are."""
        import mlx.core as mx

        from wotd_mlx.codes.reader import likeliest

        guesses, probability = likeliest(self.model.posteriors(mx.array(vectors), mx.array(own)))
        strange = [not self._spelling.is_word(text) for text in texts]
        guesses[strange], probability[strange] = UNKNOWN, 0
        return guesses, probability

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self.known.words)

    def _details(self, vectors: Embeddings, ids: Sequence[SemanticID]) -> list[list[int]]:
        import mlx.core as mx

        if not ids:
            return []
        found: list[list[int]] = np.asarray(
            self.model.encode_detail(mx.array(vectors), mx.array(list(ids), mx.int32))
        ).tolist()
        return found

    @cached_property
    def own_ids(self) -> dict[str, SemanticID]:
        """The IDs of the words of the run's corpora, different for each where the training could make them so."""
        return self.run.read_ids(tuple(self.levels))

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """texts (N,) -> whether each is longer than the embedding model reads, so that its ID is that of its beginning;
        a student reads all."""
        if self.student is not None:
            return [False] * len(texts)
        return self.embedder.truncated(texts)

    def encode_vectors(self, vectors: Embeddings) -> list[SemanticID]:
        """Embeddings (N, D) -> N semantic IDs.

        Raises:
            WotdError: another shape, or a row that is zero or not finite.
        """
        return self._ids(vectors)

    def _ids(self, vectors: Embeddings, values: Indices | None = None) -> list[SemanticID]:
        """Vectors (N, D) -> IDs that claim no other values than these (N, A), see :meth:`Autoencoder.encode`."""
        import mlx.core as mx

        self._check_vectors(vectors)
        run = self._encode_row if len(vectors) == 1 else self.model.encode
        wanted = () if values is None else (mx.array(values, mx.int32),)
        return [SemanticID(row) for row in np.asarray(run(mx.array(vectors), *wanted))]

    def _check_vectors(self, vectors: Embeddings) -> None:
        """Nothing is near to NaN or to zero, and a search would answer all the same."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dims:
            raise WotdError(f"got vectors of shape {vectors.shape}; this run's are (N, {self.dims})")
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if len(wrong := np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))):
            told = "zero" if lengths[wrong[0]] == 0 else "not finite"
            raise WotdError(f"vector {wrong[0]} of {len(vectors)} is {told}; expected numbers, not all of them 0")

    def decode(self, ids: Sequence[Sequence[int]], detail: Sequence[Sequence[int]] | None = None) -> Embeddings:
        """N semantic IDs -> the vectors (N, D) that they stand for; not of unit length: an ID knows a part only.

        With ``detail``, the numbers that :meth:`encode_whole` gave beside each ID, more of the vectors comes back.

        Raises:
            WotdError: an ID or a detail with another count of numbers, or a number out of range.
        """
        import mlx.core as mx

        checked = [SemanticID(i).checked(self.levels) for i in ids]
        rows = np.array(checked, np.int32).reshape(len(checked), len(self.levels))
        if detail is None:
            return np.asarray(self.model.decode(mx.array(rows)))
        levels = self.model.detail.levels if self.model.detail else ()
        if len(detail) != len(ids) or any(
            len(d) != len(levels) or not all(0 <= n < k for n, k in zip(d, levels, strict=True)) for d in detail
        ):
            raise WotdError(f"detail doesn't fit this run: {len(ids)} rows of {len(levels)} numbers are expected")
        return np.asarray(self.model.decode_detail(mx.array(rows), mx.array(np.array(detail, np.int32))))

    def labels(self, ids: Sequence[Sequence[int]]) -> list[dict[str, str | None]]:
        """N semantic IDs -> what each coordinate says: attribute name → value, None where nothing is known."""
        checked = [SemanticID(i).checked(self.levels) for i in ids]
        named = list(zip(self.config.tied, self.readings, strict=False))
        return [{a.name: says[code] or None for (a, says), code in zip(named, i, strict=False)} for i in checked]

    @cached_property
    def readings(self) -> tuple[tuple[str, ...], ...]:
        """For each attribute, the value that each code of its coordinate reads as; "" where nothing is known of it."""
        return self.known.readings if self.config.tied else ()

    def names(self) -> list[CodeName]:
        """A name and example words for every code of every coordinate, from all words of the run; nothing where nobody
        reads an ID."""
        if not self.config.codes.reads:
            return []
        known = self.known
        common = known.difficulty < HARD
        return name_codes(
            self.levels, self.config.tied, self.readings, known.words, common, known.vectors, known.ids.astype(np.int64)
        )

    @cached_property
    def words(self) -> tuple[tuple[Word, ...], Embeddings]:
        """The run's words and their embeddings (N, D)."""
        return self.run.read_words()

    def nearest(self, vectors: Embeddings, n: int = 5, distinct: bool = True) -> list[list[Neighbour]]:
        """Embeddings (N, D) -> for each the ``n`` nearest words of the run, nearest first.

        Args:
            distinct: one word a family at most.

        Raises:
            WotdError: another shape, or a row that is zero or not finite.
        """
        self._check_vectors(vectors)
        known, out = self.known, []
        for start in range(0, len(vectors), _AT_ONCE):
            part = unit(vectors[start : start + _AT_ONCE])
            # One query is compared with what is stored; for many, that is unpacked once.
            cosines = [known.word_rows.cosines(part[0])] if len(vectors) == 1 else part @ known.vectors.T
            for row in cosines:
                found = known.best(row, n, distinct=distinct)
                out.append([Neighbour(known.words[near.row], near.cosine) for near in found])
        return out

    def around(self, number: Sequence[int], n: int = 5) -> list[Neighbour]:
        """The word that an ID is the own of, then the nearest to it, one a family; where no known word has the ID, the
        nearest to what it decodes to.

        Raises:
            WotdError: an ID that is none of this run's.
        """
        known, checked = self.known, SemanticID(number).checked(self.levels)
        if (row := known.owner_of(checked)) is None:
            return self.nearest(self.decode([checked]), n)[0]
        vector = known.word_rows.rows(np.array([row]))[0]
        others = [Neighbour(known.words[near.row], near.cosine) for near in known.nearest(vector, n - 1, exclude=[row])]
        return [Neighbour(known.words[row], 1.0, OWN), *others]

    def find(
        self,
        description: str,
        n: int = 10,
        *,
        values: Mapping[str, str] | None = None,
        difficulty: int | None = None,
        dictionary: Dictionary | None = None,
    ) -> list[Found]:
        """The words that a description means, see :func:`wotd_mlx.find.find`.

        Args:
            dictionary: the one to take glosses from; None for that of this machine.
        """
        from wotd_mlx.find import find
        from wotd_mlx.words.dictionary import load_dictionary

        glosses = dictionary or load_dictionary()
        return find(
            self.known, self.embedder.embed, description, n, values=values, difficulty=difficulty, dictionary=glosses
        )

    def interpolate(self, a: Embeddings, b: Embeddings, steps: int = 5) -> list[Waypoint]:
        """The way from embedding a (D,) to b (D,) in ``steps`` points, both ends among them: the words nearest to the
        arc between the two, and the IDs along the arc between the vectors that their own IDs stand for.

        What an ID on the way stands for is nearer to the last and farther from the first, in cosine, than those before
        it; where rounding to an ID would step back, the ID before it stays.
        """
        if steps < 2:
            raise WotdError(f"an interpolation has 2 steps or more, its two ends; got {steps}")
        alphas = np.linspace(0, 1, steps)
        ends = [self._own_id(end) or self.encode_vectors(end[None])[0] for end in (a, b)]
        start, end = self.decode(ends)
        ids = [ends[0], *self.encode_vectors(slerp(start, end, alphas))[1:-1], ends[1]]
        decoded = unit(self.decode(ids))
        kept = monotone(decoded @ decoded[-1], decoded @ decoded[0])
        ids = [ids[max(k for k in kept if k <= n)] for n in range(steps)]
        nearest = self.nearest(slerp(a, b, alphas), 3)
        return [Waypoint(float(alpha), i, words) for alpha, i, words in zip(alphas, ids, nearest, strict=True)]

    def _own_id(self, vector: Embeddings) -> SemanticID | None:
        """The ID of the known word whose vector this is (D,); None where it is none's."""
        near = self.nearest(vector[None], 1, distinct=False)[0][0]
        row = self.known.row(near.word)
        return self.known.id_of(row) if row is not None and near.cosine > 1 - _SAME else None

    def neighbours(self, number: Sequence[int], radius: int = 1) -> list[SemanticID]:
        """The IDs at most ``radius`` steps away from an ID (city-block: one step moves one number by one), without
        itself; the ones whose vectors are nearest to its own, in cosine, come first.

        Raises:
            WotdError: an ID that is none of this run's, a negative radius, or one that takes in more than a million.
        """
        centre = SemanticID(number).checked(self.levels)
        if radius < 0:
            raise WotdError(f"radius is {radius}; expected 0 or more")
        rows, spent = np.zeros((1, 0), np.int64), np.zeros(1, np.int64)
        for start, k in zip(centre, self.levels, strict=True):
            reach = np.arange(max(0, start - radius), min(k, start + radius + 1))
            total = (spent[:, None] + np.abs(reach - start)).ravel()
            rows = np.concatenate([np.repeat(rows, len(reach), axis=0), np.tile(reach, len(rows))[:, None]], axis=1)
            rows, spent = rows[total <= radius], total[total <= radius]
            if len(rows) > 1_000_000:
                raise WotdError(f"radius {radius} takes in more than a million IDs; choose a smaller one")
        rows = rows[spent > 0]
        if not len(rows):
            return []
        near = unit(self.decode(rows.tolist())) @ unit(self.decode([centre]))[0]
        return [SemanticID(rows[n]) for n in np.argsort(-near, kind="stable")]
