"""One colour, one marker and one dash for each model, the same on every picture; greys for the baselines.

Thirteen hues can't all be told apart, so each model also has a marker of its own and neighbours differ in their dash.
The thirteen colours were searched for so that any two stay apart in OKLab, as seen by an eye without fault and by one
without red or green cones (Machado et al. 2009), and so that each stands out from white paper.
"""

from __future__ import annotations

import colorsys
import zlib
from dataclasses import dataclass
from typing import Any, Literal

Dash = Literal["solid"] | tuple[float, tuple[float, ...]]

SOLID: Dash = "solid"
DASHED: Dash = (0, (5, 2))
DOTTED: Dash = (0, (1.2, 1.6))
DASH_DOTTED: Dash = (0, (6, 2, 1.2, 2))


_SCALES = {"*": 1.5, "P": 1.15, "X": 1.1, "d": 1.15, "D": 0.85, "s": 0.9}


@dataclass(frozen=True)
class Style:
    """How a row of the table is drawn.

    Args:
        colour: ``#rrggbb``.
        marker: matplotlib's name of it.
        dash: a matplotlib line style.
    """

    colour: str
    marker: str
    dash: Dash = SOLID

    @property
    def scale(self) -> float:
        """What a marker's size is multiplied by, so that all look equally large."""
        return _SCALES.get(self.marker, 1.0)

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a matplotlib line without markers."""
        return {"color": self.colour, "linestyle": self.dash}


MODELS = {
    "lstm": Style("#006bae", "o", SOLID),
    "gru": Style("#00aeff", "s", DASHED),
    "transformer": Style("#a1286b", "^", SOLID),
    "distilgpt2": Style("#f26bbc", "v", DASHED),
    "performer": Style("#a17900", "D", SOLID),
    "linformer": Style("#79bc00", "<", DASHED),
    "s4": Style("#435e00", ">", SOLID),
    "hyena": Style("#369479", "p", DASHED),
    "retnet": Style("#6b0028", "P", DOTTED),
    "mamba2": Style("#5e0df2", "X", SOLID),
    "hybrid": Style("#866bff", "h", DASHED),
    "rwkv": Style("#0000bc", "*", DOTTED),
    "lcm": Style("#510079", "d", DASH_DOTTED),
}
BASELINES = {
    "copy-last": Style("#a8a8a8", "o", DOTTED),
    "mean of context": Style("#8c8c8c", "s", DASHED),
    "five scalars": Style("#6e6e6e", "^", DASH_DOTTED),
    "ridge": Style("#3c3c3c", "D", SOLID),
    "scalars": Style("#555555", "v", (0, (3, 1.5, 1, 1.5, 1, 1.5))),
}
_SPARE_MARKERS = "os^vD<>pPXh*d"


def style(name: str, baseline: bool = False) -> Style:
    """The style of a row. One of an unknown name depends on the name alone, so it stays from run to run."""
    if known := (BASELINES if baseline else MODELS).get(name):
        return known
    number = zlib.crc32(name.encode())
    marker = _SPARE_MARKERS[number % len(_SPARE_MARKERS)]
    if baseline:
        grey = 70 + number % 90
        return Style(f"#{grey:02x}{grey:02x}{grey:02x}", marker, DASHED)
    red, green, blue = colorsys.hls_to_rgb((number >> 8) % 360 / 360, 0.38, 0.75)
    return Style(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}", marker, DASHED)
