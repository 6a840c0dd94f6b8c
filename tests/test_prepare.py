"""Building and loading prepared files, from small folders in the format of each source."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from bcnmf_jax import datasets
from bcnmf_jax.datasets import files
from bcnmf_jax.datasets.prepared import most_variable
from bcnmf_jax.datasets.tenx import read_counts, read_tenx
from experiments import prepare

GENES = 30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty data folder."""
    made = tmp_path / "data"
    monkeypatch.setenv("BCNMF_DATA", str(made))
    return made


def some_counts(cells: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(0.4, 3, GENES), (cells, GENES)).astype(np.float32)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def write_matrix(path: Path, counts: np.ndarray) -> None:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    plain.parent.mkdir(parents=True, exist_ok=True)
    io.mmwrite(plain, sparse.coo_matrix(counts.T.astype(int)))
    if path.suffix == ".gz":
        write(path, plain.read_text())
        plain.unlink()


def write_tenx(folder: Path, counts: np.ndarray, ending: str = "", v3: bool = False) -> list[str]:
    barcodes = [f"AAAC{i:04d}-1" for i in range(len(counts))]
    kind = "\tGene Expression" if v3 else ""
    rows = [f"ENSG{j}\tGENE{j}{kind}\n" for j in range(counts.shape[1])]
    write_matrix(folder / f"matrix.mtx{ending}", counts)
    write(folder / f"barcodes.tsv{ending}", "".join(f"{code}\n" for code in barcodes))
    write(folder / f"{'features' if v3 else 'genes'}.tsv{ending}", "".join(rows))
    return barcodes


def leukemia_source(folder: Path) -> dict[str, np.ndarray]:
    names = {
        "pre": "aml027_pre_transplant_filtered_gene_bc_matrices",
        "post": "aml027_post_transplant_filtered_gene_bc_matrices",
        "healthy": "frozen_bmmc_healthy_donor1_filtered_gene_bc_matrices",
    }
    counts = {key: some_counts(4 + k, k) for k, key in enumerate(names)}
    for key, name in names.items():
        write_tenx(folder / name / "filtered_matrices_mex" / "hg19", counts[key])
    return counts


@pytest.mark.parametrize(("ending", "v3"), [("", False), (".gz", False), (".gz", True)])
def test_read_tenx(tmp_path, ending, v3):
    counts = some_counts(7, 0)
    barcodes = write_tenx(tmp_path / "filtered" / "hg19", counts, ending, v3)
    part = read_tenx(tmp_path)
    assert np.array_equal(part.counts.toarray(), counts)
    assert part.barcodes.tolist() == barcodes and part.names[2] == "GENE2"


def test_read_tenx_keeps_genes_and_tells_equal_symbols_apart(tmp_path):
    counts = some_counts(5, 0)[:, :3]
    write_matrix(tmp_path / "matrix.mtx", counts)
    write(tmp_path / "barcodes.tsv", "a\nb\nc\nd\ne\n")
    expression = "Gene Expression"
    rows = f"E1\tA\t{expression}\nP\tCD3\tAntibody Capture\nE2\tA\t{expression}\n"
    write(tmp_path / "features.tsv", rows)
    part = read_tenx(tmp_path)
    assert part.names.tolist() == ["A E1", "A E2"]
    assert np.array_equal(part.counts.toarray(), counts[:, [0, 2]])


def test_read_tenx_names_what_is_missing_or_odd(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected one matrix\.mtx"):
        read_tenx(tmp_path)
    write_tenx(tmp_path, some_counts(3, 0))
    write(tmp_path / "barcodes.tsv", "a\nb\n")
    with pytest.raises(ValueError, match=r"\(3, 30\) cells and genes, its tables have \(2, 30\)"):
        read_tenx(tmp_path)
    (tmp_path / "genes.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"genes\.tsv or features\.tsv"):
        read_tenx(tmp_path)


def test_read_counts_keeps_chosen_cells_over_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("bcnmf_jax.datasets.tenx._CHUNK", 7)
    counts = some_counts(9, 4)
    write_matrix(tmp_path / "m.mtx.gz", counts)
    chosen = np.arange(9) % 3 == 1
    assert np.array_equal(read_counts(tmp_path / "m.mtx.gz", chosen).toarray(), counts[chosen])


def test_most_variable_is_the_variance_of_log_counts():
    counts = some_counts(40, 2)
    counts[:, 3] = 0
    logs = datasets.log_normalise(counts.astype(np.float64))
    expected = np.argsort(-logs.var(0), kind="stable")[:8]
    found = most_variable(sparse.csr_array(counts), 8)
    assert found.tolist() == expected.tolist()
    assert 3 not in most_variable(sparse.csr_array(counts), GENES)


def test_leukemia(tmp_path, folder, capsys):
    counts = leukemia_source(tmp_path / "source")
    assert prepare.main(["leukemia", str(tmp_path / "source")]) == 0
    made = folder / "leukemia.npz"
    assert [path.name for path in folder.iterdir()] == ["leukemia.npz"]
    assert files.sha256(made) in capsys.readouterr().out
    data = datasets.leukemia()
    assert data.labels.tolist() == [0] * 4 + [1] * 5
    order = [int(name.removeprefix("GENE")) for name in data.feature_names]
    whole = np.concatenate([counts["pre"], counts["post"]])
    assert np.array_equal(data.data("counts")["target"], whole[:, order])
    expected = datasets.log_normalise(counts["healthy"])[:, order]
    np.testing.assert_allclose(data.background, expected, rtol=1e-6)
    assert data.groups is None and data.background_groups is None


def test_log_counts_use_the_totals_over_all_genes(tmp_path):
    counts = leukemia_source(tmp_path)
    cells = prepare.leukemia(tmp_path, n_genes=5)
    whole = np.concatenate(list(counts.values()))
    assert cells.counts.shape == (15, 5)
    assert cells.totals.tolist() == whole.sum(1).tolist()


def test_mixseq_full(tmp_path, folder):
    lines = ["RCC10RGB_KIDNEY", "SQ1_LUNG", "RCC10RGB_KIDNEY", "LS1034_LARGE_INTESTINE"]
    quality = ["normal", "normal", "doublet", "normal"]
    counts = {}
    for k, name in enumerate(("Idasanutlin_24hr_expt1", "DMSO_24hr_expt1")):
        counts[name] = some_counts(4, k)
        codes = write_tenx(tmp_path / name, counts[name])
        rows = [",".join(row) + "\n" for row in zip(codes, lines, quality, strict=True)]
        # Another order than the barcodes': rows are matched, not assumed to be aligned.
        text = "barcode,singlet_ID,cell_quality\n" + "".join(reversed(rows))
        write(tmp_path / name / "classifications.csv", text)
    prepare.prepare("mixseq_full", tmp_path, folder)
    data = datasets.mixseq_full()
    order = [int(name.removeprefix("GENE")) for name in data.feature_names]
    kept = [0, 1, 3]
    expected = counts["Idasanutlin_24hr_expt1"][kept][:, order]
    assert np.array_equal(data.data("counts")["target"], expected)
    assert data.labels.tolist() == [1, 0, 0]
    assert data.background_groups is not None
    assert data.background_groups.tolist() == [lines[i] for i in kept]

    path = tmp_path / "DMSO_24hr_expt1" / "classifications.csv"
    path.write_text(path.read_text().replace("SQ1_LUNG", "HELA"))
    with pytest.raises(ValueError, match=r"not known for the cell lines \['HELA'\]"):
        prepare.prepare("mixseq_full", tmp_path, folder)


def mdd_source(folder: Path) -> np.ndarray:
    names = ["F1.A-1.Ast.Ast1", "F1.C-1.Mic.Mic1", "F2.A-1.Oli.Oli2", "F9.A-1.Ast.Ast1"]
    names += ["F2_2.G-1.Ast.Ast3", "F1.T-1.Oli.Oli1"]
    counts = some_counts(6, 5)
    stem = "GSE213982_combined_counts_matrix"
    write_matrix(folder / f"{stem}.mtx.gz", counts)
    for part, values in (
        ("genes_rows", [f"GENE{j}" for j in range(GENES)]),
        ("cells_columns", names),
    ):
        text = '"","x"\n' + "".join(f'"{i}","{v}"\n' for i, v in enumerate(values, 1))
        write(folder / f"{stem}_{part}.csv.gz", text)
    write(folder / "donors.csv", "donor,group\nF1,Case\nF2,Control\n")
    return counts


def test_mdd(tmp_path, folder):
    counts = mdd_source(tmp_path / "source")
    prepare.prepare("mdd", tmp_path / "source", folder)
    data = datasets.mdd()
    order = [int(name.removeprefix("GENE")) for name in data.feature_names]
    assert np.array_equal(data.data("counts")["target"], counts[[0, 2, 4, 5]][:, order])
    assert np.array_equal(data.data("counts")["background"], counts[[2, 4]][:, order])
    assert data.labels.tolist() == [1, 0, 0, 1]
    assert data.groups is not None and data.groups.tolist() == ["F1", "F2", "F2", "F1"]

    write(tmp_path / "source" / "donors.csv", "donor,group\nF1,Case\nF7,Control\n")
    with pytest.raises(ValueError, match="without cells: F7"):
        prepare.prepare("mdd", tmp_path / "source", folder)


def test_a_failed_build_leaves_the_old_file(tmp_path, folder, capsys):
    source = tmp_path / "source"
    mdd_source(source)
    prepare.prepare("mdd", source, folder)
    before = files.sha256(folder / "mdd.npz")
    matrix = source / "GSE213982_combined_counts_matrix.mtx.gz"
    matrix.write_bytes(matrix.read_bytes()[:-20])
    assert prepare.main(["mdd", str(source)]) == 1
    said = capsys.readouterr().err
    assert "damaged" in said and "GSE213982" in said and "donors.csv" in said
    assert [path.name for path in folder.iterdir()] == ["mdd.npz"]
    assert files.sha256(folder / "mdd.npz") == before


@pytest.mark.parametrize("name", list(prepare.BUILDERS))
def test_an_empty_folder_says_what_belongs_there(name, tmp_path, folder):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        prepare.prepare(name, source, folder)
    assert files.SOURCES[name].made_from in str(caught.value)


def test_a_published_file_is_checked_and_copied(tmp_path, folder, monkeypatch, capsys):
    path = tmp_path / "download.csv"
    path.write_text("MouseID\n")
    assert prepare.main(["mouse_protein", str(path)]) == 1
    assert "sha256 is" in capsys.readouterr().err and not folder.exists()
    known = files.Source("Data_Cortex_Nuclear.csv", "", "", sha256=files.sha256(path))
    monkeypatch.setitem(files.SOURCES, "mouse_protein", known)
    assert prepare.main(["mouse_protein", str(path)]) == 0
    assert (folder / "Data_Cortex_Nuclear.csv").read_text() == "MouseID\n"
    monkeypatch.delenv("BCNMF_DATA")
    assert prepare.main(["mouse_protein", str(path)]) == 1
    assert "set BCNMF_DATA or give --out" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"no zip", None])
def test_a_file_that_is_no_prepared_file(folder, content):
    folder.mkdir()
    path = folder / "leukemia.npz"
    np.savez(path, counts_data=np.array([{}], dtype=object))
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no prepared file.*experiments\.prepare leukemia PATH"):
        datasets.leukemia()
