"""Sources: whatever holds a matrix gives the same rows, and errors reach the caller."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

import bcnmf_jax as bj
from bcnmf_jax.data.sources import Reader, Stacked
from bcnmf_jax.datasets.tables.files import _single
from bcnmf_jax.tl._rows import Chosen


def anndata_sources(X, folder):
    import anndata

    sparse_a, dense_a = (
        anndata.AnnData(sp.csr_matrix(X), layers={"counts": sp.csc_matrix(X)}),
        anndata.AnnData(X),
    )
    sparse_a.write_h5ad(folder / "s.h5ad")
    dense_a.write_h5ad(folder / "d.h5ad")
    sparse_a.write_zarr(folder / "s.zarr")
    mapped = np.memmap(folder / "m.bin", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return {
        "csr": sp.csr_matrix(X),
        "csc": sp.csc_matrix(X),
        "csr array of integers": sp.csr_array(X.astype(int)),
        "memory map": mapped,
        "AnnData": sparse_a,
        "dense AnnData": dense_a,
        "backed AnnData": anndata.read_h5ad(folder / "s.h5ad", backed="r"),
        "h5ad": folder / "s.h5ad",
        "dense h5ad": str(folder / "d.h5ad"),
        "zarr": folder / "s.zarr",
    }


@pytest.fixture(scope="module")
def backed(holed, tmp_path_factory):
    import anndata

    path = tmp_path_factory.mktemp("backed") / "a.h5ad"
    anndata.AnnData(sp.csr_matrix(holed["background"][:24])).write_h5ad(path)
    return path


@pytest.mark.filterwarnings("ignore:.*zarr.*")
def test_every_source_gives_the_same_rows(holed, tmp_path):
    X = holed["target"]
    found = anndata_sources(X, tmp_path)
    for name, a in found.items():
        source = bj.source(a)
        assert source.shape == X.shape, name
        np.testing.assert_array_equal(source[7:30], X[7:30], err_msg=name)
        reader = Reader([source], 16, np.dtype("float32"))
        rows = [np.asarray(r.x)[: j.stop - j.start] for j, r in reader.read(reader.jobs(0))]
        np.testing.assert_array_equal(np.concatenate(rows), X, err_msg=name)
    counts = bj.source(found["AnnData"], layer="counts")
    np.testing.assert_array_equal(counts[:5], X[:5])
    with pytest.raises(ValueError, match="stored by columns"):
        bj.streaming.BackedRows(tmp_path / "s.h5ad", layer="counts")
    with pytest.raises(KeyError, match="counts"):
        bj.streaming.BackedRows(tmp_path / "s.h5ad", layer="raw")
    with pytest.raises(FileNotFoundError, match=r"none\.h5ad"):
        bj.streaming.BackedRows(tmp_path / "none.h5ad")
    with pytest.raises(TypeError, match="layer"):
        bj.source(X, layer="counts")


INDICES = [
    slice(0, 20, 2), slice(5, 2), slice(None, None, -1), slice(20, 3, -4), slice(5, 2, 2),
    slice(99, None), slice(-3, None), 3, -1, np.int64(7), [4, 2, 2, -1], np.array([], int),
    np.arange(24) % 5 == 1, np.zeros(24, bool),
]  # fmt: skip


@pytest.mark.parametrize("rows", INDICES, ids=str)
def test_rows_are_chosen_as_from_a_matrix(rows, holed, backed):
    X = holed["background"][:24]
    M = sp.csr_matrix(X)
    sources = {"csr": bj.source(M), "csc": bj.source(M.tocsc()), "h5ad": bj.source(backed)}
    for name, source in sources.items():
        np.testing.assert_array_equal(source[rows], M[rows].toarray(), err_msg=name)
    for source in (Stacked([X[:9], X[9:]]), Chosen(M, np.arange(24))):
        np.testing.assert_array_equal(source[rows], X[rows])


@pytest.mark.parametrize("rows", [24, [0, -25], np.ones(5, bool)], ids=str)
def test_rows_that_there_are_not(rows, holed):
    X = holed["background"][:24]
    for source in (bj.source(sp.csr_matrix(X)), Stacked([X[:9], X[9:]])):
        with pytest.raises(IndexError, match="24"):
            source[rows]


@pytest.mark.parametrize("form", [sp.coo_array, sp.csr_array])
def test_a_sparse_array_of_one_dimension_is_refused(form):
    made = form(np.arange(5.0))
    for use in (bj.source, bj.BCNMF(2).fit, _single):
        with pytest.raises(ValueError, match=r"two dimensions .*, found shape \(5,\)"):
            use(made)


def test_reading_errors_reach_the_caller(holed):
    class Broken:
        shape, dtype = (40, 30), np.dtype(float)

        def __getitem__(self, rows):
            if rows.start > 20:
                raise OSError("disk on fire")
            return holed["target"][rows]

    with pytest.raises(OSError, match="disk on fire"):
        bj.streaming.summarize({"target": Broken()}, chunk_rows=8)


@pytest.mark.filterwarnings("ignore:.*zarr.*", "ignore:not converged", "ignore:X does not have")
@pytest.mark.parametrize("name", ["s.h5ad", "d.h5ad", "s.zarr"])
def test_files_are_closed_after_a_fit_and_sources_copied(holed, tmp_path, name):
    anndata_sources(holed["background"], tmp_path)
    path = (tmp_path / name).resolve()

    def held():
        files = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists())
        return [f for f in files if f.startswith(str(path))]

    source, rows = bj.source(path), holed["background"][2:5]
    model = bj.BCNMF(2, n_restarts=1, max_iter=2, random_state=0, background=source)
    first = model.fit(holed["target"])
    again = clone(model).fit(holed["target"])
    assert not held()
    np.testing.assert_array_equal(first.components_, again.components_)
    one = pickle.loads(pickle.dumps(first))
    assert one.score(holed["target"]) == first.score(holed["target"]) and not held()
    with pickle.loads(pickle.dumps(source)) as other:
        np.testing.assert_array_equal(other[2:5], rows)
    np.testing.assert_array_equal(source[2:5], rows)
    source.close()
    assert not held()


def test_a_file_that_has_changed_is_not_read_on(holed, tmp_path):
    import anndata

    anndata.AnnData(holed["target"]).write_h5ad(tmp_path / "a.h5ad")
    source = bj.source(tmp_path / "a.h5ad")
    source.close()
    anndata.AnnData(holed["background"]).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=r"was \(45, 30\) and is \(31, 30\)"):
        source[:3]


def test_views_of_open_files_are_cloned_as_they_are(holed, tmp_path):
    import anndata

    anndata.AnnData(sp.csr_matrix(holed["target"])).write_h5ad(tmp_path / "a.h5ad")
    view = bj.source(anndata.read_h5ad(tmp_path / "a.h5ad", backed="r"))
    assert clone(bj.BCNMF(background=view)).background is view
