"""``wotd-mlx completion``: the shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wotd_mlx.cli.options import as_json, print_json

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@as_json
@click.pass_context
def command(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print what has SHELL complete commands and options.

    \b
    Examples:
      wotd-mlx completion bash >> ~/.bashrc
      wotd-mlx completion zsh  >> ~/.zshrc
      wotd-mlx completion fish > ~/.config/fish/completions/wotd-mlx.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # SHELLS are click's own
    source = found(ctx.find_root().command, {}, "wotd-mlx", "_WOTD_MLX_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "source": source})
    else:
        click.echo(source)
