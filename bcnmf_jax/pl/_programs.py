"""Top genes of programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bcnmf_jax.pl._axes import GREY, finish, panels, plain
from bcnmf_jax.tl.programs import rank_programs
from bcnmf_jax.tl.stored import Stored, check_programs

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def programs(
    adata: AnnData,
    n_genes: int = 15,
    *,
    programs: Sequence[str] | None = None,
    key: str = "bcnmf",
    ax: Axes | None = None,
    show: bool = False,
) -> np.ndarray:
    """Draw the top genes of every program: loadings as lengths, specificity as colours.

    Parameters
    ----------
    adata : AnnData
        That `tl.bcnmf` has been run on.
    n_genes : int
    programs : sequence of str, optional
        Which, by name; by default those of the target.
    key : str
        ``key_added`` of `tl.bcnmf`.
    ax : Axes or array of Axes, optional
        One for each program.
    show : bool
        Call ``matplotlib.pyplot.show``.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    KeyError, ValueError
        As `tl.rank_programs`; for a program that there is not; for another number of axes.
    """
    stored = Stored(adata, key)
    wanted = check_programs(stored, programs)
    table = rank_programs(adata, n_genes, background=True, key=key)
    height = 0.7 + 0.17 * n_genes
    axes = panels(ax, len(wanted), 5, 2.3, height)
    points = None
    for axis, name in zip(axes, wanted, strict=True):
        rows = table[table["program"] == name]
        at = np.arange(len(rows))
        axis.hlines(at, 0, rows["loading"], color="#cccccc", linewidth=1.5, zorder=1)
        points = axis.scatter(
            rows["loading"], at, c=rows["specificity"], cmap="viridis", vmin=0, vmax=1, s=22,
            zorder=2,
        )  # fmt: skip
        axis.set_yticks(at, rows["gene"], fontsize=8)
        axis.set_ylim(n_genes - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.margins(x=0.08)
        axis.set_title(name, fontsize=9)
        axis.tick_params(axis="x", labelsize=7, colors=GREY)
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=3)
        axis.set_xlabel("loading", fontsize=8)
        plain(axis)
    bar = axes[0].figure.colorbar(points, ax=list(axes), shrink=0.5, aspect=18, pad=0.02)
    bar.set_label("specificity", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return finish(axes, show)
