"""Sparse matrices, checked before compiled code reads them: SciPy follows their indices unseen."""

from __future__ import annotations

from typing import Any

import numpy as np

from bcnmf_jax.data.checks import check_dimensions
from bcnmf_jax.data.sources import select


def check_parts(data: Any, indices: Any, indptr: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError unless three arrays are a compressed matrix.

    Parameters
    ----------
    data, indices, indptr : array
        As SciPy's CSR has them.
    shape : tuple (rows, width)
        For CSC (columns, height).
    name : str
        File and field, or the argument, that the message begins with.
    """
    check_pointers(indptr, shape[0], data.shape, indices.shape, name)
    check_indices(indices, shape[1], name)


def check_pointers(indptr: Any, rows: int, data: tuple, indices: tuple, name: str) -> np.ndarray:
    """Pointers to the first and past the last value of every row, int64 (rows + 1,), checked.

    Parameters
    ----------
    data, indices : tuple
        Shapes of the other two arrays.

    Raises
    ------
    ValueError
        Unless they start at 0, never decrease and end at the number of stored values.
    """
    _check_whole(indptr, f"{name}/indptr")
    if tuple(indptr.shape) != (rows + 1,):
        raise ValueError(
            f"{name}/indptr has shape {indptr.shape}; for {rows} rows it must be ({rows + 1},)"
        )
    if len(data) != 1 or tuple(data) != tuple(indices):
        raise ValueError(
            f"{name}/data has shape {data} and {name}/indices {indices}; they must be of one length"
        )
    indptr = np.asarray(indptr)
    pointers = indptr.astype(np.int64)
    if pointers[0] != 0 or pointers[-1] != data[0]:
        raise ValueError(
            f"{name}/indptr goes from {indptr[0]} to {indptr[-1]}; it must go from 0 to the "
            f"number of values, {data[0]}"
        )
    falls = pointers[1:] < pointers[:-1]  # a difference could leave the 64 bits
    if falls.any():
        at = int(np.argmax(falls))
        raise ValueError(
            f"{name}/indptr falls from {pointers[at]} to {pointers[at + 1]} at row {at}; it must "
            "never decrease"
        )
    return pointers


def check_indices(indices: np.ndarray, width: int, name: str) -> None:
    """Raise ValueError unless all indices of columns are from 0 to ``width - 1``."""
    _check_whole(indices, f"{name}/indices")
    if indices.size == 0:
        return
    low, high = indices.min(), indices.max()
    if low < 0 or high >= width:
        raise ValueError(
            f"{name}/indices goes from {low} to {high}; with a width of {width} it must lie "
            f"between 0 and {width - 1}"
        )


def check_number(stored: Any, name: str) -> None:
    """Raise TypeError unless values, which may be on disk, are real numbers."""
    dtype = np.dtype(stored.dtype)
    if dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, found dtype {dtype}; convert it first")


def _check_whole(stored: Any, name: str) -> None:
    dtype = np.dtype(stored.dtype)
    if dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers, found dtype {dtype}")


def check_matrix(matrix: Any, name: str) -> None:
    """Raise ValueError for a SciPy sparse array of other than two dimensions, and for one whose
    parts do not fit together."""
    check_dimensions(matrix.shape, name)
    if matrix.format in ("csr", "csc"):
        shape = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
        check_parts(*stored_parts(matrix), shape, name)
    elif matrix.format == "bsr":
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    elif matrix.format == "coo":
        for size, axis in zip(matrix.shape, ("row", "col"), strict=True):
            at = getattr(matrix, axis)
            if at.shape != matrix.data.shape:
                raise ValueError(f"{name}.{axis} and {name}.data must be of one length")
            if at.size and not 0 <= at.min() <= at.max() < size:
                raise ValueError(
                    f"{name}.{axis} goes from {at.min()} to {at.max()}; it must lie between 0 and "
                    f"{size - 1}"
                )


def stored_parts(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data, indices and indptr of a CSR or CSC matrix, without the room to grow that SciPy lets the
    first two have."""
    most = max(int(matrix.indptr[-1]), 0) if matrix.indptr.size else 0
    return matrix.data[:most], matrix.indices[:most], matrix.indptr


class CSRRows:
    """A CSR matrix whose slices of rows are checked as they are read.

    Parameters
    ----------
    data, indices : array, or either on disk
    indptr : array (n + 1,)
    shape : tuple (n, g)
    name : str
        File and field, or the argument, for messages.

    Raises
    ------
    ValueError
        For parts that are no CSR matrix; for indices outside the width when their rows are read.
    TypeError
        For values that are no real numbers.
    """

    format = "csr"

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, ...], name: str):
        check_dimensions(shape, name)
        check_number(data, name)
        _check_whole(indices, f"{name}/indices")
        self.indptr = check_pointers(indptr, shape[0], data.shape, indices.shape, name)
        self.data, self.indices, self.name = data, indices, name
        self.shape, self.dtype = shape, np.dtype(data.dtype)

    def __getitem__(self, rows: Any) -> Any:
        return select(self._read, self.shape[0], rows)

    def _read(self, start: int, stop: int) -> Any:
        from scipy.sparse import csr_matrix

        pointers = self.indptr[start : stop + 1]
        first, last = (int(p) for p in pointers[[0, -1]])
        indices, data = (np.asarray(a[first:last]) for a in (self.indices, self.data))
        check_indices(indices, self.shape[1], self.name)
        shape = stop - start, self.shape[1]
        # Not the stored type, which may be too small for pointers.
        wide = np.int32 if max(last - first, *shape) <= np.iinfo(np.int32).max else np.int64
        parts = data, indices.astype(wide, copy=False), (pointers - first).astype(wide)
        return csr_matrix(parts, shape=shape)
