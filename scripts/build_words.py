"""Make the built-in word table and the lexicon from a folder of literary works.

    python scripts/build_words.py --literature DIR [--wordlist /usr/share/dict/scowl]

DIR holds text files and ``manifest.tsv``; the word list says which spellings are words and not names (SCOWL,
Debian package ``scowl`` 2020.12.07). The same inputs give the same bytes.
``docs/explanation/words.md`` explains the rules.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wotd_mlx.schemas import Corpus, WotdError
from wotd_mlx.words.assign import Judge
from wotd_mlx.words.builtin import DATA
from wotd_mlx.words.choose import candidates, corpora_table, counts_table, draft, lexicon
from wotd_mlx.words.evidence import gather
from wotd_mlx.words.reading import read_manifest
from wotd_mlx.words.screen import WordList, need_packages
from wotd_mlx.words.table import BUILTIN_COLUMNS, LEXICON_COLUMNS, write_table


def build(literature: Path, wordlist: Path, out: Path) -> str:
    """Write ``builtin.tsv`` and ``lexicon.tsv`` into ``out``; return a summary."""
    words = WordList.read(wordlist)
    judge = Judge(gather(read_manifest(literature), words.is_known))
    builtin = draft(candidates(judge, words))
    rest = lexicon(judge, words, builtin)
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "builtin.tsv", builtin, BUILTIN_COLUMNS)
    write_table(out / "lexicon.tsv", rest, LEXICON_COLUMNS)
    corpus = Corpus("builtin", builtin, rest)
    return f"{corpora_table(corpus)}\n\n{counts_table(corpus)}"


def main() -> int:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description="Make the built-in word table and the lexicon.")
    parser.add_argument("--literature", type=Path, required=True, help="folder of texts with manifest.tsv")
    parser.add_argument("--wordlist", type=Path, default=Path("/usr/share/dict/scowl"), help="SCOWL folder, or a file")
    parser.add_argument("--out", type=Path, default=DATA, help="where the two tables go")
    args = parser.parse_args()
    try:
        need_packages()
        print(build(args.literature, args.wordlist, args.out))
    except WotdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
