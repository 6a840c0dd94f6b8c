"""Usage of programs by role and by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.pl._axes import GREY, ROLE_COLOURS, finish, panels, plain
from bcnmf_jax.tl.cells import ROLES, column
from bcnmf_jax.tl.stored import Stored, check_programs

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

BOX = {"showfliers": False, "patch_artist": True, "widths": 0.62}


def usage(
    adata: AnnData,
    groupby: str | None = None,
    *,
    programs: Sequence[str] | None = None,
    key: str = "bcnmf",
    ax: Axes | None = None,
    show: bool = False,
) -> np.ndarray:
    """Draw how much target, background and other cells use every program.

    Boxes are the quartiles over cells, whiskers reach 1.5 times as far. With groups (donors), boxes
    stand for the means of groups, which are drawn as dots; a line joins those of one group.

    Parameters
    ----------
    adata : AnnData
        That `tl.bcnmf` has been run on. Cells of a background of its own are not in it.
    groupby : str, optional
        Column of ``obs``.
    programs, key, ax, show
        As `pl.programs`.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    KeyError, ValueError
        As `pl.programs`, and for a column that is missing.
    """
    stored = Stored(adata, key)
    wanted = check_programs(stored, programs)
    groups = None if groupby is None else column(adata, groupby, "groupby").astype(str).to_numpy()
    present = [r for r in range(len(ROLES)) if (stored.roles == r).any()]
    axes = panels(ax, len(wanted), 5, 0.9 + 0.5 * len(present), 2.4)
    for axis, name in zip(axes, wanted, strict=True):
        codes = stored.codes[:, stored.names.index(name)]
        if groups is None:
            _boxes(axis, [codes[stored.roles == r] for r in present], present)
        else:
            _groups(axis, codes, stored.roles, present, groups)
        axis.set_xticks(range(len(present)), [ROLES[r] for r in present], fontsize=8)
        axis.set_xlim(-0.6, len(present) - 0.4)
        axis.set_ylim(bottom=0)
        axis.tick_params(axis="x", length=0)
        axis.tick_params(axis="y", labelsize=7, colors=GREY)
        axis.set_title(name, fontsize=9)
        plain(axis)
    axes[0].set_ylabel("usage" if groupby is None else f"mean usage by {groupby}", fontsize=8)
    return finish(axes, show)


def _boxes(axis: Any, values: list[np.ndarray], present: list[int], faint: bool = False) -> None:
    """A box for each role."""
    drawn = axis.boxplot(values, positions=range(len(present)), **BOX)
    for box, middle, role in zip(drawn["boxes"], drawn["medians"], present, strict=True):
        box.set(facecolor=ROLE_COLOURS[ROLES[role]], alpha=0.25 if faint else 0.7, linewidth=0)
        middle.set(color="black", linewidth=1)
    for line in (*drawn["whiskers"], *drawn["caps"]):
        line.set(color=GREY, linewidth=0.7)


def _groups(
    axis: Any, codes: np.ndarray, roles: np.ndarray, present: list[int], groups: np.ndarray
) -> None:
    """Boxes over groups, and a dot for the mean of each."""
    names = np.unique(groups)
    means = np.full((len(names), len(present)), np.nan)
    for i, name in enumerate(names):
        for j, role in enumerate(present):
            mine = (groups == name) & (roles == role)
            if mine.any():
                means[i, j] = codes[mine].mean()
    _boxes(axis, [m[~np.isnan(m)] for m in means.T], present, faint=True)
    for row in means:
        axis.plot(range(len(present)), row, color=GREY, linewidth=0.5, alpha=0.6, zorder=2)
    for j, role in enumerate(present):
        colour = ROLE_COLOURS[ROLES[role]]
        axis.scatter(np.full(len(means), j), means[:, j], s=12, color=colour, zorder=3)
