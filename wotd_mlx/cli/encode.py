"""``wotd-mlx encode``: texts to semantic IDs, from arguments or a stream."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import click

from wotd_mlx.cli.options import TEXT, as_json, describe, device, known_run, one_line, print_json, rounded, with_gloss
from wotd_mlx.config.student import ENCODERS

log = logging.getLogger("wotd_mlx")

_CHUNK = 1 << 16
_MAX_LINE = 1 << 17
"""Bytes of a line that are kept: what an embedding model looks at, each character of it the longest."""


@click.command("encode")
@click.argument("texts", nargs=-1, metavar="[TEXT]…", type=TEXT)
@known_run
@click.option(
    "--encoder",
    type=click.Choice(ENCODERS),
    default="teacher",
    show_default=True,
    help="The embedding model and the quantiser, or the small network distilled from them.",
)
@with_gloss
@device
@as_json
def command(texts: tuple[str, ...], run: str | None, encoder: str, with_gloss: bool, as_json: bool) -> None:
    """Print the semantic ID of each TEXT and what it reads as; without TEXT, of each line on stdin.

    What is known of a word is looked up; of any other text it is predicted, and "source" says so.

    Lines are answered as they come, in order, in constant memory. Of a text that is longer than the model reads, the
    beginning counts: "truncated" in --json says so, and else a line at the end.

    \b
    Examples:
      wotd-mlx encode serendipity "a quiet joy"
      wotd-mlx encode --json < words.txt > ids.jsonl
      wotd-mlx encode --encoder student serendipity
    """
    from wotd_mlx.vocabulary import Vocabulary

    words = Vocabulary.open(run, encoder)
    if words.coder is None:
        click.echo(f"from {words.name}", err=True)
    answered = truncated = 0
    for batch in [[(text, False) for text in texts]] if texts else _lines(sys.stdin.fileno()):
        cuts = 0
        for (_, cut), found in zip(batch, words.read([text for text, _ in batch]), strict=True):
            cuts += cut or found.truncated
            if as_json:
                row = found._asdict() | {"id": list(found.id), "probability": rounded(found.probability)}
                row["truncated"] = cut or found.truncated
                print_json({**row, "gloss": words.gloss(found.text)} if with_gloss else row)
            else:
                cells = [one_line(found.text), str(found.id), describe(found.labels), found.source]
                click.echo("\t".join([*cells, one_line(words.gloss(found.text) or "")] if with_gloss else cells))
        answered, truncated = answered + len(batch), truncated + cuts
    if truncated and not as_json:
        log.warning("%d of %d texts are longer than what is read; their IDs are their beginnings'", truncated, answered)


def _lines(stdin: int) -> Iterator[list[tuple[str, bool]]]:
    """The lines that have come by now, again and again, and whether the end of one was cut off: a fast writer gets
    large batches, a slow one quick answers, and a line without an end takes no memory.

    Raises:
        WotdError: a line isn't UTF-8; the lines before it are answered first.
    """
    from wotd_mlx.schemas import WotdError

    line, cut, number = bytearray(), False, 0
    while True:
        chunk = os.read(stdin, _CHUNK)
        parts = chunk.split(b"\n") if chunk else [b"", b""] if line else [b""]
        batch: list[tuple[str, bool]] = []
        for i, part in enumerate(parts):
            room = _MAX_LINE - len(line)
            line += part[:room]
            cut = cut or len(part) > room
            if i == len(parts) - 1:
                break  # its end is still to come
            number += 1
            try:
                batch.append((_decoded(line, cut), cut))
            except UnicodeDecodeError as error:
                if batch:
                    yield batch
                raise WotdError(
                    f"stdin line {number} is not UTF-8 (byte {error.start + 1}: 0x{line[error.start]:02x}); "
                    "convert the input, for instance with iconv"
                ) from error
            line, cut = bytearray(), False
        if batch:
            yield batch
        if not chunk:
            return


def _decoded(line: bytearray, cut: bool) -> str:
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        if cut and error.end == len(line) and len(line) - error.start < 4:
            return line[: error.start].decode("utf-8")  # cut within a character
        raise
