"""``wotd-mlx language train``: adapters for the words of a run."""

from __future__ import annotations

from typing import Any

import click

from wotd_mlx.backend import GIB
from wotd_mlx.cli.options import TEXT, as_json, device, in_range, print_json, run_folder
from wotd_mlx.config.language import METHODS, Layers
from wotd_mlx.config.ranges import Count, Gigabytes, Part, Positive, Seed

LORA = ("method", "rank", "scale", "dropout", "layers")


@click.command("train")
@run_folder
@click.option(
    "--model",
    type=TEXT,
    metavar="ID",
    help="Language model to tune: a hub id, a folder or a GGUF file. [default: the run's]",
)
@click.option("--method", type=click.Choice(METHODS), help="Low-rank adapters, weight-decomposed ones, or all weights.")
@click.option(
    "--rank", type=in_range(Count), help="Rank r of an adapter; more learns more and takes memory. [default: 8]"
)
@click.option("--scale", type=in_range(Positive), help="Scale of an adapter, α / r. [default: 2]")
@click.option("--dropout", type=in_range(Part), help="Dropout on an adapter's input. [default: 0]")
@click.option(
    "--layers",
    type=in_range(Layers),
    help="Transformer layers to adapt, counted from the last; -1 for all. [default: 16]",
)
@click.option(
    "--keys", type=TEXT, metavar="A,B,…", help="Which linear layers of those, such as self_attn.q_proj. [default: all]"
)
@click.option("--steps", type=in_range(Count), help="Steps of the optimiser.")
@click.option("--minutes", type=in_range(Positive), help="Instead of steps: train for about so long.")
@click.option("--batch", type=in_range(Count), help="Rows a step. [default: 8]")
@click.option(
    "--learning-rate", type=in_range(Positive), help="Peak learning rate; warm-up, then a cosine. [default: 1.5e-3]"
)
@click.option("--checkpointing", is_flag=True, help="Compute activations twice to save memory.")
@click.option(
    "--memory-limit", type=in_range(Gigabytes), metavar="GB", help="Memory that a training may take. [default: 8]"
)
@click.option("--seed", type=in_range(Seed), help="Seed of adapters and order.")
@click.option("--fresh", is_flag=True, help="Start over; without it a training goes on.")
@device
@as_json
def command(
    run: str,
    model: str | None,
    keys: str | None,
    checkpointing: bool,
    memory_limit: float | None,
    fresh: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train adapters that make a language model write the run's words, or go on with them.

    The dataset is made from the run's words and IDs, some whole IDs kept out. A training that was killed goes on where
    it was; `--fresh` starts over. `mlx_lm.generate --adapter-path RUN/language` reads what it writes.

    \b
    Examples:
      wotd-mlx language train
      wotd-mlx language train --minutes 30 --rank 16 --fresh
      wotd-mlx language train --model mlx-community/Phi-3.5-mini-instruct-4bit --layers 16 --fresh
    """
    from dataclasses import replace

    from wotd_mlx import backend
    from wotd_mlx.encoder import SemanticEncoder
    from wotd_mlx.io.lock import locked
    from wotd_mlx.language.models import AUTO
    from wotd_mlx.language.stage import DSLTrainer
    from wotd_mlx.language.word_index import WordIndex
    from wotd_mlx.run_folder import RunFolder

    lora = {name: given.pop(name) for name in LORA} | {"keys": tuple(keys.split(",")) if keys else None}
    settings = {name: value for name, value in given.items() if value is not None}
    # Steps and minutes exclude each other, so one that is given takes the place of the other.
    settings |= {"minutes": 0.0} if "steps" in settings else {"steps": 0} if "minutes" in settings else {}
    settings |= {"checkpointing": True} if checkpointing else {}
    folder = RunFolder(run)
    folder.read_config()  # a folder that is no run isn't made one
    with locked(folder.path):
        known = WordIndex.of(SemanticEncoder.load(run))
        config = known.coder.config.language
        tuned = replace(config.recipe.lora, **{name: value for name, value in lora.items() if value is not None})
        config = replace(config, recipe=replace(config.recipe, lora=tuned, **settings))
        config = config if model is None else replace(config, model=model)
        backend.set_memory_limit(int(memory_limit * GIB) if memory_limit else known.coder.config.memory_limit)
        trainer = DSLTrainer(known, config)
        trainer.make_dataset()
        # A run may come from elsewhere: what it names is looked for on this machine alone.
        language = trainer.train(fresh, download=model is not None or config.model == AUTO)
    if as_json:
        print_json({"adapters": str(folder.language), "model": language.name})
    else:
        click.echo(f"{language.name} in {folder.language}\nNext: wotd-mlx language evaluate --run {run}")
