"""Cells of target and background, and the genes that are used: chosen, or a clear error."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.tl._rows import Chosen, matrix_of

if TYPE_CHECKING:
    from anndata import AnnData

ROLES = ("target", "background", "other")


def is_anndata(a: Any) -> bool:
    """Whether something is an AnnData, without importing anndata."""
    return hasattr(a, "obs_names") and hasattr(a, "varm")


def named(names: Sequence[Any], most: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{list(names[:most])}{more}"


def listed(values: Any) -> list[Any]:
    """One value as a list of it."""
    several = isinstance(values, list | tuple | set | frozenset | np.ndarray)
    return list(values) if several else [values]


def column(adata: AnnData, key: str, name: str) -> Any:
    """A column of ``obs``, or a KeyError that names the argument."""
    if key not in adata.obs:
        raise KeyError(f"{name}={key!r} is no column of adata.obs; it has {list(adata.obs)}")
    return adata.obs[key]


def matches(found: Any, key: str, values: Any, name: str) -> np.ndarray:
    """Cells with one of the values of an argument, each of which some cell must have."""
    wanted, present = listed(values), found.dropna().unique().tolist()
    if not wanted:
        raise ValueError(
            f"{name} is empty; give values of adata.obs[{key!r}]: {named(present, 20)}"
        )
    if missing := [v for v in wanted if v not in present]:
        raise ValueError(
            f"{name}: no cell has {named(missing)} in adata.obs[{key!r}], whose values are "
            f"{named(present, 20)}"
        )
    return found.isin(wanted).to_numpy()


def roles(adata: AnnData, condition_key: str | None, target: Any, background: Any) -> np.ndarray:
    """The role of every cell, as a number in `ROLES`."""
    if background is None:
        raise ValueError(
            "background is missing: give values of adata.obs[condition_key], or another AnnData"
        )
    apart = is_anndata(background)
    if condition_key is None or target is None:
        if not (apart and condition_key is None and target is None):
            raise ValueError(
                "condition_key and target are needed to choose cells; both are left out only where "
                "background is another AnnData and every cell of adata is the target"
            )
        return np.zeros(adata.n_obs, np.int8)
    found = column(adata, condition_key, "condition_key")
    if lost := int(found.isna().sum()):
        without = f"{lost} of {len(found)} samples have no condition in {condition_key!r}"
        warnings.warn(f"{without} and are left out", DataWarning, stacklevel=2)
    chosen = np.full(adata.n_obs, ROLES.index("other"), np.int8)
    is_target = matches(found, condition_key, target, "target")
    chosen[is_target] = ROLES.index("target")
    if not apart:
        is_background = matches(found, condition_key, background, "background")
        if (is_target & is_background).any():
            both = [v for v in listed(target) if v in listed(background)]
            raise ValueError(f"target and background overlap: both have {named(both)}")
        chosen[is_background] = ROLES.index("background")
    return chosen


def check_names(adata: AnnData, name: str) -> None:
    """Raise for genes of one name, of which none could be told from the other."""
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()].unique()
        raise ValueError(
            f"{name}.var_names has duplicates: {named(twice)}; call "
            f"{name}.var_names_make_unique() first"
        )


def used_genes(adata: AnnData, mask_var: Any) -> np.ndarray:
    """Numbers of the genes that are used."""
    if mask_var is None:
        return np.arange(adata.n_vars)
    mask = mask_var
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise KeyError(
                f"mask_var={mask_var!r} is no column of adata.var; it has {list(adata.var)}"
            )
        mask = adata.var[mask_var]
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"mask_var must be {adata.n_vars} booleans, or a column of them in adata.var; found "
            f"{mask.dtype} of shape {mask.shape}"
        )
    if not mask.any():
        raise ValueError("mask_var selects no gene")
    return np.flatnonzero(mask)


def part(adata: AnnData, layer: str | None, rows: np.ndarray, genes: np.ndarray) -> Chosen:
    """Some cells and genes of an AnnData as a source."""
    every = len(genes) == adata.n_vars and (np.diff(genes) == 1).all()
    return Chosen(matrix_of(adata, layer), rows, None if every else genes)


def other_part(background: Any, layer: str | None, genes: Any) -> Chosen:
    """All cells of a background of its own, with genes of the same names in the target's order."""
    check_names(background, "background")
    at = background.var_names.get_indexer(genes)
    if (at < 0).any():
        missing = genes[at < 0]
        raise ValueError(
            f"background lacks {len(missing)} of {len(genes)} genes: {named(missing)}; leave them "
            "out of adata, or mark the common ones with mask_var="
        )
    return part(background, layer, np.arange(background.n_obs), at)


class Cells(NamedTuple):
    """The cells of an AnnData by their roles (numbers in `ROLES`), and the genes that are used."""

    roles: np.ndarray
    genes: np.ndarray
    every: Chosen
    target: Chosen
    background: Chosen


def split(
    adata: AnnData,
    condition_key: str | None,
    target: Any,
    background: Any,
    layer: Any,
    mask_var: Any,
) -> Cells:
    """Target and background as `bcnmf` is told to choose them, or an error that names the
    argument."""
    chosen = roles(adata, condition_key, target, background)
    check_names(adata, "adata")
    genes = used_genes(adata, mask_var)
    every = part(adata, layer, np.arange(adata.n_obs), genes)
    x, y = (Chosen(every.matrix, np.flatnonzero(chosen == r), every.columns) for r in (0, 1))
    if is_anndata(background):
        y = other_part(background, layer, adata.var_names[genes])
    return Cells(chosen, genes, every, x, y)


def noted(
    adata: AnnData, key: str | None, roles: np.ndarray, background: Any, name: str
) -> list[Any]:
    """A column of ``obs`` for the target and for the background; None for both without a key."""
    if key is None:
        return [None, None]
    every = column(adata, key, name).to_numpy()
    theirs = column(background, key, name).to_numpy() if is_anndata(background) else None
    return [every[roles == 0], every[roles == 1] if theirs is None else theirs]
