"""Recovery of true programs."""

import numpy as np
from numpy.typing import ArrayLike

from bcnmf_jax.metrics.readout import divided


def recovery(components: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Return the mean cosine of the true programs to the components matched with them.

    Parameters
    ----------
    components : (k, g) array_like
    truth : (t, g) array_like
        True programs.

    Returns
    -------
    dict
        ``cosine``: absolute cosines (signs are arbitrary in the PCA family) under the one-to-one
        matching of largest sum (Hungarian), averaged over the t programs; a program without a
        partner (k < t) counts 0. NaN if a component is not finite.

    Raises
    ------
    ValueError
        If the numbers of features differ.
    """
    from scipy.optimize import linear_sum_assignment

    found, true = (np.asarray(rows, dtype=np.float64) for rows in (components, truth))
    if found.ndim != 2 or true.ndim != 2 or found.shape[1] != true.shape[1]:
        raise ValueError(
            f"components: found shape {found.shape}, truth {true.shape}; "
            "pass two matrices over the same features"
        )
    if not (np.isfinite(found).all() and np.isfinite(true).all()):
        return {"cosine": float("nan")}
    # Scaled by the largest entry first: squares of very small or large numbers leave the range.
    found, true = (divided(rows, np.abs(rows).max(axis=1)) for rows in (found, true))
    found, true = (divided(rows, np.linalg.norm(rows, axis=1)) for rows in (found, true))
    cosines = np.abs(found @ true.T)
    return {"cosine": float(cosines[linear_sum_assignment(-cosines)].sum() / len(true))}
