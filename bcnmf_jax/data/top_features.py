"""Features with most to explain, and data of some features alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bcnmf_jax.data.sources import CHUNK_ROWS, fill, select

HELD = 2**30
"""Bytes up to which chosen features of a source are held in memory."""


class Columns:
    """A source of some features of another.

    Parameters
    ----------
    source : source (n, g)
    columns : int array (k,)
    """

    def __init__(self, source: Any, columns: np.ndarray):
        self.source, self.columns = source, columns
        self.shape, self.dtype = (source.shape[0], len(columns)), source.dtype

    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        whole = np.empty((stop - start, self.source.shape[1]), out.dtype)
        fill(self.source, start, stop, whole)
        out[...] = whole[:, self.columns]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return select(self._read, self.shape[0], rows)

    def _read(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, self.shape[1]), self.dtype)
        self.rows_into(start, stop, out)
        return out


class Unexplained(NamedTuple):
    """What a model without structure leaves of every feature.

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


def pieces(a: Any) -> Iterator[tuple[slice, Any]]:
    """Neighbouring rows of an array, sparse matrix or source, and where they stand; a sparse matrix
    is one piece, and stays sparse."""
    if hasattr(a, "tocsr"):
        yield slice(0, a.shape[0]), a
        return
    for start in range(0, a.shape[0], CHUNK_ROWS):
        where = slice(start, min(start + CHUNK_ROWS, a.shape[0]))
        yield where, a[where]


def row_totals(x: Any) -> Float[np.ndarray, " n"]:
    """Sum of every row of an array or sparse matrix, in double precision."""
    return np.asarray(x.sum(axis=1, dtype=float)).reshape(-1)


def unexplained(sets: Sequence[Any], *, counts: bool) -> Unexplained:
    """What a model without structure leaves of every feature, in one reading.

    Parameters
    ----------
    sets : sequence of array, CSR or CSC matrix, or source (n, g)
        Without missing values.
    counts : bool
        In deviance (KL), not squared error.
    """
    width, stored = sets[0].shape[1], []
    total, own, with_rows, rows = np.zeros(width), np.zeros(width), np.zeros(width), 0.0
    for a in sets:
        share, seen = 1 / a.shape[0], np.zeros(width, np.int64)
        for _, x in pieces(a):
            r = row_totals(x)
            safe = np.log(np.where(r > 0, r, 1)) if counts else r
            total += share * _columns(x, None)
            own += share * _columns(_applied(x, _x_log_x if counts else np.square), None)
            with_rows += share * _columns(x, safe)
            rows += share * float(r @ r)
            seen += _columns(_applied(x, np.sign), None).astype(np.int64)
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


def _columns(x: Any, by: np.ndarray | None) -> np.ndarray:
    """Sum of every column, rows times ``by``."""
    if by is None:
        return np.asarray(x.sum(axis=0, dtype=float)).reshape(-1)
    return np.asarray(x.T @ by.astype(x.dtype, copy=False), float).reshape(-1)


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

    return vstack([csr_array(x) for _, x in pieces(a)], "csr")
