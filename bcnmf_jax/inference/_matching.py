"""Components of two fits, paired by the cosines of their loadings."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


def cosines(a: Float[NDArray, "*fits K g"], b: Float[NDArray, "*fits L g"]) -> NDArray:
    """Cosines (K, L) of the rows of a to those of b; 0 for a row of zeros."""
    unit = lambda m: m / np.maximum(np.linalg.norm(m, axis=-1, keepdims=True), 1e-30)  # noqa: E731
    return unit(a) @ np.swapaxes(unit(b), -1, -2)


def matched(similar: Float[NDArray, "K K"]) -> Int[NDArray, " K"]:
    """Partner of every component, one to one, of largest total similarity (Hungarian).

    Raises
    ------
    ValueError
        Where a similarity is not finite, as of a fit that diverged.
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-similar)[1]


def partners(similar: Float[NDArray, "K K"], target: int) -> Int[NDArray, " K"]:
    """Partners of target components (the first ``target``) among themselves, and of the others."""
    first, rest = similar[:target, :target], similar[target:, target:]
    return np.concatenate([matched(first), target + matched(rest)])
