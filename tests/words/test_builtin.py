"""The committed tables: their shape, and that every label rests on the evidence beside it."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.words import choose, labels, screen
from wotd_mlx.words.assign import NEUTRAL_COUNT_MIN, NEUTRAL_DELTA_MAX
from wotd_mlx.words.builtin import BUILTIN, LEXICON, WORKS, load_builtin, load_lexicon, load_works
from wotd_mlx.words.dictionary import load_dictionary
from wotd_mlx.words.evidence import WORKS_MIN
from wotd_mlx.words.families import MERGED, stem
from wotd_mlx.words.forms import IRREGULAR
from wotd_mlx.words.normal import normal
from wotd_mlx.words.uses import USES

VALUES = {attribute.name: set(attribute.values) for attribute in DEFAULT_ATTRIBUTES}
WORDS = load_builtin().words
ALL = (*WORDS, *load_lexicon())
ROOT = Path(__file__).resolve().parents[2]


def test_twelve_corpora_of_a_hundred():
    groups = load_builtin().groups
    assert list(groups) == [value for attribute in DEFAULT_ATTRIBUTES for value in attribute.values]
    assert {len(words) for words in groups.values()} == {100}


def test_words_are_looked_up_as_they_stand():
    assert [word.text for word in ALL if normal(word.text) != word.text] == []


def test_works_have_names():
    assert {word.source for word in WORDS} - {"wordfreq", "cefrpy"} <= set(load_works())
    assert str(load_works()["shelley-frankenstein"]) == "Mary Shelley, Frankenstein (1818)"
    assert str(load_works()["jonson-volpone"]) == "Ben Jonson, Volpone … (1606)"


def test_one_form_a_stem():
    assert len({word.text for word in WORDS}) == 1200
    twice = [key for key, n in Counter(stem(word.text) for word in WORDS).items() if n > 1]
    assert twice == []


def test_a_word_stands_under_one_of_its_own_labels():
    assert [word.text for word in WORDS if word.corpus not in word.labels.values()] == []


def test_lexicon_is_large_and_apart():
    texts = [word.text for word in load_lexicon()]
    assert 50_000 <= len(texts) <= 60_000
    assert len(set(texts)) == len(texts)
    assert not {word.text for word in WORDS} & set(texts)
    assert LEXICON.stat().st_size < 2 * 2**20


def test_the_lexicon_has_loved_words():
    loved = {
        "gossamer", "susurrus", "halcyon", "mellifluous", "petrichor", "apricity", "komorebi", "epiphany", "liminal",
        *choose.LOVED,
    }  # fmt: skip
    assert loved <= {word.text for word in ALL}


WORTH = """gossamer susurrus halcyon mellifluous petrichor solitude serendipity ephemeral melancholy reverie zephyr
tempest ineffable quixotic penumbra labyrinth lugubrious diaphanous languor evanescent elixir ethereal dulcet cacophony
opulent talisman nightingale willow panacea moonlight gloaming bucolic crepuscular harbinger wanderlust lilt kindred"""
NOT_WORTH = """the unhappily happiness dreams rebuild haystack kilometre seventeen microbe carbonate pancreas
loveliness breathlessly neighborhood unclear polypeptide tibia dinar euphorbia"""


def test_words_worth_meeting():
    worth = {word.text: word.worth for word in ALL}
    assert [text for text in WORTH.split() if not worth.get(text)] == []
    assert [text for text in NOT_WORTH.split() if worth.get(text)] == []
    assert 20_000 < sum(map(bool, worth.values())) < 26_000
    assert None not in worth.values()


def test_what_is_worth_meeting_is_explained_and_inoffensive():
    found = load_dictionary()
    bad = re.compile(
        r"\((offensive|vulgar|obscene|disparaging|ethnic slur)|ethnic slur|offensive (term|name) for", re.I
    )
    for word in ALL:
        if word.worth:
            glosses = found.glosses(word.text, most=99)
            assert glosses, word.text
            assert not any(map(bad.search, glosses)), word.text
            assert word.zipf <= screen.ZIPF_MAX


def test_lexicon_has_thousands_of_labels():
    for name in VALUES:
        assert sum(name in word.labels for word in load_lexicon()) > 3000, name


def test_words_are_words():
    odd = [word.text for word in ALL if not re.fullmatch("[a-z]{3,}", word.text)]
    assert odd == []
    assert [word.text for word in ALL if screen.is_slur(word.text)] == []
    outside = [w.text for w in WORDS if not choose.ZIPF_MIN <= w.zipf <= screen.ZIPF_MAX]
    assert outside == []


@pytest.mark.parametrize("name", ["shakespeare", "london", "michael", "jenny", "google"])
def test_no_names(name):
    assert name not in {word.text for word in ALL}


def test_labels_are_known_values():
    for word in ALL:
        assert all(value in VALUES[name] for name, value in word.labels.items()), word


def test_level_and_frequency_are_those_published():
    for word in WORDS:
        assert (word.cefr, word.zipf) == (screen.cefr(word.text), screen.zipf(word.text))
    for word in load_lexicon()[::40]:
        assert (word.cefr, word.zipf) == (screen.cefr(word.text), screen.zipf(word.text))


def test_complexity_follows_from_the_row():
    for word in WORDS:
        ratio, z = word.evidence.get("verse_ratio", 1.0), word.evidence.get("verse_z", 0.0)
        assert word.labels.get("complexity") == labels.complexity(word.cefr, word.zipf, ratio, z), word


@pytest.mark.parametrize("name", ["style", "era"])
def test_periods_rest_on_sure_large_and_spread_leans(name):
    for word in WORDS:
        value, row = word.labels.get(name), word.evidence
        if value is None:
            assert f"{name}_z" not in row, word
        elif value == "neutral":
            assert row["style_delta"] <= NEUTRAL_DELTA_MAX + 0.005, word
            assert row["count"] >= NEUTRAL_COUNT_MIN, word
        else:
            assert row[f"{name}_z"] >= labels.Z_MIN, word
            assert row[f"{name}_delta"] >= labels.DELTA_MIN - 0.005, word
            if value != "contemporary" and word.labels.get("era") != "contemporary":
                assert row[f"{name}_works"] >= WORKS_MIN, word


def test_no_work_owns_a_corpus():
    for name, words in load_builtin().groups.items():
        top = Counter(w.source for w in words if w.source not in ("wordfreq", "cefrpy")).most_common(1)
        assert not top or top[0][1] <= choose.PER_SOURCE_MAX, name


@pytest.mark.parametrize(
    ("corpus", "words"),
    [
        ("shakespearean", "sirrah alack troth beshrew forsooth tarry"),
        ("romantic", "imprudence chaise felicity"),
        ("victorian", "garret coachman churchyard valet"),
        ("modernist", "omnibus gramophone"),
        ("modern", "telephone cosy"),
    ],
)
def test_a_reader_finds_what_they_expect(corpus, words):
    assert set(words.split()) <= {word.text for word in load_builtin().groups[corpus]}


def test_loads_without_mlx_and_without_what_built_it():
    code = (
        "import sys; import wotd_mlx.words as w; w.load_corpus('builtin'); "
        "heavy = {'mlx.core', 'wordfreq', 'cefrpy', 'lemminflect'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_rebuilding_gives_the_same_bytes(tmp_path):
    literature = os.environ.get("WOTD_LITERATURE")
    wordlist = os.environ.get("WOTD_WORDLIST", "/usr/share/dict/scowl")
    wordnet = os.environ.get("WOTD_WORDNET", "/usr/share/wordnet")
    if not literature or not Path(wordlist).exists() or not Path(wordnet).exists():
        pytest.skip("needs WOTD_LITERATURE (folder of works), and SCOWL and WordNet, or WOTD_WORDLIST and WOTD_WORDNET")
    argv = [
        "scripts/build_words.py",
        "--literature",
        literature,
        "--wordlist",
        wordlist,
        "--wordnet",
        wordnet,
        "--out",
        str(tmp_path),
    ]
    subprocess.run([sys.executable, *argv], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    for path in (BUILTIN, LEXICON, WORKS, USES, MERGED, IRREGULAR):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_docs_show_the_first_ten_of_each_corpus_and_the_counts():
    page = (ROOT / "docs" / "explanation" / "words.md").read_text(encoding="utf-8")
    assert choose.corpora_table(load_builtin()) in page
    assert choose.counts_table(load_builtin()) in page
    assert choose.families_table(load_builtin()) in page
