"""Files of the language stage: exchanges in mlx-lm's chat format, and definitions and examples of an augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from msgspec import Meta

from wotd_mlx.io.files import write_atomically
from wotd_mlx.io.json import json_line, read_json_lines
from wotd_mlx.io.records import shown
from wotd_mlx.language import dsl
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.normal import normal


class Exchange(NamedTuple):
    """A row of a dataset: a request and its answer, as texts of the DSL; the request's kind, and whether it asks about
    IDs that are held out of training."""

    request: str
    answer: str
    kind: str = ""
    held_out: bool = False


class Gloss(NamedTuple):
    """What an augmentation knows about a word: what it means, and sentences with it; either may be missing."""

    definition: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Message:
    role: str
    content: Annotated[str, Meta(min_length=1)]
    further_keys: ClassVar[bool] = True


@dataclass(frozen=True)
class _ChatRow:
    """A line of a file that mlx-lm trains on, with keys of ours."""

    messages: tuple[_Message, ...]
    kind: str = ""
    held_out: bool = False
    further_keys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (roles := [message.role for message in self.messages]) != ["user", "assistant"]:
            raise WotdError(f"messages have roles {shown(roles)}, expected ['user', 'assistant']")


@dataclass(frozen=True)
class _GlossRow:
    word: str
    definition: str | None = None
    examples: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not dsl.can_write(normal(self.word)):
            raise WotdError(f"word is {shown(self.word)}, expected a text without commas and brackets")


def write_exchanges(folder: str | Path, splits: Mapping[str, Sequence[Exchange]]) -> None:
    """Write ``folder/<name>.jsonl`` for each name, such as ``{"train": …, "valid": …, "test": …}``, a row a line:
    ``{"messages": [user, assistant], "kind", "held_out"}``."""
    for name, part in splits.items():
        write_atomically(Path(folder) / f"{name}.jsonl", b"".join(json_line(_chat_row(row)) for row in part))


def _chat_row(row: Exchange) -> dict[str, Any]:
    said = {"user": row.request, "assistant": row.answer}
    messages = [{"role": role, "content": content} for role, content in said.items()]
    return {"messages": messages, "kind": row.kind, "held_out": row.held_out}


def read_exchanges(path: str | Path) -> list[Exchange]:
    """Read the rows of a dataset's file, or of any in mlx-lm's chat format; further keys are for others.

    Raises:
        MissingError: no such file.
        WotdError: a line that is no request with its answer; it names file, line and key.
    """
    return [row for _, row in exchanges_of(path)]


def exchanges_of(path: str | Path) -> Iterator[tuple[str, Exchange]]:
    """``file:line`` and row of :func:`read_exchanges`, for who has more to say about a row."""
    for where, row in read_json_lines(Path(path), _ChatRow, "give a .jsonl file of requests and answers"):
        request, answer = (message.content for message in row.messages)
        yield where, Exchange(request, answer, row.kind, row.held_out)


def read_glosses(path: str | Path) -> dict[str, Gloss]:
    """Read an augmentation: JSON lines ``{"word", "definition", "examples"}``, of which only the word is required.

    Words are kept in their normal form, texts become one line each. Of a word that comes again, the later definition
    counts and examples add up.

    Raises:
        MissingError: no such file.
        WotdError: a line that isn't such an object; it names file, line and key.
    """
    found: dict[str, Gloss] = {}
    for where, row in read_json_lines(Path(path), _GlossRow, "give a .jsonl file of definitions and examples"):
        before = found.get(normal(row.word), Gloss())
        lines = [" ".join(text.split()) for text in (row.definition or "", *(row.examples or ()))]
        try:
            for line in filter(None, lines):
                dsl.print_answer(line)
        except WotdError as error:
            raise WotdError(f"{where}: {error}") from error
        kept = dict.fromkeys((*before.examples, *filter(None, lines[1:])))
        found[normal(row.word)] = Gloss(lines[0] or before.definition, tuple(kept))
    return found
