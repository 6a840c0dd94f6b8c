"""The result of a baseline, and the checks of its arguments."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.checks import check_unmasked


@dataclass(frozen=True)
class Baseline:
    """One fitted baseline.

    Attributes
    ----------
    codes : (n, k) array
        Usage of each component by each target row: signed for the PCA family, nonnegative for NMF.
    components : (k, g) array
        One row per component, in the order of the codes' columns. In the PCA family rows have unit
        length and their entry of largest absolute value is positive.
    alpha : float or None
        Contrast used; None for methods without one.
    info : dict
        What the method says about itself; each function's documentation lists the keys.
    """

    codes: NDArray
    components: NDArray
    alpha: float | None = None
    info: dict[str, Any] = field(default_factory=dict)


def check_matrix(rows: ArrayLike, name: str, *, nonnegative: bool = False) -> NDArray:
    """Return `rows` as a floating (n, g) array.

    Parameters
    ----------
    rows : (n, g) array_like
        Finite numbers, samples in rows, n >= 2 and g >= 1.
    name : str
        The argument's name, for the error message.
    nonnegative : bool
        Whether negative entries are refused.

    Returns
    -------
    (n, g) array
        float32 stays float32; everything else becomes float64.

    Raises
    ------
    ValueError
        If the shape is wrong, or an entry is not finite or, where refused, negative.
    TypeError
        If the entries are not real numbers (a sparse matrix, for example), or masked.
    """
    check_unmasked(rows, name, f"{name}.filled(value)")
    array = np.asarray(rows)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name}: found entries of type {array.dtype}; pass a dense array of real numbers "
            "(for a sparse matrix, its toarray())"
        )
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
        raise ValueError(
            f"{name}: found shape {array.shape}; pass samples x features with at least two samples"
        )
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{name}: found {bad} entries that are not finite; impute or drop them")
    if nonnegative and array.min() < 0:
        raise ValueError(f"{name}: found negative entries (least {array.min():g}); clip or shift")
    return array


def check_pair(target: ArrayLike, background: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return both sets as float64 arrays over the same features.

    Raises
    ------
    ValueError
        If either set is malformed (see `check_matrix`) or their numbers of features differ.
    """
    x, y = check_matrix(target, "target"), check_matrix(background, "background")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"background: found {y.shape[1]} features but target has {x.shape[1]}; "
            "pass the same features in the same order"
        )
    return x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
