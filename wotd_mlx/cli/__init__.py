"""The command line: one file a command, loaded when it is called. Nothing is loaded here, not even click."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from wotd_mlx.cli.program import COMMANDS as COMMANDS
    from wotd_mlx.cli.program import LazyGroup as LazyGroup
    from wotd_mlx.cli.program import main as main

__all__ = ["COMMANDS", "LazyGroup", "main"]


def __getattr__(name: str) -> object:
    """``main`` is the click command, and the others are what its groups are made with."""
    if name not in __all__:
        raise AttributeError(f"module 'wotd_mlx.cli' has no attribute {name!r}")
    from wotd_mlx.cli import program

    found: object = getattr(program, name)
    return found
