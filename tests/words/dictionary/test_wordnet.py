"""WordNet's files: what is read of them, where they are looked for, and what damage says."""

import pytest

from tests.words.dictionary.sources import Synset, write_wordnet
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.words.dictionary import wordnet
from wotd_mlx.words.dictionary.wordnet import WordNet, find_wordnet


def test_every_lemma_is_found(tmp_path):
    synsets = [Synset("n", (f"w{n:03d}", "common"), f"number {n}") for n in range(300)]
    found = WordNet(write_wordnet(tmp_path, synsets))
    for n in range(300):
        (sense,) = found.senses(f"w{n:03d}")
        assert (sense.gloss, sense.synonyms) == (f"number {n}", ("common",))
    assert [sense.gloss for sense in found.senses("common")] == [f"number {n}" for n in range(300)]
    assert found.senses("w30") == found.senses("w3000") == found.senses("") == ()
    assert set(found.words()) == {"common", *(f"w{n:03d}" for n in range(300))}


def test_parts_of_speech_marks_and_quotes(tmp_path):
    found = WordNet(write_wordnet(tmp_path))
    assert found.version == "3.1"
    assert [sense.pos for sense in found.senses("glow")] == ["verb", "noun"]  # by the counts
    (aglow,) = found.senses("aglow")
    assert (aglow.pos, aglow.synonyms) == ("adjective", ())
    assert found.senses("softly")[0].pos == "adverb"
    assert found.senses("darken")[0].gloss == "become dark; ‘dim’ is another word"
    assert found.synonyms("gleam") == ("glow",)
    assert found.antonyms("darken") == ("glow",)
    assert "word of mouth" in set(found.words())


def test_without_counts_its_own_order(tmp_path):
    (write_wordnet(tmp_path) / "cntlist.rev").unlink()
    assert [sense.pos for sense in WordNet(tmp_path).senses("glow")] == ["noun", "verb"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("index.noun", lambda b: b.replace(b"glow n 1", b"glow n x")),
        ("index.noun", lambda b: b.replace(b"glow n 1", b"glow n 9")),
        ("index.noun", lambda b: b.replace(b"glow n 1", b"glow n 0")),
        ("data.noun", lambda b: b[:60]),
        ("data.noun", lambda b: b"x" + b),
        ("data.noun", lambda b: b.replace(b"soft", b"s\xffft")),
        ("data.noun", lambda b: b.replace(b" 02 glow", b" 09 glow")),
        ("data.verb", lambda b: b.replace(b" 0101 01 +", b" 01zz 01 +")),
        ("data.verb", lambda b: b.replace(b" v 0101 01 +", b" q 0101 01 +", 1)),
        ("data.verb", lambda b: b.replace(b" v 0101 01 +", b" v 0109 01 +", 1)),
    ],
)
def test_damage_names_the_file(tmp_path, name, change):
    path = write_wordnet(tmp_path) / name
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(WotdError, match=f"{name}.*reinstall WordNet"):
        WordNet(tmp_path).senses("glow")


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    for name in ("WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wordnet, "_places", lambda: [tmp_path / "none", tmp_path / "w"])
    assert find_wordnet() is None
    write_wordnet(tmp_path / "w")
    assert find_wordnet() == tmp_path / "w"
    write_wordnet(tmp_path / "home" / "dict")
    monkeypatch.setenv("WNHOME", str(tmp_path / "home"))
    assert find_wordnet() == tmp_path / "home" / "dict"
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "elsewhere"))
    with pytest.raises(MissingError, match=r"elsewhere, which WNSEARCHDIR or WNHOME names, lacks index\.noun"):
        find_wordnet()
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "w"))
    (tmp_path / "w" / "data.adv").unlink()
    with pytest.raises(MissingError, match=r"lacks data\.adv"):
        find_wordnet()
