"""What all pictures share: paper, type, axes, legends and the file they are saved to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wotd_mlx.io.files import write_atomically
from wotd_mlx.lvm.report.colours import style
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2328", "#59636e", "#d8dee4"
DPI = 130
LONGEST = 26
"""Characters of a name that a picture shows."""

_TYPE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#8c959f",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "text.color": INK,
    # Names may hold dollar signs, which are no formulas.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Plot:
    """A picture in ``comparison_plots``: its file, its heading in the report, and what is to be seen in it."""

    file: Path
    title: str
    caption: str


@contextmanager
def canvas(file: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches that is saved to ``file``, whole or not at all, when the block ends.

    Raises:
        WotdError: matplotlib is not installed, or the file can't be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise WotdError("pictures need matplotlib; install it with `pip install 'wotd-mlx[plots]'`") from error
    with rc_context(_TYPE):
        # A figure of its own, without pyplot: the caller's back end and open figures are left as they are.
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        held = BytesIO()
        figure.savefig(held, format="png", dpi=DPI, metadata={"Software": None})
    try:
        write_atomically(file, held.getvalue())
    except OSError as error:
        raise WotdError(f"{file} can't be written: {error.strerror}") from error


def short(name: str, longest: int = LONGEST) -> str:
    """A name on one line, cut with an ellipsis where it is long."""
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def model_keys(figure: Figure, models: Sequence[str]) -> None:
    """A legend of the models' lines, on the right outside the axes."""
    from matplotlib.lines import Line2D

    keys = []
    for name in models:
        drawn = style(name)
        keys.append(Line2D([], [], marker=drawn.marker, markersize=6 * drawn.scale, linewidth=1.6,
                           label=short(name), **drawn.line))  # fmt: skip
    figure.legend(handles=keys, loc="outside right upper", handlelength=3.2)


def _panels(count: int) -> tuple[int, int]:
    """Rows and columns of so many small panels."""
    columns = min(count, 4 if count <= 12 else 5)
    return math.ceil(count / columns), columns


def panels_size(count: int, height: float) -> tuple[float, float]:
    """Width and height of a figure of so many small panels, each of the given height."""
    rows, columns = _panels(count)
    return min(1.2 + 2.1 * max(columns, 2), 9.6), 1.0 + height * rows


def multiples(figure: Figure, names: Sequence[str]) -> dict[str, Axes]:
    """A small panel for each name with shared axes; its title bears the name and the model's marker."""
    from matplotlib.transforms import ScaledTranslation

    rows, columns = _panels(len(names))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(names, grid.flat, strict=False))
    for n, axes in enumerate(grid.flat):
        if n >= len(names):
            axes.set_visible(False)
            continue
        # Below the last row's empty places the axes above bear the labels.
        axes.tick_params(labelbottom=n + columns >= len(names), labelleft=n % columns == 0)
        drawn = style(names[n])
        above = axes.transAxes + ScaledTranslation(0.06, 0.11, figure.dpi_scale_trans)
        axes.plot(0, 1, drawn.marker, color=drawn.colour, markersize=6 * drawn.scale, transform=above, clip_on=False,
                  scalex=False, scaley=False)  # fmt: skip
        axes.set_title(f"     {short(names[n], 18)}", fontsize=9.5)
    return panels


def log_axis(axes: Axes, along: str, values: Sequence[float], units: Callable[[float], str]) -> None:
    """A logarithmic axis round the values, with ticks at round numbers, fine enough that there are some.

    Args:
        along: ``x`` or ``y``.
        units: number -> text of a tick.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values) / 1.25, max(values) * 1.25
    for fine in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [m * 10.0**e for e in range(-15, 19) for m in fine if low <= m * 10.0**e <= high]
        if len(ticks) >= 3:
            break
    axis = axes.xaxis if along == "x" else axes.yaxis
    if along == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // 8)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: units(value)))


def whole_epochs(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
