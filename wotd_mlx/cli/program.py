"""The click command ``wotd-mlx``; no logic here beyond errors and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

from wotd_mlx.schemas import WotdError

COMMANDS = (
    *("today", "like", "dislike", "skip", "know", "undo", "history", "profile", "review"),
    *("feed", "schedule"),
    *("train", "encode", "decode", "find", "show", "interpolate", "codes", "generate"),
    *("language", "export", "lvm", "status", "completion"),
)


class LazyGroup(click.Group):
    """A group whose commands are modules of one package, so that ``--help`` loads neither MLX nor numpy."""

    def __init__(self, *args: Any, package: str = "wotd_mlx.cli", names: Sequence[str] = COMMANDS, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.package, self.names = package, names

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names:
            return None
        command: click.Command = import_module(f"{self.package}.{cmd_name}").command
        return command


class Main(LazyGroup):
    """The program: errors and exit codes, of the options and ``--help`` as of the commands."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _told_in_one_line():
            if sys.stdout is None:
                raise WotdError("stdout is closed; send it to a file, or to /dev/null")
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _told_in_one_line():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """What goes wrong inside becomes one line on stderr and exit code 1 (wrong usage: click's own 2)."""
    try:
        yield
    except WotdError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted"
    except BrokenPipeError:
        _abandon_stdout()  # the reader has what it wanted (`| head`)
        raise click.exceptions.Exit(0) from None
    except OSError as error:
        message = f"{error.filename or 'writing'}: {error.strerror or error}"
        if error.filename is None:
            _abandon_stdout()
    except MemoryError:
        message = "out of memory; lower --memory-limit or close other programs"
    else:
        return
    with suppress(OSError):  # stderr is full as well
        click.echo(f"error: {message}", err=True)
    raise click.exceptions.Exit(1)


def _abandon_stdout() -> None:
    """Send what is still in stdout's buffer nowhere: Python would fail on it once more as it exits."""
    with suppress(OSError):  # a caller's stdout, which is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return f"warning: {text}" if record.levelno >= logging.WARNING else text


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="wotd-mlx")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.pass_context
def main(ctx: click.Context, verbose: bool) -> None:
    """A word a day, to your taste; words to four-number semantic IDs, and back.

    \b
    wotd-mlx today                       the word of the day, and why this one
    wotd-mlx like                        it is to your taste; or dislike, skip, know, undo
    wotd-mlx train                       train on the built-in words, into runs/default
    wotd-mlx encode serendipity forsooth the ID and labels of each word
    wotd-mlx decode 2,1,3,0              what an ID stands for
    wotd-mlx find "pleasing to the ear"  the words that a description means
    wotd-mlx show serendipity            all that is known of a word
    wotd-mlx generate "[2,1,3,*]"        words for a pattern of IDs
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    log = logging.getLogger("wotd_mlx")
    log.handlers = [handler]
    # What takes minutes tells how it goes; the others answer, and speak up only when something is wrong.
    quiet = logging.INFO if ctx.invoked_subcommand in ("train", "export", "language", "lvm") else logging.WARNING
    log.setLevel(logging.DEBUG if verbose else quiet)
