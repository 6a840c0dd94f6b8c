"""Prepared single-cell files: the chosen genes of the cells of one data set, as arrays in an npz.

``python -m experiments.prepare`` writes them from the source's own format; the loaders of cells.py
read them. No pickle on either side.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import sparse

from bcnmf_jax.data.sparse import check_parts
from bcnmf_jax.datasets.dataset import Array, Dataset, log_normalise
from bcnmf_jax.datasets.files import locate, odd_file
from bcnmf_jax.datasets.tenx import sizes
from bcnmf_jax.storage.files import whole_file

_COUNTS = ("data", "indices", "indptr", "shape")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Counts of chosen genes, and which cell belongs to what.

    Attributes
    ----------
    counts : sparse CSR, shape (cells, genes)
    totals : array, shape (cells,)
        Counts of each cell over all genes, the chosen ones and the others.
    genes : array, shape (genes,), str
    target, background : array, shape (cells,), bool
        A cell may belong to both.
    labels : array, shape (cells,), int
        Read for target cells only.
    groups : array, shape (cells,), str
        Donor or cell line; all empty where there is none.
    """

    counts: sparse.csr_array
    totals: Array
    genes: Array
    target: Array
    background: Array
    labels: Array
    groups: Array


def most_variable(counts: sparse.csr_array, n_genes: int) -> Array:
    """Pick the genes with the largest variance of log(1 + counts scaled to 1e4 a cell).

    Parameters
    ----------
    counts : sparse CSR, shape (cells, genes)
    n_genes : int

    Returns
    -------
    array of int
        At most `n_genes` columns, the most variable first, ties in their order; never a gene
        without counts.
    """
    totals = np.maximum(counts.sum(1), 1)
    logs = sparse.csr_array(counts.astype(float).multiply(1e4 / totals[:, None]))
    logs.data = np.log1p(logs.data)
    variance = logs.multiply(logs).mean(0) - logs.mean(0) ** 2
    order = np.argsort(-variance, kind="stable")
    return order[counts.sum(0)[order] > 0][:n_genes]


def choose_genes(counts: sparse.csr_array, names: Array, n_genes: int, **rows: Array) -> Cells:
    """Keep the most variable genes of all cells; `rows` are the other fields of Cells."""
    genes = most_variable(counts, n_genes)
    chosen = sparse.csr_array(counts[:, genes])
    return Cells(counts=chosen, totals=counts.sum(1), genes=names[genes], **rows)


def save_cells(path: Path, cells: Cells) -> None:
    """Write `cells` to `path`, whole or not at all."""
    arrays = {f.name: getattr(cells, f.name) for f in fields(Cells) if f.name != "counts"}
    arrays |= {f"counts_{part}": np.asarray(getattr(cells.counts, part)) for part in _COUNTS}
    with whole_file(path) as partial, open(partial, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_cells(name: str, path: Path) -> Cells:
    """Read what :func:`save_cells` wrote for data set `name`.

    Raises
    ------
    ValueError
        If the file is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            data, indices, indptr, shape = (stored[f"counts_{part}"] for part in _COUNTS)
            check_parts(data, indices, indptr, tuple(map(int, shape)), "counts")
            counts = sparse.csr_array((data, indices, indptr), shape=tuple(shape))
            rest = {f.name: stored[f.name] for f in fields(Cells) if f.name != "counts"}
    except Exception as error:  # a broken zip, a missing key and a pickle each raise another type
        raise odd_file(name, path, f"it is no prepared file ({error})") from error
    n, g = sizes(counts)
    for key, array in rest.items():
        if array.shape != ((g,) if key == "genes" else (n,)):
            found = f"{key} has shape {array.shape} beside counts of shape {counts.shape}"
            raise odd_file(name, path, found)
        if key in ("target", "background") and array.dtype != bool:
            raise odd_file(name, path, f"{key} has type {array.dtype}, expected bool")
    return Cells(counts=counts, **rest)


def prepared(name: str, description: str) -> Dataset:
    """Load the prepared file of data set `name` as a log-normalised set with its counts."""
    path = locate(name)
    cells = load_cells(name, path)
    counts, logs, groups = {}, {}, {}
    for key, chosen in (("target", cells.target), ("background", cells.background)):
        if not chosen.any():
            raise odd_file(name, path, f"it holds no {key} cell")
        counts[key] = cells.counts[chosen].toarray().astype(np.float32)
        logs[key] = log_normalise(counts[key], cells.totals[chosen])
        groups[key] = cells.groups[chosen] if (cells.groups != "").any() else None
    return Dataset(
        name=name,
        target=logs["target"],
        background=logs["background"],
        labels=cells.labels[cells.target].astype(int),
        feature_names=cells.genes,
        description=description,
        counts=counts,
        groups=groups["target"],
        background_groups=groups["background"],
    )
