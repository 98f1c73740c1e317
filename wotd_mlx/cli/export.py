"""``wotd-mlx export``: a part of a run as a Core ML or Core AI package, with what an app needs beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from wotd_mlx.cli.options import as_json, print_json
from wotd_mlx.config.export import FORMATS, MAX_CONTEXT, MIN_LENGTH, PRECISIONS, TARGETS, ExportConfig
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from wotd_mlx.export.packages import Exported


@click.command("export")
@click.argument("target", metavar="text-encoder|encoder|decoder|lvm:NAME", required=False)
@click.option(
    "--run",
    metavar="DIR",
    help="What `wotd-mlx train` made [default: runs/default], or `wotd-mlx lvm train` [default: artifacts/lvm].",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder for the bundle; required to export."
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default=ExportConfig.format,
    show_default=True,
    help="An .mlpackage for Core ML, an .aimodel for Core AI of iOS and macOS 27, or both in one bundle.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=ExportConfig.precision,
    show_default=True,
    help="float16 runs on the Neural Engine; int8 and palettes are smaller, and refused where IDs read otherwise. "
    "Core AI has no palettes.",
)
@click.option(
    "--length",
    type=click.IntRange(min=MIN_LENGTH),
    default=ExportConfig.length,
    show_default=True,
    metavar="TOKENS",
    help="Tokens of a text encoder, fixed: 16 for words, 64 or 128 for text.",
)
@click.option(
    "--context",
    type=click.IntRange(1, MAX_CONTEXT),
    metavar="5|16|ANY",
    help="Vectors that an lvm predictor takes, fixed  [default: as many as it was trained with]",
)
@click.option(
    "--minimum-target",
    type=click.Choice(TARGETS),
    default=ExportConfig.target,
    show_default=True,
    help="The oldest system that must run the Core ML package: iOS 17 is macOS 14, iOS 18 macOS 15.",
)
@click.option("--layers", is_flag=True, help="Compare every tensor inside too, and print how far each is off.")
@click.option("--force", is_flag=True, help="Replace DIR, and keep a package that is too far from its source.")
@click.option(
    "--doctor",
    "package",
    metavar="FILE",
    help="Export nothing; tell what may go wrong with this .mlpackage or .aimodel: exit code 1 if anything.",
)
@as_json
def command(
    target: str | None,
    run: str | None,
    out: Path | None,
    format: str,
    precision: str,
    length: int,
    context: int | None,
    minimum_target: str,
    layers: bool,
    force: bool,
    package: str | None,
    as_json: bool,
) -> None:
    """Export a part of a run, or a predictor, to Core ML, Core AI or both, for an iPhone or Mac app.

    Every export is compared with its source on 1,000 words of the run, or 200 contexts, before it is kept: by Core ML
    itself on a Mac, by a reference executor elsewhere; a Core AI package by Apple's runtime for it, which is slow in
    int8: text encoders and predictors there on 64 of them.

    \b
    text-encoder  token ids and mask → vector and label probabilities; with the dictionary that an ID is searched
                  among, words, labels, fixtures and a Swift package
    encoder       an embedding → its ID
    decoder       an ID → the vector that it stands for
    lvm:NAME      the last vectors, oldest first → the next one, by a predictor of `wotd-mlx lvm list`

    \b
    Examples:
      wotd-mlx export text-encoder --out build/bundle
      wotd-mlx export text-encoder --length 64 --out build/sentences
      wotd-mlx export text-encoder --precision int8 --minimum-target iOS18 --out build/small
      wotd-mlx export text-encoder --format both --out build/both
      wotd-mlx export encoder --precision float32 --out build/encoder
      wotd-mlx export lvm:gru --context 16 --out build/gru
      wotd-mlx export --doctor build/gru/gru.mlpackage
    """
    if package is not None:
        _examine(package, as_json)
        return
    if target is None:
        raise click.UsageError("Missing argument 'text-encoder|encoder|decoder|lvm:NAME'.")
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    from wotd_mlx.export.bundle import export

    asked = click.get_current_context().get_parameter_source("minimum_target")
    if format == "coreai" and asked is ParameterSource.COMMANDLINE:
        raise click.UsageError("--minimum-target is for Core ML; a Core AI package needs iOS 27")
    config = ExportConfig(precision, minimum_target, length, context, layers, force, format)
    kind, _, model = target.partition(":")
    if kind == "lvm":
        from wotd_mlx.export.predictor import export_predictor

        made = export_predictor(Path(run or "artifacts/lvm"), model, out, config)
    else:
        from wotd_mlx.encoder import SemanticEncoder

        if context is not None:
            raise click.UsageError(f"--context goes with lvm:NAME; {target} takes no context")
        made = export(SemanticEncoder.load(run or "runs/default"), target, out, config)
    if as_json:
        row = _row(made, kind == "lvm")
        print_json(row if made.coreai is None else {**row, "coreai": _row(made.coreai, kind == "lvm")})
        return
    _tell(made)
    if made.coreai:
        _tell(made.coreai)


def _row(made: Exported, is_predictor: bool) -> dict[str, Any]:
    """What ``--json`` says of a package; a predictor has no codes."""
    worst = float(made.report.psnr_db)
    db = None if worst == float("inf") else round(worst, 2)
    row = {"package": str(made.package), "bytes": made.bytes, "psnr_db": db}
    return {**row, "codes_equal": None if is_predictor else made.report.codes_equal}


def _tell(made: Exported) -> None:
    """A package for people."""
    examples = f"{made.report.examples:,}"
    if made.left_out:
        examples += f" of {made.report.examples + made.left_out:,}"
    click.echo(f"{made.package}  {made.bytes / 1e6:.1f} MB, {examples} {made.checked} by {made.report.engine}:")
    for name, deviation in made.report.outputs.items():
        error = f"largest error {deviation.max_abs_error:.2g}, {deviation.psnr_db:.1f} dB"
        click.echo(f"  {name:10} {error if deviation.is_float else f'equal in {deviation.equal:.2%}'}")
    for told in made.report.warnings:
        click.echo(f"  {told}", err=True)
    if made.format == "coreai":
        click.echo(f"  {made.operations} operations; what a device's units take of them isn't published")
    else:
        _tell_off_engine(made)
    for deviation in made.report.layers:
        click.echo(f"  {deviation.psnr_db:7.1f} dB  {deviation.scope:40} {deviation.name}")


def _tell_off_engine(made: Exported) -> None:
    off: Counter[str] = Counter()
    for found in made.off_engine:
        off[found.op] += found.count
    listed = ", ".join(f"{op} ×{count}" for op, count in off.most_common(6)) + (" …" if len(off) > 6 else "")
    click.echo(
        f"  not expected on the Neural Engine: {off.total()} of {made.operations} operations"
        + (f" ({listed}); manifest.json says why" if off else "")
    )


def _examine(package: str, as_json: bool) -> None:
    """Tell what the doctor finds; exit code 1 where it is something."""
    from converters.doctor import examine

    try:
        found = examine(package)
    except (ValueError, FileNotFoundError, NotImplementedError) as error:
        raise WotdError(str(error)) from error
    for finding in found:
        if as_json:
            print_json(asdict(finding))
        else:
            click.echo(str(finding))
    if found:
        raise click.exceptions.Exit(1)
