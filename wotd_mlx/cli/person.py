"""What the commands about a person's taste share: the profile, the words, and a vote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from wotd_mlx.cli.options import TEXT, as_json, known_run, one_line, print_json
from wotd_mlx.schemas import MissingError, WotdError

if TYPE_CHECKING:
    from wotd_mlx.daily.day import Daily
    from wotd_mlx.taste.sqlite import SqliteStore
    from wotd_mlx.vocabulary import Vocabulary

profile = click.option(
    "--profile", default="default", show_default=True, metavar="NAME", help="Whose votes and words these are."
)

_SUGGESTED = 3
_LONGEST_SHOWN = 60


@contextmanager
def opened(name: str) -> Iterator[SqliteStore]:
    """A profile, while it is used."""
    from wotd_mlx.taste.sqlite import SqliteStore, profile_path

    with closing(SqliteStore(profile_path(name))) as store:
        yield store


def now() -> datetime:
    """The person's time."""
    from wotd_mlx.daily import clock

    return clock.now()


def day_of(text: str | None) -> date:
    """A day as it is written, or today's.

    Raises:
        WotdError: no such day.
    """
    if text is None:
        return now().date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise WotdError(f"{text[:_LONGEST_SHOWN]!r} is no day; write it as 2026-11-30") from error


def known_word(words: Vocabulary, text: str) -> str:
    """A word in its normal form.

    Raises:
        WotdError: it isn't known; those that are spelt most like it are named.
    """
    from difflib import get_close_matches

    from wotd_mlx.taste.votes import LONGEST
    from wotd_mlx.words.normal import normal

    word = normal(text)
    if word in words.known.row_of:
        return word
    like = get_close_matches(word, words.known.words, _SUGGESTED) if word and len(word) <= LONGEST else []
    hint = f"did you mean {', '.join(like)}?" if like else "vote on a word that `wotd-mlx show` knows"
    raise MissingError(f"{text[:_LONGEST_SHOWN]!r} is none of {words.name}; {hint}")


def vote(kind: str, texts: Sequence[str], daily: Daily) -> list[str]:
    """Keep a vote on words, or on today's where none is named; returns each word as it stands in the profile."""
    from wotd_mlx.taste.votes import Vote

    at = now()
    named = [known_word(daily.words, text) for text in texts]
    chosen = list(dict.fromkeys(named)) or [daily.of(at.date(), at)[0].word]
    daily.store.add([Vote.of(word, kind, at) for word in chosen])
    return chosen


def vote_command(kind: str, said: str, help_text: str) -> click.Command:
    """A command that votes.

    Args:
        said: what is told of each word, after it.
        help_text: the command's help.
    """

    @click.command(kind, help=help_text)
    @click.argument("words", nargs=-1, metavar="[WORD]...", type=TEXT)
    @profile
    @known_run
    @as_json
    def command(words: Sequence[str], profile: str, run: str | None, as_json: bool) -> None:
        from wotd_mlx.daily.day import Daily
        from wotd_mlx.vocabulary import Vocabulary

        vocabulary = Vocabulary.open(run)
        with opened(profile) as store:
            voted = vote(kind, words, Daily(vocabulary, store))
        for word in voted:
            if as_json:
                print_json({"word": word, "vote": kind})
            else:
                click.echo(f"{one_line(word)}: {said}")

    return command
