"""Write docs/reference/hundred_words.md: IDs, labels and neighbours of words as they are, for a person to judge.

    wotd-mlx train && python -m scripts.hundred_words [--run runs/default]

Fifty are of the built-in corpora and fifty are rare; a hash of the word chooses them, so that nobody picks what looks
well. What a person wrote between the marks on the page stays.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.tables import ROOT, table
from wotd_mlx import SemanticEncoder
from wotd_mlx.known import LIKELY, KnownWords
from wotd_mlx.pipeline import LEXICON
from wotd_mlx.schemas import Word
from wotd_mlx.words.difficulty import HARD
from wotd_mlx.words.jsonl import read_jsonl
from wotd_mlx.words.uses import believable

FILE = ROOT / "docs" / "reference" / "hundred_words.md"
COUNT, NEIGHBOURS = 50, 5
START, END = "<!-- read by a person -->\n", "<!-- end -->\n"
HEAD = """\
# A hundred words

As they are in a run with {embedding} and levels {levels},
made by `python -m scripts.hundred_words`, which chooses them by a hash of the word. A label in plain type rests on
evidence, and the ID reads so; one in italics is likelier than not to the model, with its probability, where the
works don't speak against it; ? is neither. The neighbours are the nearest words of other families.

"""


def chosen(words: Sequence[Word], known: KnownWords) -> tuple[list[Word], list[Word]]:
    """Words of the corpora, as many of each, and words that come less than once in a million and are worth meeting."""
    groups: dict[str, list[Word]] = {}
    rare = []
    for word in sorted(words, key=lambda word: hashlib.sha256(word.text.encode()).digest()):
        row = known.row(word.text)
        if word.corpus != LEXICON:
            groups.setdefault(word.corpus, []).append(word)
        elif row is not None and known.meet[row] and known.difficulty[row] == HARD and known.senses_of(row):
            rare.append(word)
    turns = (group[turn] for turn in range(COUNT) for _, group in sorted(groups.items()) if turn < len(group))
    built_in = [word for word, _ in zip(turns, range(COUNT), strict=False)]
    return sorted(built_in, key=lambda word: (word.corpus, word.text)), sorted(rare[:COUNT], key=lambda word: word.text)


def rows(words: Sequence[Word], known: KnownWords) -> Iterator[tuple[str, ...]]:
    """A row a word."""
    for word in words:
        row = known.row(word.text) or 0
        vector = known.word_rows.rows(np.array([row]))[0]
        near = known.nearest(vector, NEIGHBOURS, exclude=[row])
        evidence, guess = known.evidence_of(row), believable(word.text, known.guess_of(row))
        told = [evidence.get(a.name) or _likely(*guess.get(a.name, ("", 0.0))) for a in known.attributes]
        number = f"`{','.join(map(str, known.id_of(row)))}`"
        yield (f"**{word.text}**", number, *told, ", ".join(known.words[n.row] for n in near))


def _likely(value: str, probability: float) -> str:
    return f"*{value} {probability:.2f}*".replace(" 0.", " .") if probability > LIKELY else "?"


def page(coder: SemanticEncoder, judged: str) -> str:
    """The whole page, with what a person judged."""
    known, words = coder.known, read_jsonl(coder.run.corpus).words
    head = ("word", "ID", *(attribute.name for attribute in known.attributes), "nearest")
    built_in, rare = (table(head, list(rows(part, known)), left=len(head)) for part in chosen(words, known))
    about = HEAD.format(embedding=f"`{known.embedding}`", levels=" · ".join(f"{k:,}" for k in known.levels))
    return (
        f"{about}## Fifty of the built-in corpora\n\n{built_in}\n\n"
        f"## Fifty rare ones, worth meeting\n\n{rare}\n\n"
        f"## What a reader disputes\n\n{START}{judged}{END}"
    )


def main() -> None:
    """Write the page from a finished run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default", help="a finished run (default: runs/default)")
    parser.add_argument("--out", type=Path, default=FILE, help=f"the page (default: {FILE.name} in the docs)")
    args = parser.parse_args()
    before = args.out.read_text(encoding="utf-8") if args.out.exists() else f"{START}Nobody has read them yet.\n{END}"
    _, _, after = before.partition(START)
    args.out.write_text(page(SemanticEncoder.load(args.run), after.partition(END)[0]), encoding="utf-8")
    print(args.out.name)


if __name__ == "__main__":
    main()
