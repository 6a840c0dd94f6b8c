"""Plots of fits over a range of contrasts, or of numbers of programs."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.pl._axes import GREY, PALETTE, ROLE_COLOURS, finish, one, panels, plain
from bcnmf_jax.tl.stored import Stored

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def alpha_path(
    adata: AnnData, *, key: str = "bcnmf", ax: Axes | None = None, show: bool = False
) -> np.ndarray:
    """Draw explained variance of both sets, and dead features, along a path of contrasts.

    Parameters
    ----------
    adata : AnnData
        That `tl.alpha_path` has been run on.
    key : str
        ``key_added`` of `tl.bcnmf`.
    ax : array of two Axes, optional
    show : bool
        Call ``matplotlib.pyplot.show``.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    KeyError, ValueError
        Where there is no path, and for another number of axes.
    """
    stored = Stored(adata, key)
    table = table_of(stored, "alpha_path", f"run bj.tl.alpha_path(adata, key={key!r}) first")
    table = table.sort_values("alpha")
    axes = panels(ax, 2, 2, 3.2, 2.6)
    alpha = table["alpha"].to_numpy()
    lost = table["result"].isin(["collapsed", "nonfinite"]).to_numpy()
    series = (
        (axes[0], "x_explained", "target", ROLE_COLOURS["target"], "-"),
        (axes[0], "y_explained", "background", ROLE_COLOURS["background"], "--"),
        (axes[1], "dead_features", "", "black", "-"),
    )
    for axis, name, label, colour, line in series:
        values = table[name].to_numpy(float)
        axis.plot(alpha, values, color=colour, linewidth=1.4, linestyle=line, label=label)
        axis.scatter(alpha[~lost], values[~lost], color=colour, s=18)
        axis.scatter(alpha[lost], values[lost], color=colour, s=28, marker="x")
    for axis, title in zip(axes, ("explained", "features left out"), strict=True):
        axis.axvline(stored.params["model"]["alpha"], color=GREY, linestyle=":", linewidth=1)
        axis.set_xlabel("alpha (per sample); dotted: the fit", fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7, colors=GREY)
        plain(axis)
    axes[0].set_ylim(min(0, axes[0].get_ylim()[0]), 1.04)
    axes[1].set_ylim(0, max(1, axes[1].get_ylim()[1]))
    if lost.any():
        axes[0].scatter([], [], color=GREY, marker="x", s=28, label="collapsed")
    axes[0].legend(fontsize=7, frameon=False)
    return finish(axes, show)


def stability(
    adata: AnnData, *, key: str = "bcnmf", ax: Axes | None = None, show: bool = False
) -> Axes:
    """Draw what the choice of the number of programs rests on.

    For each number and objective the score by which candidates are chosen, silhouette times
    specificity; where they were chosen by gain, the net gain on held-out cells with its standard
    error, and the stability of the programs between splits (cosine). The dotted line is the number
    that was chosen.

    Parameters
    ----------
    adata : AnnData
        That `tl.bcnmf` has been run on with ``n_components="auto"``.
    key : str
        ``key_added`` of `tl.bcnmf`.
    ax : Axes, optional
    show : bool
        Call ``matplotlib.pyplot.show``.

    Returns
    -------
    Axes

    Raises
    ------
    KeyError
        Where nothing was chosen.
    ValueError
        Where there were too few cells or donors to compare anything.
    """
    stored = Stored(adata, key)
    chosen = table_of(stored, "selection", 'run bj.tl.bcnmf with n_components="auto" first')
    table = chosen["table"]
    if not len(table):
        raise ValueError(f"no candidate could be compared: {'; '.join(chosen['reasons'])}")
    axis = one(ax, 3.6, 2.7)
    if "score" in table and table["score"].notna().any():
        _scores(axis, table[table["score"].notna()])
        sides = [axis]
    else:
        sides = [axis, _gains(axis, table, chosen)]
    axis.axvline(chosen["n_components"], color=GREY, linestyle=":", linewidth=1)
    axis.set_xlabel("number of programs", fontsize=8)
    axis.set_xticks(np.unique(table["n_components"]))
    for side in sides:
        side.tick_params(labelsize=7, colors=GREY)
        side.spines["top"].set_visible(False)
    axis.set_title(str(chosen["outcome"]), fontsize=9)
    return finish(axis, show)


def _scores(axis: Any, table: Any) -> None:
    """Silhouette times specificity, a line per objective and contrast."""
    for colour, ((name, alpha), rows) in zip(
        cycle(PALETTE), table.groupby(["objective", "alpha"], sort=False, dropna=False)
    ):
        rows = rows.sort_values("n_components")
        label = f"{name}, alpha {alpha:g}"
        axis.plot(
            rows["n_components"], rows["score"], color=colour, marker="o", markersize=4,
            linewidth=1.4, label=label,
        )  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.set_ylabel("silhouette x specificity", fontsize=8)
    axis.legend(fontsize=7, frameon=False)


def _gains(axis: Any, table: Any, chosen: Any) -> Any:
    """Net gain of the objective that was chosen, and on a second axis, returned, its stability."""
    same = (table["objective"] == chosen["objective"]) & (table["alpha"] == chosen["alpha"])
    table = table[same].sort_values("n_components")
    count = table["n_components"].to_numpy()
    axis.errorbar(
        count, table["net"], yerr=table["net_se"], color=PALETTE[0], marker="o", markersize=4,
        linewidth=1.4, capsize=2,
    )  # fmt: skip
    axis.axhline(0, color=GREY, linewidth=0.6)
    axis.set_ylabel("net gain on held-out cells", fontsize=8, color=PALETTE[0])
    right = axis.twinx()
    right.plot(count, table["stability"], color=PALETTE[5], marker="s", markersize=4, linewidth=1.4)
    right.set_ylim(0, 1.03)
    right.set_ylabel("stability", fontsize=8, color=PALETTE[5])
    return right


def table_of(stored: Stored, name: str, remedy: str) -> Any:
    """Something that is stored with a fit, or a KeyError that says how it comes there."""
    if name not in stored.tables:
        raise KeyError(f"uns[{stored.key!r}] has no {name!r}; {remedy}")
    return stored.tables[name]
