"""``wotd-mlx generate``: words for a request."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.cli.options import TEXT, Float, NumbersCommand, as_json, device, one_line, print_json, run_folder
from wotd_mlx.config.language import MAX_WORDS
from wotd_mlx.config.ranges import MAX_SEED

BY = ("auto", "blend", "model", "encoder")


@click.command("generate", cls=NumbersCommand)
@run_folder
@click.argument("request", metavar="REQUEST", type=TEXT)
@click.option(
    "-n", "count", type=click.IntRange(1, MAX_WORDS), help="How many words. [default: 5, or as the request says]"
)
@click.option("--strict", is_flag=True, help="Only words whose ID fits; an error where there are too few.")
@click.option("--anywhere", is_flag=True, help="Any known word: what the model itself makes of the request.")
@click.option("--by", type=click.Choice(BY), default="auto", show_default=True, help="What chooses; see below.")
@click.option("--temperature", type=Float(0, 10), default=0.7, show_default=True, help="0: always the likeliest.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="The same seed gives the same words.")
@click.option("--rerank", type=click.IntRange(1, 20), default=1, show_default=True, metavar="K",
              help="Write K words for each one asked, keep the nearest to what was asked for.")  # fmt: skip
@click.option("--in-turn", is_flag=True, help="Each word knows those before it; slower, and shown as they come.")
@click.option("--shown", type=click.Path(path_type=Path), metavar="FILE",
              help="Words shown before, a line each: none comes again, and what is given is added.")  # fmt: skip
@device
@as_json
def command(
    run: str,
    request: str,
    count: int | None,
    strict: bool,
    by: str,
    temperature: float,
    seed: int | None,
    rerank: int,
    in_turn: bool,
    anywhere: bool,
    shown: Path | None,
    as_json: bool,
) -> None:
    """Write words for a pattern, for attributes, like examples, or between two IDs.

    A pattern has a number, *, a range or a set for each coordinate. Words are known ones, all different, and fit the
    pattern; where too few do, the nearest fill up, and a line says so. The model chooses among them; a blend also
    weighs in how near each word is to what the pattern stands for, and the encoder alone takes the nearest. auto takes
    what did best when the run was trained.

    \b
    Examples:
      wotd-mlx generate "[2,1,3,*]"
      wotd-mlx generate "[0-3,{1,4},*,*]" -n 8 --strict --seed 7
      wotd-mlx generate "Generate 5 words with style=romantic, era=victorian"
      wotd-mlx generate "Generate 3 words like locket, hearth"
      wotd-mlx generate "Generate 5 words at .25 between [2,1,3,0] and [2,5,3,0]"
      wotd-mlx generate "[2,1,3,*]" --shown shown.txt --json
    """
    from dataclasses import replace

    from wotd_mlx.language.generate import Options, add_shown, load_generator, read_shown, words_wanted

    generator = load_generator(run)
    wanted = words_wanted(request, generator.known)
    if count is not None:
        wanted = replace(wanted, n=count)
    before = read_shown(shown) if shown else ()
    chosen = generator.best if by == "auto" else by
    options = Options(
        chosen,
        anywhere=anywhere,
        strict=strict,
        temperature=temperature,
        seed=seed,
        in_turn=in_turn,
        rerank=rerank,
        exclude=frozenset(before),
    )
    given = list[str]()
    try:
        if as_json:
            found = generator.generate(wanted, options)
            words = [{"word": word, "id": list(number)} for word, number in found.words]
            row = {"pattern": str(found.pattern or wanted), "words": words, "latency_ms": round(found.latency_ms, 1)}
            print_json({**row, "by": chosen, "note": found.note})
            given += [word for word, _ in found.words]
        else:
            for word, number in generator.stream(wanted, options):
                click.echo(f"{one_line(word)}\t{number}")
                given.append(word)
    finally:
        # Interrupted or not: these were seen.
        if shown and given:
            add_shown(shown, given)
