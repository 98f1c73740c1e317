"""Tables of words with labels, and manifests of works: CSV and TSV."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from functools import cache
from pathlib import Path

from tests.fuzz.mutate import damaged, text
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.csv_table import read_csv
from wotd_mlx.words.reading import MANIFEST, read_manifest

documented = (WotdError,)
quick = 1500

CELLS = [
    "joy",
    "grief",
    "glad",
    "sad",
    "",
    " ",
    "a,b",
    "a;b",
    "a\tb",
    'say "x"',
    "line\nbreak",
    "é",
    "日本",
    "1813",
    "-1",
]
COLUMNS = ["word", "mood", "register", "file", "author", "title", "year", "era", "word ", "Word", ""]
MANIFESTS = ["file", "author", "title", "year", "era"]


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-csv-"))
    (folder / "a.txt").write_text("words")
    return folder


def make(rng: random.Random) -> dict[str, bytes]:
    """A table or a manifest, as a writer of CSV makes it, then mostly damaged."""
    manifest = rng.random() < 0.3
    header = [*MANIFESTS] if manifest else ["word", *rng.sample(COLUMNS[1:], rng.randrange(4))]
    if rng.random() < 0.2:
        header = [rng.choice([*COLUMNS, text(rng)]) for _ in range(rng.randrange(5))]
    usual = ["a.txt", "a.txt", "../x", "/etc/passwd", "1900", "jazz", *CELLS] if manifest else CELLS
    rows = [header]
    for _ in range(rng.randrange(6)):
        width = len(header) if rng.random() < 0.9 else rng.randrange(8)
        rows.append([text(rng) if rng.random() < 0.1 else rng.choice(usual) for _ in range(width)])
    out = io.StringIO()
    separator = "\t" if manifest and rng.random() < 0.8 else rng.choice(",,,;\t|")
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n", "\r"])).writerows(
        rows
    )
    stored = out.getvalue().encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]), "replace")
    return {"manifest" if manifest else "words": damaged(rng, stored) if rng.random() < 0.7 else stored}


def read(made: dict[str, bytes]) -> None:
    """Read it as what it was meant for; what is taken holds what it says."""
    ((kind, content),) = made.items()
    if kind == "manifest":
        (_folder() / MANIFEST).write_bytes(content)
        for work in read_manifest(_folder()):
            assert work.path.resolve().parent == _folder().resolve()
        return
    file = _folder() / "words.csv"
    file.write_bytes(content)
    corpus, attributes = read_csv(file)
    values = {attribute.name: attribute.values for attribute in attributes}
    assert all(value in values[name] for word in corpus.words for name, value in word.labels.items())
