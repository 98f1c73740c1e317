"""Words with labels: the built-in table, a folder of literary works, a JSONL file or a CSV."""

from __future__ import annotations

from pathlib import Path

from wotd_mlx.schemas import Corpus, WotdError
from wotd_mlx.words.csv_table import SUFFIXES, read_csv

__all__ = ["load_corpus"]


def load_corpus(source: str | Path) -> Corpus:
    """Return the corpus that ``source`` names.

    Args:
        source: ``builtin``; a folder of text files with ``manifest.tsv``; a ``.jsonl`` file; or a ``.csv`` or
            ``.tsv`` of words and labels.
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
    if path.suffix in SUFFIXES:
        return read_csv(path)[0]
    raise WotdError(
        f"no corpus {str(source)!r}: expected 'builtin', a folder with manifest.tsv, a .jsonl file or a .csv; "
        "check the path"
    )
