"""Codes as they are read before clustering or regression, and the checks of codes and labels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_codes(codes: ArrayLike) -> NDArray:
    """Return codes as a float64 (n, k) array with n, k >= 1; anything else is a ValueError."""
    array = np.asarray(codes, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"codes: found shape {array.shape}; pass samples x components, not empty")
    return array


def check_classes(labels: ArrayLike, n: int, name: str = "labels") -> tuple[NDArray, int]:
    """Return each row's class as a number from 0, and how many there are; n labels are wanted."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"{name}: found shape {array.shape}; pass one per row of codes: ({n},)")
    values, index = np.unique(array, return_inverse=True)
    return index, len(values)


def full_codes(codes: ArrayLike, shared: ArrayLike | None) -> tuple[NDArray, NDArray]:
    """Return the checked codes, and beside them those on shared components: (n, k), (n, k + s)."""
    h = check_codes(codes)
    if shared is None:
        return h, h
    rest = np.asarray(shared, dtype=np.float64)
    if rest.ndim != 2 or len(rest) != len(h):
        raise ValueError(
            f"shared: found shape {rest.shape}; pass {len(h)} rows x shared components"
        )
    return h, np.concatenate([h, rest], axis=1)


def divided(rows: NDArray, totals: NDArray) -> NDArray:
    """Return rows over their totals; a row without any usage stays zero."""
    return rows / np.where(totals > 0, totals, 1.0)[:, None]


def readouts(codes: ArrayLike, shared: ArrayLike | None = None) -> dict[str, NDArray]:
    """Return the three readouts of codes that are clustered.

    Parameters
    ----------
    codes : (n, k) array_like
        Codes of the components that are read.
    shared : (n, s) array_like, optional
        Codes of the same rows on the components that the method shares with the background. They
        enter the total that shares are taken of, and are not read themselves.

    Returns
    -------
    dict
        ``"primary"``: square root of each code's share of the full code (Hellinger's map of
        compositions). Shares need nonnegative codes: if any is negative (the PCA family) these are
        the raw codes. ``"raw"``: as they are. ``"row_normalised"``: over the row's sum of absolute
        values. Rows of zeros stay zero.

    Raises
    ------
    ValueError
        If an array is malformed.
    """
    h, full = full_codes(codes, shared)
    primary = h if full.min() < 0 else np.sqrt(divided(h, full.sum(axis=1)))
    return {"primary": primary, "raw": h, "row_normalised": divided(h, np.abs(h).sum(axis=1))}
