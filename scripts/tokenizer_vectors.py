"""Make the two Swift files of WOTDKit that follow from the `tokenizers` library.

    python -m scripts.tokenizer_vectors

``UnicodeTables.swift`` holds the code points that BertNormalizer drops, takes apart or puts in order and those that
BertPreTokenizer takes for marks, found by trying every one. ``TokenizerVectors.swift`` holds a small word table with a
tokenizer's pieces, and what the library makes of texts that are easy to get wrong.
"""

from __future__ import annotations

import base64
import json
import string
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import Table

PACKAGE = Path(__file__).resolve().parent.parent / "wotd_mlx" / "export" / "WOTDKit"
TABLES = PACKAGE / "Sources" / "WOTDKit" / "UnicodeTables.swift"
VECTORS = PACKAGE / "Tests" / "WOTDKitTests" / "TokenizerVectors.swift"

NORMALIZERS: dict[str, dict[str, bool | None]] = {
    "uncased": {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    "cased": {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False},
    "accented": {"clean_text": True, "handle_chinese_chars": True, "strip_accents": False, "lowercase": True},
    "untouched": {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False},
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKED = "<Word>"
"""An added token that is looked for after normalising."""
PLACE = '"NORMALIZER"'

WORDS = (
    "the of and word twilight petrichor ephemeral luminous sonorous wander whisper velvet river stone it don can't un "
    "able ness cafe café naive résumé strasse straße istanbul ıstanbul ωmega σοφος σοφοσ λογος мир привет سلام كتاب "
    "שלום नमस्त ひらかな カタカナ 中 文 字 龍 豈 😀 👩 💻 ❤ ™ ½ ² € ₹ Word Twilight Istanbul WOTD"
)
ENDINGS = ("##s", "##ing", "##ed", "##ly", "##ness", "##light", "##chor", "##ral", "##\u0301", "##\u0308", "##\u0307")
LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits + "éüñçøœæßıłđþαβγδεηικλμνορσςτυφωабвгдежийор"
SINGLE = string.punctuation + "¡¿«»“”‘’–—…·、。「」！？" + "\u1100\u1161\u11a8\u200d\ufe0f\u00ad\u0301"


def ranges(points: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending code points -> first and last of each run."""
    out: list[tuple[int, int]] = []
    for point in points:
        if out and out[-1][1] == point - 1:
            out[-1] = (out[-1][0], point)
        else:
            out.append((point, point))
    return out


def scalars() -> Iterator[int]:
    """Every Unicode scalar value, save those of the ten planes where nothing is assigned."""
    yield from range(0xD800)
    yield from range(0xE000, 0x40000)
    yield from range(0xE0000, 0x110000)


def tables() -> dict[str, list[tuple[int, int]]]:
    """What the library drops as control, takes for punctuation, drops as accents, takes apart, and puts in order."""

    def only(**on: bool) -> Callable[[str], str]:
        off = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
        return normalizers.BertNormalizer(**(off | on)).normalize_str

    clean, split = only(clean_text=True), pre_tokenizers.BertPreTokenizer()
    # A precomposed letter leaves its base letter, so what leaves nothing is a mark.
    bare = {c: only(strip_accents=True)(chr(c)) for c in scalars()}
    nfd = normalizers.NFD().normalize_str

    def moves(scalar: str) -> bool:
        """Whether it changes places with a mark of the lowest class after it, or of the highest before it."""
        return any(nfd(text) != text for text in (f"a{scalar}\u0334", f"a\u0345{scalar}"))

    return {
        "removed": ranges(c for c in scalars() if clean(chr(c)) == ""),
        "punctuation": ranges(c for c in scalars() if len(split.pre_tokenize_str(f"a{chr(c)}b")) == 3),
        "nonspacingMarks": ranges(c for c, left in bare.items() if left == ""),
        "decomposed": ranges(c for c, left in bare.items() if left not in ("", chr(c))),
        "reordered": ranges(c for c, left in bare.items() if left == chr(c) and moves(left)),
    }


ABOUT = {
    "removed": "Dropped by the cleaning: control, format and private-use characters, and U+FFFD.",
    "punctuation": "Words are split around these: Unicode's P categories and the other ASCII symbols.",
    "nonspacingMarks": "Dropped as accents: Unicode's category Mn.",
    "decomposed": "Taken apart before accents are dropped.",
    "reordered": "Marks that stay when accents are dropped, put in order by their combining class.",
}


def tables_swift() -> str:
    """The text of ``UnicodeTables.swift``."""
    lines = [
        "// swift-format-ignore-file",
        "// Made by scripts/tokenizer_vectors.py of wotd-mlx; not to be edited.",
        "",
        "/// Character categories as the `tokenizers` library has them, whatever Unicode the system knows.",
        "///",
        "/// Each table is a list of ranges: first, last, first, last and so on, in ascending order.",
        "enum UnicodeTables {",
        "    static func contains(_ table: [UInt32], _ scalar: Unicode.Scalar) -> Bool {",
        "        // Most text lies below most tables.",
        "        guard scalar.value >= table[0] else { return false }",
        "        var low = 0",
        "        var high = table.count / 2",
        "        while low < high {",
        "            let middle = (low + high) / 2",
        "            if scalar.value < table[2 * middle] {",
        "                high = middle",
        "            } else if scalar.value > table[2 * middle + 1] {",
        "                low = middle + 1",
        "            } else {",
        "                return true",
        "            }",
        "        }",
        "        return false",
        "    }",
    ]
    for name, found in tables().items():
        numbers = [f"0x{point:X}," for pair in found for point in pair]
        lines += ["", f"    /// {ABOUT[name]}", f"    static let {name}: [UInt32] = ["]
        lines += ["        " + " ".join(numbers[i : i + 12]) for i in range(0, len(numbers), 12)]
        lines.append("    ]")
    return "\n".join([*lines, "}", ""])


def tokenizer_json() -> dict[str, Any]:
    """A ``tokenizer.json`` of a few hundred pieces, its normalizer left open."""
    pieces = [*SPECIAL, MARKED, *LETTERS, *(f"##{c}" for c in LETTERS), *SINGLE, *WORDS.split(), *ENDINGS]
    pieces += [f"##{c}" for c in ("\u1161", "\u11a8", "\u0435", "\u200d", "\u00ad", "か", "な")]
    pieces += ["e\u0301", "##e\u0301", "cafe\u0301"]  # canonically equivalent to others, which Swift's texts hide
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    off = {"single_word": False, "lstrip": False, "rstrip": False}
    added = [{"id": vocab[t], "content": t, **off, "normalized": False, "special": True} for t in SPECIAL]
    added.append({"id": vocab[MARKED], "content": MARKED, **off, "normalized": True, "special": False})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": "NORMALIZER",
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocab["[SEP]"]],
            "cls": ["[CLS]", vocab["[CLS]"]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }


def normalizer_json(name: str) -> str:
    """A normalizer's part of the ``tokenizer.json``."""
    return json.dumps({"type": "BertNormalizer", **NORMALIZERS[name]})


TEXTS: dict[str, tuple[str, ...]] = {
    "plain": ("twilight", "Twilight", "the twilight of the river", "WOTD", "petrichor's", "xyzzy", "unableness"),
    "accents": (
        "café",
        "cafe\u0301",
        "CAFÉ",
        "naïve résumé",
        "Ångström",
        "\u212bngstro\u0308m",
        "ñandú",
        "œuvre",
        "łódź",
    ),
    "combining marks": (
        "e\u0301\u0323",
        "\u0301",
        "a\u0301 \u0301b",
        "x\u0335y",
        "\u1df6a",
        "\u1734",
        "न\u093c",
        "q\u20dd",
    ),
    "CJK": ("中文字", "word中word", "豈", "\uf900", "龍 龍", "\U0002b820", "\U0002a700", "ひらかな", "カタカナ", "ｶﾞ"),
    "Hangul": ("가", "각", "\u1100\u1161\u11a8", "각 가"),
    "emoji": ("😀", "😀😀", "👩\u200d💻", "❤\ufe0f", "word😀word", "👍🏽", "\U0001f1e9\U0001f1ea"),
    "Turkish": ("İstanbul", "I\u0307stanbul", "ıstanbul", "ISTANBUL", "DİYE"),
    "sharp s": ("straße", "STRASSE", "STRAẞE", "ß"),
    "final sigma": ("ΣΟΦΟΣ", "σοφος", "ΛΟΓΟΣ", "Σ", "ΟΔΟΣ ΣΟΦΟΣ"),
    "Greek": ("Ωmega", "\u2126mega", "ά", "\u1f71", "\u037e"),
    "Cyrillic": ("Привет, мир", "МИР", "ёж", "й"),
    "Arabic": ("سلام", "سَلَام", "كتاب،سلام", "س\u0640لام", "\u0600سلام", "\u061cسلام"),
    "Hebrew": ("שלום", "שָׁלוֹם", "\ufb2a"),
    "zero-width": (
        "twi\u200blight",
        "twi\u200dlight",
        "\ufefftwilight",
        "twi\u2060light",
        "\u200e\u200ftwilight",
        "\u180ethe",
    ),
    "soft hyphen": ("twi\u00adlight", "\u00ad", "the\u00ad word"),
    "control": (
        "twi\x01light",
        "the\tword",
        "the\nword",
        "the\r\nword",
        "the\x0bword",
        "the\x0cword",
        "\x1b[0m",
        "\x7fthe",
        "the\x85word",
        "\x9fthe",
        "the\u2028word",
        "\ue000the",
        "\U000e0041the",
        "\U0010fffdthe",
    ),
    "NBSP": ("the\u00a0word", "\u00a0", "the\u202fword\u2009of"),
    "ideographic space": ("the\u3000word", "\u3000中\u3000"),
    "U+FFFD": ("the\ufffdword", "\ufffd"),
    "NUL": ("the\x00word", "\x00", "[S\x00EP]"),
    "empty": ("",),
    "whitespace": (" ", "   \t\n ", "  the  "),
    "long word": ("a" * 99, "a" * 100, "a" * 101, "a" * 102 + " the", "é" * 100, "e\u0301" * 101, "😀" * 101),
    "long text": ("the word of " * 40, "twilight" * 12, "petrichor " * 6 + "[SEP]", "😀 " * 60),
    "punctuation": (
        "!!!",
        "the...word",
        "¡the!",
        "«the»",
        "“the”—‘word’",
        "the·word",
        "a+b=c",
        "$the~`^|<>",
        "、。「the」",
        "№",
        "the_word",
        "\u2e43the",
        "\U00011660the",
        "\u166d",
    ),
    "symbols": ("™", "½", "²", "€5", "₹5", "Ⅷ", "ﬁne", "\u0130\u0131"),
    "special tokens": (
        "[SEP]",
        "the [SEP] word",
        "the[CLS]word",
        "[MASK]twi[PAD]light",
        "[sep]",
        "[[SEP]]",
        "[UNK]",
        "[SEP",
        "[SEP][SEP]",
        "<Word>",
        "the<word>the",
        "<WORD>",
        "<wörd>",
        "the [MASK] <Word> [MASK]",
    ),
    "apostrophes": ("don't", "can't", "don\u2019t", "'the'", "rock'n'roll", "\u02bcthe", "the`s"),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "cased": (
        "café",
        "cafe\u0301",
        "e\u0301",
        "Twilight",
        "\u212b",
        "İstanbul",
        "中the",
        "<Word>",
        "<word>",
        "u\u0308b\u0308",
    ),
    "accented": ("Café", "CAFE\u0301", "İstanbul", "ΣΟΦΟΣ", "STRAẞE", "\u2126mega", "É", "<WORD>"),
    "untouched": (
        "café",
        "the\u00adword",
        "the\x00word",
        "中文",
        "the\u200dword",
        "the\x85the",
        "\u00ad",
        "\ufffd",
        "the\u3000the",
    ),
}


def cases() -> list[dict[str, Any]]:
    """Texts with the library's tokens, most of them 16 long."""
    plan = [(kind, "uncased", text) for kind, texts in TEXTS.items() for text in texts]
    plan += [("normalizer", name, text) for name, texts in OTHERS.items() for text in texts]
    out = []
    for row, (kind, name, text) in enumerate(plan):
        length = 128 if kind in ("long word", "long text") and row % 2 else 16
        found = tokenizer(name, length).encode(text)
        case = {"kind": kind, "normalizer": name, "text": text, "max_length": length}
        out.append(case | {"tokens": found.ids, "mask": found.attention_mask})
    return out


def tokenizer(name: str, length: int) -> Tokenizer:
    """The small tokenizer with one of the normalizers; texts come out ``length`` long."""
    made = Tokenizer.from_str(json.dumps(tokenizer_json()).replace(PLACE, normalizer_json(name)))
    made.enable_truncation(length)
    made.enable_padding(length=length, pad_id=0, pad_token="[PAD]")
    return made


def ascii_json(value: object) -> str:
    """JSON in printable ASCII without #, which a Swift raw string passes on as it is."""
    return json.dumps(value).replace("\x7f", "\\u007f").replace("#", "\\u0023")


def small_table() -> bytes:
    """A word table with the small tokenizer's pieces."""
    words = {"east": (0, 0), "north": (0, 1), "between": (0, 0), "visage": (7, 70_000)}
    words |= {"café au lait": (1, 2), "strasse": (4, 4)}
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pieces: dict[str, int] = tokenizer_json()["model"]["vocab"]
    return Table(list(words), np.array(list(words.values())), (0, 1, 2), vectors, pieces).encoded()


def settings_json(name: str) -> str:
    """What a manifest says of the small tokenizer with one of the normalizers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_text(json.dumps(tokenizer_json()).replace(PLACE, normalizer_json(name)), encoding="utf-8")
        return ascii_json({"max_length": 16, **read_pieces(file).settings})


def vectors_swift() -> str:
    """The text of ``TokenizerVectors.swift``."""
    found = "[\n" + ",\n".join(ascii_json(case) for case in cases()) + "\n]"
    names = [f'        "{name}": #"{settings_json(name)}"#,' for name in NORMALIZERS]
    return "\n".join(
        [
            "// swift-format-ignore-file",
            "// Made by scripts/tokenizer_vectors.py of wotd-mlx; not to be edited.",
            "",
            "/// A small word table, and what the `tokenizers` library makes of texts that are easy to get wrong.",
            "enum TokenizerVectors {",
            "    /// A manifest's tokenizer, for each normalizer.",
            "    static let settings = [",
            *names,
            "    ]",
            "",
            "    /// A `words.wotd` in base64.",
            f'    static let table = "{base64.b64encode(small_table()).decode()}"',
            "",
            '    static let cases = #"""',
            found,
            '"""#',
            "}",
            "",
        ]
    )


def main() -> int:
    """Write both files."""
    for file, text in ((TABLES, tables_swift()), (VECTORS, vectors_swift())):
        file.write_text(text, encoding="utf-8")
        print(f"{file.name}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
