"""Where the works use a word."""

import pytest

from wotd_mlx.words.builtin import load_builtin, load_lexicon, load_works
from wotd_mlx.words.evidence import gather
from wotd_mlx.words.reading import read_manifest
from wotd_mlx.words.uses import USES, Uses, believable, load_uses, uses_of, write_uses

STANZA = "The raven sat upon the bough,\nThe ravens sang to me;\nAnd all the wood was silent now,\nAs woods may be.\n"
PROSE = (
    "A raven is a bird, said the man at the door, who had seen a good many of them in his time, and had thought of "
    "each that it knew more than it was willing to tell to anybody who came by with a question.\n"
)


@pytest.fixture
def works(tmp_path):
    files = {"late.txt": ("B", "Later", 1850, PROSE * 2), "early.txt": ("A", "Earlier", 1700, STANZA)}
    lines = ["file\tauthor\ttitle\tyear\tera"]
    for name, (author, title, year, text) in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        lines.append(f"{name}\t{author}\t{title}\t{year}\tolden")
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_manifest(tmp_path)


def test_uses_in_all_forms_by_work_in_verse_and_prose(works, tmp_path):
    found = uses_of(gather(works, {"raven", "wood", "door"}.__contains__), ["raven", "ravens", "door", "zebra"])
    assert found == {
        "raven": Uses(uses=4, verse=2, works=2, first="early", most="late", most_uses=2),
        "ravens": Uses(uses=4, verse=2, works=2, first="early", most="late", most_uses=2),
        "door": Uses(uses=2, verse=0, works=1, first="late", most="late", most_uses=2),
    }
    write_uses(tmp_path / "uses.tsv", found)
    assert (tmp_path / "uses.tsv").read_text().splitlines()[1] == "door\t2\t0\t1\tlate\tlate\t2"


def test_in_words():
    romeo, volpone, bible = "shakespeare-randj", "jonson-volpone", "bible-kjv-selection"
    assert str(Uses(1, 1, 1, romeo, romeo, 1)) == "used once, in verse: William Shakespeare, Romeo and Juliet (1597)"
    assert str(Uses(3, 1, 1, romeo, romeo, 3)) == (
        "3 uses, mostly in prose, all in William Shakespeare, Romeo and Juliet (1597)"
    )
    assert str(Uses(9, 9, 2, romeo, romeo, 6)) == (
        "9 uses in 2 of 34 works, in verse; first and most (6) in William Shakespeare, Romeo and Juliet (1597)"
    )
    assert str(Uses(1200, 600, 3, volpone, bible, 1000)) == (
        "1,200 uses in 3 of 34 works, in verse and prose; first in Ben Jonson, Volpone … (1606), most (1,000) in King "
        "James translators, The Bible … (1611)"
    )


@pytest.mark.parametrize(
    ("first", "value", "wrong"),
    [
        ("shelley-frankenstein", "classical", True),
        ("shelley-frankenstein", "shakespearean", True),
        ("shelley-frankenstein", "romantic", False),
        ("shelley-frankenstein", "victorian", False),
        ("milton-paradise-lost", "classical", False),
        ("milton-paradise-lost", "shakespearean", True),
        ("joyce-ulysses", "victorian", True),
        ("joyce-ulysses", "modernist", False),
        ("somebody-s-own", "classical", False),
    ],
)
def test_a_guess_that_the_works_speak_against(first, value, wrong):
    assert Uses(2, 0, 1, first, first, 2).contradicts(value) is wrong


def test_guesses_are_kept_that_the_works_do_not_speak_against():
    guesses = {"style": ("classical", 0.87), "era": ("shakespearean", 0.64), "complexity": ("complex", 0.9)}
    assert load_uses("lustrous").first == "shelley-frankenstein"
    assert believable("lustrous", guesses) == {"complexity": ("complex", 0.9)}
    assert believable("gossamer", guesses) == guesses  # in Romeo and Juliet
    assert believable("no such word", guesses) == guesses


def test_the_shipped_table_tells_of_the_shipped_words():
    known = {word.text: word for word in (*load_builtin().words, *load_lexicon())}
    lines = USES.read_text(encoding="utf-8").splitlines()[1:]
    found = {text: load_uses(text) for text in (line.partition("\t")[0] for line in lines)}
    assert set(found) <= set(known)
    assert load_uses("television") is None
    for text, uses in found.items():
        assert {uses.first, uses.most} <= set(load_works()), text
        assert 0 <= uses.verse <= uses.uses, text
        assert uses.works <= uses.uses, text
        assert 1 <= uses.most_uses <= uses.uses, text
        assert load_works()[uses.first].year <= load_works()[uses.most].year, text
        # The built-in table counts the same.
        assert uses.uses == known[text].evidence.get("count", uses.uses), text
        # No evidence goes against what it was drawn from.
        assert not any(uses.contradicts(value) for value in known[text].labels.values()), text
