"""``wotd-mlx language fuse``: one model folder of model and adapters."""

from __future__ import annotations

from pathlib import Path

import click

from wotd_mlx.cli.options import as_json, device, print_json, run_folder


@click.command("fuse")
@run_folder
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder.")
@device
@as_json
def command(run: str, out: Path, as_json: bool) -> None:
    """Write the run's language model with its adapters in the weights, for mlx-lm and whatever reads its folders.

    \b
    Examples:
      wotd-mlx language fuse --out build/words-model
      mlx_lm.generate --model build/words-model --prompt "Generate 5 words for [2,1,3,*]"
    """
    from wotd_mlx.language.generate import load_generator
    from wotd_mlx.language.lora import fuse
    from wotd_mlx.schemas import WotdError

    language = load_generator(run).language
    if language is None:
        raise WotdError(f"{run} has no language model; train one with `wotd-mlx language train --run {run}`")
    folder = fuse(language, out)
    if as_json:
        print_json({"model": str(folder)})
    else:
        click.echo(f"wrote {folder}")
