"""The literature provider on a small folder: Gutenberg's wrapping, encodings, names, verse, and bad input."""

import logging
import sys

import pytest

from wotd_mlx.schemas import WotdError
from wotd_mlx.words import load_corpus, screen
from wotd_mlx.words.literature import load_literature
from wotd_mlx.words.reading import blocks, read_manifest, read_work, tally

HEAD = "The Project Gutenberg EBook of X\n\nlicence words\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n"
TAIL = "\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nEnd matter, licence words again.\n"
COLUMNS = "file\tauthor\ttitle\tyear\tera\textra\n"

FILLER = "the man went to the house and the woman saw that it was good for them all to be there at night\n" * 40
BAROQUE = FILLER + "he saw the periwig of Zedekiah and took the periwig with a rapier to the tavern\n" * 30
JAZZ = FILLER + "she played the saxophone for Zedekiah and the saxophone sang to the taxi at the café\n" * 30


@pytest.fixture
def folder(tmp_path):
    rows = [COLUMNS]
    for era, text, year in (("baroque", BAROQUE, 1680), ("jazz", JAZZ, 1925)):
        for n in range(3):
            name = f"{era}{n}.txt"
            encoded = (HEAD + text + TAIL).encode("cp1252" if name == "jazz1.txt" else "utf-8")
            (tmp_path / name).write_bytes(encoded)
            rows.append(f"{name}\tAuthor {n}\tTitle\t{year}\t{era}\tignored\n")
    (tmp_path / "manifest.tsv").write_text("".join(rows), encoding="utf-8")
    return tmp_path


def test_any_periods_become_corpora_with_evidence(folder, caplog):
    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        corpus = load_corpus(folder)
    groups = {name: {word.text for word in words} for name, words in corpus.groups.items()}
    assert groups.keys() == {"baroque", "jazz"}
    assert {"periwig", "rapier"} <= groups["baroque"]
    assert {"saxophone", "taxi"} <= groups["jazz"]
    assert not {"zedekiah", "licence", "the"} & (groups["baroque"] | groups["jazz"])
    word = next(word for word in corpus.words if word.text == "saxophone")
    assert word.labels["era"] == "jazz"
    assert word.labels["style"] == "modern"
    assert word.evidence["era_z"] > 3.5
    assert word.source.startswith("jazz")
    assert [record.getMessage() for record in caplog.records if "jazz1.txt" in record.getMessage()]
    assert len(caplog.records) == 1


def test_a_limit_a_period(folder):
    assert {len(words) for words in load_literature(folder, per_period=1).groups.values()} == {1}


def test_gutenberg_wrapping_is_cut(tmp_path):
    path = tmp_path / "w.txt"
    path.write_bytes(("\ufeff" + HEAD + "the text itself" + TAIL).encode())
    assert read_work(path).strip() == "the text itself"
    path.write_text("no wrapping\r\nat all")
    assert read_work(path) == "no wrapping\nat all"


def test_bytes_that_no_encoding_knows_are_read_and_reported(tmp_path, caplog):
    path = tmp_path / "w.txt"
    path.write_bytes(b"caf\xe9 \x81 ok")
    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        assert read_work(path).startswith("café")
    assert f"{path} is not UTF-8; read as latin-1" in caplog.text


def test_verse_is_told_from_prose():
    verse = "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\nRough winds\n"
    prose = "It was the best of times, it was the worst of times,\nit was the age of wisdom, it\nwas the age.\n"
    assert [flag for _, flag in blocks(f"{verse}\n{prose}\nOne line.")] == [True, False, None]


def test_tally_of_odd_tokens():
    known = {"tomorrow", "sealed"}.__contains__
    found = tally("he said to-morrow, seal'd it, can't, HAMLET, the lord's well-known Rome", known)
    assert found.prose["tomorrow"] == found.prose["sealed"] == found.prose["lord"] == found.prose["well"] == 1
    assert "can" not in found.prose
    assert "hamlet" not in found.prose
    assert found.capital == {"rome": 1}


def test_stage_directions_do_not_count():
    found = tally("Enter HAMLET and a stranger\n[Exeunt ghost]\nspeak the speech", lambda w: False)
    assert set(found.prose) == {"speak", "the", "speech"}


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("couldst", "could"),
        ("hath", "have"),
        ("goeth", "go"),
        ("neighborhood", "neighbourhood"),
        ("tarried", "tarry"),
    ],
)
def test_old_forms_and_spellings_are_no_words_of_their_own(form, head):
    known = {"could", "go", "neighbourhood", "tarry"}
    assert screen.head(form, known.__contains__) == head


def spoil(folder, what):
    manifest = folder / "manifest.tsv"
    text = manifest.read_text()
    if what == "no manifest":
        manifest.unlink()
    elif what == "column":
        manifest.write_text(text.replace("\tera", "\tperiod", 1))
    elif what == "rows":
        manifest.write_text(COLUMNS)
    elif what == "empty manifest":
        manifest.write_text("")
    elif what == "file":
        (folder / "jazz0.txt").unlink()
    elif what == "empty":
        (folder / "jazz0.txt").write_text(HEAD + TAIL)
    elif what == "year":
        manifest.write_text(text.replace("1925", "MCM", 1))
    elif what == "era":
        manifest.write_text(text.replace("\tjazz\t", "\t\t", 1))
    elif what == "words":
        for path in folder.glob("*.txt"):
            path.write_text(FILLER)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("no manifest", "manifest.tsv; a folder of texts needs manifest.tsv"),
        ("column", "without 'era'"),
        ("rows", "lists no works"),
        ("empty manifest", "without 'file', 'author', 'title', 'year', 'era'"),
        ("file", "manifest.tsv:5: jazz0.txt is not in"),
        ("empty", "jazz0.txt holds no text"),
        ("year", "the year is 'MCM'"),
        ("era", "file or era is empty"),
        ("words", "no word stands out"),
    ],
)
def test_bad_folders(folder, what, text):
    spoil(folder, what)
    with pytest.raises(WotdError) as caught:
        load_corpus(folder)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.txt", "'../secret.txt' lies outside"),
        ("{root}/secret.txt", "lies outside"),
        ("link.txt", "'link.txt' lies outside"),
        ("sub/../../secret.txt", "lies outside"),
        ("A" * 5000, "can't be a file's name"),
        ("a\0b", "can't be a file's name"),
    ],
)
def test_a_manifest_names_files_of_its_own_folder_only(folder, name, message):
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    manifest = folder / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("jazz0.txt", name.format(root=folder.parent), 1))
    with pytest.raises(WotdError) as caught:
        read_manifest(folder)
    assert f"{manifest}:5: " in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_package_is_named_with_what_installs_it(folder, monkeypatch):
    for name in ("cefrpy", "better_profanity"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(WotdError) as error:
        load_literature(folder)
    assert str(error.value) == (
        "words from texts need cefrpy, better_profanity; install with `pip install 'wotd-mlx[words]'`"
    )


def test_no_folder(tmp_path):
    with pytest.raises(WotdError, match="is not a folder"):
        read_manifest(tmp_path / "none")


def test_one_period_is_compared_with_today(folder):
    manifest = folder / "manifest.tsv"
    rows = [row for row in manifest.read_text().splitlines(keepends=True) if "\tjazz\t" not in row]
    manifest.write_text("".join(rows))
    groups = load_corpus(folder).groups
    assert list(groups) == ["baroque"]
    assert "periwig" in {word.text for word in groups["baroque"]}
