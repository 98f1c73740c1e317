"""The two tables of how words belong together, families and irregular forms; for the build alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wotd_mlx.words import screen
from wotd_mlx.words.derive import Derivations
from wotd_mlx.words.families import stem
from wotd_mlx.words.forms import by_rule


def merged_stems(
    words: Iterable[str], forms: Iterable[str], head: Callable[[str], str], derivations: Derivations
) -> dict[str, str]:
    """Stem → the stem of its family's commonest word, where that is another one.

    Args:
        words: words that may be derived from others, in a fixed order.
        forms: further inflected forms and spellings of these.
        head: the lemma, in one spelling, of a form.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    words = list(words)
    vocabulary = frozenset(words)
    best: dict[str, tuple[float, str]] = {}  # stem -> the commonest word with it

    def join(word: str, base: str) -> None:
        # To Porter2 *overlying* is a form of *over*: a stem that is another word's own speaks for that one.
        if stem(word) != word and stem(word) in vocabulary:
            return
        for text in (word, base):
            best[stem(text)] = min(best.get(stem(text), (0.0, text)), (-screen.zipf(text), text))
        parent[root(stem(word))] = root(stem(base))

    for word in words:
        for base in (head(word), *(link.base for link in derivations.links(word))):
            join(word, base)
    for form in forms:
        join(form, head(form))
    # A family goes by its commonest word, so that its key can be read.
    key_of: dict[str, str] = {}
    for key in sorted(best, key=lambda key: best[key]):
        key_of.setdefault(root(key), key)
    return {key: key_of[root(key)] for key in sorted(best) if key_of[root(key)] != key}


def irregular_forms(forms: Iterable[str], head: Callable[[str], str], known: Callable[[str], bool]) -> dict[str, str]:
    """Form → lemma, where the form has no gloss of its own, the lemma has, and no rule of endings leads there."""
    found = {}
    for form in forms:
        base = head(form)
        if base != form and not known(form) and known(base):
            first = next((word for word in by_rule(form) if known(word)), None)
            if first != base:
                found[form] = base
    return found


def write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write pairs a line each, in the order of their bytes, for a search by halves."""
    lines = sorted(f"{key}\t{value}\n".encode() for key, value in pairs.items())
    path.write_bytes(b"".join(lines))
