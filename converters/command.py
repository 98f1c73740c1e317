"""The converter's own command line: ``python -m converters MODULE:FUNCTION --example x=1x384``."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import click

from converters import doctor, front
from converters.backend import backend_of, chosen
from converters.capture import Example
from converters.errors import ConversionError, ConversionWarning, GateError
from converters.report import GATES_DB, Deviation, Report
from converters.subject import FORM, drawn, read, subject

ENGINES = "auto; reference, coreml; of an .aimodel coreai"
FURTHEST = 10
"""Tensors inside that ``--layers`` shows."""

PROGRAM = "python -m converters"

Command = Callable[..., Any]


class Default(click.Group):
    """A group in which arguments that name no command are those of ``convert``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args.insert(0, "convert")
        return super().parse_args(ctx, args)


@click.group(cls=Default, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """MLX functions to Core ML and Core AI packages, each checked against MLX on any machine.

    \b
    python -m converters models.small:encoder --example x=1x384
    python -m converters models.lm:Model --example ids=1x16:int32:32000 --precision float16
    python -m converters models.lm:model --example-file inputs.npz --out build/lm.mlpackage
    python -m converters verify build/lm.mlpackage models.lm:model --example-file inputs.npz
    python -m converters doctor build/lm.mlpackage

    Arguments without a command's name are those of `convert`; `convert --help` tells its options. MODULE is imported
    from the current folder or from what is installed; FUNCTION is a function of MLX arrays, an nn.Module, or a class or
    a function without parameters that makes one of them.
    """


def _given(command: Command) -> Command:
    """What both commands take: the function and its examples."""
    for decorate in (
        click.option("--layers", is_flag=True, help=f"Show the {FURTHEST} tensors inside that are furthest from MLX."),
        click.option("--example-file", "files", multiple=True, metavar="FILE", help="An .npz or .safetensors file."),
        click.option("--example", "specs", multiple=True, metavar="INPUT", help=f"A random input: {FORM}."),
        click.argument("function", metavar="MODULE:FUNCTION"),
    ):
        command = decorate(command)
    return command


@main.command()
@_given
@click.option(
    "--out",
    metavar="PATH",
    help="The package: .mlpackage or .aimodel.  [default: FUNCTION.mlpackage]",
)
@click.option("--precision", default="float32", show_default=True, help=f"One of {', '.join(GATES_DB)}.")
@click.option("--target", help="The oldest system: iOS17, iOS18 of Core ML, iOS27 of Core AI.  [default: the first]")
@click.option("--float32", multiple=True, metavar="PATH", help="A module inside that computes in float32 all the same.")
@click.option("--force", is_flag=True, help="Overwrite what is there; keep a package that is too far from MLX.")
def convert(
    function: str, specs: tuple[str, ...], files: tuple[str, ...], layers: bool, out: str | None, **options: Any
) -> None:
    """Convert MODULE:FUNCTION, and compare the saved package with MLX.

    Shapes and dtypes are the first example's; all examples are compared.
    """
    made = Path(out or f"{function.rpartition(':')[2]}.mlpackage")
    with catch_warnings():
        simplefilter("ignore", ConversionWarning)  # they are in the report too, without our source
        report = front.convert(subject(function), _examples(specs, files), made, layers=layers, **options)
    target = options["target"] or backend_of(made).TARGETS[0]
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    click.echo(f"{made}: {size / 1e3:,.0f} kB, {options['precision']}, {target}")
    _tell(report)


@main.command()
@click.argument("package", metavar="PACKAGE")
@_given
@click.option("--precision", help="Hold it to the gate of that precision: exit code 1 below it.")
@click.option("--engine", default="auto", show_default=True, help=f"What computes it: {ENGINES}.")
def verify(
    package: str,
    function: str,
    specs: tuple[str, ...],
    files: tuple[str, ...],
    layers: bool,
    precision: str | None,
    engine: str,
) -> None:
    """Compare a PACKAGE that exists with MODULE:FUNCTION."""
    if precision is not None:
        back = backend_of(package)
        chosen("precision", precision, back.PRECISIONS, back)
    report = front.verify(package, subject(function), _examples(specs, files), layers=layers, engine=engine)
    _tell(report)
    if precision and (faults := report.faults(precision)):
        raise GateError("; ".join(faults))


@main.command("doctor")
@click.argument("package", metavar="PACKAGE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def examined(package: str, as_json: bool) -> int:
    """What may go wrong with a PACKAGE, whoever made it.

    Nothing is computed. A line a finding, which docs/errors.md explains; exit code 1 where there is one.
    """
    found = doctor.examine(package)
    for finding in found:
        click.echo(finding.as_json() if as_json else str(finding))
    return int(bool(found))


def _examples(specs: Iterable[str], files: Iterable[str]) -> list[Example]:
    """What ``--example`` draws, as one, and each file."""
    random = drawn(list(specs))
    examples = ([random] if random else []) + [read(file) for file in files]
    if not examples:
        raise ConversionError("there is no example; give each input by --example NAME=SHAPE, or a file of them")
    return examples


def _tell(report: Report) -> None:
    for deviation in report.outputs.values():
        click.echo(_line(deviation))
    for told in report.warnings:
        click.echo(f"warning: {told}", err=True)
    if report.layers:
        click.echo("furthest from MLX inside:")
        floats = sorted((d for d in report.layers if d.is_float), key=lambda d: d.psnr_db)
        for deviation in floats[:FURTHEST]:
            click.echo(_line(deviation))
    for line in backend_of(report.package).remarks(report.package):
        click.echo(line)


def _line(deviation: Deviation) -> str:
    where = f" in {deviation.scope}" if deviation.scope else ""
    if not deviation.is_float:
        return f"  {deviation.name}{where}: equal in {deviation.equal:.2%} of rows"
    db = f"{deviation.psnr_db:.1f} dB" if math.isfinite(deviation.psnr_db) else "no error"
    return f"  {deviation.name}{where}: {db}, at most {deviation.max_abs_error:.1e} off"


def run(args: list[str] | None = None) -> int:
    """The command; what goes wrong is one line on stderr. Returns 0, 1 for a failure, or 2 for wrong usage."""
    try:
        code = main.main(args or sys.argv[1:] or ["--help"], PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _failed("interrupted")
    except BrokenPipeError:
        # The reader has what it wanted; Python would fail on the rest once more as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # A stranger's function fails as it likes.
    except Exception as error:
        named = isinstance(error, ValueError | OSError | NotImplementedError)
        return _failed(str(error) if named and str(error) else f"{type(error).__name__}: {error}")


def _failed(message: str, code: int = 1) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return code
