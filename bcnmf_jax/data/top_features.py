"""Features with most to explain, and data of some features alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bcnmf_jax.data.checks import check_values
from bcnmf_jax.data.sampled_rows import filled
from bcnmf_jax.data.sources import CHUNK_ROWS, Sliced, as_floating, fill

ENTRIES = 2**24
"""Most values that are read at once."""
HELD = 2**30
"""Bytes up to which chosen features of a source are held in memory."""


class Columns(Sliced):
    """A source of some features of another.

    Parameters
    ----------
    source : source (n, g)
    columns : int array (k,)
    """

    def __init__(self, source: Any, columns: np.ndarray):
        self.source, self.columns = source, columns
        self.shape, self.dtype = (source.shape[0], len(columns)), as_floating(source.dtype)

    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        whole = np.empty((stop - start, self.source.shape[1]), out.dtype)
        fill(self.source, start, stop, whole)
        out[...] = whole[:, self.columns]


class Checked:
    """A source whose values are checked as they are read."""

    def __init__(self, source: Any):
        self.source, self.shape = source, source.shape
        self.dtype = as_floating(source.dtype)

    def __getitem__(self, rows: Any) -> np.ndarray:
        x = np.asarray(self.source[rows], self.dtype)
        bad = lambda: int((~np.isfinite(x)).sum())  # noqa: E731
        check_values(x.min(), x.max(), bad, x.dtype, "a source", constant=True)
        return x


def complete(a: Any) -> Any:
    """A set without missing values, those of an array at the mean of their feature; the values of a
    source are checked as they are read."""
    if hasattr(a, "rows_into"):
        return Checked(a)
    return filled(a)[0] if isinstance(a, np.ndarray) else a


class Unexplained(NamedTuple):
    """Misfit of every feature under a model without structure.

    In it a row is its total times shares of the features that all rows have in common. Under KL
    this is the deviance of a Poisson model (Townes et al. 2019, Genome Biology 20, 295).

    Attributes
    ----------
    misfit : ndarray (g,)
        Per row; every set counts alike.
    stored : list of ndarray (g,)
        Values of each set that are not 0.
    """

    misfit: Float[np.ndarray, " g"]
    stored: list[Int[np.ndarray, " g"]]


def parts_of(a: Any) -> Iterator[slice]:
    """Neighbouring rows that are read at once."""
    size = max(1, min(CHUNK_ROWS, ENTRIES // a.shape[1]))
    for start in range(0, a.shape[0], size):
        yield slice(start, min(start + size, a.shape[0]))


def pieces(a: Any) -> Iterator[tuple[slice, Any]]:
    """Neighbouring rows of an array, sparse matrix or source in double precision, in which sums
    over many rows lose nothing, and where they stand; those of a sparse matrix stay sparse."""
    a = a.tocsr() if hasattr(a, "tocsr") else a
    for where in parts_of(a):
        yield where, a[where].astype(np.float64)


def row_totals(x: Any) -> Float[np.ndarray, " n"]:
    """Sum of every row of an array or sparse matrix."""
    return np.asarray(x.sum(axis=1)).reshape(-1)


def unexplained(
    sets: Sequence[Any], *, counts: bool, weights: Sequence[np.ndarray | None] | None = None
) -> Unexplained:
    """Misfit of every feature under a model without structure, in one reading.

    Parameters
    ----------
    sets : sequence of array, CSR or CSC matrix, or source (n, g)
        Without missing values, but for arrays, where they stand at the mean of their feature.
    counts : bool
        In deviance (KL), not squared error.
    weights : sequence of array (n,) or None, optional
        What every row of each set counts.
    """
    width, stored = sets[0].shape[1], []
    total, own, with_rows, rows = np.zeros(width), np.zeros(width), np.zeros(width), 0.0
    for a, v in zip(sets, weights or [None] * len(sets), strict=True):
        v = np.ones(a.shape[0]) if v is None else np.asarray(v, float)
        v, seen = v / v.sum(), np.zeros(width, np.int64)
        for where, x in pieces(complete(a)):
            r, w = row_totals(x), v[where]
            total += x.T @ w
            own += _applied(x, _x_log_x if counts else np.square).T @ w
            with_rows += x.T @ (w * (np.log(np.where(r > 0, r, 1)) if counts else r))
            rows += float(w @ r**2)
            seen += np.asarray((x != 0).sum(axis=0)).reshape(-1)
        stored.append(seen)
    p = total / max(total.sum(), np.finfo(float).tiny)
    if counts:
        return Unexplained(own - with_rows - total * np.log(np.where(p > 0, p, 1)), stored)
    return Unexplained(own - 2 * p * with_rows + p**2 * rows, stored)


def _x_log_x(values: np.ndarray) -> np.ndarray:
    return values * np.log(np.where(values > 0, values, 1))


def _applied(x: Any, function: Any) -> Any:
    """A function, 0 at 0, of every value."""
    if not hasattr(x, "tocsr"):
        return function(np.asarray(x))
    made = x.copy()
    made.data = function(made.data)
    return made


def top(misfit: np.ndarray, count: int) -> Int[np.ndarray, " count"]:
    """Places of the ``count`` largest, in rising order; of equal ones the first."""
    return np.sort(np.argsort(-misfit, kind="stable")[:count])


def some_features(a: Any, columns: np.ndarray) -> Any:
    """Some features of an array (an array), a sparse matrix (CSR) or a source (a source)."""
    if isinstance(a, np.ndarray):
        return a[:, columns]
    return a[:, columns].tocsr() if hasattr(a, "tocsr") else Columns(a, columns)


def held(a: Any, stored: int) -> Any:
    """A source as CSR, where `HELD` bytes hold the ``stored`` values of it that are not 0."""
    if not hasattr(a, "rows_into") or 2 * stored * np.dtype(a.dtype).itemsize > HELD:
        return a
    from scipy.sparse import csr_array, vstack

    return vstack([csr_array(a[where]) for where in parts_of(a)], "csr")
