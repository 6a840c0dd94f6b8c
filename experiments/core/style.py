"""How figures look: colours, lines, cells, legends; and files that equal rows leave unchanged."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.core.registry import known

COLLAPSED = "† more than half of the fits collapsed or were not finite"
_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "svg.hashsalt": "bcnmf_jax",  # else element names in the SVG are drawn at random
    "svg.fonttype": "none",
    "savefig.dpi": 150,
}


@contextmanager
def look() -> Iterator[None]:
    """Set matplotlib up for the paper; whatever draws or saves a figure belongs inside."""
    with matplotlib.rc_context():
        # From matplotlib's own defaults, so that a user's settings do not change the paper.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(
    rows: int, columns: int, *, width: float, height: float
) -> tuple[Figure, np.ndarray[Any, Any]]:
    """Make a figure of `rows` x `columns` panels of `width` x `height` inches each."""
    # Not pyplot: no window system, and nothing is kept between figures.
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def style(method: str, loss: str) -> dict[str, Any]:
    """Give the line of a method: a colour and marker each, squared error solid, others dashed."""
    its = known(method)
    colour, marker = its.colour, its.marker
    dashed = loss not in ("", "frobenius")
    return {
        "color": colour,
        "marker": marker,
        "linestyle": "--" if dashed else "-",
        "markerfacecolor": "white" if dashed else colour,
        "markersize": 4.5,
        "linewidth": 1.3,
    }


def band(
    axis: Axes, x: Sequence[float], settings: pd.DataFrame, score: str, method: str, loss: str
) -> None:
    """Draw the median of a score as a line and its quartiles as a band."""
    look = style(method, loss)
    axis.plot(x, settings[f"{score}_median"].to_numpy(), **look)
    low, high = (settings[f"{score}_{part}"].to_numpy() for part in ("q1", "q3"))
    axis.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def cells(
    axis: Axes,
    values: np.ndarray[Any, Any],
    failed: np.ndarray[Any, Any],
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Draw scores from 0 to 1 as coloured cells with their numbers; † where fits failed."""
    axis.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        text = f"{round(value, 2) + 0.0:.2f}" + ("†" if failed[i, j] else "")
        colour = "white" if value < 0.55 else "black"
        axis.text(j, i, text, ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(len(columns)), columns)
    if max(map(len, columns)) > 5:
        axis.tick_params(axis="x", rotation=40)
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(rows)), rows)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(title)


def legend(figure: Figure, entries: Sequence[tuple[str, str, str]]) -> None:
    """Put one legend of (name, method, loss) below all panels."""
    handles = [Line2D([], [], label=name, **style(method, loss)) for name, method, loss in entries]
    columns = min(len(handles), int(figure.get_figwidth() / 2.8))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def save(figure: Figure, name: str, folder: Path) -> str:
    """Write ``<name>.png`` and ``.svg``, equal bytes for equal figures, and return `name`."""
    # Imported here: what reads rows needs neither the package nor jax.
    from bcnmf_jax.storage.files import write_bytes

    # The date and the version of matplotlib would make every file new.
    without = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for ending, metadata in without.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, metadata=metadata)
        write_bytes(folder / f"{name}.{ending}", buffer.getvalue())
    return name
