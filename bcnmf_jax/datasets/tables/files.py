"""`read_table`: a file of any kind that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bcnmf_jax.data.sparse import check_matrix
from bcnmf_jax.datasets.tables._text import read_text
from bcnmf_jax.datasets.tables.table import Table, TableError
from bcnmf_jax.datasets.tenx import TenX, read_tenx, read_tenx_h5
from bcnmf_jax.extras import require


def read_table(path: str | Path, layer: str | None = None) -> Table:
    """Read samples x features from a file or folder, whose kind its name says.

    ==================================  =========================================================
    ``.csv``, ``.tsv``, ``.txt`` (.gz)  a header of feature names, then a line per sample; the
                                        first column is names of samples if its header is empty
                                        or its values are not numbers
    ``.h5ad``                           AnnData: X or a layer, with obs
    a folder                            10x Genomics: matrix.mtx, barcodes.tsv and features.tsv
                                        or genes.tsv, each also gzipped
    ``.h5``                             10x Genomics
    ``.mtx`` (.gz)                      Matrix Market, samples in rows; no names
    ``.npz``                            a sparse matrix of SciPy (no names), or arrays: X (any
                                        name if it alone has two dimensions), features, samples
    ==================================  =========================================================

    Parameters
    ----------
    path : path
    layer : str, optional
        Of AnnData.

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    TableError
        For a file that is not what its name says, or has no samples or features.
    ImportError
        If a package that reads the file is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}")
    read = _reader(path)
    if layer is not None and read is not _h5ad:
        raise TableError(f"{path} has no layers (layer {layer!r} was asked for); an .h5ad file has")
    try:
        return read(path) if layer is None else _h5ad(path, layer)
    except ImportError:
        raise
    except Exception as error:  # readers of seven kinds of files raise many types for odd ones
        said = " ".join(str(error).split())
        raise TableError(said if str(path) in said else f"{path}: {said}") from error


def _reader(path: Path) -> Callable[..., Table]:
    if path.is_dir():
        return _folder
    name = path.name.lower()
    for suffix, read in READERS.items():
        if name.endswith(suffix) or (read in (read_text, _mtx) and name.endswith(f"{suffix}.gz")):
            return read
    raise TableError(
        f"{path} is of no kind that is known: name it {', '.join(READERS)} (text and .mtx also .gz)"
        ", or give a 10x folder"
    )


def _h5ad(path: Path, layer: str | None = None) -> Table:
    anndata = require("anndata", "bio")
    try:
        held = anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise many types for a file that is no h5ad
        raise TableError(f"it cannot be read as h5ad ({str(error)[:200]})") from error
    if layer is not None and layer not in held.layers:
        raise TableError(f"it has no layer {layer!r}; its layers are {sorted(held.layers)}")
    values = held.X if layer is None else held.layers[layer]
    if values is None:
        raise TableError(f"it has no X; choose one of its layers {sorted(held.layers)}")
    if sparse.issparse(values):
        check_matrix(values, f"{path}: {'X' if layer is None else f'layers/{layer}'}")
    names = held.var_names.to_numpy().astype(str), held.obs_names.to_numpy().astype(str)
    return Table(_float32(values), *names, obs=held.obs)


def _folder(path: Path) -> Table:
    return _cells(read_tenx(path))


def _h5(path: Path) -> Table:
    return _cells(read_tenx_h5(path))


def _cells(found: TenX) -> Table:
    return Table(_float32(found.counts), found.names.astype(str), found.barcodes.astype(str))


def _mtx(path: Path) -> Table:
    from scipy.io import mmread

    if path.name.startswith("matrix.mtx") and any(path.parent.glob("barcodes.tsv*")):
        raise TableError(f"it has genes in rows, as 10x writes them; give the folder {path.parent}")
    return _nameless(mmread(path))  # of a stream that is closed SciPy aborts


def _npz(path: Path) -> Table:
    held = np.load(path, allow_pickle=False)
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise TableError("it holds one array, not a named archive; write it with numpy.savez")
    with held:
        arrays = dict(held)
    if "format" in arrays:
        return _nameless(sparse.load_npz(path))
    flat = [name for name, a in arrays.items() if a.ndim == 2]
    if "X" not in flat and len(flat) != 1:
        raise TableError(f"expected X, or one array of two dimensions; it holds {sorted(arrays)}")
    table = _nameless(arrays["X" if "X" in flat else flat[0]])
    names = {k: arrays[k].astype(str) for k in ("features", "samples") if k in arrays}
    return replace(table, **names, named="features" in names)


def _nameless(values: Any) -> Table:
    n, g = values.shape
    features = np.array([f"feature{i}" for i in range(g)], dtype=str)
    return Table(_float32(values), features, np.arange(n).astype(str), named=False)


def _float32(values: Any) -> Any:
    """A dense array or CSR, in single precision."""
    if values.dtype.kind not in "fiub":
        raise TableError(f"its values are {values.dtype}, no real numbers")
    with np.errstate(over="ignore"):  # too large a number is infinite, which `Table.check` names
        return _single(values)


def _single(values: Any) -> Any:
    if sparse.issparse(values):
        check_matrix(values, "the matrix")
        return sparse.csr_array(values.astype(np.float32))
    return np.asarray(values, dtype=np.float32)


READERS: dict[str, Callable[..., Table]] = {
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".h5ad": _h5ad,
    ".h5": _h5,
    ".mtx": _mtx,
    ".npz": _npz,
}
