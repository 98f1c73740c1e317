"""Answers hold whatever the model: known words, all different, fitting; the encoder weighs in as it says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wotd_mlx.config.generate import METHODS, GenerateConfig
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.known import KnownWords
from wotd_mlx.language import generate
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.dsl import Between, ByAttributes, ByPattern, Like
from wotd_mlx.language.generate import Generator, append_excluded, goal_of, read_excluded, words_wanted
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.schemas import RunInfo, SemanticID, WotdError
from wotd_mlx.words.families import family


@pytest.fixture(scope="module")
def known(finished: RunInfo) -> WordIndex:
    return WordIndex.of(SemanticEncoder.load(finished.run))


@pytest.fixture(scope="module")
def generator(known: WordIndex, tiny_language: LoadedModel) -> Generator:
    return Generator(known, tiny_language)


def crowded(known: WordIndex) -> SemanticID:
    """The ID that most words share."""
    ids, counts = np.unique(known.ids, axis=0, return_counts=True)
    return SemanticID(ids[counts.argmax()])


def wide(known: WordIndex) -> Pattern:
    """The most crowded style, anything else."""
    return Pattern((frozenset([int(crowded(known)[0])]), *[None] * (len(known.levels) - 1)))


def with_table(generator: Generator, **changes: object) -> WordIndex:
    """The generator's words, with another table of what is known of them."""
    table = generator.known.known
    parts = {name: getattr(table, name) for name in table.__dataclass_fields__}
    coder = SemanticEncoder.load(generator.known.coder.run.path)
    coder.__dict__["known"] = KnownWords(**parts | changes)
    return WordIndex.of(coder)


REQUESTS = st.sampled_from(["pattern", "attributes", "like", "between"])


@given(kind=REQUESTS, n=st.integers(1, 8), method=st.sampled_from(METHODS), seed=st.integers(0, 99),
       any_word=st.booleans(), sequential=st.booleans(), rerank=st.integers(1, 3))  # fmt: skip
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_answer_holds(generator, kind, n, method, seed, any_word, sequential, rerank):
    known = generator.known
    value = next(value for value in known.coder.readings[0] if value)
    request = {
        "pattern": ByPattern(wide(known), n),
        "attributes": ByAttributes(((known.attributes[0].name, value),), n),
        "like": Like(known.words[:2], n),
        "between": Between(crowded(known), SemanticID(known.ids[0]), 0.25, n),
    }[kind]
    options = GenerateConfig(method, any_word=any_word, seed=seed, sequential=sequential, rerank=rerank)
    found = generator.generate(request, options)
    words = [word for word, *_ in found.words]
    assert len(set(words)) == len(words) == n
    assert all(list(number) == known.ids[known.row[word]].tolist() for word, number, _ in found.words)
    assert len({family(word) for word in words}) == n
    if not any_word and kind == "pattern":
        assert all(found.pattern.fits(number) for _, number, _ in found.words)
    if not any_word and kind == "attributes":
        row = known.known.row
        assert all(known.known.evidence_of(row(word))[known.attributes[0].name] == value for word in words)
    if not any_word and kind in ("pattern", "attributes"):
        assert {answer.source for answer in found.words} == {"known"}
    if kind == "like" and not any_word:
        assert not set(words) & set(known.words[:2])


def test_the_same_seed_gives_the_same_words_streamed_or_not(generator):
    request = ByPattern(wide(generator.known), 5)
    options = GenerateConfig(seed=3)
    whole = generator.generate(request, options).words
    assert tuple(generator.stream(request, options)) == whole
    others = {
        generator.generate(request, GenerateConfig("model", seed=seed, temperature=2.0)).words for seed in range(6)
    }
    assert len(others) > 1


def test_the_encoder_takes_the_nearest_and_a_heavy_blend_too(generator):
    known, request = generator.known, ByPattern(wide(generator.known), 5)
    goal = goal_of(known, request)
    nearest = [known.words[row] for row in known.nearest(goal.target, 5, goal.rows)]
    assert [word for word, *_ in generator.generate(request, GenerateConfig("encoder")).words] == nearest
    heavy = generator.generate(request, GenerateConfig("blend", weight=1e5, temperature=0.0)).words
    assert [word for word, *_ in heavy] == nearest


def test_known_words_come_first_then_likely_ones_then_the_nearest(generator, caplog):
    """Five words are known to be beautiful; of two more that is likely, the likelier comes first."""
    table = generator.known.known
    labels, guesses, sure = table.labels.copy(), table.labels.copy(), np.ones((len(table), 3), np.float32)
    a = [attribute.name for attribute in table.attributes].index("complexity")
    beautiful = table.attributes[a].values.index("beautiful")
    labels[:, a] = guesses[:, a] = -1
    alone = table.one_a_family(np.arange(len(table)))
    labels[alone[:5], a] = beautiful
    guesses[alone[5:8], a], sure[alone[5:8], a] = beautiful, [0.7, 0.9, 0.5]
    changed = with_table(generator, labels=labels, guesses=guesses, probability=sure)
    for method in METHODS:
        one = Generator(changed, generator.language)
        found = one.generate(ByAttributes((("complexity", "beautiful"),), 9), GenerateConfig(method, seed=0))
        words = [table.row(word) for word, *_ in found.words]
        assert set(words[:5]) == set(alone[:5].tolist())
        assert words[5:7] == [alone[6], alone[5]]
        assert [answer.source for answer in found.words] == ["known"] * 5 + ["predicted"] * 2 + ["nearest"] * 2
        assert found.note.endswith("; 2 more are predicted to; 2 more are the nearest to it")
        assert found.note in caplog.text
        assert {w for w, *_ in one.generate(ByAttributes((("complexity", "beautiful"),), 3)).words} <= {
            table.words[row] for row in alone[:5]
        }


def test_an_id_gives_its_own_word_first_whatever_the_method(generator, caplog):
    known = generator.known
    ids, counts = np.unique(known.ids, axis=0, return_counts=True)
    number = SemanticID(ids[(counts == 1).argmax()])
    owner = known.known.owner_of(number)
    near = [n.word for n in known.coder.around(number, 4)]
    for method in METHODS:
        found = generator.generate(ByPattern(Pattern.of(number), 4), GenerateConfig(method, seed=1)).words
        assert found[0] == (known.words[owner], number, "known")
        assert {answer.source for answer in found[1:]} == {"nearest"}
        if method == "encoder":
            assert [answer.word for answer in found] == near
    assert not caplog.text


def test_forms_of_a_word_come_only_when_asked_for(generator):
    words, heads = generator.known.words, np.arange(len(generator.known.words), dtype=np.int32)
    heads[3:6] = 3
    options = GenerateConfig("encoder", exclude=frozenset({*words[:3], *words[8:]}))
    one = Generator(with_table(generator, heads=heads), None)
    everything = Pattern((None,) * len(generator.known.levels))
    found = one.generate(ByPattern(everything, 3), options)
    assert {word for word, *_ in found.words} > {words[6], words[7]}
    assert len({word for word, *_ in found.words} & set(words[3:6])) == 1
    with pytest.raises(WotdError, match="3 known words are left, 5 were asked for"):
        one.generate(ByPattern(everything, 5), options)
    every = one.generate(ByPattern(everything, 5), replace(options, forms=True)).words
    assert {word for word, *_ in every} == set(words[3:8])


def test_reranking_comes_nearer(generator):
    known, request = generator.known, ByPattern(wide(generator.known), 3)
    target = goal_of(known, request).target

    def near(rerank):
        made = [generator.generate(request, GenerateConfig("model", seed=s, rerank=rerank)).words for s in range(8)]
        return np.mean([known.vectors[known.row[word]] @ target for words in made for word, *_ in words])

    assert near(6) > near(1)


def test_too_few_words_are_filled_up_and_said_or_refused(generator, caplog):
    known = generator.known
    ids, counts = np.unique(known.ids, axis=0, return_counts=True)
    number = SemanticID(ids[counts.argmin()])
    fit, request = int(counts.min()), ByPattern(Pattern.of(number), int(counts.min()) + 2)
    found = generator.generate(request, GenerateConfig(seed=0))
    assert f"{fit} known words fit {number}; 2 more are the nearest to it" == found.note
    assert not caplog.text  # an ID is one word's: no more was to be expected
    assert sum(number == other for _, other, _ in found.words) == fit
    with pytest.raises(WotdError, match=rf"^{fit} known words fit .*, {fit + 2} were asked for; ask for fewer"):
        generator.generate(request, GenerateConfig(strict=True))


def test_a_pattern_that_no_word_fits_offers_the_nearest(generator):
    known = generator.known
    taken = {tuple(row) for row in known.ids.tolist()}
    empty = next(number for number in np.ndindex(*known.levels) if number not in taken)
    with pytest.raises(WotdError, match=r"^0 known words fit \[.*the nearest ID with words is \[") as caught:
        generator.generate(ByPattern(Pattern.of(empty)), GenerateConfig(strict=True))
    offered = SemanticID.parse(str(caught.value).split("with words is ")[1].split(";")[0], known.levels)
    assert tuple(offered) in taken


def test_what_was_shown_does_not_come_again(generator, tmp_path):
    request, shown = ByPattern(wide(generator.known), 4), tmp_path / "shown.txt"
    assert read_excluded(shown) == ()
    for _ in range(3):
        before = read_excluded(shown)
        words = [w for w, *_ in generator.generate(request, GenerateConfig(seed=1, exclude=frozenset(before))).words]
        assert not set(words) & set(before)
        append_excluded(shown, words)
    assert len(read_excluded(shown)) == len(set(read_excluded(shown))) == 12


def test_words_are_one_however_they_are_typed(generator, tmp_path):
    known, odd = generator.known, [f" {word.upper()}\u200b" for word in generator.known.words[:3]]
    np.testing.assert_array_equal(known.embed(odd), known.vectors[:3])
    found = generator.generate(Like(tuple(word.strip() for word in odd), 5), GenerateConfig("encoder"))
    assert not {word for word, *_ in found.words} & set(known.words[:3])
    (tmp_path / "mine.txt").write_text("".join(f"{word}\n" for word in (*odd, "\ufeff")), "utf-8")
    seen = read_excluded(tmp_path / "mine.txt")
    assert seen == known.words[:3]
    for exclude in (seen, odd):
        options = GenerateConfig("encoder", any_word=True, exclude=frozenset(exclude))
        request = ByPattern(Pattern.of(known.ids[0]), 3)
        assert not {word for word, *_ in generator.generate(request, options).words} & set(known.words[:3])


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_words_are_added_to_a_file_of_ones_own(tmp_path, end):
    """Whatever ends its lines, whatever stands in it, and whether or not it is a link."""
    (tmp_path / "mine.txt").write_bytes(f"\ufeffglad\r\n\n naïve {end}".encode())
    (tmp_path / "link").symlink_to("mine.txt")
    assert read_excluded(tmp_path / "link") == ("glad", "naïve")
    append_excluded(tmp_path / "link", ["über", "calm"])
    assert (tmp_path / "link").is_symlink()
    assert read_excluded(tmp_path / "mine.txt") == ("glad", "naïve", "über", "calm")


def test_a_file_that_is_no_text_stays_as_it_is(tmp_path):
    (tmp_path / "words").write_bytes(b"glad\n\xff\n")
    with pytest.raises(WotdError, match=r"words: not UTF-8 \(byte 6\)"):
        read_excluded(tmp_path / "words")
    assert (tmp_path / "words").read_bytes() == b"glad\n\xff\n"
    with pytest.raises(WotdError, match="is a folder, expected a file"):
        read_excluded(tmp_path)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("2,1,3,0", "Generate 5 words for [2,1,3,0]"),
        ("(2,1,3,*)", "Generate 5 words for [2,1,3,*]"),
        ("*, {1,2}, 0-3, *", "Generate 5 words for [*,{1,2},0-3,*]"),
        ("style=Romantic", "Generate 5 words with style=romantic"),
        ("Romantic  victorian", "Generate 5 words with style=romantic, era=victorian"),
        ("ERA=victorian, beautiful", "Generate 5 words with era=victorian, complexity=beautiful"),
        ("Forsooth", "Generate 5 words like forsooth"),
        ("forsooth, telephone", "Generate 5 words like forsooth, telephone"),
    ],
)
def test_what_people_type_is_understood(known, text, request_):
    assert str(words_wanted(text, known)) == request_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,2", "column"),
        ("[99,*,*,*]", "99"),
        ("Encode locket", "doesn't ask for words"),
        ("Generate 5 words with mood=blue", "unknown attribute 'mood'"),
        ("plxase", "column 1"),
        ("romantic classical", "column 1"),
    ],
)
def test_requests_that_cannot_be_answered(known, text, message):
    with pytest.raises(WotdError, match=message):
        words_wanted(text, known)


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("forsoth", ["forsooth"]),
        ("romantc victorian", ["romantic victorian"]),
        ("forsoth, telephne", ["forsooth, telephone"]),
    ],
)
def test_the_nearest_readings_are_offered(known, text, readings):
    with pytest.raises(WotdError) as caught:
        words_wanted(text, known)
    told = str(caught.value).split("did you mean ")[1].rstrip("?").split("', '")
    assert [reading.strip("'") for reading in told][: len(readings)] == readings
    assert len(told) <= 3
    for reading in told:
        words_wanted(reading.strip("'"), known)  # each can be asked for as it stands


def test_no_reading_is_made_up(known):
    for text in ("[1,2", "Generate 5 words with mood=blue", "q7" * 60):
        with pytest.raises(WotdError) as caught:
            words_wanted(text, known)
        assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"method": "magic"}, {"temperature": -1}, {"temperature": float("nan")}, {"weight": -1.0}, {"rerank": 0},
     {"any_word": True, "strict": True}, {"seed": -1}, {"seed": 10**22}, {"seed": 1.5}, {"seed": True}, {"rerank": 21},
     {"rerank": 2.0}, {"temperature": float("inf")}, {"temperature": "1"}, {"weight": float("nan")}, {"strict": 1},
     {"exclude": frozenset([1])}],
)  # fmt: skip
def test_options_out_of_range(options):
    with pytest.raises(WotdError, match=next(iter(options))):
        GenerateConfig(**options)


@pytest.mark.parametrize("n", [0, 101, 10**22, 2.0, True, "5", None, float("nan")])
def test_counts_out_of_range(n):
    pattern = Pattern((None,))
    for make in (lambda: ByPattern(pattern, n), lambda: Like(("a",), n), lambda: ByAttributes((("a", "b"),), n)):
        with pytest.raises(WotdError, match="words, expected 1 to 100"):
            make()


def test_like_never_gives_the_examples_back(generator):
    words = generator.known.words[:3]
    for options in (GenerateConfig("encoder", any_word=True), GenerateConfig("blend", weight=1e5, temperature=0.0)):
        assert not {word for word, *_ in generator.generate(Like(words, 10), options).words} & set(words)


def test_a_request_longer_than_the_context(generator):
    with pytest.raises(WotdError, match=r"takes \d+ tokens, .* reads 512; ask with fewer words"):
        generator.generate(Like(tuple(generator.known.words[:150]), 2))


def test_a_run_without_a_model_says_what_to_do(known):
    alone = Generator(known, None, "encoder")
    assert len(alone.generate(ByPattern(wide(known)), GenerateConfig("encoder")).words) == 5
    with pytest.raises(WotdError, match="has no language model"):
        alone.generate(ByPattern(wide(known)), GenerateConfig("blend"))


def test_asynchronously(generator, monkeypatch):
    monkeypatch.setattr(generate, "load_generator", lambda run: generator)
    number = crowded(generator.known)
    words = asyncio.run(generate.generate_words_from_id(number, 2, options=GenerateConfig(seed=0)))
    assert len(set(words)) == 2
    assert tuple(generator.known.ids[generator.known.row[words[0]]]) == tuple(number)
    with pytest.raises(WotdError, match="numbers"):
        asyncio.run(generate.generate_words_from_id((1, 2)))
