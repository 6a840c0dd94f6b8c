"""Counts in two halves that are independent of each other, as far as counts are Poisson's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

APART = 1e-3
"""Relative difference from which data are not the log of the counts that are given for them."""


class Counts(NamedTuple):
    """Counts (n, g) of samples; ``scale`` (n, 1) where these are the log of 1 + scaled counts."""

    values: NDArray
    scale: NDArray | None

    def halves(self, rows: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Each count shared out between two halves by a fair coin, normalised as the samples are:
        counts first, so that no half knows of the other (Neufeld et al. 2024)."""
        whole = self.values[rows]
        one = rng.binomial(whole.astype(np.int64), 0.5).astype(whole.dtype)
        both = one, whole - one
        if self.scale is None:
            return both
        first, second = (np.log1p(2 * half * self.scale[rows]) for half in both)
        return first, second


def are_counts(x: NDArray) -> bool:
    """Whether all values are whole numbers, some of them above 1."""
    return bool((x == np.round(x)).all() and (x > 1).any())


def counts_of(x: NDArray, given: Any, name: str) -> Counts | None:
    """The counts of samples: the samples themselves, or those that are given; None without any.

    Raises
    ------
    ValueError
        For counts of another shape, that are no counts, or that are not the samples'.
    """
    if given is None:
        return Counts(x, None) if are_counts(x) else None
    values = np.asarray(given, x.dtype)
    if values.shape != x.shape or not are_counts(values) or (values < 0).any():
        raise ValueError(
            f"counts[{name!r}] must be raw counts of shape {x.shape}, one row per sample; found "
            f"shape {values.shape}" + ("" if are_counts(values) else " and values that are none")
        )
    raised = np.expm1(x)
    scale = raised.sum(1, keepdims=True) / np.maximum(values.sum(1, keepdims=True), 1)
    if np.abs(raised - scale * values).max() > APART * max(raised.max(), 1e-12):
        raise ValueError(
            f"data[{name!r}] is not log(1 + scaled counts) of counts[{name!r}]; leave counts= out, "
            "or give those that the data were made from"
        )
    return Counts(values, scale)
