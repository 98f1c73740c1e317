"""WOTDKit's tokenizer itself against `tokenizers`: 20,000 made-up texts, and texts of megabytes."""

from __future__ import annotations

import json
import random
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from scripts import tokenizer_vectors as made
from wotd_mlx.embed.models import DEFAULT_MODEL, find_model, resolve
from wotd_mlx.export.manifest import FORMAT
from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import Table
from wotd_mlx.schemas import WotdError

COUNT = 4000
"""Texts a tokenizer, of which there are five."""
LENGTH = 24
PLANES = ((0x20, 0x7F), (0xA0, 0x600), (0x600, 0x2000), (0x2000, 0x3400), (0x3400, 0xD800), (0xE000, 0x10000))
PLANES += ((0x10000, 0x20000), (0x20000, 0x32000), (0x32000, 0xE0000), (0xE0000, 0x110000))
TELLING = "aZ09 -'\"!~$İßΣςéœ中豈龍가😀न،سłØ½ﬁ\t\n\r\0\x0b\x7f\x85\xa0\xad\u200b\u200d\u3000\ufffd\ufeff"
TELLING += "\u2028\ufe0f\u1100\u1161\u11a8\u212b\u037e\u1734\ue000\u1fef\u0344\u2000"
STAYING = ["\u1dfb", "\u1b44", "\u302e", "\U0001d165", "\u0900", "\u0301"]
"""Marks that are no accents, each of another class, between two that are."""
PARTS = ["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[", "]", "[SE"]
PARTS += ["<Word>", "<word>", "<WÖRD>", "<wo", "the", "ing"]


def test_the_swift_files_are_what_the_script_makes() -> None:
    assert made.VECTORS.read_text(encoding="utf-8") == made.vectors_swift()
    assert made.TABLES.read_text(encoding="utf-8") == made.tables_swift()


def texts(seed: str) -> list[str]:
    """:data:`COUNT` texts: characters of all planes, marks on letters, words, long words, special tokens."""
    rng = random.Random(seed)
    marks = [chr(c) for c in range(0x110000) if unicodedata.combining(chr(c))]

    def part() -> str:
        kind = rng.randrange(12)
        if kind < 4:
            return chr(rng.randrange(*rng.choice(PLANES)))
        if kind < 7:
            return rng.choice(TELLING)
        if kind < 9:
            return rng.choice(PARTS)
        if kind < 10:
            some = rng.choice([marks, STAYING])
            return rng.choice("aéक가𝅘") + "".join(rng.choices(some, k=rng.randint(1, 5)))
        return rng.choice([" ", " ", "".join(rng.choices("abcdefgh", k=rng.randint(1, 9)))])

    def text() -> str:
        if rng.random() < 0.02:
            return rng.choice(["a", "é", "😀", "中", "!", "\u0301x", "\u1dfb\u302e"]) * rng.randint(48, 105) + part()
        return "".join(part() for _ in range(rng.randint(0, 30)))

    return [text() for _ in range(COUNT)]


def minilm() -> str:
    try:
        folder = resolve(find_model(DEFAULT_MODEL), download=False)
    except WotdError as error:
        pytest.skip(str(error))
    return (folder / "tokenizer.json").read_text(encoding="utf-8")


def telling(name: str, given: list[str]) -> str:
    """The small tokenizer, with a piece for each character that it makes of the texts: so no difference hides."""
    file = made.tokenizer_json() | {"normalizer": json.loads(made.normalizer_json(name))}
    normalize = Tokenizer.from_str(json.dumps(file)).normalizer.normalize_str
    vocab = file["model"]["vocab"]
    for character in sorted({c for text in given for c in normalize(text)}):
        for piece in (character, f"##{character}"):
            vocab.setdefault(piece, len(vocab))
    return json.dumps(file)


def write_bundle(folder: Path, tokenizer: str) -> Path:
    """The files of a bundle that tokens hang on."""
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    pieces = read_pieces(folder / "tokenizer.json")
    table = Table((), np.zeros((0, 1), np.int32), (), np.zeros((0, 1), np.float32), pieces.numbers)
    (folder / "words.wotd").write_bytes(table.encoded())
    words = {"file": "words.wotd", "count": 0, "vectors": 0, "dimensions": 1}
    named = dict.fromkeys(("kind", "name", "package"), "")
    settings = {"max_length": LENGTH, **pieces.settings}
    manifest = {**named, "format": FORMAT, "inputs": [], "outputs": [], "words": words, "tokenizer": settings}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def wanted(tokenizer: str, given: list[str]) -> list[dict]:
    library = Tokenizer.from_str(tokenizer)
    library.enable_truncation(LENGTH)
    library.enable_padding(length=LENGTH, pad_id=0, pad_token="[PAD]")
    return [
        {"tokens": found.ids, "mask": found.attention_mask, "truncated": bool(found.overflowing)}
        for found in library.encode_batch(given)
    ]


@pytest.mark.parametrize("name", ["MiniLM", *made.NORMALIZERS])
def test_tokens_are_the_librarys(programs, tmp_path, name):
    given = texts(name)
    tokenizer = minilm() if name == "MiniLM" else telling(name, given)
    lines = "".join(json.dumps(text) + "\n" for text in given)
    command = [programs.program("tokens"), write_bundle(tmp_path, tokenizer), str(LENGTH)]
    printed = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    found = [json.loads(line) for line in printed.splitlines()]
    different = [
        (ascii(text), a, b) for text, a, b in zip(given, found, wanted(tokenizer, given), strict=True) if a != b
    ]
    assert not different, f"{len(different)} of {COUNT}, the first: {different[0]}"


def peak(program: Path, bundle: Path, part: str, count: int, end: str) -> tuple[dict, int]:
    """What the program makes of ``count`` times a part, and the most bytes that it held.

    It tells so itself: what the system tells of a child begins with what its parent held.
    """
    command = [program, bundle, str(LENGTH), part, str(count), end]
    found, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return json.loads(found), 1024 * int(memory.split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the most memory taken is read from Linux's /proc")
@pytest.mark.parametrize("part", ["the word ", "x", "中", "é", "\u0301", "\u1dfb"])
def test_a_text_of_ten_megabytes_takes_no_more_than_itself(programs, tmp_path, part):
    tokenizer = telling("uncased", [part])
    bundle = write_bundle(tmp_path, tokenizer)
    few, many = (megabytes * 1_000_000 // len(part.encode()) for megabytes in (1, 10))
    short, least = peak(programs.program("tokens"), bundle, part, few, " the")
    long, most = peak(programs.program("tokens"), bundle, part, many, " the")
    # The library reads all of a text first: a shorter one tells the same.
    assert [short, long] == wanted(tokenizer, [part * 1000 + " the"]) * 2
    # The text itself; a list of its characters would be another 4 bytes for each.
    assert most - least < 1.5 * 9_000_000
