"""``wotd-mlx train``: the main job."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wotd_mlx.backend import GIB
from wotd_mlx.cli.options import as_json, describe, device, in_range, one_line, print_json
from wotd_mlx.config import KINDS, TrainingConfig
from wotd_mlx.config.ranges import Count, Gigabytes, Natural, Seed
from wotd_mlx.io.records import checked
from wotd_mlx.io.yaml import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

    from wotd_mlx.schemas import RunInfo

log = logging.getLogger("wotd_mlx")


@click.command("train")
@click.option(
    "--out", default="runs/default", show_default=True, metavar="DIR", help="Folder that the run is written to."
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings as YAML.")
@click.option("--corpus", metavar="builtin|DIR|FILE", help="The built-in table, a folder of texts, JSONL or CSV.")
@click.option("--lexicon/--no-lexicon", default=None, help="Train the codes on the built-in lexicon too.")
@click.option("--embedding", metavar="ID|DIR", help="Embedding model, or a folder with one.")
@click.option(
    "--codes",
    type=click.Choice(list(KINDS)),
    help="Kind of quantiser: a dictionary, scalars or small codebooks, whose IDs are read; residual or binary codes, "
    "which keep most of a vector.",
)
@click.option("--levels", metavar="K,K,…|auto", help="Codes in each coordinate, such as 8,8,8,5; auto needs --bits.")
@click.option("--bits", type=in_range(Count), help="Bits of an ID; its levels follow from the data, or the kind.")
@click.option(
    "--detail",
    type=in_range(Natural),
    metavar="BITS",
    help="Bits of a residual code beyond the ID, which keeps more of a vector.",
)
@click.option("--epochs", type=in_range(Count), help="Passes over the training words, at most.")
@click.option("--seed", type=in_range(Seed), help="The same seed gives the same IDs.")
@click.option("--student", is_flag=True, default=None, help="Distil a small network for `encode --encoder student`.")
@click.option(
    "--language", metavar="auto|none|ID", help="Language model to tune; none leaves that stage out. [default: auto]"
)
@click.option(
    "--memory-limit", type=in_range(Gigabytes), metavar="GB", help="Memory that a training may take. [default: 8]"
)
@click.option("--cache/--no-cache", default=True, show_default=True, help="Keep embeddings for other runs.")
@click.option("--compile/--no-compile", "fuse", default=None, help="Fuse the training step with mx.compile.")
@device
@as_json
def command(out: str, config_file: Path | None, cache: bool, as_json: bool, **given: Any) -> None:
    """Train words → embeddings → codes → language model into a run folder.

    A run that was interrupted goes on from its last whole stage, and the language model's training from where it was;
    a finished one is shown again. The first three stages take minutes; `--language none` leaves it at that.

    \b
    Examples:
      wotd-mlx train
      wotd-mlx train --language none
      wotd-mlx train --language mlx-community/Qwen2.5-0.5B-Instruct-4bit --out runs/qwen
      wotd-mlx train --codes rvq --out runs/rvq
      wotd-mlx train --corpus moods.csv --levels 6,6,8 --out runs/moods
      wotd-mlx train --levels 32,32,32,32 --detail 103 --out runs/123bits
      wotd-mlx train --levels auto --bits 20 --out runs/auto
      wotd-mlx train --codes residual --bits 64 --language none --out runs/residual
      wotd-mlx train --codes binary --language none --out runs/binary
      wotd-mlx train --student
      wotd-mlx train --corpus my-words.jsonl --out runs/mine --seed 7
    """
    from wotd_mlx.pipeline import train_wotd_pipeline

    settings = read_yaml(config_file) if config_file else {}
    for part in ("codes", "language"):
        checked(dict[str, Any], settings.get(part, {}), f"{config_file}: {part}")
    checked(str, settings.get("corpus", ""), f"{config_file}: corpus")
    if cache and "cache" not in settings:
        settings["cache"] = _cache_file()
    config = checked(TrainingConfig, _merge(settings, given), str(config_file or "options"))
    info = train_wotd_pipeline(config, out)
    if as_json:
        print_json({"run": str(info.run), "seconds": info.seconds, "metrics": info.metrics})
    else:
        show(info)


def _cache_file() -> str | None:
    """Where embedded words are kept for other runs, unless the settings name a place; None where nothing can be."""
    from wotd_mlx.kernels.library import cache_folder

    try:
        cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        log.warning("no cache of embedded words: %s", error)
        return None
    return str(cache_folder() / "embeddings.sqlite")


def _merge(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Options over the file's settings; an option that wasn't given changes nothing. A CSV brings its attributes."""
    from wotd_mlx.words.csv_table import SUFFIXES, read_csv

    levels, language = given.pop("levels"), given.pop("language")
    options = {"kind": "codes", "compile": "fuse"} | {name: name for name in ("bits", "detail", "epochs")}
    codes = {key: given.pop(option) for key, option in options.items()}
    if levels == "auto":
        if codes["bits"] is None:
            raise click.UsageError("--levels auto needs --bits, such as --bits 20")
        codes["levels"] = []
    elif levels is not None:
        try:
            codes["levels"] = [int(k) for k in levels.split(",")]
        except ValueError as error:
            raise click.BadParameter(f"{levels!r} is not a list such as 8,8,8,5", param_hint="--levels") from error
    if (gigabytes := given.pop("memory_limit")) is not None:
        given["memory_limit"] = int(gigabytes * GIB)
    merged = {**settings, **{key: value for key, value in given.items() if value is not None}}
    if language is not None:
        merged["language"] = {**settings.get("language", {}), "model": language}
    if codes := {key: value for key, value in codes.items() if value is not None}:
        merged["codes"] = {**settings.get("codes", {}), **codes}
    if Path(corpus := merged.get("corpus", "builtin")).suffix in SUFFIXES and "attributes" not in merged:
        merged["attributes"] = [asdict(attribute) for attribute in read_csv(corpus)[1]]
    return merged


def show(info: RunInfo) -> None:
    """The run on screen: where it is, its metrics, ten words, seconds and memory a stage."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    codes = info.metrics["codes"]
    console.print(f"\n[bold]{info.run}[/bold]  {codes['kind']} {codes['levels']}, {codes['bits']:.1f} bits")

    figures = Table(title="Codes, on held-out words", title_justify="left")
    for name in ("relative MSE", "cosine", "Spearman", "recall@10", "usage a level, %", "collisions"):
        figures.add_column(name, justify="right")
    usage = " ".join(f"{100 * u:.0f}" for u in codes["usage"])
    names = ("relative_mse", "cosine", "spearman", "recall_at_10")
    figures.add_row(*(_number(codes[name]) for name in names), usage, f"{codes['collision_rate']:.0%}")
    console.print(figures)

    labels = Table(title="Labels of held-out words, balanced accuracy", title_justify="left")
    for name in ("attribute", "accuracy", "linear probe on the whole vector", "ratio"):
        labels.add_column(name, justify="left" if name == "attribute" else "right")
    for name, accuracy in codes["label_accuracy"].items():
        probe = codes["label_probe"][name]
        ratio = accuracy / probe if accuracy is not None and probe else None
        labels.add_row(name, *map(_number, (accuracy, probe, ratio)))
    console.print(labels)

    if student := info.metrics.get("student"):
        agreement = " ".join(f"{share:.0%}" for share in student["agreement"])
        console.print(f"Student: {student['bytes'] / 1e6:.1f} MB, agrees with the teacher on {agreement}")

    words = Table(title="Ten of its words", title_justify="left")
    for name in ("word", "ID", "reads as"):
        words.add_column(name)
    for word, number, reading in sample(info):
        words.add_row(word, number, reading)
    console.print(words)

    if language := info.metrics.get("language"):
        show_language(console, language)

    stages = Table(title="Stages", title_justify="left")
    for name in ("stage", "seconds", "peak memory, MB"):
        stages.add_column(name, justify="left" if name == "stage" else "right")
    for name, seconds in info.metrics["seconds"].items():
        stages.add_row(name, f"{seconds:.1f}", f"{info.metrics['peak_bytes'][name] / 1e6:,.0f}")
    stages.add_row("total", f"{info.seconds:.1f}", "")
    console.print(stages)
    request = '"[2,1,3,*]"' if language and len(codes["levels"]) == 4 else ""
    following = f"generate --run {info.run} {request}" if request else f"encode --run {info.run} serendipity"
    console.print(f"Next: wotd-mlx {following}", highlight=False)


def show_language(console: Console, found: Mapping[str, Any]) -> None:
    """Perplexities, form and meaning of the language model, and words that it wrote."""
    from rich.table import Table
    from rich.text import Text

    figures = Table(title=f"Language, {found['model']}, on held-out requests", title_justify="left")
    for name in ("", "tuned", "untuned"):
        figures.add_column(name, justify="right" if name else "left")
    for name, key in (("what the request determines", "perplexity"), ("words", "perplexity_words")):
        figures.add_row(f"perplexity of {name}", _number(found.get(key)), _number(found.get(f"{key}_base")))
    for name, key in (
        ("answers in the right form, free", "format_adherence"),
        ("answers in the right form, held to the grammar", "format_adherence_constrained"),
        ("words that fit", "semantic_consistency"),
    ):
        figures.add_row(name, f"{found[key]:.0%}", "")
    figures.add_row("five words", f"{found['latency_ms_p50']:.0f} ms", "")
    console.print(figures)
    written = Table(title=f"What it writes ({found['best']})", title_justify="left")
    for name in ("request", "words"):
        written.add_column(name)
    for row in found["samples"]:
        written.add_row(Text(row["request"]), Text(", ".join(row["words"])))
    console.print(written)


def sample(info: RunInfo) -> list[tuple[str, str, str]]:
    """Ten words spread evenly over the corpora: text, ID, labels that its coordinates read as."""
    from rich.markup import escape

    from wotd_mlx.encoder import SemanticEncoder

    coder = SemanticEncoder.load(info.run)
    ids = coder.own_ids
    texts = list(ids)[:: max(1, len(ids) // 10)][:10]
    chosen = [ids[text] for text in texts]
    return [
        (escape(one_line(text)), str(number), escape(describe(labels)))
        for text, number, labels in zip(texts, chosen, coder.labels(chosen), strict=True)
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
