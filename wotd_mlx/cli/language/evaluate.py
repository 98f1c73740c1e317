"""``wotd-mlx language evaluate``: what the model of a run is worth."""

from __future__ import annotations

import click

from wotd_mlx.cli.options import as_json, device, in_range, print_json, run_folder
from wotd_mlx.config.language import Requests


@click.command("evaluate")
@run_folder
@click.option(
    "--requests", type=in_range(Requests), default=500, show_default=True, help="Requests answered for each figure."
)
@device
@as_json
def command(run: str, requests: int, as_json: bool) -> None:
    """Measure the language model of a run, and write the figures into its metrics.json.

    Perplexity of what a request determines, of words and of IDs, tuned and not; the share of answers in the right form,
    free and held to the grammar; how well words go with what was asked for, beside the nearest words and random ones,
    for IDs that training saw and for held-out ones; milliseconds for five words.

    \b
    Examples:
      wotd-mlx language evaluate
      wotd-mlx language evaluate --requests 100 --json
    """
    from wotd_mlx.io.lock import locked
    from wotd_mlx.language import stage
    from wotd_mlx.language.generate import load_generator
    from wotd_mlx.schemas import WotdError

    generator = load_generator(run)
    if generator.language is None:
        raise WotdError(f"{run} has no language model; train one with `wotd-mlx language train --run {run}`")
    known = generator.known
    folder = known.coder.run
    with locked(folder.path):
        found = stage.evaluate(known, generator.language, requests)
        folder.write_json(folder.metrics, {**folder.read_json(folder.metrics), "language": found})
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from wotd_mlx.cli.train import show_language

    show_language(Console(), found)
