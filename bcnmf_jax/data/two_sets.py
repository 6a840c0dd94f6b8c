"""A target and a background in memory, beside fits: their rows, and what is noted of these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.checks import check_unmasked
from bcnmf_jax.data.sparse import check_matrix

SETS = ("target", "background")


def check_matrices(sets: tuple[Any, Any]) -> None:
    """Raise ValueError unless both are matrices of as many features, sparse ones whole; TypeError
    if one is masked."""
    for name, x in zip(SETS, sets, strict=True):
        check_unmasked(x, name, f"{name}.filled(numpy.nan), which leaves values out")
        if len(getattr(x, "shape", ())) != 2 or 0 in x.shape:
            found = getattr(x, "shape", type(x).__name__)
            raise ValueError(
                f"{name} must be one matrix (samples, features), found {found}; stack several "
                "backgrounds"
            )
        if hasattr(x, "tocsr"):
            check_matrix(x, name)
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(
            f"background has {sets[1].shape[1]} features and the target {sets[0].shape[1]}; give "
            "both the same features in the same order"
        )


def annotation(
    sets: tuple[Any, Any], own: ArrayLike | None, other: ArrayLike | None, name: str
) -> tuple[NDArray, NDArray] | None:
    """Annotation of every row of both sets (their groups, their batch) as text; None where
    nothing is.

    Raises
    ------
    ValueError
        If one set alone has it, or another number of them than rows.
    """
    if own is None and other is None:
        return None
    found = []
    for what, given, x in zip((name, f"background_{name}"), (own, other), sets, strict=True):
        if given is None:
            raise ValueError(f"{what} is missing: give it for both sets, or for neither")
        found.append(labels(given, x.shape[0], what))
    return found[0], found[1]


def labels(given: ArrayLike, rows: int, name: str) -> NDArray:
    """Labels of so many rows as text.

    Raises
    ------
    ValueError
        If some are missing, or there is another number of them.
    """
    found = known(given, name).astype(str)
    if found.shape != (rows,):
        raise ValueError(f"{name} has shape {found.shape}; give one per row: ({rows},)")
    return found


def known(given: ArrayLike, name: str) -> NDArray:
    """Labels of rows, none of which may be missing: they would become a group of their own."""
    values = np.asarray(given)
    if np.ma.isMaskedArray(given):
        values = values.astype(object)
        values[np.ma.getmaskarray(given)] = None
    lost = sum(1 for v in values.ravel().tolist() if v is None or v != v)
    if lost:
        raise ValueError(f"{name} has {lost} missing values; leave these rows out, or name them")
    return values


def dense_rows(x: Any, rows: NDArray | slice = slice(None)) -> NDArray:
    """Rows of an array, frame or sparse matrix, in any order, as float32."""
    if hasattr(x, "tocsr"):
        return x.tocsr()[rows].toarray().astype(np.float32)
    x = x.to_numpy() if hasattr(x, "to_numpy") else np.asarray(x)
    return np.asarray(x[rows], np.float32)
