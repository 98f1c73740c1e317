"""Fill README: its table from benchmarks/results, and from a trained run its picture and what commands print.

python -m scripts.readme                       the table alone
python -m scripts.readme --run runs/default    the picture and the commands' output too
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from benchmarks.codes_picture import OURS
from scripts.codes_page import coded
from scripts.tables import ROOT, filled, results, share, table
from wotd_mlx.taste.sqlite import DATA_VARIABLE, SqliteStore, profile_path

PAGE, PICTURE = ROOT / "README.md", ROOT / "docs" / "word.svg"
WORD = "kingly"
COMMANDS = {
    f"wotd-mlx encode {WORD} serendipity": 2,
    "wotd-mlx decode {id} -n 2": 3,
    'wotd-mlx find "pleasing to the ear" -n 2': 2,
}
"""What README shows, ``{id}`` being the word's, and how many lines of what each prints."""
DAILY = {"wotd-mlx like gossamer": 1, "wotd-mlx today": 7}
"""Likewise, for a new profile."""


def peers() -> str:
    """The default beside the strongest peer measured, whoever wins."""
    encode, codes, convert = results("encode")["text_to_id"], results("codes"), results("convert")
    constrained, lora = results("constrained")["40_words"]["ways"], results("language")["training"]
    rows = [
        (f"text → ID, {said}", "sentence-transformers and FSQ in torch", _ms(both["ours_ms"]), _ms(both[_PEER]))
        for said, both in (
            ("1 word", encode["1_word"]),
            ("256 words", encode["256_words"]),
            ("64 sentences", encode["64_sentences"]),
        )
    ]
    rows += [
        (f"words: error left / neighbours kept, {said}", *_beside(codes["words"]["rows"], ours, bits, _code))
        for said, ours, bits in (
            ("20 bits that read", "HVQ, labelled", 20),
            ("20 bits", "HVQ", 20),
            ("64 bits", "residual", 64),
            ("123 bits", "residual", 123),
        )
    ]
    rows.append(("sentences: likeness kept by 123 bits", *_beside(codes["sentences"]["rows"], "binary", 123, _kept)))
    by = {(row["model"], row["precision"], row["converter"]): row for row in convert["models"]["rows"]}
    ours, torch, other = (by[("text", "float32", name)] for name in ("ours", "torch", "mlx2coreml_rewritten"))
    rows += [
        ("LoRA on SmolLM2-135M, tokens a second", "mlx-lm", _per_second(lora["ours"]), _per_second(lora["mlx_lm"])),
        (
            "five of 40 words under a grammar",
            "outlines in mlx-lm",
            _ms(constrained["decode_together"]["ms_an_answer"]),
            _ms(constrained["outlines_in_mlx_lm"]["ms_an_answer"]),
        ),
        ("MiniLM → Core ML, operations", "coremltools, from torch", _operations(ours), _operations(torch)),
        ("", "mlx2coreml 0.1.1", _operations(ours), _operations(other)),
    ]
    return table(("", "peer", "wotd-mlx", "peer's"), rows, left=2)


_PEER = "sentence_transformers_ms"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"


def _beside(rows: Any, ours: str, bits: int, shown: Callable[[list[Any]], str]) -> tuple[str, str, str]:
    """The peer of as many bits whose figure is best, ours, and the peer's."""
    found = {(code, size): seeds for code, size, seeds in coded(rows)}
    peers = {
        f"{code}, {size:.3g} bits" if round(size) > bits else code: seeds
        for (code, size), seeds in found.items()
        if code not in OURS and bits <= round(size) < bits + 8
    }
    sign = 1 if shown is _code else -1
    best = min(peers, key=lambda peer: sign * float(shown(peers[peer]).split()[0].rstrip("%")))
    return best, shown(found[ours, bits]), shown(peers[best])


def _code(seeds: list[Any]) -> str:
    return " / ".join(share(fmean(row[key] for row in seeds)) for key in ("relative_mse", "recall_at_10"))


def _kept(seeds: list[Any]) -> str:
    return f"{100 * fmean(row['kept']['stsb-dev']['coded'] for row in seeds):.1f}%"


def _per_second(row: Any) -> str:
    return f"{row['tokens_per_second']:.0f}"


def _operations(row: Any) -> str:
    return f"{row['operations']}, {row['from_mlx']['psnr_db']:.0f} dB"


def machines() -> str:
    """Where and when the table's figures were measured."""
    said = [(results(name)["machine"]["processor"], results(name)["date"]) for name in ("encode", "constrained")]
    (first, day), (second, other) = said
    return (
        f"Two cores of an {first} ({day}; LoRA and grammar: {second}, {other}), two threads each, both sides in one "
        "run. **Apple hardware: not yet measured.**"
    )


TABLES = {"peers": peers, "machines": machines}


def console(run: Path) -> str:
    """The commands of :data:`COMMANDS`, run, and what they print."""
    (word,) = _json(run, "encode", WORD)
    shown = []
    for template, count in COMMANDS.items():
        command = template.format(id=",".join(map(str, word["id"])))
        lines = list(_printed(run, *shlex.split(command)[1:]))
        shown += [f"$ {command}", *lines[:count]]
    return "```console\n" + "\n".join(shown) + "\n```"


def daily() -> str:
    """Two likes and the word of a day, of a new profile."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[DATA_VARIABLE] = folder
        SqliteStore(profile_path(), seed=1).close()  # else it is another word each time
        shown = []
        for command, count in DAILY.items():
            shown += [f"$ {command}", *list(_printed(None, *shlex.split(command)[1:]))[:count]]
    return "```console\n" + "\n".join(shown) + "\n```"


def picture(run: Path) -> str:
    """A word, its four numbers and what they say, as an SVG that suits light and dark pages."""
    (word,) = _json(run, "encode", WORD)
    names = [*word["labels"], "variation"]
    says = [*word["labels"].values(), "among its like"]
    boxes = "".join(
        f'<g transform="translate({170 * n},0)"><rect width="150" height="92" rx="10"/>'
        f'<text class="number" x="75" y="60">{number}</text>'
        f'<text x="75" y="122">{says[n] or "unknown"}</text><text class="name" x="75" y="146">{names[n]}</text></g>'
        for n, number in enumerate(word["id"])
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" role="img" aria-label="{WORD} and its four numbers">
<style>
  text {{ font: 20px ui-serif, Georgia, serif; fill: #222; text-anchor: middle }}
  rect {{ fill: none; stroke: #888; stroke-width: 1.5 }}
  .word {{ font-size: 54px; font-style: italic }} .number {{ font-size: 44px }} .name {{ font-size: 15px; fill: #777 }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #eee }} .name {{ fill: #aaa }} }}
</style>
<text class="word" x="360" y="72">{WORD}</text>
<g transform="translate(30,120)">{boxes}</g>
</svg>
"""


def _json(run: Path, *command: str) -> Any:
    return [json.loads(line) for line in _printed(run, *command, "--json")]


def _printed(run: Path | None, *command: str) -> Iterator[str]:
    asked = [sys.executable, "-m", "wotd_mlx.cli", *command, *(["--run", str(run)] if run else [])]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    yield from (line.rstrip() for line in done.stdout.splitlines())


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="A run that `wotd-mlx train` made.")
def main(run: Path | None) -> None:
    """Fill README's table; with --run also its picture and what commands print."""
    tables = dict(TABLES)
    if run is not None:
        PICTURE.write_text(picture(run), encoding="utf-8")
        tables |= {"console": lambda: console(run), "daily": daily}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    print(PAGE.name)


if __name__ == "__main__":
    main()
