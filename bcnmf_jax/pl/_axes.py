"""Colours and axes that the plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito (2008), which colour-blind readers can tell apart.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
ROLE_COLOURS = {"target": "#D55E00", "background": "#0072B2", "other": "#999999"}
GREY = "#666666"


def plain(axis: Any) -> None:
    """Leave the two spines that carry a scale."""
    axis.spines[["top", "right"]].set_visible(False)


def one(ax: Axes | None, width: float, height: float) -> Any:
    """The axes given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", "bio")
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def panels(ax: Axes | None, count: int, columns: int, width: float, height: float) -> np.ndarray:
    """As many axes as asked for: those given, or those of a new figure, ``columns`` in a row.

    Raises
    ------
    ValueError
        Where another number of axes is given.
    """
    if ax is not None:
        found = np.ravel(np.asarray(ax, object))
        if len(found) != count:
            raise ValueError(f"ax has {len(found)} axes; {count} panels are drawn")
        return found
    pyplot = require("matplotlib.pyplot", "bio")
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (columns * width, rows * height)
    _, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in grid.flat[count:]:
        axis.remove()
    return grid.ravel()[:count]


def finish(found: Any, show: bool) -> Any:
    """The axes of a plot, shown first where asked for."""
    if show:
        require("matplotlib.pyplot", "bio").show()
    return found
