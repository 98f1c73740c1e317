"""The run folder: where a training leaves what it made, and what belongs together in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.config import TrainingConfig
from wotd_mlx.io import json, safetensors
from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.records import checked, shown
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.known import FILE as KNOWN
from wotd_mlx.schemas import MissingError, SemanticID, Word, WotdError
from wotd_mlx.words.jsonl import read_jsonl

if TYPE_CHECKING:
    import mlx.core as mx

    from wotd_mlx.embed.meaning import Meaning

HINT = "train again into another folder"
_RESTORE = f"restore what was changed, or {HINT}"

_NOT_LENGTH_1 = 1e-3
"""By how much a vector's length may differ from 1."""
_OTHERS = ("cache", "memory_limit", "student", "language")
"""Settings that change nothing in the codes."""


class Glosses(NamedTuple):
    """What vectors of N words are made of: their own embeddings (N, D), those of their S senses' glosses, and the row
    of the word that each sense is of (S,), ascending."""

    bare: Embeddings
    senses: Int8Rows
    owner: NDArray[np.int32]


class RunFolder:
    """``runs/<name>/`` and its files, under the names that design and users rely on.

    What is made from something holds its digest: the vectors that of ``corpus.jsonl``, the codes those of settings,
    vectors and ``semantic_ids.json``, the student that of the codes. A file that was changed, or left from an earlier
    training, is told when it is read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.corpus = self.path / "corpus.jsonl"
        self.vectors = self.path / "embeddings.safetensors"
        self.meaning = self.path / "meaning.safetensors"
        self.glosses = self.path / "glosses.safetensors"
        self.known = self.path / KNOWN
        self.model = self.path / "codes" / "model.safetensors"
        self.student = self.path / "codes" / "student.safetensors"
        self.codes_checkpoint = self.path / "codes" / "checkpoint.safetensors"
        self.student_checkpoint = self.path / "codes" / "student_checkpoint.safetensors"
        self.history = self.path / "codes" / "history.json"
        self.semantic_ids = self.path / "semantic_ids.json"
        self.language = self.path / "language"
        self.adapters = self.language / "adapters.safetensors"
        self.metrics = self.path / "metrics.json"

    def write_json(self, path: Path, content: Any) -> None:
        """Write ``content`` as JSON: one entry a line for a mapping, so that two runs compare by line."""
        json.write_json(path, content)

    def read_json(self, path: Path, kind: Any = dict[str, Any]) -> Any:
        """Read a JSON file of this run.

        Raises:
            MissingError: the run or the file isn't there.
            WotdError: it is damaged, or something else than a ``kind``.
        """
        self.there(path)
        return json.read_json(path, kind, HINT)

    def write_arrays(self, path: Path, arrays: Mapping[str, Any], made_from: Mapping[str, str] | None = None) -> None:
        """Write named arrays as safetensors, with digests of what they were made from."""
        safetensors.write_arrays(path, arrays, made_from)

    def read_arrays(self, path: Path, made_from: Mapping[str, str] | None = None) -> dict[str, mx.array]:
        """Read named arrays that were made from what these digests tell.

        Raises:
            MissingError: the run or the file isn't there.
            WotdError: it is damaged, was changed, or was made from something else.
        """
        self.there(path)
        return safetensors.read_arrays(path, HINT, made_from or {}).arrays

    def read_config(self) -> tuple[TrainingConfig, int]:
        """The settings that made the run, and its embedding's width D."""
        raw = self.read_json(self.config)
        raw.pop("versions", None)
        raw.pop("dictionary", None)
        dims = raw.pop("dims", None)
        if type(dims) is not int or not 0 < dims < 2**20:
            raise WotdError(f"{self.config}: dims is {shown(dims)}, expected the embedding's width; {HINT}")
        return checked(TrainingConfig, raw, str(self.config)), dims

    def read_words(self) -> tuple[tuple[Word, ...], Embeddings]:
        """The N words of the run, and their embeddings (N, D) of unit length.

        Raises:
            WotdError: rows or width don't fit, a row isn't finite or of length 1, or the words were changed since.
        """
        import mlx.core as mx

        self.there(self.corpus)
        words, (_, dims) = read_jsonl(self.corpus).words, self.read_config()
        arrays = self.read_arrays(self.vectors, {"words": self.file_digest(self.corpus)})
        safetensors.check_arrays(arrays, {"vectors": mx.zeros((len(words), dims))}, self.vectors, HINT)
        vectors = np.asarray(arrays["vectors"])
        lengths = np.concatenate([np.linalg.norm(part, axis=1) for part in np.array_split(vectors, 16)])
        if len(wrong := np.flatnonzero(np.abs(lengths - 1) > _NOT_LENGTH_1)):
            raise WotdError(f"{self.vectors}: row {wrong[0]} has length {lengths[wrong[0]]:.3g}, expected 1; {HINT}")
        return words, vectors

    def read_meaning(self, dims: int) -> Meaning | None:
        """How texts get their vectors; None where the run has no glosses, and so an embedding alone.

        Raises:
            WotdError: it is damaged, or of other words.
        """
        from wotd_mlx.embed.meaning import Meaning

        if not self.meaning.exists():
            return None
        meaning = Meaning(dims)
        arrays = self.read_arrays(self.meaning, {"words": self.file_digest(self.corpus)})
        safetensors.check_arrays(arrays, safetensors.named(meaning.parameters()), self.meaning, HINT)
        meaning.update(arrays)
        return meaning

    def read_glosses(self) -> Glosses:
        """What the vectors of the run's words were made of."""
        parts = safetensors.Parts(self.glosses, HINT, {"words": self.file_digest(self.corpus)})
        bare = parts.array("bare", ["float16"], [None, None]).astype(np.float32)
        senses = Int8Rows(parts.array("senses", ["int8"], [None, bare.shape[1]]))
        owner = parts.array("owner", ["int32"], [senses.shape[0]])
        return Glosses(bare, senses, owner)

    def write_glosses(self, made: Glosses, made_from: Mapping[str, str]) -> None:
        """The inverse of :meth:`read_glosses`; embeddings are kept to half precision."""
        parts: dict[str, NDArray[Any]] = {
            "bare": made.bare.astype(np.float16),
            "senses": made.senses.codes,
            "owner": made.owner,
        }
        safetensors.write_parts(self.glosses, parts, made_from)

    def read_ids(self, levels: tuple[int, ...]) -> dict[str, SemanticID]:
        """The IDs of the words of the run's corpora.

        Raises:
            WotdError: one that isn't of these levels, or a file that the codes weren't written with.
        """
        read = self.read_json(self.semantic_ids, dict[str, dict[str, list[int]]])
        if "words" not in read:
            raise WotdError(f"{self.semantic_ids} lacks words; {HINT}")
        try:
            ids = {text: SemanticID(number).checked(levels) for text, number in read["words"].items()}
        except WotdError as error:
            raise WotdError(f"{self.semantic_ids}: {error}; {HINT}") from error
        if self.model_metadata().get("IDs") != self.file_digest(self.semantic_ids):
            raise WotdError(f"{self.semantic_ids} was changed after {self.model} was written with it; {HINT}")
        return ids

    def read_metrics(self) -> dict[str, Any]:
        """``metrics.json``; which stages are done, and figures of each."""
        found: dict[str, Any] = self.read_json(self.metrics)
        for part in ("seconds", "peak_bytes"):
            checked(dict[str, float], found.get(part), f"{self.metrics}: {part}")
        for part in ("corpus", "codes", "language", "student"):
            checked(dict[str, Any], found.get(part, {}), f"{self.metrics}: {part}")
        return found

    def check(self, config: TrainingConfig) -> None:
        """See that the files that are there belong together, as far as their digests tell; no array is read.

        Raises:
            WotdError: one was changed, or is of another training.
        """
        if self.vectors.exists() and self.corpus.exists():
            safetensors.read_metadata(self.vectors, _RESTORE, {"words": self.file_digest(self.corpus)})
        if self.model.exists() and self.vectors.exists():
            vectors = safetensors.read_metadata(self.vectors, HINT).get(safetensors.DIGEST, "")
            made_from = {"settings": settings_digest(config), "vectors": vectors}
            if self.semantic_ids.exists():
                made_from["IDs"] = self.file_digest(self.semantic_ids)
            safetensors.read_metadata(self.model, _RESTORE, made_from)

    def model_metadata(self) -> dict[str, str]:
        """The digests in the codes' file."""
        self.there(self.model)
        return safetensors.read_metadata(self.model, HINT)

    def known_made_from(self) -> dict[str, str]:
        """Digests of what the table of known words is made from: codes, words, and the IDs of the corpora."""
        return {
            "codes": self.model_metadata().get(safetensors.DIGEST, ""),
            "words": self.file_digest(self.corpus),
            "IDs": self.file_digest(self.semantic_ids),
        }

    def file_digest(self, path: Path) -> str:
        """What tells a file of this run from another of that name."""
        self.there(path)
        return hashlib.sha256(read_bytes(path, HINT)).hexdigest()[:16]

    def there(self, path: Path) -> Path:
        """A file of this run.

        Raises:
            MissingError: the run or the file isn't there.
            WotdError: in the run's place is a file.
        """
        if path.exists():
            return path
        if self.path.exists() and not self.path.is_dir():
            raise WotdError(f"{self.path} is a file, expected a run folder; make one with `wotd-mlx train --out DIR`")
        if not self.path.exists():
            raise MissingError(f"no run folder {self.path}; make one with `wotd-mlx train --out {self.path}`")
        raise MissingError(
            f"{self.path} has no {path.relative_to(self.path)}, so it holds no finished run; "
            f"go on with `wotd-mlx train --out {self.path}`"
        )


def settings_digest(config: TrainingConfig) -> str:
    """What tells the settings of codes from others, those aside that change nothing in them."""
    return digest_of({key: value for key, value in asdict(config).items() if key not in _OTHERS})
