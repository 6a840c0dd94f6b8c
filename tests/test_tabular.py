"""Files of samples x features: every kind gives the same table, and an odd file a clear error."""

import gzip

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from bcnmf_jax.datasets.tables import Table, TableError, read_table

VALUES = np.array([[1, 0, 2], [0, 3, 0], [4, 5, 6], [0, 0, 7]])
FEATURES, SAMPLES = ["g1", "g2", "g3"], ["a", "b", "c", "d"]
FRAME = pd.DataFrame(VALUES, SAMPLES, FEATURES)


def csv(path):
    FRAME.to_csv(path)


def tsv_gz(path):
    FRAME.to_csv(path, sep="\t")


def like_r(path):
    """As R's write.table has it: no name above the names of rows."""
    lines = FRAME.to_csv(sep="\t").splitlines()
    path.write_text("\n".join([lines[0].removeprefix("\t"), *lines[1:]]) + "\n")


def h5ad(path):
    x = sparse.csr_matrix(VALUES.astype(np.float32))
    anndata.AnnData(x, pd.DataFrame({"donor": list("uvuv")}, SAMPLES), FRAME.T.iloc[:, :0]).write(
        path
    )


def arrays(path):
    np.savez(path, X=VALUES, features=FEATURES, samples=SAMPLES)


def h5(path):
    """10x, version 3, with a feature that is no gene."""
    x = sparse.csr_array(np.c_[VALUES, [9, 9, 9, 9]])
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(x, name)
        group["shape"], group["barcodes"] = (4, 4), np.array(SAMPLES, "S")
        features = group.create_group("features")
        features["id"], features["name"] = (np.array([*FEATURES, "tag"], "S") for _ in range(2))
        kinds = ["Gene Expression"] * 3 + ["Antibody Capture"]
        features["feature_type"] = np.array(kinds, "S")


def h5_version_2(path):
    x = sparse.csr_array(VALUES)
    with h5py.File(path, "w") as file:
        group = file.create_group("hg19")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(x, name)
        group["barcodes"] = np.array(SAMPLES, "S")
        group["genes"], group["gene_names"] = (np.array(FEATURES, "S") for _ in range(2))


def folder(path):
    path.mkdir()
    mmwrite(path / "matrix.mtx", sparse.coo_array(VALUES.T))
    (path / "barcodes.tsv").write_text("\n".join(SAMPLES) + "\n")
    rows = "".join(f"id{g}\t{g}\tGene Expression\n" for g in FEATURES)
    (path / "features.tsv.gz").write_bytes(gzip.compress(rows.encode()))


KINDS = {
    "x.csv": csv, "x.tsv.gz": tsv_gz, "x.txt": like_r, "x.h5ad": h5ad, "x.npz": arrays, "x.h5": h5,
    "y.h5": h5_version_2, "tenx": folder,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_table(name, tmp_path):
    KINDS[name](tmp_path / name)
    found = read_table(tmp_path / name)
    values = found.values.toarray() if sparse.issparse(found.values) else found.values
    assert values.dtype == np.float32 and np.array_equal(values, VALUES)
    assert found.features.tolist() == FEATURES and found.samples.tolist() == SAMPLES
    assert found.named is True
    assert (found.obs is not None) == (name == "x.h5ad")


@pytest.mark.parametrize("name", ["x.mtx", "x.mtx.gz", "x.npz"])
def test_a_matrix_without_names_takes_those_of_another_table(name, tmp_path):
    x = sparse.csr_array(VALUES)
    if name == "x.npz":
        sparse.save_npz(tmp_path / name, x)
    else:
        mmwrite(tmp_path / "x.mtx", x)
        if name.endswith("gz"):
            packed = gzip.compress((tmp_path / "x.mtx").read_bytes())
            (tmp_path / name).write_bytes(packed)
    found = read_table(tmp_path / name)
    assert not found.named and np.array_equal(found.values.toarray(), VALUES)
    assert found.with_features(np.array(FEATURES)).features.tolist() == FEATURES
    with pytest.raises(TableError, match="3 features without names, expected 2"):
        found.with_features(np.array(FEATURES[:2]))


@pytest.mark.parametrize(
    ("text", "samples", "features"),
    [
        ("g1,g2\n1,2\n3,4\n", ["0", "1"], ["g1", "g2"]),
        (",g2\n1,2\n3,4\n", ["1", "3"], ["g2"]),
        ("cell,g2\na1,2\na2,4\n", ["a1", "a2"], ["g2"]),
        ("cell,g2\n1,2\na2,4\n", ["1", "a2"], ["g2"]),
        ("0,1\n1,2\n3,4\n", ["0", "1"], ["0", "1"]),
        ('\ufeff"g, one",g2\n1,2\n3,4\n', ["0", "1"], ["g, one", "g2"]),
        ("id,NA,nan\nNA,1,2\nnull,3,4\nnan,5,6\n", ["NA", "null", "nan"], ["NA", "nan"]),
        ("id,g\nnan,1\nNA,2\nx,3\n", ["nan", "NA", "x"], ["g"]),
        ("g1,g2\n1,2\nNA,4\n", ["0", "1"], ["g1", "g2"]),
    ],
)
def test_the_first_column_is_names_if_its_header_is_empty_or_it_holds_words(
    text, samples, features, tmp_path
):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    found = read_table(tmp_path / "x.csv")
    assert found.samples.tolist() == samples and found.features.tolist() == features


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "", "no samples"),
        ("x.csv", "g1,g2\n", "no samples"),
        ("x.csv", "0.5,1.5\n1,2\n3,4\n", "first line holds numbers"),
        ("x.csv", "id,a,,c\nx,1,2,3\ny,4,5,6\n", "feature number 2 has no name"),
        ("x.csv", "id,a, \nx,1,2\ny,4,5\n", "feature number 2 has no name"),
        ("x.csv", "id,a\nx,1\n,2\n", "sample number 2 has no name"),
        ("x.csv", 'id,"a\nb"\nx,1\ny,2\n', r"number 1 is 'a\\nb', which has a line break"),
        ("x.csv", 'id,a\n"x\ry",1\ny,2\n', r"number 1 is 'x\\ry', which has a line break"),
        ("x.csv", "g1,g1\n1,2\n3,4\n", r"1 names of features occur more than once \(g1\)"),
        ("x.csv", "g1;g2\n1;2\n", "between commas"),
        ("x.tsv", "g1,g2\n1,2\n", "between tabs"),
        ("x.csv", "cell,g2\na,x\nb,4\n", "feature g2 is 'x' in sample a"),
        ("x.csv", "g1,g2\n1,2\n1,2,3,4\n", "fields"),
        ("x.csv.gz", "g1,g2\n1,2\n", "gzip"),
        ("x.csv", b"g1,g2\n\xff\xfe,2\n", "utf-8"),
        ("x.h5ad", "text", "cannot be read as h5ad"),
        ("x.h5", "text", "signature"),
        ("x.npz", "text", "pickle"),
        ("x.mtx", "text", "x.mtx"),
        ("x.xlsx", "text", "of no kind that is known: name it .csv"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TableError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_beyond_single_precision_are_infinite_and_refused(tmp_path):
    (tmp_path / "x.csv").write_text("g1,g2\n1,2\n3,1e300\n")
    with pytest.raises(TableError, match=r"1 infinite.*sample 1, feature g2"):
        read_table(tmp_path / "x.csv").check()


def test_objects_that_would_be_unpickled_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.array([[{}]], dtype=object))
    with pytest.raises(TableError, match="allow_pickle=False"):
        read_table(tmp_path / "x.npz")


def test_indices_beyond_the_matrix_are_refused(tmp_path):
    x = sparse.csr_matrix(VALUES)
    x.indices[0] = 9
    sparse.save_npz(tmp_path / "x.npz", x)
    with pytest.raises(TableError, match="indices"):
        read_table(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": VALUES, "b": VALUES}, "one array of two dimensions"),
        ({"X": VALUES, "features": FEATURES[:2]}, "4 and 2 names"),
        ({"X": VALUES[:0]}, "empty: 0 samples"),
        ({"X": VALUES * 1j}, "complex128, no real numbers"),
    ],
)
def test_arrays_that_make_no_table_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "x.npz")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*gone\.csv"):
        read_table(tmp_path / "gone.csv")
    csv(tmp_path / "x.csv")
    with pytest.raises(TableError, match="has no layers"):
        read_table(tmp_path / "x.csv", layer="counts")
    h5ad(tmp_path / "x.h5ad")
    with pytest.raises(TableError, match=r"no layer 'counts'; its layers are \[\]"):
        read_table(tmp_path / "x.h5ad", layer="counts")
    (tmp_path / "names.csv").write_text("cell\na\nb\n")
    with pytest.raises(TableError, match="no column of numbers"):
        read_table(tmp_path / "names.csv")


def test_a_10x_matrix_is_read_by_its_folder(tmp_path):
    folder(tmp_path / "tenx")
    with pytest.raises(TableError, match="give the folder"):
        read_table(tmp_path / "tenx" / "matrix.mtx")


def table(values):
    values = np.asarray(values, np.float32)
    return Table(values, np.array(FEATURES), np.array(SAMPLES[: len(values)]))


def test_features_are_matched_by_name():
    found = table(VALUES).with_features(np.array(["g3", "g1"]))
    assert np.array_equal(found.values, VALUES[:, [2, 0]])
    with pytest.raises(TableError, match=r"lacks 2 of 3 features \(h1, h2\)"):
        table(VALUES).with_features(np.array(["h1", "g1", "h2"]))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    ("bad", "message"), [(np.nan, "missing"), (-1, "negative"), (np.inf, "infinite")]
)
def test_the_first_bad_value_is_named(kind, bad, message):
    values = VALUES.astype(np.float32)
    values[2, 1] = bad
    found = Table(kind(values), np.array(FEATURES), np.array(SAMPLES))
    with pytest.raises(TableError, match=rf"1 .*{message}.*sample c, feature g2") as caught:
        found.check()
    assert "fill" in str(caught.value) or "centre" in str(caught.value)
