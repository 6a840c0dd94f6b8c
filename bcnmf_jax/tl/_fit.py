"""`bcnmf`: the estimator on the cells and genes of an AnnData."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.extras import require
from bcnmf_jax.inference.selection.thinning import are_counts
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.tl._rows import Chosen, check, loaded
from bcnmf_jax.tl.cells import is_anndata, listed, noted, other_part, part, split
from bcnmf_jax.tl.stored import Stored, check_key, settings, write

if TYPE_CHECKING:
    from anndata import AnnData


def bcnmf(
    adata: AnnData,
    condition_key: str | None = None,
    target: Any = None,
    background: Any = None,
    *,
    layer: str | None = None,
    mask_var: Any = None,
    group_key: str | None = None,
    n_components: int | str = "auto",
    alpha: float | str = "auto",
    objective: str | None = None,
    loss: str | AbstractLoss = "frobenius",
    random_state: Any = 0,
    key_added: str = "bcnmf",
    copy: bool = False,
    **parameters: Any,
) -> Any:
    """Programs of target cells that a background lacks.

    The cells of the target and of the background are fitted; all cells, also those that are
    neither, then get codes with the basis fixed. Of more than 20,000 cells, or of fewer
    that 256 MiB do not hold, a sample is fitted, which settles by a few passes over all cells.

    Parameters
    ----------
    adata : AnnData
        In memory or backed. A view becomes an AnnData of its own, as when anything is written to
        it.
    condition_key : str
        Column of ``obs`` that says which cells are which.
    target, background : value or list of values of that column
        ``background`` may be another AnnData instead: all its cells are the background, genes are
        matched by name. Then ``condition_key`` and ``target`` may both be left out, and every cell
        of ``adata`` is the target.
    layer : str, optional
        A layer of log-normalised values (squared error) or of counts (``loss="kl"``); by default
        ``X``. Counts under squared error are warned of.
    mask_var : str or array of bool, optional
        The genes that are used, as a column of ``var`` (for instance "highly_variable") or as a
        value for each; by default all.
    group_key : str, optional
        Column of ``obs`` with the donors (mice, cell lines), by which `enrichment` tests, and
        which a choice of what is "auto" keeps whole.
    n_components, alpha, objective, loss, random_state
        As in `BCNMF`; "auto" chooses by `select`, without labels.
    key_added : str
    copy : bool
        Return a copy with the results instead of writing to ``adata``.
    **parameters
        Others of `BCNMF`.

    Returns
    -------
    None, or AnnData where ``copy``
        With ``obsm["X_bcnmf"]`` (cells, programs), ``obsm["X_bcnmf_background"]`` (codes of the
        background's own programs, where the objective has such), ``varm["bcnmf_components"]`` and
        ``varm["bcnmf_background_components"]`` (genes, programs; NaN for genes that were not
        used), ``var["bcnmf_features"]`` (genes that were fitted, where some were left out),
        ``obs["bcnmf_role"]`` ("target", "background" or "other") and ``uns["bcnmf"]``:
        ``params``, ``result``, ``diagnostics``, ``restarts``, ``versions`` and, where something
        was on "auto", ``selection``.

    Raises
    ------
    TypeError, KeyError, ValueError
        For columns, values, layers and genes that are missing, cells that are both target and
        background or none that are either, duplicated gene names, values that are negative or not
        finite, a backed AnnData that cannot be copied, a ``key_added`` whose fields hold something
        else, and parameters that `BCNMF` refuses.
        ``adata`` is then as it was.

    Examples
    --------
    >>> bj.tl.bcnmf(adata, "stim", target="stim", background="ctrl")  # doctest: +SKIP
    >>> bj.tl.rank_programs(adata).head()  # doctest: +SKIP
    """
    _check_anndata(adata, copy)
    check_key(adata, key_added)
    cells = split(adata, condition_key, target, background, layer, mask_var)
    groups = noted(adata, group_key, cells.roles, background, "group_key")
    parameters |= {
        "n_components": n_components, "alpha": alpha, "objective": objective, "loss": loss,
        "random_state": random_state,
    }  # fmt: skip
    model = _estimator(parameters)
    settings(model)  # raises for what could not be stored
    if parameters.get("missing") != "mask":
        where = "X" if layer is None else f"layers[{layer!r}]"
        check(cells.every, f"adata.{where}")
        if is_anndata(background):
            check(cells.background, f"background.{where}")
    x, y = loaded(cells.target, cells.background)
    if loss == "frobenius" and are_counts(x[:256]):
        warnings.warn(
            f"adata.{'X' if layer is None else f'layers[{layer!r}]'} holds whole numbers, raw "
            "counts it seems, and the loss is squared error: log-normalise first, or pass "
            "loss='kl'",
            DataWarning,
            stacklevel=2,
        )
    model.fit(x, background=y, groups=groups[0], background_groups=groups[1])
    codes = model.transform(loaded(cells.every)[0], full=True)
    if copy:
        adata = adata.copy()
    apart = is_anndata(background)
    params = {
        "condition_key": condition_key,
        "target": None if target is None else [str(v) for v in listed(target)],
        "background": None if apart else [str(v) for v in listed(background)],
        "background_cells": y.shape[0] if apart else None,
        "layer": layer,
        "mask_var": mask_var if isinstance(mask_var, str) else None,
        "group_key": group_key,
    }
    write(adata, key_added, model, codes, cells.genes, cells.roles, params)
    return adata if copy else None


def fitted_sets(
    adata: AnnData, stored: Stored, background: Any, layer: str | None = None
) -> tuple[Chosen, Chosen]:
    """Target and background that a stored fit was made of, or the same of another layer."""
    apart = stored.params.get("background_cells")
    if apart is not None and not is_anndata(background):
        raise ValueError(f"background= is needed: the AnnData of {apart} cells given to bcnmf")
    if apart is None and background is not None:
        raise ValueError("the background of this fit is in adata; leave background= out")
    layer, genes = layer or stored.layer, np.flatnonzero(stored.used)
    rows = [np.flatnonzero(stored.roles == r) for r in (0, 1)]
    x, y = (part(adata, layer, r, genes) for r in rows)
    return x, y if apart is None else other_part(background, layer, stored.genes)


def _estimator(parameters: dict[str, Any]) -> Any:
    from bcnmf_jax.estimator.bcnmf import BCNMF

    known = set(inspect.signature(BCNMF).parameters) - {"background"}
    if unknown := sorted(set(parameters) - known):
        raise TypeError(f"bcnmf has no parameter {unknown[0]!r}; BCNMF has {sorted(known)}")
    return BCNMF(**parameters)


def _check_anndata(adata: AnnData, copy: bool) -> None:
    anndata = require("anndata", "bio")
    if not isinstance(adata, anndata.AnnData):
        raise TypeError(f"adata must be an AnnData, found {type(adata).__name__}")
    if adata.isbacked and (copy or adata.is_view):
        what = "a view of a backed AnnData" if adata.is_view else "copy=True: a backed AnnData"
        raise ValueError(
            f"{what} is copied by adata.copy(filename) or adata.to_memory(); pass what they return"
        )
