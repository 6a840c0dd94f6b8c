"""Read count matrices as 10x Genomics writes them: Matrix Market, genes in rows."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from scipy import sparse

from bcnmf_jax.data.sparse import check_number, check_parts
from bcnmf_jax.datasets.dataset import Array
from bcnmf_jax.extras import require

EXPRESSION = "Gene Expression"
_CHUNK = 2_000_000  # lines: about 100 MB while they are parsed


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not, for reading."""
    opener = cast(Callable[..., IO[str]], gzip.open if path.suffix == ".gz" else open)
    return opener(path, "rt", encoding="utf-8")


def sizes(counts: sparse.csr_array) -> tuple[int, int]:
    """Give the shape of `counts`, which SciPy's annotations leave open."""
    return cast(tuple[int, int], counts.shape)


def read_counts(path: Path, cells: Array | None = None) -> sparse.csr_array:
    """Read counts from a Matrix Market file with genes in rows, some lines at a time.

    Parameters
    ----------
    path : Path
        Ends in .mtx or .mtx.gz.
    cells : array of bool, optional
        Which columns (cells) to keep; the file may be much larger than what is kept.

    Returns
    -------
    sparse CSR, shape (kept cells, genes), int32

    Raises
    ------
    ValueError
        If the file is no Matrix Market file of counts, or stops early.
    """
    pandas = require("pandas", "experiments")
    with open_text(path) as stream:
        header = stream.readline().lower().split()
        if header[:3] != ["%%matrixmarket", "matrix", "coordinate"] or header[4:] != ["general"]:
            raise ValueError(f"{path} is no Matrix Market coordinate file: it begins {header}")
        line = stream.readline()
        while line.startswith("%"):
            line = stream.readline()
        try:
            genes, columns, entries = (int(word) for word in line.split())
        except ValueError as error:
            raise ValueError(f"{path}: expected three sizes, found {line!r}") from error
        keep = np.ones(columns, bool) if cells is None else cells
        if keep.shape != (columns,):
            raise ValueError(f"{path} holds {columns} cells, expected {len(keep)}")
        place = np.cumsum(keep) - 1
        parts: list[tuple[Array, Array, Array]] = []
        read = 0
        try:
            chunks = pandas.read_csv(stream, sep=r"\s+", header=None, chunksize=_CHUNK)
            for chunk in chunks:
                gene, cell, value = (chunk[k].to_numpy() for k in range(3))
                gene, cell = gene.astype(int) - 1, cell.astype(int) - 1
                if min(gene.min(), cell.min()) < 0 or gene.max() >= genes or cell.max() >= columns:
                    raise ValueError("an entry lies outside the matrix")
                value = pandas.to_numeric(value)
                read += len(value)
                kept = keep[cell]
                parts.append((place[cell[kept]], gene[kept], value[kept]))
        except (EOFError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged after {read} entries: {error}") from error
    if read != entries:
        raise ValueError(f"{path} is incomplete: {read} of its {entries} entries")
    if not parts:
        raise ValueError(f"{path} has no entries")
    row, column, value = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    most = np.iinfo(np.int32).max
    if (value < 0).any() or (value != np.round(value)).any() or (value > most).any():
        raise ValueError(
            f"{path} holds numbers that are no counts (negative, fractional or above {most})"
        )
    shape = (int(keep.sum()), genes)
    return sparse.csr_array((value.astype(np.int32), (row, column)), shape=shape)


@dataclass(frozen=True, eq=False)
class TenX:
    """One 10x folder: counts (cells, genes), cell barcodes, gene identifiers and unique names."""

    counts: sparse.csr_array
    barcodes: Array
    ids: Array
    names: Array


def _table(folder: Path, *names: str) -> list[list[str]]:
    """Read the tab-separated table in `folder` that has one of `names`, gzipped or not."""
    for name in (*names, *(f"{name}.gz" for name in names)):
        if (path := folder / name).is_file():
            with open_text(path) as stream:
                return [line.rstrip("\r\n").split("\t") for line in stream if line.strip()]
    held = sorted(path.name for path in folder.iterdir())
    raise FileNotFoundError(f"{folder} has no {' or '.join(names)} (or .gz); it holds {held}")


def read_tenx(folder: Path) -> TenX:
    """Read the one 10x matrix in `folder` or below it.

    Expected are matrix.mtx, barcodes.tsv and genes.tsv (version 2) or features.tsv (version 3),
    each plain or gzipped, such as an unpacked archive has in filtered_matrices_mex/hg19. Features
    other than gene expression are left out; a symbol that occurs twice is followed by its
    identifier.

    Raises
    ------
    FileNotFoundError
        If there is no such matrix, several, or a table beside it is missing.
    ValueError
        If the matrix is odd, or its tables have other lengths than its sides.
    """
    found = sorted([*folder.rglob("matrix.mtx"), *folder.rglob("matrix.mtx.gz")])
    if len(found) != 1:
        names = [str(path.relative_to(folder)) for path in found]
        raise FileNotFoundError(
            f"expected one matrix.mtx or matrix.mtx.gz in or below {folder}, found {names}"
        )
    inner = found[0].parent
    counts = read_counts(found[0])
    barcodes = _table(inner, "barcodes.tsv")
    features = _table(inner, "genes.tsv", "features.tsv")
    if sizes(counts) != (len(barcodes), len(features)):
        raise ValueError(
            f"{found[0]} has {sizes(counts)} cells and genes, its tables have "
            f"{(len(barcodes), len(features))}"
        )
    if any(len(row) < 2 for row in features):
        raise ValueError(f"the gene table in {inner} needs an identifier and a symbol in each row")
    ids, symbols = (np.array([row[k] for row in features]) for k in (0, 1))
    genes = np.array([len(row) < 3 or row[2] == EXPRESSION for row in features])
    return _named(counts, np.array([row[0] for row in barcodes]), ids, symbols, genes)


def read_tenx_h5(path: Path) -> TenX:
    """Read the matrix of a 10x HDF5 file, of version 2 (one genome) or 3; as `read_tenx`.

    Raises
    ------
    ValueError
        If the file is no such file, or holds several genomes.
    ImportError
        If h5py is not installed.
    """
    h5py = require("h5py", "bio")
    try:
        with h5py.File(path, "r") as file:
            groups = [k for k, v in file.items() if isinstance(v, h5py.Group) and "indptr" in v]
            if len(groups) != 1:
                raise ValueError(f"it holds no 10x matrix of one genome: it has {sorted(file)}")
            return _stored(file[groups[0]], f"{path}: {groups[0]}")
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except Exception as error:  # h5py raises many types for a file that is cut short
        raise ValueError(f"{path} is no 10x file, or is cut short ({error})") from error


def _stored(held: Any, name: str) -> TenX:
    """The matrix in a group of an HDF5 file, whose parts are checked before they become one."""
    text = lambda field: _column(held, field, name).astype(str)  # noqa: E731
    barcodes = text("barcodes")
    if "features" in held:
        ids, symbols = text("features/id"), text("features/name")
        genes = text("features/feature_type") == EXPRESSION
    else:
        ids, symbols = text("genes"), text("gene_names")
        genes = np.ones(len(ids), bool)
    if not len(ids) == len(symbols) == len(genes):
        raise ValueError(f"{name} has {len(ids)} identifiers of features, {len(symbols)} names")
    shape = len(barcodes), len(ids)
    check_number(held["data"], f"{name}/data")
    data, indices, indptr = (_column(held, field, name) for field in ("data", "indices", "indptr"))
    check_parts(data, indices, indptr, shape, name)
    counts = sparse.csr_array((data, indices, indptr), shape=shape)
    return _named(counts, barcodes, ids, symbols, genes)


def _column(held: Any, field: str, name: str) -> Array:
    """A field of one dimension."""
    if field not in held or len(getattr(held[field], "shape", ())) != 1:
        raise ValueError(f"{name}/{field} is missing, or has not one dimension")
    return np.asarray(held[field])


def _named(
    counts: sparse.csr_array, barcodes: Array, ids: Array, symbols: Array, genes: Array
) -> TenX:
    """The genes among the features, under unique names."""
    ids, symbols = ids[genes], symbols[genes]
    symbol, times = np.unique(symbols, return_counts=True)
    named = [f"{s} {i}" for s, i in zip(symbols, ids, strict=True)]
    names = np.where(np.isin(symbols, symbol[times > 1]), named, symbols)
    return TenX(sparse.csr_array(counts[:, np.flatnonzero(genes)]), barcodes, ids, names)
