"""Sources of dense rows from sparse matrices in memory and from files of AnnData."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from bcnmf_jax.data._stores import check_store
from bcnmf_jax.data.checks import check_unmasked
from bcnmf_jax.data.sparse import CSRRows, check_matrix, check_number, stored_parts
from bcnmf_jax.extras import require


class SparseRows:
    """Rows of a SciPy sparse matrix, made dense as they are read.

    Parameters
    ----------
    matrix : scipy.sparse CSR, or what can be converted (CSC: a copy by rows)

    Raises
    ------
    TypeError
        For what is no sparse matrix of real numbers.
    ValueError
        For an array of other than two dimensions, and a matrix whose indices and pointers do not
        fit together; where it is CSR, for indices outside its width when their rows are read.
    """

    def __init__(self, matrix: Any):
        if not hasattr(matrix, "tocsr"):
            raise TypeError(f"matrix must be a SciPy sparse matrix, found {type(matrix).__name__}")
        if matrix.format != "csr":
            check_matrix(matrix, "matrix")
            matrix = matrix.tocsr()
        self.matrix = CSRRows(*stored_parts(matrix), matrix.shape, "matrix")
        self.shape, self.dtype = self.matrix.shape, self.matrix.dtype

    def rows_into(self, start: int, stop: int, out: Float[np.ndarray, "rows g"]) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        _densify(self.matrix[start:stop], out)

    def __getitem__(self, rows: Any) -> Shaped[np.ndarray, "rows g"]:
        return self.matrix[rows].toarray()


class StoredRows:
    """Rows of a dense array or of anndata's sparse matrix on disk, read each time.

    Parameters
    ----------
    stored : h5py.Dataset, zarr.Array or what `anndata.io.sparse_dataset` returns
    name : str, optional
        Of the file and the matrix in it, for messages; by default what is known of them.

    Raises
    ------
    TypeError
        For values that are no real numbers.
    ValueError
        For a sparse matrix stored by columns, of which rows cannot be read alone; for one whose
        indices and pointers do not fit together, and for indices outside its width when their rows
        are read.
    """

    def __init__(self, stored: Any, name: str | None = None):
        name = _place(stored) if name is None else name
        if getattr(stored, "format", "csr") != "csr":
            raise ValueError(
                f"the matrix is stored by columns ({stored.format}), of which rows cannot be read "
                "alone; write it with X.tocsr()"
            )
        if hasattr(stored, "group"):
            data, indices, indptr = (stored.group[key] for key in ("data", "indices", "indptr"))
            rows, width = map(int, stored.shape)
            stored = CSRRows(data, indices, indptr, (rows, width), name)
        check_number(stored, name)
        self.stored = stored
        self.shape, self.dtype = tuple(stored.shape), np.dtype(stored.dtype)

    def rows_into(self, start: int, stop: int, out: Float[np.ndarray, "rows g"]) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        rows = self.stored[start:stop]
        if hasattr(rows, "tocsr"):
            _densify(rows, out)
        else:
            out[...] = rows

    def __deepcopy__(self, memo: dict) -> StoredRows:
        return self  # of what is read alone, and cannot be copied

    def __getitem__(self, rows: Any) -> Shaped[np.ndarray, "rows g"]:
        found = self.stored[rows]
        return found.toarray() if hasattr(found, "tocsr") else np.asarray(found)


class BackedRows(StoredRows):
    """Rows of a matrix in an h5ad or zarr file, read from disk each time.

    Parameters
    ----------
    path : path
        A file of ``AnnData.write_h5ad``, or a folder of ``AnnData.write_zarr``. It is closed by
        ``close``, at the end of a ``with``, and after every fit of `BCNMF`, and opened again when
        rows are read; a copy, or one that was pickled, opens it for itself.
    layer : str, optional
        A layer; by default ``X``.

    Raises
    ------
    ImportError
        If anndata (h5py, zarr) is not installed.
    FileNotFoundError, KeyError
        If there is no such file, or layer.
    OSError
        For a file that is no HDF5 file.
    TypeError, ValueError
        As `StoredRows`; for a zarr store whose metadata cannot be read, or name a filter or
        compressor that could run code.
    """

    def __init__(self, path: str | Path, layer: str | None = None):
        path = Path(path).absolute()
        self.path, self.layer = path, layer
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {str(path)!r}")
        if path.is_dir():
            check_store(path)
            file = require("zarr", "bio").open_group(str(path), mode="r")
        else:
            file = require("h5py", "bio").File(path, "r")
            self._file = file
        name = "X" if layer is None else f"layers/{layer}"
        if name not in file:
            layers = sorted(file["layers"]) if "layers" in file else []
            raise KeyError(f"{path} has no {name!r}; its layers are {layers}")
        item = file[name]
        where = f"{path}: {name}"
        if not hasattr(item, "dtype"):
            item = _sparse(item, where)
        super().__init__(item, where)

    def close(self) -> None:
        """Close the file, which is opened again when rows are read."""
        vars(self).pop("stored", None)
        if "_file" in vars(self):
            vars(self).pop("_file").close()

    def __enter__(self) -> BackedRows:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name != "stored" or "shape" not in vars(self):
            raise AttributeError(name)
        shape = self.shape
        self.__init__(self.path, self.layer)
        if self.shape != shape:
            raise ValueError(f"{self.path} was {shape} and is {self.shape} now; read it anew")
        return self.stored

    def __deepcopy__(self, memo: dict) -> BackedRows:
        made = BackedRows.__new__(type(self))
        made.__dict__.update(self.__getstate__())
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("stored", "_file")}


def _place(stored: Any) -> str:
    """The file of something stored and its name in it, as far as they are known."""
    at = getattr(stored, "group", stored)
    file = getattr(getattr(at, "file", None), "filename", None)
    name = str(getattr(at, "name", None) or "the matrix on disk").strip("/")
    return name if file is None else f"{file}: {name}"


def _sparse(group: Any, name: str) -> Any:
    """A sparse matrix of anndata in a group of a file."""
    try:
        found = require("anndata.io", "bio").sparse_dataset(group)
        if len(found.shape) != 2 or min(found.shape) < 0:
            raise ValueError(f"shape {found.shape}")
        parts = [group[key] for key in ("data", "indices", "indptr")]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no sparse matrix as anndata writes it ({error})") from error
    if not all(hasattr(part, "dtype") for part in parts):
        raise ValueError(f"{name} is no sparse matrix as anndata writes it (a part is a group)")
    return found


def _densify(rows: Any, out: Float[np.ndarray, "rows g"]) -> None:
    if rows.dtype != out.dtype:
        rows = rows.astype(out.dtype)
    rows.toarray(out=out)


def source(a: Any, layer: str | None = None) -> Any:
    """A source of dense rows (`stream`) from whatever holds a matrix.

    Parameters
    ----------
    a : path, AnnData (in memory or backed), sparse matrix, array or memory map
    layer : str, optional
        A layer of the AnnData or file; by default ``X``.

    Returns
    -------
    SparseRows, StoredRows, BackedRows, or the array itself

    Raises
    ------
    TypeError
        For anything else, and a layer of what has none.
    FileNotFoundError, KeyError, ValueError
        As `BackedRows`.
    """
    if isinstance(a, str | Path):
        return BackedRows(a, layer)
    if hasattr(a, "layers") and hasattr(a, "obs"):
        if layer is not None and layer not in a.layers:
            raise KeyError(f"the AnnData has no layer {layer!r}; it has {sorted(a.layers)}")
        return source(a.X if layer is None else a.layers[layer])
    if layer is not None:
        raise TypeError(f"layer={layer!r} needs AnnData or a file, found {type(a).__name__}")
    if hasattr(a, "tocsr"):
        return SparseRows(a)
    if not all(hasattr(a, name) for name in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"cannot read rows from {type(a).__name__}; pass a matrix, AnnData or path")
    check_unmasked(a, "the matrix", "a.filled(value), or fit the array itself, whose mask is used")
    return StoredRows(a) if hasattr(a, "to_memory") else a  # anndata's sparse matrix on disk


@contextmanager
def closed(sets: Any) -> Iterator[None]:
    """Files of what is read are closed at the end; they open again for whoever reads rows.

    Parameters
    ----------
    sets : pytree of matrices and sources
    """
    try:
        yield
    finally:
        for a in jax.tree.leaves(sets):
            if isinstance(a, BackedRows):
                a.close()
