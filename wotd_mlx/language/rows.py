"""Files of the language stage: exchanges in mlx-lm's chat format, and definitions and examples of an augmentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wotd_mlx.files import write_atomically
from wotd_mlx.language import dsl
from wotd_mlx.schemas import WotdError


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


def write_exchanges(folder: str | Path, splits: Mapping[str, Sequence[Exchange]]) -> None:
    """Write ``folder/<name>.jsonl`` for each name, such as ``{"train": …, "valid": …, "test": …}``, a row a line:
    ``{"messages": [user, assistant], "kind", "held_out"}``."""
    for name, part in splits.items():
        lines = "".join(json.dumps(_chat_row(row), ensure_ascii=False) + "\n" for row in part)
        write_atomically(Path(folder) / f"{name}.jsonl", lines.encode())


def _chat_row(row: Exchange) -> dict[str, Any]:
    said = {"user": row.request, "assistant": row.answer}
    messages = [{"role": role, "content": content} for role, content in said.items()]
    return {"messages": messages, "kind": row.kind, "held_out": row.held_out}


def read_exchanges(path: str | Path) -> list[Exchange]:
    """Read the rows of a dataset's file, or of any in mlx-lm's chat format; further keys are for others.

    Raises:
        WotdError: no such file, or a line that is no request with its answer; it names file and line.
    """
    return [row for _, row in exchanges_of(path)]


def exchanges_of(path: str | Path) -> Iterator[tuple[str, Exchange]]:
    """``file:line`` and row of :func:`read_exchanges`, for who has more to say about a row."""
    expected = 'expected {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}'
    for where, row in _json_lines(Path(path), "the dataset's rows"):
        messages = row.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise WotdError(f"{where}: no messages; {expected}")
        if (roles := [message.get("role") for message in messages]) != ["user", "assistant"]:
            raise WotdError(f"{where}: roles {roles}; {expected}")
        request, answer = (message.get("content") for message in messages)
        if not (isinstance(request, str) and isinstance(answer, str) and request and answer):
            raise WotdError(f"{where}: a message's 'content' is no text; {expected}")
        yield where, Exchange(request, answer, str(row.get("kind", "")), bool(row.get("held_out")))


def read_glosses(path: str | Path) -> dict[str, Gloss]:
    """Read an augmentation: JSON lines ``{"word", "definition", "examples"}``, of which only the word is required.

    Texts become one line each. Of a word that comes again, the later definition counts and examples add up.

    Raises:
        WotdError: no such file, or a line that isn't such an object; it names file and line.
    """
    found: dict[str, Gloss] = {}
    for where, row in _json_lines(Path(path), "definitions and examples"):
        if unknown := sorted(row.keys() - {"word", "definition", "examples"}):
            raise WotdError(f"{where}: unknown keys {unknown}; known keys are word, definition, examples")
        word, definition, examples = row.get("word"), row.get("definition") or "", row.get("examples") or []
        if not isinstance(word, str) or not dsl.can_write(word.strip()):
            raise WotdError(f"{where}: 'word' is {word!r}; expected a text without commas and brackets")
        if not isinstance(definition, str):
            raise WotdError(f"{where}: 'definition' is {definition!r}; expected a text")
        if not isinstance(examples, list) or not all(isinstance(example, str) for example in examples):
            raise WotdError(f"{where}: 'examples' is {examples!r}; expected a list of texts")
        before = found.get(word.strip(), Gloss())
        lines = [" ".join(text.split()) for text in (definition, *examples)]
        try:
            for line in filter(None, lines):
                dsl.print_answer(line)
        except WotdError as error:
            raise WotdError(f"{where}: {error}") from error
        kept = dict.fromkeys((*before.examples, *filter(None, lines[1:])))
        found[word.strip()] = Gloss(lines[0] or before.definition, tuple(kept))
    return found


def _json_lines(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """``file:line`` and object of each line that isn't blank."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise WotdError(f"{path} can't be read ({error.strerror}); give a .jsonl file of {what}") from error
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise WotdError(f"{where}: not JSON in UTF-8 ({error}); write one object a line") from error
            if not isinstance(row, dict):
                raise WotdError(f"{where}: got {type(row).__name__}, expected an object")
            yield where, row
