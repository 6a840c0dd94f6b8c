"""Target and background beside each other: before a fit, and program by program after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcnmf_jax.inference.background import background_check as checked
from bcnmf_jax.inference.enrichment_test import enrichment as tested
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.tl._fit import fitted_sets
from bcnmf_jax.tl.cells import noted, split
from bcnmf_jax.tl.stored import Stored, own

if TYPE_CHECKING:
    from anndata import AnnData

WORDS = ("component", "kind", "level", "note", "largest_group")


def enrichment(
    adata: AnnData,
    group_key: str | None = None,
    *,
    background: Any = None,
    layer: str | None = None,
    key: str = "bcnmf",
    **parameters: Any,
) -> Any:
    """Test every program for more usage in the target, donor by donor; `pl.enrichment` draws it.

    Programs are fitted anew in every permutation of the donors and tested on donors that they have
    not seen: see `bcnmf_jax.enrichment.enrichment`.

    Parameters
    ----------
    adata : AnnData
        That `bcnmf` has been run on.
    group_key : str, optional
        Column of ``obs`` with the donors (mice, cell lines); by default that of `bcnmf`. Without
        one nothing is testable.
    background : AnnData, optional
        The one that `bcnmf` was given, where it was given one; its donors are in the same column.
    layer : str, optional
        Another layer than `bcnmf` was run on: for ``level="cell"`` that of the raw counts.
    key : str
        ``key_added`` of `bcnmf`.
    **parameters
        Others of `bcnmf_jax.enrichment.enrichment`: ``pairs=True`` where donors have cells in both
        sets, ``n_permutations``, ``level``, ``random_state``, ...

    Returns
    -------
    DataFrame
        Rows as `Enrichment` describes them, one per program. Also in ``uns[key]["enrichment"]``.

    Raises
    ------
    KeyError, ValueError
        Where nothing is stored under ``key``, for a column that is missing, and what the test
        refuses.
    """
    stored = Stored(adata, key)
    sets = fitted_sets(adata, stored, background, layer)
    group_key = stored.params.get("group_key") if group_key is None else group_key
    groups = noted(adata, group_key, stored.roles, background, "group_key")
    x, y = (part.in_memory() for part in sets)
    found = tested(
        stored.model(), x, y, groups=groups[0], background_groups=groups[1], **parameters
    )
    table = found.to_frame()
    # Where nothing is testable these are None, of which files know no column.
    numbers = [n for n in table if n not in WORDS and table[n].dtype == object]
    table[numbers] = table[numbers].astype(float)
    own(adata)
    adata.uns[key]["enrichment"] = table
    return table


def background_check(
    adata: AnnData,
    condition_key: str | None = None,
    target: Any = None,
    background: Any = None,
    *,
    layer: str | None = None,
    counts_layer: str | None = None,
    mask_var: Any = None,
    group_key: str | None = None,
    batch_key: str | None = None,
    loss: str | AbstractLoss = "frobenius",
    n_components: int | None = None,
) -> Any:
    """Check whether the background suits the target, before anything is fitted.

    Parameters
    ----------
    adata, condition_key, target, background, layer, mask_var
        As for `bcnmf`.
    counts_layer : str, optional
        Layer of the raw counts, which tell the depth where ``layer`` does not hold them.
    group_key, batch_key : str, optional
        Columns of ``obs`` with the donors, and with the runs (plates, days).
    loss, n_components
        What is to be fitted.

    Returns
    -------
    DataFrame
        A row per finding: ``name``, ``level`` ("ok", "warn" or "unsuitable"), ``value``,
        ``threshold`` and ``advice``, as `bcnmf_jax.background_check` says.

    Raises
    ------
    KeyError, ValueError
        As `bcnmf`.
    """
    cells = split(adata, condition_key, target, background, layer, mask_var)
    donors = noted(adata, group_key, cells.roles, background, "group_key")
    runs = noted(adata, batch_key, cells.roles, background, "batch_key")
    counts = None
    if counts_layer is not None:
        of = split(adata, condition_key, target, background, counts_layer, mask_var)
        counts = {name: getattr(of, name).in_memory() for name in ("target", "background")}
    return checked(
        cells.target.in_memory(), cells.background.in_memory(), counts=counts, groups=donors[0],
        background_groups=donors[1], batch=runs[0], background_batch=runs[1], loss=loss,
        n_components=n_components,
    ).to_frame()  # fmt: skip
