"""Files of the language stage: chat rows in mlx-lm's format, and definitions and examples of an augmentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wotd_mlx.files import write_atomically
from wotd_mlx.language import dsl
from wotd_mlx.schemas import WotdError

Row = dict[str, Any]


class Gloss(NamedTuple):
    """What an augmentation knows about a word: what it means, and sentences with it; either may be missing."""

    definition: str = ""
    examples: tuple[str, ...] = ()


def write_jsonl_rows(folder: str | Path, rows: Mapping[str, Sequence[Row]]) -> None:
    """Write ``folder/<name>.jsonl`` for each name, such as ``{"train": …, "valid": …, "test": …}``, a row a line."""
    for name, part in rows.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        write_atomically(Path(folder) / f"{name}.jsonl", lines.encode())


def read_jsonl_rows(path: str | Path) -> list[Row]:
    """Read the rows that :func:`write_jsonl_rows` wrote.

    Raises:
        WotdError: no such file, or a line that is no chat row of a request and its answer; it names file and line.
    """
    rows = []
    for where, row in _json_lines(Path(path), "the dataset's rows"):
        messages = row.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            messages = []
        if [m.get("role") for m in messages] != ["user", "assistant"]:
            raise WotdError(f'{where}: expected {{"messages": [{{"role": "user", …}}, {{"role": "assistant", …}}]}}')
        if not all(isinstance(m.get("content"), str) for m in messages):
            raise WotdError(f"{where}: a message's 'content' is no text")
        rows.append(row)
    return rows


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
