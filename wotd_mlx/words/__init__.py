"""Words with labels: the built-in table, a folder of literary works, or a JSONL file."""

from __future__ import annotations

from pathlib import Path

from wotd_mlx.schemas import Corpus, WotdError

__all__ = ["load_corpus"]


def load_corpus(source: str | Path) -> Corpus:
    """Return the corpus that ``source`` names.

    Args:
        source: ``builtin``; a folder of text files with ``manifest.tsv``; or a ``.jsonl`` file.
    Raises:
        WotdError: none of these, or what is found there can't be used.
    """
    if str(source) == "builtin":
        from wotd_mlx.words.builtin import load_builtin

        return load_builtin()
    path = Path(source)
    if path.is_dir():
        from wotd_mlx.words.literature import load_literature

        return load_literature(path)
    if path.suffix == ".jsonl":
        from wotd_mlx.words.jsonl import read_jsonl

        return read_jsonl(path)
    raise WotdError(
        f"no corpus {str(source)!r}: expected 'builtin', a folder with manifest.tsv or a .jsonl file; check the path"
    )
