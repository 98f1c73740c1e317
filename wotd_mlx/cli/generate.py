"""``wotd-mlx generate``: words for a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wotd_mlx.cli.options import (
    TEXT,
    NumbersCommand,
    as_json,
    device,
    in_range,
    one_line,
    print_json,
    run_folder,
    with_gloss,
)
from wotd_mlx.config.generate import METHODS, GenerateConfig, Rerank, Temperature
from wotd_mlx.config.language import Words
from wotd_mlx.config.ranges import Seed

AUTO = "auto"
RENAMED = {"--by": "--method", "--anywhere": "--any-word", "--in-turn": "--sequential", "--shown": "--exclude"}


@click.command("generate", cls=NumbersCommand, renamed=RENAMED)
@run_folder
@click.argument("request", metavar="REQUEST", type=TEXT)
@click.option("-n", "count", type=in_range(Words), help="How many words. [default: 5, or as the request says]")
@click.option("--strict", is_flag=True, help="Only words whose ID fits; an error where there are too few.")
@click.option("--forms", is_flag=True, help="Several forms of one word too, such as dream and dreams.")
@click.option("--any-word", is_flag=True, help="Any known word, whether or not it fits: the model's own answer.")
@click.option(
    "--method", type=click.Choice((AUTO, *METHODS)), default=AUTO, show_default=True, help="What chooses; see below."
)
@click.option(
    "--temperature",
    type=in_range(Temperature),
    default=GenerateConfig.temperature,
    show_default=True,
    help="0: always the likeliest.",
)
@click.option("--seed", type=in_range(Seed), help="The same seed gives the same words.")
@click.option(
    "--rerank",
    type=in_range(Rerank),
    default=GenerateConfig.rerank,
    show_default=True,
    metavar="K",
    help="Write K words for each one asked for, keep the nearest to the request.",
)
@click.option(
    "--sequential", is_flag=True, help="One word after another, each knowing those before it; slower, shown at once."
)
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Words not to come again, a line each; what is written is added to the file.",
)
@with_gloss
@device
@as_json
def command(
    run: str,
    request: str,
    count: int | None,
    method: str,
    exclude: Path | None,
    with_gloss: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Write words for a pattern, for attributes, like examples, or between two IDs.

    A pattern has a number, *, a range or a set for each coordinate. Words come first that are known to fit, one of each
    family; where too few do, those that likely do, and then the nearest fill up, and a line says so: a word's source is
    known, predicted or nearest. The model chooses among them; a blend also
    weighs in how near each word is to what the pattern stands for, and the encoder alone takes the nearest. auto takes
    what did best when the run was trained.

    \b
    Examples:
      wotd-mlx generate "[2,1,3,*]"
      wotd-mlx generate "[0-3,{1,4},*,*]" -n 8 --strict --seed 7
      wotd-mlx generate "romantic victorian" --gloss
      wotd-mlx generate "Generate 5 words with style=romantic, era=victorian"
      wotd-mlx generate "Generate 3 words like locket, hearth"
      wotd-mlx generate "Generate 5 words at .25 between [2,1,3,0] and [2,5,3,0]"
      wotd-mlx generate "[2,1,3,*]" --exclude seen.txt --json
    """
    from dataclasses import replace

    from wotd_mlx.language.generate import append_excluded, load_generator, read_excluded, words_wanted
    from wotd_mlx.vocabulary import Vocabulary

    generator = load_generator(run)
    wanted = words_wanted(request, generator.known)
    if count is not None:
        wanted = replace(wanted, n=count)
    chosen = generator.best if method == AUTO else method
    before = read_excluded(exclude) if exclude else ()
    config = GenerateConfig(chosen, exclude=frozenset(before), **given)
    words = Vocabulary.of(generator.known.coder)
    written = list[str]()
    try:
        if as_json:
            found = generator.generate(wanted, config)
            rows = [{**answer._asdict(), "id": list(answer.id)} for answer in found.words]
            for row in rows if with_gloss else ():
                row["gloss"] = words.gloss(row["word"])
            row = {"pattern": str(found.pattern or wanted), "words": rows, "latency_ms": round(found.latency_ms, 1)}
            print_json({**row, "by": chosen, "note": found.note})
            written += [answer.word for answer in found.words]
        else:
            for answer in generator.stream(wanted, config):
                cells = [one_line(answer.word), str(answer.id), answer.source]
                click.echo("\t".join([*cells, one_line(words.gloss(answer.word) or "")] if with_gloss else cells))
                written.append(answer.word)
    finally:
        # Interrupted or not: these were seen.
        if exclude and written:
            append_excluded(exclude, written)
