"""Word tables from Python to Swift: what goes in comes out, and what is damaged is refused in one line."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.export.tables import random_table, read_table
from tests.tolerances import close
from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import Table
from wotd_mlx.schemas import WotdError

TABLES, DAMAGES = 60, 1500
NEAR = 10


@pytest.fixture(scope="module")
def ask(programs):
    """Questions -> what the Swift program answers to each; a trap would end it."""

    def ask(questions: list[dict]) -> list[dict]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        command = [programs.program("table")]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.split("\n")[:-1]]

    return ask


def question(file: Path, table: Table, seed: int) -> dict:
    """Known words, some typed oddly, and others; their IDs and others; vectors near to words and far from any."""
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    words = list(table.words)
    texts = [*words, *(form for word in words[:50] for form in (word.upper(), word[:-1], word + "a"))]
    ids = [*table.ids[:40].tolist(), [0] * table.ids.shape[1], [1, 2, 3]]
    near = table.vectors[:5] + 0.2 * draw.normal(size=table.vectors[:5].shape)
    vectors = [*near.tolist(), draw.normal(size=table.vectors.shape[1]).tolist()]
    count = rng.choice([1, NEAR, len(table.own) + 1])
    return {"file": str(file), "texts": texts, "ids": ids, "vectors": vectors, "count": count}


def check_nearest(asked: dict, answer: dict, table: Table) -> None:
    """Against a float64 search of the vectors as they were before they were stored."""
    unit = table.vectors / np.linalg.norm(table.vectors.astype(np.float64), axis=1, keepdims=True)
    words = [table.words[row] for row in table.own]
    for vector, found in zip(asked["vectors"], answer["nearest"], strict=True):
        cosines = dict(zip(words, (unit @ vector / np.linalg.norm(vector)).tolist(), strict=True))
        best = sorted(cosines.values(), reverse=True)[: asked["count"]]
        assert len(found) == len(best) == len({row["word"] for row in found})
        assert [row["cosine"] for row in found] == sorted((row["cosine"] for row in found), reverse=True)
        close(np.array([row["cosine"] for row in found]), np.array([cosines[r["word"]] for r in found]), "int8_cosine")
        close(np.array([row["cosine"] for row in found]), np.array(best), "int8_cosine")


def test_what_goes_in_comes_out(ask, tmp_path):
    tables = [random_table(seed) for seed in range(TABLES)]
    files = [tmp_path / f"{seed}.wotd" for seed in range(TABLES)]
    for file, table in zip(files, tables, strict=True):
        file.write_bytes(table.encoded())
    asked = [question(file, table, seed) for seed, (file, table) in enumerate(zip(files, tables, strict=True))]
    for query, answer, table in zip(asked, ask(asked), tables, strict=True):
        rows = {word: row for row, word in enumerate(table.words)}
        assert answer["count"] == len(rows)
        for text, found in zip(query["texts"], answer["ids"], strict=True):
            row = rows.get(normalised(text))
            assert found == (None if row is None else table.ids[row].tolist()), text
        for number, found in zip(query["ids"], answer["words"], strict=True):
            owners = [word for word, row in rows.items() if table.ids[row].tolist() == number]
            assert found == sorted(owners, key=str.encode)
        check_nearest(query, answer, table)


def normalised(text: str) -> str:
    """As short as the letters of these tables allow it to be."""
    return " ".join(text.lower().split())


def test_the_layout_is_as_documented():
    for seed in range(TABLES):
        table = random_table(seed)
        found = read_table(table.encoded())
        assert found.words == sorted(word.encode() for word in table.words)
        ids = {word.encode(): row.tolist() for word, row in zip(table.words, table.ids, strict=True)}
        assert [ids[word] for word in found.words] == found.ids.tolist()
        pieces = {piece.encode(): number for piece, number in table.pieces.items()}
        assert dict(zip(found.pieces, found.numbers.tolist(), strict=True)) == pieces
        assert found.pieces == sorted(pieces)
        unit = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)
        stored = {table.words[row].encode(): vector for row, vector in zip(table.own, unit, strict=True)}
        assert found.owners.tolist() == sorted(found.owners.tolist())
        for owner, scale, codes in zip(found.owners, found.scales, found.vectors, strict=True):
            # A byte's half step, of the largest number of the row.
            wanted = stored[found.words[owner]]
            assert np.abs(codes * np.float64(scale) - wanted).max() <= 0.006 * np.abs(wanted).max()


def damages(raw: bytes, rng: random.Random) -> bytes:
    """The file cut, with a bit flipped, bytes of chance in it, or more at its end."""
    place = rng.randrange(len(raw))
    match rng.randrange(4):
        case 0:
            return raw[:place]
        case 1:
            return raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]
        case 2:
            changed = raw[:place] + rng.randbytes(rng.randint(1, 8)) + raw[place:]
            return changed[: len(raw)] if changed[: len(raw)] != raw else raw[:-1]
        case _:
            return raw + rng.randbytes(rng.randint(1, 20))


def with_sum(raw: bytes) -> bytes:
    """A file whose checksum is right, whatever it holds."""
    return raw[:-4] + struct.pack("<I", zlib.adler32(raw[:-4]))


def test_a_damaged_file_ends_in_one_line(ask, tmp_path):
    rng, asked = random.Random(0), []
    files = [random_table(seed).encoded() for seed in range(20)]
    for n in range(DAMAGES):
        raw = damages(rng.choice(files), rng)
        (tmp_path / f"{n}.wotd").write_bytes(raw)
        asked.append({"file": str(tmp_path / f"{n}.wotd"), "texts": ["a"], "ids": [[0]], "vectors": [[1.0]]})
    for answer in ask(asked):
        assert answer["error"].endswith("; export the bundle again")
        assert "\n" not in answer["error"]


def test_a_file_that_lies_is_refused_or_answers(ask, tmp_path):
    """Its checksum fits, and its counts, places and numbers are anybody's."""
    rng, asked = random.Random(1), []
    tables = [random_table(seed) for seed in range(20)]
    files = [table.encoded() for table in tables]
    for n in range(DAMAGES):
        which = rng.randrange(len(files))
        raw = bytearray(files[which])
        place = 4 * rng.randrange(2, 14 if n % 2 else len(raw) // 4)
        raw[place : place + 4] = struct.pack("<I", rng.choice([0, 1, 255, 65536, 0x7F000000, 1 << 31, (1 << 32) - 1]))
        (tmp_path / f"{n}.wotd").write_bytes(with_sum(bytes(raw)))
        asked.append(question(tmp_path / f"{n}.wotd", tables[which], n))
    answers = ask(asked)
    assert len(answers) == DAMAGES
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert DAMAGES // 4 < len(refused) < DAMAGES
    assert all(error.endswith("; export the bundle again") and "\n" not in error for error in refused)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"words": ("a", "a")}, "comes twice or isn't there"),
        ({"own": (0, 0), "vectors": np.ones((2, 3), np.float32)}, "comes twice or isn't there"),
        ({"own": (2,)}, "comes twice or isn't there"),
        ({"ids": np.zeros((1, 2), int)}, r"IDs \(1, 2\) and vectors \(1, 3\) don't fit 2 words, 1 with vectors"),
        ({"ids": np.full((2, 2), -1)}, "below 0 or beyond 31 bits"),
        ({"ids": np.full((2, 2), 1 << 31)}, "below 0 or beyond 31 bits"),
        ({"ids": np.zeros((2, 256), int)}, "256 coordinates of 3 dimensions"),
        ({"words": ("a", "\ud800")}, "half a surrogate pair"),
        ({"vectors": np.zeros((1, 3), np.float32)}, "vector 0 of 1 is zero or not finite"),
    ],
)
def test_what_is_no_table_is_refused(changes, says):
    whole = {"words": ("a", "b"), "ids": np.zeros((2, 2), int), "own": (1,), "vectors": np.ones((1, 3), np.float32)}
    with pytest.raises(WotdError, match=says):
        Table(**(whole | changes)).encoded()


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("model", "type", "BPE", "it has BPE, expected WordPiece: WOTDKit reads BERT's tokenizers only"),
        ("normalizer", "type", "NFC", "it has NFC, expected BertNormalizer"),
        ("pre_tokenizer", "type", "Whitespace", "it has Whitespace, expected BertPreTokenizer"),
        ("model", "unk_token", "<unk>", "it has no <unk>"),
        ("model", "vocab", {"a": "b"}, "vocab.a is 'b', expected int"),
    ],
)
def test_another_tokenizer_is_refused(checkpoint, tmp_path, part, key, value, says):
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    content[part][key] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(WotdError, match=f"tokenizer.json.*{says}"):
        read_pieces(tmp_path / "tokenizer.json")


def test_a_token_of_whole_words_is_refused(checkpoint, tmp_path):
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    content["added_tokens"] = [{"id": 0, "content": "<w>", "single_word": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(WotdError, match="its added token '<w>' has single_word, which WOTDKit doesn't know"):
        read_pieces(tmp_path / "tokenizer.json")
