"""Usage in the target against the background, beside what chance gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bcnmf_jax.pl._axes import GREY, ROLE_COLOURS, finish, one, plain
from bcnmf_jax.pl._paths import table_of
from bcnmf_jax.tl.stored import Stored

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def enrichment(
    adata: AnnData,
    *,
    key: str = "bcnmf",
    level: float = 0.05,
    ax: Axes | None = None,
    show: bool = False,
) -> Axes:
    """Draw how much more every program is used in the target than in the background.

    Dots are log2 ratios in donors that the refits have not seen, filled where q is at most
    ``level``; bars reach from the median to the 95th percentile of the same with donors exchanged.
    Where nothing could be tested, crosses are the ratios of the fit itself, which are no evidence.

    Parameters
    ----------
    adata : AnnData
        That `tl.enrichment` has been run on.
    key : str
        ``key_added`` of `tl.bcnmf`.
    level : float
        Of the false discovery rate.
    ax : Axes, optional
    show : bool
        Call ``matplotlib.pyplot.show``.

    Returns
    -------
    Axes

    Raises
    ------
    KeyError
        Where nothing was tested.
    """
    stored = Stored(adata, key)
    table = table_of(stored, "enrichment", f"run bj.tl.enrichment(adata, key={key!r}) first")
    axis = one(ax, 4.6, 0.9 + 0.26 * len(table))
    at, testable = np.arange(len(table)), table["p"].notna().any()
    role = "background", "target"
    colours = [ROLE_COLOURS[role[int(kind == "target")]] for kind in table["kind"]]
    axis.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    if testable:
        low, high = table["null_log2_ratio"], table["null_log2_ratio_95"]
        axis.barh(at, high - low, left=low, height=0.5, color="#dddddd", zorder=1)
        sure = (table["q"] <= level).to_numpy()
        inside = [colour if s else "white" for colour, s in zip(colours, sure, strict=True)]
        axis.scatter(
            table["held_out_log2_ratio"], at, s=30, color=inside, edgecolor=colours, zorder=2
        )
        beside = {"transform": axis.get_yaxis_transform(), "fontsize": 7, "va": "center"}
        for y, q in zip(at, table["q"], strict=True):
            axis.text(1.01, y, f"q = {q:.2g}", **beside)
        axis.set_xlabel("log2 usage, target / background (held-out)", fontsize=8)
    else:
        axis.scatter(table["log2_ratio"], at, s=24, marker="x", c=colours, linewidths=1.2)
        axis.set_xlabel("log2 usage, target / background (of the fit)", fontsize=8)
        axis.set_title(str(table["note"].iloc[0]), fontsize=8, wrap=True)
    axis.set_yticks(at, table["component"], fontsize=8)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7, colors=GREY)
    axis.tick_params(axis="y", length=0)
    plain(axis)
    return finish(axis, show)
