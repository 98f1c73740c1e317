"""A day's words with a clock of our own: chosen once, at local midnight anew, whatever clocks and voters do."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.known_tables import small_table
from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.daily.day import Daily
from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.choose import Pool
from wotd_mlx.taste.sqlite import SqliteStore
from wotd_mlx.taste.votes import Vote
from wotd_mlx.vocabulary import Vocabulary

WORDS = tuple(a + b for a in ("ar", "be", "ci", "do", "el", "fu", "gy", "ho") for b in ("lb", "mn", "nt", "rk", "st"))
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 30, 12, tzinfo=BERLIN)
TODAY = NOON.date()


@pytest.fixture
def words() -> Vocabulary:
    meet = np.arange(len(WORDS)) % 4 != 0
    known = small_table(words=WORDS, width=12, meet=meet, difficulty=(np.arange(len(WORDS)) % 3).astype(np.int8))
    return Vocabulary(known, "a small table")


@pytest.fixture
def store(tmp_path) -> SqliteStore:
    return SqliteStore(tmp_path / "p.sqlite", seed=3)


def daily(words: Vocabulary, store: SqliteStore) -> Daily:
    return Daily(words, store, TasteConfig(components=4))


def vote(store: SqliteStore, kind: str, *texts: str, at: datetime = NOON) -> None:
    store.add([Vote(text, kind, at.isoformat(), at.date().isoformat()) for text in texts])


def test_a_day_keeps_its_word_whatever_is_voted(words, store):
    first = daily(words, store).of(TODAY, NOON)
    vote(store, "dislike", first[0].word)
    vote(store, "like", "armn", "bemn")
    assert daily(words, store).of(TODAY, NOON + timedelta(hours=3)) == first


def test_more_words_of_a_day_come_after_those_that_stand(words, store):
    one = daily(words, store).of(TODAY, NOON)
    three = daily(words, store).of(TODAY, NOON, 3)
    assert three[:1] == one
    assert len({given.word for given in three}) == 3
    assert daily(words, store).of(TODAY, NOON, 2) == three[:2]


def test_a_skip_gives_the_next_and_taking_it_back_the_first(words, store):
    first, second = daily(words, store).of(TODAY, NOON, 2)
    vote(store, "skip", first.word)
    (after,) = daily(words, store).of(TODAY, NOON)
    assert after == second
    vote(store, "skip", second.word)
    (third,) = daily(words, store).of(TODAY, NOON)
    assert third.word not in (first.word, second.word)
    assert store.undo() is not None
    assert daily(words, store).of(TODAY, NOON) == [second]
    assert store.undo() is not None
    assert daily(words, store).of(TODAY, NOON) == [first]


def test_only_words_worth_meeting_and_no_word_or_family_twice(words, store):
    worth = {word for word, meet in zip(words.known.words, words.known.meet, strict=True) if meet}
    vote(store, "like", "armn")
    given = [daily(words, store).of(TODAY + timedelta(days=n), NOON)[0].word for n in range(len(worth) - 1)]
    assert set(given) == worth - {"armn"}
    with pytest.raises(WotdError, match="all words of a small table"):
        daily(words, store).of(TODAY + timedelta(days=99), NOON)
    # What was given stays there to be read.
    assert daily(words, store).of(TODAY, NOON)[0].word == given[0]


def test_votes_on_words_outside_the_pool_count(words, store):
    outside = next(word for word, meet in zip(words.known.words, words.known.meet, strict=True) if not meet)
    vote(store, "like", outside, "no word of this table")
    said = daily(words, store).said(store.votes(), [])
    row = words.known.row_of[outside]
    assert said.votes[said.rows.tolist().index(row)] == 1
    assert daily(words, store).of(TODAY, NOON)[0].word != outside


def test_noise_is_by_how_a_vote_came_about(words, store):
    config = TasteConfig(components=4, seeds=("bemn", "cimn", "nothing"))
    (given,) = daily(words, store).of(TODAY, NOON)
    asked = [word for word in ("armn", "arnt", "dost") if word != given.word]
    vote(store, "like", given.word, asked[0])
    vote(store, "dislike", asked[0])
    vote(store, "skip", asked[1])
    vote(store, "know", "elrk")
    found = Daily(words, store, config).said(store.votes(), store.given())
    told = {
        words.known.words[row]: (vote, round(float(noise), 4))
        for row, vote, noise in zip(found.rows, found.votes.tolist(), found.noise, strict=True)
    }
    seeds = {word: (1.0, 0.36) for word in ("bemn", "cimn") if word not in (given.word, *asked[:2])}
    assert told == {given.word: (1.0, 0.09), asked[0]: (0.0, 0.02), asked[1]: (0.0, 0.36), **seeds}
    vote(store, "like", "hork", "homn", "holb")
    assert not {"bemn", "cimn"} - {given.word} & {
        words.known.words[row] for row in Daily(words, store, config).said(store.votes(), store.given()).rows
    }


def test_the_latest_votes_are_learnt_from(words, store):
    vote(store, "like", "armn", "arnt", "dost")
    vote(store, "dislike", "armn")
    found = Daily(words, store, TasteConfig(last=2, seeds=())).said(store.votes(), [])
    assert [words.known.words[row] for row in found.rows] == ["dost", "armn"]
    assert found.votes.tolist() == [1.0, 0.0]


def test_two_people_are_given_different_words(words, tmp_path):
    firsts = {
        tuple(one.word for one in daily(words, SqliteStore(tmp_path / f"{n}.sqlite", seed=n)).of(TODAY, NOON, 3))
        for n in range(6)
    }
    assert len(firsts) > 1


def test_known_words_lead_to_rarer_ones(words, store):
    def worth() -> Pool:
        return daily(words, store).pool(store.votes(), [])[0]

    before = worth().worth
    vote(store, "know", *[word for word, level in zip(WORDS, words.known.difficulty, strict=True) if level == 1][:6])
    assert (worth().worth < before).all()


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=BERLIN), date(2026, 11, 30)),
        (datetime(2026, 12, 1, 0, 0, 0, tzinfo=BERLIN), date(2026, 12, 1)),
        # The hour that comes twice, and the one that doesn't come.
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), date(2026, 10, 25)),
        (datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN), date(2026, 3, 29)),
        (datetime(2026, 1, 1, 0, 30, tzinfo=ZoneInfo("Pacific/Kiritimati")), date(2026, 1, 1)),
    ],
)
def test_the_day_is_that_of_the_persons_own_calendar(words, store, moment, day):
    (given,) = daily(words, store).of(moment.date(), moment)
    assert given.day == day.isoformat()
    assert datetime.fromisoformat(given.at).timestamp() == moment.timestamp()


def test_a_vote_of_the_same_second_came_before(words, store):
    vote(store, "like", "armn", at=NOON.replace(microsecond=100))
    (given,) = daily(words, store).of(TODAY, NOON.replace(microsecond=200))
    assert datetime.fromisoformat(given.at) > datetime.fromisoformat(store.votes()[0].at)


def test_a_clock_that_jumps_back_finds_the_old_words(words, store):
    yesterday, today = (daily(words, store).of(TODAY + timedelta(days=n), NOON + timedelta(days=n)) for n in (0, 1))
    assert daily(words, store).of(TODAY, NOON - timedelta(hours=9)) == yesterday
    assert daily(words, store).of(TODAY + timedelta(days=1), NOON) == today


def test_past_days_are_told_without_what_was_skipped(words, store):
    given = [daily(words, store).of(TODAY + timedelta(days=n), NOON)[0] for n in range(4)]
    vote(store, "skip", given[1].word)
    assert daily(words, store).past(TODAY + timedelta(days=2), 9) == [given[0], given[2]]
    assert daily(words, store).past(TODAY + timedelta(days=3), 2) == [given[2], given[3]]
