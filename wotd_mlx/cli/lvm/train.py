"""``wotd-mlx lvm train``: one predictor, or all of them."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from wotd_mlx.backend import DEFAULT_MEMORY_LIMIT, GIB
from wotd_mlx.cli.lvm.options import COUNT, out
from wotd_mlx.cli.options import Float, as_json, device, print_json
from wotd_mlx.config import TrainingConfig
from wotd_mlx.config.lvm import BASES, PRECISIONS, RECIPES
from wotd_mlx.config.ranges import MAX_SEED

log = logging.getLogger("wotd_mlx")


@click.command("train")
@click.argument("name", metavar="NAME|all")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE|DIR", help="Sentences in order.")
@click.option(
    "--embedding",
    default=TrainingConfig.embedding,
    show_default=True,
    metavar="ID|DIR|FILE.npy",
    help="Embedding model, or its embeddings.",
)
@click.option("--preset", "size", type=click.Choice(tuple(RECIPES)), default="tiny", show_default=True, help="Size.")
@out
@click.option("--context", type=COUNT, help="Embeddings that a model reads at most.")
@click.option("--epochs", type=COUNT, help="Passes over the training articles, at most.")
@click.option("--batch", type=COUNT, help="Windows a step of the optimiser.")
@click.option(
    "--learning-rate",
    type=Float(0, 1e9, min_open=True),
    help="Of the optimiser; falls where the loss stays on a plateau.",
)
@click.option("--contrastive", type=Float(0, 1e9), help="Weight of the contrastive loss beside the squared error.")
@click.option("--base", type=click.Choice(BASES), help="How a model uses fitted weights of its context.")
@click.option("--context-dropout", type=Float(0, 1, max_open=True), help="Share of embeddings hidden in training.")
@click.option("--noise", type=Float(0, 1e9), help="Deviation of noise on the embeddings read in training.")
@click.option("--ema", type=Float(0, 1, max_open=True), help="Decay of the averaged weights that are kept.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="Of what is computed.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Of weights, order and dropout.")
@click.option("--memory-limit", type=Float(0.1, 1e6), metavar="GB", help="Picks micro-batches. [default: 8]")
@click.option("--fresh", is_flag=True, help="Start over where a training lies already.")
@device
@as_json
def command(
    name: str,
    data: Path,
    embedding: str,
    size: str,
    out: Path,
    memory_limit: float | None,
    fresh: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train predictors of the next sentence's embedding.

    The data is a table with tabs and the columns article_id and sentence (sent_idx, title and topic where known), in
    reading order; or a text file, or a folder of them. Articles are split into training, validation and test as wholes.
    Interrupted trainings go on where they were when the same command is given again.

    \b
    Examples:
      wotd-mlx lvm train gru --data sentences.tsv
      wotd-mlx lvm train all --data sentences.tsv --preset tiny
      wotd-mlx lvm train mamba2 --data sentences.tsv --preset paper --embedding BAAI/bge-base-en-v1.5
      wotd-mlx lvm train lstm --data sentences.tsv --context 16 --epochs 3 --out artifacts/short
    """
    from wotd_mlx.lvm import NAMES, architecture
    from wotd_mlx.lvm.data.embeddings import sentence_embeddings
    from wotd_mlx.lvm.data.sentences import read_sentences
    from wotd_mlx.lvm.training.train import settings_for, train

    names = NAMES if name == "all" else (name,)
    for each in names:
        architecture(each)
    recipe = replace(RECIPES[size], **{key: value for key, value in given.items() if value is not None})
    sentences = read_sentences(data)
    embeddings = sentence_embeddings(sentences, embedding, out / "embeddings")
    limit = int(memory_limit * GIB) if memory_limit else DEFAULT_MEMORY_LIMIT
    for each in names:
        settings = settings_for(each, size, recipe, sentences, embeddings, embedding, data)
        for epoch in train(settings, sentences, embeddings, out, limit, fresh):
            if as_json:
                print_json({"name": each, **asdict(epoch)})
            else:
                click.echo(
                    f"{each} epoch {epoch.epoch}: loss {epoch.train_loss:.4f} in training, {epoch.valid_loss:.4f} in "
                    f"validation, cosine {epoch.valid_cosine:.4f}, margin {epoch.valid_margin:+.4f}, "
                    f"{epoch.seconds:.0f} s" + (", best" if epoch.best else "")
                )
    if not as_json:
        click.echo(f"Next: wotd-mlx lvm evaluate --out {out}")
