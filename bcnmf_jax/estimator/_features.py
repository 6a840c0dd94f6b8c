"""Fits of the features with most to explain, and loadings of the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls
from scipy.sparse import issparse

from bcnmf_jax.data.sources import DENSE
from bcnmf_jax.data.top_features import (
    complete,
    held,
    pieces,
    row_totals,
    some_features,
    top,
    unexplained,
)
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.estimator._inputs import SPARSE_MISSING, sets
from bcnmf_jax.inference.features import count_taken
from bcnmf_jax.inference.restarts import Restart
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective

RIDGE = 1e-8
"""Of the mean squared norm of codes, so that components of 0 leave a system that can be solved."""


class Narrowed(NamedTuple):
    """Data of some features, and the places of these among all.

    Attributes
    ----------
    given : FitData
    columns : int array (k,)
    width : int
        Number of all features.
    """

    given: FitData
    columns: Int[np.ndarray, " k"]
    width: int

    @property
    def told(self) -> str:
        """Number of features that are fitted, and why, in one line."""
        return (
            f"{len(self.columns)} of {self.width} features are fitted, those with most to explain; "
            "loadings of the others follow from the codes"
        )


def narrowed(
    given: FitData, asked: int | str | None, objective: Any, loss: AbstractLoss
) -> Narrowed | None:
    """The features that a fit takes; None where it takes all.

    Raises
    ------
    ValueError
        For sources with values that no fit takes, NaN in sparse matrices, and as `count_taken`.
    """
    width = given.target.shape[1]
    count = count_taken(asked, width, [objective], loss)
    if count is None:
        return None
    backgrounds = _listed(given.background)
    parts = [given.target, *backgrounds]
    if any(issparse(a) and np.isnan(a.data).any() for a in parts):
        raise ValueError(SPARSE_MISSING)
    weights = [given.weights, *[None] * len(backgrounds)]
    found = unexplained(parts, counts=not loss.bounded, weights=weights)
    columns = top(found.misfit, count)
    each = zip(parts, found.stored, strict=True)
    kept = [held(some_features(a, columns), int(n[columns].sum())) for a, n in each]
    dense = sum(a.shape[0] for a in kept) * count * np.dtype(kept[0].dtype).itemsize
    if dense <= DENSE:
        kept = [a.toarray() if issparse(a) else a[:] for a in kept]
    target, *rest = kept
    several = isinstance(given.background, list)
    background: Any = (rest if several else rest[0]) if rest else None
    return Narrowed(given._replace(target=target, background=background), columns, width)


def _listed(background: Any) -> list[Any]:
    if background is None:
        return []
    return background if isinstance(background, list) else [background]


def widened(
    kept: Restart, narrow: Narrowed, given: FitData, reading: AbstractObjective, both: bool
) -> Restart:
    """A restart with loadings of all features, rows of unit sum, and usage of these.

    Loadings of features that were not fitted are those of nonnegative least squares of the data on
    the codes of their rows. Under a loss of counts a row counts by the inverse of its total, as its
    variance is near the latter. Missing values stand at the mean of their feature.

    Parameters
    ----------
    given : FitData
        All features.
    both : bool
        Rows of the background take part, too.
    """
    basis = np.zeros((len(kept.basis), narrow.width), kept.basis.dtype)
    basis[:, narrow.columns] = kept.basis
    if not np.isfinite(kept.basis).all():
        return kept._replace(basis=basis)
    rest = np.setdiff1d(np.arange(narrow.width), narrow.columns)
    rows = _with_codes(kept, narrow.given, given, reading, both)
    gram, products = _normal_equations(rows, not reading.loss.bounded)
    basis[:, rest] = _least_squares(gram, products[:, rest])
    unit = basis.sum(1)
    unit = np.where(unit > 0, unit, 1)
    return kept._replace(
        basis=basis / unit[:, None],
        usage={name: codes * unit for name, codes in kept.usage.items()},
    )


def _with_codes(
    kept: Restart, some: FitData, given: FitData, reading: AbstractObjective, both: bool
) -> Iterable[tuple[Any, Float[np.ndarray, "n K"], np.ndarray]]:
    """Every set that takes part with its codes and weights."""
    parts, wholes, weights = [some.target], [given.target], [given.weights]
    if both:
        parts += _listed(some.background)
        wholes += _listed(given.background)
        weights += [None] * (len(parts) - 1)
    for narrow, whole, v in zip(parts, wholes, weights, strict=True):
        codes = sets(FitData(narrow), new=True).codes(reading, kept.basis)
        yield whole, np.asarray(codes, float), np.ones(len(codes)) if v is None else v


def _normal_equations(rows: Iterable, counts: bool) -> tuple[np.ndarray, np.ndarray]:
    """``C' D C`` (K, K) and ``C' D X`` (K, g) over all rows."""
    gram, products = 0.0, 0.0
    for a, codes, v in rows:
        for where, x in pieces(complete(a)):
            c, d = codes[where], np.asarray(v, float)[where]
            if counts:
                r = row_totals(x)
                d = np.where(r > 0, d / np.where(r > 0, r, 1), 0)
            weighted = c * d[:, None]
            gram = gram + weighted.T @ c
            products = products + np.asarray(x.T @ weighted).T
    return np.asarray(gram), np.asarray(products)


def _least_squares(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Nonnegative W (K, g) that minimises ``W' G W / 2 - W' P``, column by column."""
    scale = np.trace(gram) / len(gram) or 1.0
    root = np.linalg.cholesky(gram + RIDGE * scale * np.eye(len(gram))).T
    right = np.linalg.solve(root.T, products)
    return np.stack([nnls(root, column)[0] for column in right.T], axis=1)
