"""Data sets read from files as they were published: what is drawn from them, and how."""

import dataclasses
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from bcnmf_jax import datasets
from bcnmf_jax.datasets import files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty data folder."""
    monkeypatch.setenv("BCNMF_DATA", str(tmp_path))
    return tmp_path


def trust(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Take the file made by the test for the published one."""
    known = dataclasses.replace(files.SOURCES[name], sha256=files.sha256(path))
    monkeypatch.setitem(files.SOURCES, name, known)


def mouse_table() -> pd.DataFrame:
    rows = []
    for behaviour, genotype, mouse in (
        ("S/C", "Control", "1"),
        ("S/C", "Ts65Dn", "2"),
        ("C/S", "Control", "3"),
        ("C/S", "Ts65Dn", "4"),
    ):
        for treatment in ("Saline", "Memantine"):
            for repeat in range(2):
                level = 10 * int(mouse) + repeat
                rows.append((f"{mouse}_{repeat}", level, 1.0, genotype, treatment, behaviour, "c"))
    names = ["MouseID", "P_N", "Q_N", "Genotype", "Treatment", "Behavior", "class"]
    return pd.DataFrame(rows, columns=names)


def test_mouse_protein(folder, monkeypatch):
    table = mouse_table()
    table["P_N"] = table["P_N"].astype(float)
    saline = table["Treatment"] == "Saline"
    table.loc[saline & (table["MouseID"] == "1_0"), "P_N"] = np.nan
    table.loc[saline & (table["MouseID"] == "3_1"), "Q_N"] = -0.5
    path = folder / "Data_Cortex_Nuclear.csv"
    table.to_csv(path, index=False)
    trust(monkeypatch, "mouse_protein", path)
    data = datasets.mouse_protein()
    # The missing level is the median of 11, 20, 21: its own set, and saline only.
    assert data.target.tolist() == [[20, 1], [11, 1], [20, 1], [21, 1]]
    assert data.background.tolist() == [[30, 1], [31, 0]]
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.groups is not None and data.groups.tolist() == ["1", "1", "2", "2"]
    assert data.background_groups is not None and data.background_groups.tolist() == ["3", "3"]
    assert data.feature_names.tolist() == ["P_N", "Q_N"]
    assert "1 in the target, 0 in the background" in data.description


def test_mouse_protein_says_what_is_odd(folder, monkeypatch):
    path = folder / "Data_Cortex_Nuclear.csv"
    mouse_table().drop(columns="Behavior").to_csv(path, index=False)
    trust(monkeypatch, "mouse_protein", path)
    with pytest.raises(ValueError, match=r"no column Behavior.*experiments\.prepare mouse_protein"):
        datasets.mouse_protein()
    mouse_table().astype({"P_N": object}).replace({"P_N": {10: "high"}}).to_csv(path, index=False)
    trust(monkeypatch, "mouse_protein", path)
    with pytest.raises(ValueError, match="high"):
        datasets.mouse_protein()


@pytest.mark.parametrize("digits", [2, 10])
def test_mnist_on_photos(folder, monkeypatch, digits):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7001, 4, 4), dtype=np.uint8)
    labels = rng.integers(0, 10, 7001).astype(np.uint8)
    photos = rng.integers(40, 200, (1300, 4, 4), dtype=np.uint8)
    np.savez(folder / "mnist_70k.npz", images=images, labels=labels)
    np.savez(folder / "flowers28.npz", images=photos)
    trust(monkeypatch, "mnist", folder / "mnist_70k.npz")
    trust(monkeypatch, "flowers", folder / "flowers28.npz")
    data = datasets.mnist_on_photos(digits)
    chosen = np.flatnonzero(labels[:7000] < digits)
    assert np.array_equal(data.labels, labels[chosen])
    i = 655  # its photograph is number 5
    photo = photos[5].astype(float)
    photo = (photo - photo.min()) / (photo.max() - photo.min())
    expected = np.maximum(images[chosen[i]] / 255, 0.8 * photo).ravel()
    np.testing.assert_allclose(data.target[i], expected, rtol=1e-6)
    np.testing.assert_allclose(data.background, photos[650:].reshape(650, -1) / 255, rtol=1e-6)


def test_mnist_refuses_a_pickle_and_other_digits(folder, monkeypatch):
    path = folder / "mnist_70k.npz"
    np.savez(path, images=np.array([{}], dtype=object), labels=np.zeros(1))
    trust(monkeypatch, "mnist", path)
    with pytest.raises(ValueError, match=r"allow_pickle=False.*experiments\.prepare mnist"):
        datasets.mnist_on_photos()
    with pytest.raises(ValueError, match=r"digits must be 2 .*, or at least two of 0 to 9, got 3"):
        datasets.mnist_on_photos(3)  # type: ignore[arg-type]


def cell_file(path: Path, genes: int, **obs: list[str]) -> np.ndarray:
    n = len(next(iter(obs.values())))
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(0.5, 2, genes), (n, genes)).astype(np.float32)
    held = anndata.AnnData(sparse.csr_matrix(counts))
    held.obs_names = [f"cell{i}" for i in range(n)]
    held.var_names = [f"ENSG{j}" for j in range(genes)]
    held.var["symbol"] = [f"GENE{j}" for j in range(genes)]
    for column, values in obs.items():
        held.obs[column] = pd.Categorical(values)
    held.write_h5ad(path)
    return counts


def test_kang_lymphocytes(folder, monkeypatch):
    path = folder / "kang_ifnb_sub.h5ad"
    kinds = ["NK", "B", "CD14 Mono", "NK", "CD8 T", "B"]
    roles = ["target", "target", "target", "background", "target", "background"]
    stim = ["STIM", "CTRL", "STIM", "CTRL", "STIM", "CTRL"]
    counts = cell_file(path, 2100, cell_type=kinds, role=roles, stim=stim)
    trust(monkeypatch, "kang_lymphocytes", path)
    data = datasets.kang_lymphocytes()
    assert data.labels.tolist() == [1, 0, 1]
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    used = [0, 1, 3, 4, 5]  # the monocyte counts for nothing
    order = np.argsort(-logs[used].var(0), kind="stable")[:2000]
    assert data.feature_names.tolist() == [f"ENSG{j}" for j in order]
    np.testing.assert_allclose(data.target, logs[[0, 1, 4]][:, order], rtol=1e-6)
    assert np.array_equal(data.data("counts")["background"], counts[[3, 5]][:, order])
    assert datasets.kang_lymphocytes(genes=2090).target.shape == (3, 2090)


def test_kang_cross_donor(folder, monkeypatch):
    path = folder / "kang_muscat.h5ad"
    roles = ["target", "unused", "background", "target"]
    cell_file(path, 30, role=roles, stim=["stim", "stim", "ctrl", "ctrl"])
    trust(monkeypatch, "kang_cross_donor", path)
    data = datasets.kang_cross_donor()
    assert data.target.shape == (2, 30) and data.background.shape == (1, 30)
    assert data.labels.tolist() == [1, 0]


def test_mixseq(folder, monkeypatch):
    path = folder / "mixseq_idasanutlin_500.h5ad"
    counts = cell_file(
        path,
        12,
        treatment=["dmso", "idasanutlin", "idasanutlin"],
        cell_line=["A", "A", "B"],
        tp53=["wt", "wt", "mutant"],
    )
    trust(monkeypatch, "mixseq", path)
    data = datasets.mixseq()
    assert data.labels.tolist() == [1, 0]
    assert data.groups is not None and data.groups.tolist() == ["A", "B"]
    assert data.background_groups is not None and data.background_groups.tolist() == ["A"]
    assert data.feature_names[3] == "GENE3"
    assert np.array_equal(data.data("counts")["target"], counts[1:])


def test_an_h5ad_without_its_columns_or_damaged_is_named(folder, monkeypatch):
    path = folder / "kang_muscat.h5ad"
    cell_file(path, 5, role=["target", "background"])
    trust(monkeypatch, "kang_cross_donor", path)
    with pytest.raises(ValueError, match="no column stim"):
        datasets.kang_cross_donor()
    path.write_bytes(b"no h5ad")
    trust(monkeypatch, "kang_cross_donor", path)
    with pytest.raises(ValueError, match=r"cannot be read as h5ad.*GSE96583"):
        datasets.kang_cross_donor()
