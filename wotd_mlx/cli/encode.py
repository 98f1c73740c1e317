"""``wotd-mlx encode``: texts to semantic IDs, from arguments or a stream."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator

import click

from wotd_mlx.cli.options import as_json, describe, device, print_json, run_folder

_CHUNK = 1 << 16


@click.command("encode")
@click.argument("texts", nargs=-1, metavar="[TEXT]…")
@run_folder
@click.option(
    "--encoder",
    type=click.Choice(["teacher", "student"]),
    default="teacher",
    show_default=True,
    help="Embedding model and quantiser, or the small network that learnt from them.",
)
@device
@as_json
def command(texts: tuple[str, ...], run: str, encoder: str, as_json: bool) -> None:
    """Print the semantic ID of each TEXT; without one, of each line on stdin.

    Lines are answered as they come, in order, in constant memory.

    \b
    Examples:
      wotd-mlx encode serendipity "a quiet joy"
      wotd-mlx encode --json < words.txt > ids.jsonl
      wotd-mlx encode --encoder student serendipity
    """
    from wotd_mlx.encoder import SemanticEncoder

    coder = SemanticEncoder.load(run, encoder)
    for batch in [list(texts)] if texts else _lines(sys.stdin.fileno()):
        ids, details = coder.encode_whole(batch)
        beyond = details or itertools.repeat(None, len(ids))
        rows = zip(batch, ids, coder.labels(ids), coder.confidence(ids), beyond, strict=True)
        for text, number, labels, confidence, detail in rows:
            if as_json:
                row = {"text": text, "id": list(number), "labels": labels, "confidence": round(confidence, 4)}
                print_json({**row, "detail": detail})
            else:
                click.echo(f"{text}\t{number}\t{describe(labels)}")


def _lines(stdin: int) -> Iterator[list[str]]:
    """The lines that have come by now, again and again: a fast writer gets large batches, a slow one quick answers.

    Raises:
        WotdError: a line isn't UTF-8; the lines before it are answered first.
    """
    from wotd_mlx.schemas import WotdError

    rest, number = b"", 0
    while True:
        chunk = os.read(stdin, _CHUNK)
        *lines, rest = (rest + chunk).split(b"\n")
        if not chunk and rest:
            lines.append(rest)
        batch: list[str] = []
        for line in lines:
            number += 1
            try:
                batch.append(line.removesuffix(b"\r").decode("utf-8"))
            except UnicodeDecodeError as error:
                if batch:
                    yield batch
                raise WotdError(
                    f"stdin line {number} is not UTF-8 (byte {error.start + 1}: 0x{line[error.start]:02x}); "
                    "convert the input, for instance with iconv"
                ) from error
        if batch:
            yield batch
        if not chunk:
            return
