"""``wotd-mlx lvm evaluate``: figures of the trained predictors beside the baselines."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.cli.lvm.options import COUNT, out
from wotd_mlx.cli.options import as_json, device, print_json


@click.command("evaluate")
@out
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE|DIR", help="The sentences, where they have moved."
)
@click.option(
    "--ood", type=click.Path(path_type=Path), metavar="FILE|DIR", help="Out-of-domain text to measure on as well."
)
@click.option("--context", type=COUNT, help="Embeddings that every row reads.  [default: the longest trained with]")
@device
@as_json
def command(
    names: tuple[str, ...], out: Path, data: Path | None, ood: Path | None, context: int | None, as_json: bool
) -> None:
    """Measure the trained predictors: error, cosine, margin, retrieval, speed and memory, failures.

    Beside them stand copy-last, the mean of the context, five least-squares weights, ridge, and the fitted weights
    that models learn the rest of. Candidates are all sentences but those of the context. Writes
    validation_results.json, retrieval_results.json and inference_benchmarks.json under DIR/evaluation.

    \b
    Examples:
      wotd-mlx lvm evaluate
      wotd-mlx lvm evaluate gru mamba2 --context 16
      wotd-mlx lvm evaluate --ood novels/
    """
    from rich.console import Console

    from wotd_mlx.lvm import architecture
    from wotd_mlx.lvm.data.embeddings import digest, sentence_embeddings
    from wotd_mlx.lvm.data.sentences import read_sentences
    from wotd_mlx.lvm.evaluation.evaluate import agreed, evaluate
    from wotd_mlx.lvm.report.results import read_results
    from wotd_mlx.lvm.report.table import rich_table
    from wotd_mlx.lvm.store import ModelFolder, trained_models
    from wotd_mlx.schemas import MissingError

    for name in names:
        architecture(name)
    found = list(names) or trained_models(out)
    if not found:
        raise MissingError(
            f"{out} holds no trained model; make one with `wotd-mlx lvm train gru --data FILE --out {out}`"
        )
    settings = ModelFolder(out, found[0]).settings()
    sentences = read_sentences(data or Path(settings.data))
    theirs = read_sentences(ood) if ood else None
    told = digest(sentences, settings.embedding)
    # Embedding may take hours: whatever can be refused is refused before.
    agreed(out, found, told)
    embeddings = sentence_embeddings(sentences, settings.embedding, out / "embeddings")
    other = (theirs, sentence_embeddings(theirs, settings.embedding, out / "embeddings")) if theirs else None
    files = evaluate(
        out,
        found,
        sentences,
        embeddings,
        other,
        ood_file=str(ood) if ood else None,
        context=context,
        digest=told,
    )
    if as_json:
        print_json({"files": [str(file) for file in (files.validation, files.retrieval, files.benchmarks)]})
        return
    Console().print(rich_table(read_results(out)))
    click.echo(f"Next: wotd-mlx lvm compare --out {out}")
