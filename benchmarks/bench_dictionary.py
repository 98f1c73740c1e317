"""How much of the built-in words and the lexicon the dictionary explains, and how soon.

    python -m benchmarks.bench_dictionary

``plain`` is without WordNet's own files, as ``make`` leaves a machine.
Writes results/dictionary.json.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable

from benchmarks.timing import write_results
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.dictionary import Dictionary, Source, load_dictionary
from wotd_mlx.words.dictionary.denckring import Denckring, find_data
from wotd_mlx.words.dictionary.etymology import Etymology
from wotd_mlx.words.dictionary.etymology import find_data as find_origins
from wotd_mlx.words.dictionary.own import SHIPPED, Own

STARTS = 9
_ONE = """
import time, resource
from wotd_mlx.words.dictionary import load_dictionary
load_dictionary().entry("visage")
print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
"""


def shares(words: Iterable[str], found: Dictionary) -> dict[str, float]:
    """The share of these words with a gloss, an example, IPA and an etymology, by their form or their lemma."""
    words = list(words)
    entries = {word: found.entry(word) for word in words}
    tells: dict[str, Callable[[str], bool]] = {
        "gloss": lambda word: bool(found.glosses(word)),
        "entry": lambda word: entries[word] is not None,
        "part of speech": lambda word: bool((e := entries[word]) and e.senses[0].pos),
        "example": lambda word: bool((e := entries[word]) and any(sense.examples for sense in e.senses)),
        "ipa": lambda word: bool((e := entries[word]) and e.ipa and not e.ipa_predicted),
        "ipa, predicted": lambda word: bool((e := entries[word]) and e.ipa_predicted),
        "etymology": lambda word: found.etymology(word) is not None,
    }
    return {name: round(sum(map(tell, words)) / len(words), 4) for name, tell in tells.items()}


def seconds_of_one_entry() -> float:
    """CPU seconds of a process that imports, loads and looks one word up: the median of several."""
    times = [
        float(subprocess.run([sys.executable, "-c", _ONE], check=True, capture_output=True, text=True).stdout)
        for _ in range(STARTS)
    ]
    return round(statistics.median(times), 3)


def main() -> None:
    """Measure, write benchmarks/results/dictionary.json."""
    corpus, rich = load_builtin(), load_dictionary()
    builtin, lexicon = [w.text for w in corpus.words], [w.text for w in corpus.lexicon]
    folder = find_data()
    ours, origins = Own(SHIPPED, Source("wotd-mlx", "", "MIT", "")), find_origins()
    plain = Dictionary([*([Denckring(folder)] if folder else []), ours], None, Etymology(origins) if origins else None)
    figures = {
        "sources": [f"{source.name} {source.version}" for source in rich.sources],
        "words": {"builtin": len(builtin), "lexicon": len(lexicon)},
        "builtin": shares(builtin, rich),
        "lexicon": shares(lexicon, rich),
        "plain": shares(lexicon, plain),
        "cpu_seconds_first_entry": seconds_of_one_entry(),
    }
    write_results("dictionary", figures)
    print(figures)


if __name__ == "__main__":
    main()
