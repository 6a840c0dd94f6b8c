"""Cells side by side by the programs that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.extras import require
from bcnmf_jax.metrics.readout import readouts
from bcnmf_jax.pl._axes import GREY, PALETTE, ROLE_COLOURS, finish, one
from bcnmf_jax.tl.cells import column
from bcnmf_jax.tl.stored import Stored, own

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def embedding(
    adata: AnnData,
    color: str | None = None,
    *,
    full: bool = False,
    key: str = "bcnmf",
    random_state: int = 0,
    ax: Axes | None = None,
    show: bool = False,
) -> Axes:
    """Draw a UMAP of the codes.

    The square root of each code's share of all codes of the cell enters. It is computed once, and
    kept in ``obsm["X_bcnmf_umap"]``, or in ``obsm["X_bcnmf_umap_full"]``.

    Parameters
    ----------
    adata : AnnData
        That `tl.bcnmf` has been run on.
    color : str, optional
        A program, or a column of ``obs``; by default the role.
    full : bool
        Let the programs of the background enter too; codes of a single target program lie on a
        line.
    key : str
        ``key_added`` of `tl.bcnmf`.
    random_state : int
        Of the UMAP.
    ax : Axes, optional
    show : bool
        Call ``matplotlib.pyplot.show``.

    Returns
    -------
    Axes

    Raises
    ------
    ImportError
        Without umap-learn, where there is no embedding yet.
    KeyError
        Where nothing is stored under ``key``, and for a ``color`` that there is not.
    """
    stored = Stored(adata, key)
    color = f"{key}_role" if color is None else color
    if color in stored.names:
        values = stored.codes[:, stored.names.index(color)]
    elif color in adata.obs:
        values = column(adata, color, "color")
    else:
        raise KeyError(
            f"color={color!r} is neither a program ({stored.names}) nor a column of adata.obs "
            f"({list(adata.obs)})"
        )
    at = _umap(adata, stored, full, random_state)
    axis = one(ax, 4.4, 3.6)
    draw = _numbers if np.asarray(values[:0]).dtype.kind == "f" else _classes
    fixed = ROLE_COLOURS if color == f"{key}_role" else None
    look = {"s": float(np.clip(2e4 / len(at), 1, 25)), "linewidths": 0}
    draw(axis, at, values, look | {"rasterized": len(at) > 5000}, fixed)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel("UMAP 1", fontsize=8, color=GREY)
    axis.set_ylabel("UMAP 2", fontsize=8, color=GREY)
    axis.spines[:].set_visible(False)
    axis.set_title(color, fontsize=9)
    return finish(axis, show)


def _numbers(axis: Any, at: np.ndarray, values: Any, look: dict, _: Any) -> None:
    """Points by a number; the largest are on top, and the highest percent share a colour."""
    numbers = np.asarray(values, float)
    order = np.argsort(numbers, kind="stable")
    top = np.nanquantile(numbers, 0.99)
    points = axis.scatter(*at[order].T, c=numbers[order], cmap="viridis", vmax=top, **look)
    bar = axis.figure.colorbar(points, ax=axis, shrink=0.6, aspect=18, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def _classes(axis: Any, at: np.ndarray, values: Any, look: dict, fixed: Any) -> None:
    """Points by class, in an order without meaning, so that no class hides the others."""
    classes, number = np.unique(np.asarray(values).astype(str), return_inverse=True)
    colours = [(fixed or {}).get(c, PALETTE[i % len(PALETTE)]) for i, c in enumerate(classes)]
    order = np.random.default_rng(0).permutation(len(at))
    axis.scatter(*at[order].T, c=np.array(colours)[number[order]], **look)
    for name, colour in zip(classes, colours, strict=True):
        axis.scatter([], [], color=colour, s=20, label=name)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _umap(adata: AnnData, stored: Stored, full: bool, random_state: int) -> np.ndarray:
    """The embedding that is stored, or a new one."""
    name = f"X_{stored.key}_umap" + "_full" * full
    if name not in adata.obsm:
        shown = len(stored.names if full else stored.target_names)
        read = readouts(stored.codes[:, :shown], stored.codes[:, shown:])["primary"]
        model = require("umap", "bio").UMAP(random_state=random_state, n_jobs=1)
        found = model.fit_transform(read)
        own(adata)
        adata.obsm[name] = found
    return np.asarray(adata.obsm[name])
