"""Sparse parts that do not fit together, and stores that would run code: refused before anything
is sliced, made dense or decoded."""

import json
import os
import pickle

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

import bcnmf_jax as bj
from bcnmf_jax.datasets.tables import TableError, read_table
from bcnmf_jax.inference.background import background_check, split_by_stratum
from bcnmf_jax.tl._rows import Chosen, matrix_of

WIDTH, ROWS = 8, 60
FAR = 2**63


def whole():
    values = np.random.default_rng(0).random((ROWS, WIDTH), np.float32)
    return sp.csr_matrix(np.where(values < 0.4, values, 0))


def changed(parts, at, value):
    parts[at[0]][at[1]] = value


def shortened(parts, name):
    parts[name] = parts[name][:-1]


# What is done to data, indices and indptr, and words of the message.
CORRUPT = {
    "far indices": (lambda p: p["indices"].__iadd__(10**7), "indices goes from"),
    "negative indices": (lambda p: p["indices"].__isub__(100), "indices goes from -"),
    "one index too large": (lambda p: changed(p, ("indices", 0), WIDTH), "to 8; .* 0 and 7"),
    "last index too large": (lambda p: changed(p, ("indices", -1), WIDTH), "indices goes from"),
    "negative pointer": (lambda p: changed(p, ("indptr", 1), -5), "indptr falls from 0 to -5"),
    "late start": (lambda p: changed(p, ("indptr", 0), 1), "indptr goes from 1"),
    "far end": (lambda p: changed(p, ("indptr", -1), 10**6), "indptr goes from 0 to 1000000"),
    "falling pointers": (lambda p: changed(p, ("indptr", 3), 10**5), "indptr falls from 100000"),
    "pointers far apart": (
        lambda p: p.update(indptr=np.array([0, FAR - 1, -FAR, -1, *p["indptr"][4:]])),
        "indptr falls from 9223372036854775807",
    ),
    "few pointers": (lambda p: shortened(p, "indptr"), r"indptr has shape"),
    "few indices": (lambda p: shortened(p, "indices"), "of one length"),
    "fractions": (lambda p: p.update(indices=p["indices"] + 0.5), "indices must hold integers"),
}  # fmt: skip


def parts_of(matrix):
    return {k: np.array(getattr(matrix, k)) for k in ("data", "indices", "indptr")}


def corrupt(what, matrix):
    """Parts of a matrix after `CORRUPT`, and the words of the message."""
    parts = parts_of(matrix)
    change, words = CORRUPT[what]
    change(parts)
    return parts, words


def in_memory(what, matrix):
    """The corrupt parts as a SciPy matrix, whose constructor does not see them."""
    made = matrix.copy()
    parts, words = corrupt(what, matrix)
    for name, values in parts.items():
        setattr(made, name, values)
    return made, words


def put(group, parts):
    for name, values in parts.items():
        del group[name]
        group[name] = values


def write(path, matrix):
    if path.suffix == ".h5ad":
        anndata.AnnData(matrix).write_h5ad(path)
    else:
        anndata.AnnData(matrix).write_zarr(path)


def rewrite(path, parts):
    """Other parts of the matrix in a file."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "r+") as file:
            put(file["X"], parts)
    else:
        import zarr

        group = zarr.open_group(str(path), mode="r+", use_consolidated=False)["X"]
        for name, values in parts.items():
            group.create_array(name, data=values, overwrite=True)
        zarr.consolidate_metadata(str(path))


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("what", CORRUPT)
@pytest.mark.filterwarnings("ignore:.*zarr.*")
def test_a_corrupt_matrix_on_disk_is_refused(what, form, tmp_path):
    path = tmp_path / f"x.{form}"
    parts, words = corrupt(what, whole())
    write(path, whole())
    rewrite(path, parts)
    # A chunk that holds the odd index; chunks before it are fine.
    with pytest.raises(ValueError, match=words) as caught:
        bj.streaming.summarize({"target": bj.source(path)}, chunk_rows=16)
    assert str(path) in str(caught.value) and ": X/in" in str(caught.value)
    if form == "h5ad":
        backed = anndata.read_h5ad(path, backed="r")
        with pytest.raises(ValueError, match=words) as caught:
            bj.source(backed)[0:ROWS]
        assert f"{path}: X/in" in str(caught.value)
        backed.file.close()
        with pytest.raises(TableError, match=words) as caught:
            read_table(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("what", [k for k in CORRUPT if k != "fractions"])
def test_a_corrupt_matrix_in_memory_is_refused(what, form):
    fine = form(whole().T) if form is sp.csc_matrix else form(whole())  # indices below `WIDTH`
    made, words = in_memory(what, fine)
    held = anndata.AnnData(fine)
    held.X = made
    for use in (
        lambda: bj.source(made)[0 : made.shape[0]],
        lambda: bj.BCNMF(2).fit(made),
        lambda: bj.BCNMF(2, alpha=1.0).fit(fine, background=made),
        lambda: background_check(fine, made),
        lambda: split_by_stratum(made, np.zeros(made.shape[0])),
        lambda: Chosen(matrix_of(held, None), np.delete(np.arange(made.shape[0]), 1))[:],
    ):
        with pytest.raises(ValueError, match=words):
            use()


def test_room_to_grow_is_no_mistake():
    made = whole()
    dense = made.toarray()
    made.data, made.indices = np.append(made.data, 7.0), np.append(made.indices, 99)
    np.testing.assert_array_equal(bj.source(made)[0:ROWS], dense)


def test_coordinates_outside_a_matrix_are_refused():
    made = sp.coo_matrix(whole())
    made.col[3] = 10**8
    with pytest.raises(ValueError, match=r"matrix\.col goes from 0 to 100000000"):
        bj.source(made)
    made = sp.bsr_matrix(whole())
    made.indices[0] = 10**8
    with pytest.raises(ValueError, match="matrix: "):
        bj.source(made)


def tenx(path, parts, shape=(WIDTH, ROWS)):
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name, values in parts.items():
            group[name] = values
        group["shape"] = np.array(shape)
        group["barcodes"] = np.array([f"c{i}" for i in range(shape[1])], "S")
        features = group.create_group("features")
        features["id"] = features["name"] = np.array([f"g{i}" for i in range(shape[0])], "S")
        features["feature_type"] = np.array(["Gene Expression"] * shape[0], "S")


@pytest.mark.parametrize("what", CORRUPT)
def test_a_corrupt_10x_file_is_refused(what, tmp_path):
    parts, words = corrupt(what, whole())
    tenx(tmp_path / "x.h5", parts)
    with pytest.raises(TableError, match=words) as caught:
        read_table(tmp_path / "x.h5")
    assert f"{tmp_path / 'x.h5'}: matrix/in" in str(caught.value)


INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">i4", ">u8"]


def filled(pointers):
    """A matrix of 100 columns with as many values as pointers of a type can count, up to 70,000."""
    rows = min(int(np.iinfo(pointers).max) // 100, 700)
    return sp.csr_matrix(np.arange(1, 100 * rows + 1, dtype="f4").reshape(rows, 100))


@pytest.mark.parametrize("pointers", INTEGERS)
@pytest.mark.filterwarnings("ignore:.*zarr.*")
def test_indices_and_pointers_of_every_integer_type(pointers, tmp_path):
    matrix = filled(pointers)
    dense, ends = matrix.toarray(), matrix.indptr.astype(pointers)
    paths = [tmp_path / "x.h5ad", tmp_path / "x.zarr"]
    for path in paths:
        write(path, matrix)
        rewrite(path, {"indptr": ends})
    for kind in INTEGERS:
        indices = matrix.indices.astype(kind)
        made = matrix.copy()
        made.indices, made.indptr = indices, ends
        for path in paths:
            rewrite(path, {"indices": indices})
        tenx(tmp_path / "x.h5", parts_of(made), made.shape[::-1])
        for source in map(bj.source, (made, *paths)):
            out = np.empty_like(dense)
            source.rows_into(0, len(dense), out)
            np.testing.assert_array_equal(out, dense)
            np.testing.assert_array_equal(source[1:], dense[1:])
        for path in (tmp_path / "x.h5", paths[0]):
            np.testing.assert_array_equal(read_table(path).values.toarray(), dense)


@pytest.mark.parametrize("what", [k for k in CORRUPT if k != "fractions"])  # SciPy rounds them
def test_a_corrupt_archive_is_refused(what, tmp_path):
    parts, _ = corrupt(what, whole())
    np.savez(tmp_path / "x.npz", format="csr", shape=(ROWS, WIDTH), **parts)
    with pytest.raises(TableError):
        read_table(tmp_path / "x.npz")


@pytest.mark.parametrize("values", ["text", "things"])
def test_values_that_are_no_numbers_are_not_read(values, tmp_path):
    path = tmp_path / "x.h5ad"
    anndata.AnnData(whole()).write_h5ad(path)
    kind = h5py.string_dtype() if values == "text" else h5py.ref_dtype
    with h5py.File(path, "r+") as file:
        count = len(file["X/data"])
        del file["X/data"]
        file["X"].create_dataset("data", (count,), kind)
    with pytest.raises(TypeError, match="must hold real numbers"):
        bj.source(path)


class Marker:
    """Unpickled, makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


PICKLE = {"id": "pickle", "protocol": 5}


def array_2(folder, chunk, **metadata):
    """An array of zarr 2 with one chunk."""
    folder.mkdir(parents=True)
    told = {
        "zarr_format": 2, "shape": [4, 2], "chunks": [4, 2], "dtype": "|O", "compressor": None,
        "fill_value": None, "order": "C", "filters": [PICKLE],
    } | metadata  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(told))
    (folder / "0.0").write_bytes(chunk)
    return told


def store_2(root, chunk, *, consolidated, **metadata):
    told = {"X/.zarray": array_2(root / "X", chunk, **metadata), ".zgroup": {"zarr_format": 2}}
    (root / ".zgroup").write_text(json.dumps(told[".zgroup"]))
    if consolidated:
        # The array's own metadata are harmless; a reader goes by those of the whole store.
        about = {"zarr_consolidated_format": 1, "metadata": told}
        (root / ".zmetadata").write_text(json.dumps(about))
        harmless = told["X/.zarray"] | {"dtype": "<f4", "filters": None, "compressor": None}
        (root / "X" / ".zarray").write_text(json.dumps(harmless))


def store_3(root, chunk, *, consolidated, codecs):
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [4, 2], "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 2]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0, "codecs": codecs, "attributes": {},
    }  # fmt: skip
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    folder = root / "X" / "c" / "0"
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(chunk)
    if consolidated:
        held = {"kind": "inline", "must_understand": False, "metadata": {"X": array}}
        group["consolidated_metadata"] = held
        array = array | {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    (root / "zarr.json").write_text(json.dumps(group))
    (root / "X" / "zarr.json").write_text(json.dumps(array))


HIDDEN = [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]
STORES = {
    "filter": lambda root, chunk: store_2(root, chunk, consolidated=False),
    "compressor": lambda root, chunk: store_2(
        root, chunk, consolidated=False, filters=None, compressor=PICKLE
    ),
    "two names": lambda root, chunk: store_2(
        root, chunk, consolidated=False, filters=[{"id": "pickle", "name": "zlib"}]
    ),
    "unknown filter": lambda root, chunk: store_2(
        root, chunk, consolidated=False, filters=[{"id": "someone.elses"}]
    ),
    "nameless filter": lambda root, chunk: store_2(root, chunk, consolidated=False, filters=[{}]),
    "consolidated": lambda root, chunk: store_2(root, chunk, consolidated=True),
    "version 3": lambda root, chunk: store_3(
        root, chunk, consolidated=False, codecs=[{"name": "numcodecs.pickle"}]
    ),
    "version 3 in a shard": lambda root, chunk: store_3(
        root, chunk, consolidated=False, codecs=HIDDEN
    ),
    "version 3 consolidated": lambda root, chunk: store_3(
        root, chunk, consolidated=True, codecs=[{"name": "numcodecs.pickle"}]
    ),
}


@pytest.mark.parametrize("what", STORES)
def test_a_store_that_would_run_code_is_refused(what, tmp_path, monkeypatch):
    import numcodecs.pickles

    # As older releases have it, and with them what zarr would decode.
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)
    marker = tmp_path / "marker"
    STORES[what](tmp_path / "x.zarr", pickle.dumps([Marker(marker), (4, 2)]))
    with pytest.raises(ValueError, match=r"filter or compressor .* could run code") as caught:
        bj.source(tmp_path / "x.zarr")[0:4]
    assert str(tmp_path / "x.zarr") in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, '{"a":' * 400 + "1" + "}" * 400, "[]", '{"filters": 3}', '{"a": NaN}']
)
def test_odd_metadata_of_a_store_are_refused(text, tmp_path):
    store_2(tmp_path / "x.zarr", b"", consolidated=False, filters=None, dtype="<f4")
    (tmp_path / "x.zarr" / "X" / ".zarray").write_text(text)
    with pytest.raises(ValueError, match=r"x\.zarr"):
        bj.source(tmp_path / "x.zarr")


def test_objects_in_a_store_are_not_read(tmp_path):
    store_2(tmp_path / "x.zarr", b"", consolidated=False, filters=[{"id": "vlen-utf8"}])
    with pytest.raises(TypeError, match="must hold real numbers"):
        bj.source(tmp_path / "x.zarr")


def test_a_link_to_the_store_itself_ends(tmp_path):
    store_2(
        tmp_path / "x.zarr", np.ones((4, 2), "f4").tobytes(), consolidated=False, filters=None,
        dtype="<f4",
    )  # fmt: skip
    (tmp_path / "x.zarr" / "loop").symlink_to(tmp_path / "x.zarr", target_is_directory=True)
    np.testing.assert_array_equal(bj.source(tmp_path / "x.zarr")[0:4], np.ones((4, 2)))
