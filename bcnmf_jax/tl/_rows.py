"""Chosen rows and columns of an AnnData's matrix, read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from bcnmf_jax.data.checks import check_form, check_values
from bcnmf_jax.data.readers import source
from bcnmf_jax.data.sources import CHUNK_ROWS, DENSE, Sliced, as_floating

if TYPE_CHECKING:
    from anndata import AnnData

BLOCK = 512
"""Stored rows, with all their columns, that are in memory at once."""
GAP = 64
"""Stored rows that are read through where they are not wanted: one read costs more than they do."""


class Chosen(Sliced):
    """A source (`stream`) of some rows and columns of a matrix, which stays where it is.

    Parameters
    ----------
    matrix : array, CSR matrix, or either on disk
    rows : int array (n,)
        Increasing.
    columns : int array (g,), optional
        In any order; by default all.
    """

    def __init__(self, matrix: Any, rows: np.ndarray, columns: np.ndarray | None = None):
        self.matrix, self.rows, self.columns = matrix, rows, columns
        self.shape = (len(rows), matrix.shape[1] if columns is None else len(columns))
        self.dtype = as_floating(matrix.dtype)

    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        wanted = self.rows[start:stop]
        apart = (np.diff(wanted) > GAP) | (np.diff(wanted // BLOCK) > 0)
        edges = [0, *np.flatnonzero(apart) + 1, len(wanted)]
        for a, b in pairwise(edges):
            if a == b:
                continue
            first, last = int(wanted[a]), int(wanted[b - 1])
            block = self.matrix[first : last + 1]
            if last - first + 1 > b - a:
                block = block[wanted[a:b] - first]
            if self.columns is not None:
                block = block[:, self.columns]
            out[a:b] = block.toarray() if hasattr(block, "toarray") else block

    def in_memory(self) -> Any:
        """All of it: dense, or above `DENSE` bytes as a CSR matrix."""
        if size(self) <= DENSE:
            return self[:]
        return vstack([csr_matrix(x) for _, x in self.chunks()], "csr")

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Dense pieces, and where they stand."""
        for start in range(0, self.shape[0], CHUNK_ROWS):
            where = slice(start, min(start + CHUNK_ROWS, self.shape[0]))
            yield where, self[where]


def matrix_of(adata: AnnData, layer: str | None) -> Any:
    """The matrix of an AnnData, in memory or on disk, of which rows can be read alone.

    A CSC matrix in memory is copied by rows.

    Raises
    ------
    KeyError
        For a layer that is missing.
    ValueError
        For a CSC matrix on disk, and an AnnData without ``X``.
    """
    if layer is None and adata.X is None:
        raise ValueError(f"adata.X is empty; pass layer=, one of {sorted(adata.layers)}")
    found = source(adata, layer)
    return getattr(found, "stored", getattr(found, "matrix", found))


def loaded(*parts: Chosen) -> list[Any]:
    """The parts as dense arrays, where they are few enough for memory."""
    return [p[:] for p in parts] if sum(map(size, parts)) <= DENSE else list(parts)


def size(part: Chosen) -> int:
    """Bytes as a dense array."""
    return part.shape[0] * part.shape[1] * part.dtype.itemsize


def check(part: Chosen, name: str) -> None:
    """Raise for values that no factorisation takes, as `check_values` says."""
    check_form(part, name)
    low, high, bad = np.inf, -np.inf, 0
    for _, x in part.chunks():
        bad += int((~np.isfinite(x)).sum())
        # NaN stays in the result of either, so that it is seen.
        low, high = np.minimum(low, x.min()), np.maximum(high, x.max())
    check_values(low, high, lambda: bad, part.dtype, name, constant=False)
