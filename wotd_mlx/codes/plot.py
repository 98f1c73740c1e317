"""A picture of each coordinate: how many words each code has, what values they bear, and what it is named after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np

from wotd_mlx.codes.names import NONE, CodeName
from wotd_mlx.schemas import Attribute, WotdError


def draw(
    names: Sequence[CodeName], tables: Sequence[mx.array], attributes: Sequence[Attribute], folder: Path
) -> list[Path]:
    """Draw the coordinates that ``names`` holds into ``folder``, a PNG each; return the files.

    Raises:
        WotdError: matplotlib is not installed, or the folder can't be made.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise WotdError("pictures need matplotlib; install it with `pip install 'wotd-mlx[plots]'`") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WotdError(f"the folder {folder} can't be made: {error.strerror}") from error
    columns, files = {a.name: n for n, a in enumerate(attributes)}, []
    for coordinate in dict.fromkeys(name.coordinate for name in names):
        rows = [name for name in names if name.coordinate == coordinate]
        codes = np.array([row.code for row in rows])
        members = np.array([row.members for row in rows])
        figure, axes = plt.subplots(figsize=(10, 1.6 + 0.34 * len(rows)), layout="constrained")
        if coordinate in columns:
            table, values = np.asarray(tables[columns[coordinate]]), attributes[columns[coordinate]].values
            left = np.zeros(len(rows))
            colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.9, len(values)))
            for v, (value, colour) in enumerate(zip(values, colours, strict=True)):
                width = members * table[codes, v]
                axes.barh(codes, width, left=left, color=colour, label=value, height=0.8)
                left += width
            if (members - left > 0.5).any():
                axes.barh(codes, members - left, left=left, color="lightgrey", label=NONE, height=0.8)
            axes.legend(
                title="share among labelled words,\nvalues counted alike", loc="upper left", bbox_to_anchor=(1, 1)
            )
        else:
            axes.barh(codes, members, color="steelblue", height=0.8)
        axes.set_yticks(codes, [f"{row.code}  {', '.join(row.words[:4]) or 'no word yet'}" for row in rows], fontsize=9)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xlabel("words with this code")
        axes.set_title(f"{coordinate}: its {len(rows)} codes, each named after some of its words", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        files.append(folder / f"{coordinate.replace(' ', '-')}.png")
        figure.savefig(files[-1], dpi=110)
        plt.close(figure)
    return files
