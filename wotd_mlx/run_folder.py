"""The run folder: where a training leaves what it made, whole files only, one training at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from wotd_mlx.files import write_atomically
from wotd_mlx.schemas import WotdError


class RunFolder:
    """``runs/<name>/`` and its files, under the names that design and users rely on."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.corpus = self.path / "corpus.jsonl"
        self.vectors = self.path / "embeddings.safetensors"
        self.model = self.path / "codes" / "model.safetensors"
        self.student = self.path / "codes" / "student.safetensors"
        self.history = self.path / "codes" / "history.json"
        self.semantic_ids = self.path / "semantic_ids.json"
        self.language = self.path / "language"
        self.adapters = self.language / "adapters.safetensors"
        self.metrics = self.path / "metrics.json"

    def write_json(self, path: Path, content: Any) -> None:
        """Write ``content`` as JSON: one entry a line for a mapping of lists, so that two runs compare by line."""
        write_atomically(path, (_pretty(content) + "\n").encode())

    def read_json(self, path: Path) -> Any:
        """Read a JSON file of this run.

        Raises:
            WotdError: it is missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise WotdError(self._missing(path)) from error
        except (OSError, ValueError) as error:
            raise WotdError(f"{path} can't be read ({error}); train again into another folder") from error

    def write_arrays(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write named arrays as safetensors."""
        write_atomically(path, save({k: np.asarray(v, order="C") for k, v in arrays.items()}))

    def read_arrays(self, path: Path) -> dict[str, NDArray[Any]]:
        """Read named arrays.

        Raises:
            WotdError: the file is missing, cut short or no safetensors.
        """
        try:
            return dict(load_file(path))
        except FileNotFoundError as error:
            raise WotdError(self._missing(path)) from error
        except (OSError, SafetensorError) as error:
            raise WotdError(
                f"{path} can't be read as safetensors ({error}); train again into another folder"
            ) from error

    def _missing(self, path: Path) -> str:
        if not self.path.is_dir():
            return f"no run folder {self.path}; make one with `wotd-mlx train --out {self.path}`"
        return (
            f"{self.path} has no {path.relative_to(self.path)}, so it holds no finished run; "
            f"go on with `wotd-mlx train --out {self.path}`"
        )


def _pretty(content: Any, indent: str = "") -> str:
    """JSON with mappings unfolded and all else on one line."""
    if isinstance(content, Mapping) and content:
        inner = indent + "  "
        lines = (f"{inner}{json.dumps(k, ensure_ascii=False)}: {_pretty(v, inner)}" for k, v in content.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        inner = indent + "  "
        lines = (inner + json.dumps(v, ensure_ascii=False) for v in content)
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(content, ensure_ascii=False)
