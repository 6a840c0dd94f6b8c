"""`bj.tl.multimodal`: one set of codes for the modalities of a MuData."""

import anndata as ad
import jax
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import bcnmf_jax as bj
from tests.mistakes import refused

mudata = pytest.importorskip("mudata")
FEW = {"n_components": 2, "alpha": 0.3, "n_restarts": 2, "max_iter": 500}


@pytest.fixture
def mdata():
    """RNA and protein (on another scale) of 90 cells: a shared program, and one of the target."""
    rng = np.random.default_rng(0)
    stim = np.repeat(["yes", "no", "other"], [40, 40, 10])
    usage = rng.gamma(2, 1, (90, 2)) * np.c_[np.ones(90), stim != "no"]
    obs = pd.DataFrame({"stim": stim}, [f"cell{i}" for i in range(90)])
    mods = {}
    for name, features, scale in (("rna", 30, 1.0), ("protein", 8, 500.0)):
        basis = np.kron(np.eye(2), rng.uniform(0.5, 1, features // 2))
        X = scale * (usage @ basis + rng.uniform(0, 0.05, (90, features)))
        mods[name] = ad.AnnData(csr_matrix(X) if name == "rna" else X, obs[[]].copy())
        mods[name].var_names = [f"{name}{j}" for j in range(features)]
        mods[name].var["used"] = np.arange(features) > 0
    made = mudata.MuData(mods)
    made.obs["stim"] = stim
    return made


def test_the_targets_program_is_found_in_both(mdata, tmp_path):
    bj.tl.multimodal(mdata, "stim", "yes", "no", mask_var="used", **FEW)
    assert mdata.obsm["X_bcnmf"].shape == (90, 2)
    assert mdata.obs["bcnmf_role"].value_counts().to_dict() == {
        "target": 40, "background": 40, "other": 10
    }  # fmt: skip
    for name, adata in mdata.mod.items():
        loadings, half = adata.varm["bcnmf_components"], adata.n_vars // 2
        assert np.isnan(loadings[0]).all() and np.isfinite(loadings[1:]).all()
        assert loadings[half:, 0].sum() > 5 * loadings[1:half, 0].sum(), name
    mine, theirs = (mdata.obsm["X_bcnmf"][rows].mean(0) for rows in (slice(40), slice(40, 80)))
    assert mine[0] * theirs[1] > mine[1] * theirs[0]
    mdata.write(tmp_path / "m.h5mu")
    stored = mudata.read(tmp_path / "m.h5mu").uns["bcnmf"]
    assert stored["result"] == mdata.uns["bcnmf"]["result"] and len(stored["restarts"]) == 2


def test_it_is_the_fit_of_the_core(mdata):
    bj.tl.multimodal(mdata, "stim", "yes", "no", balance=False, **FEW | {"n_restarts": 1})
    dense = {"rna": mdata["rna"].X.toarray(), "protein": mdata["protein"].X}
    sets = {k: {q: a[mdata.obs["stim"] == v] for q, a in dense.items()}
            for k, v in (("target", "yes"), ("background", "no"))}  # fmt: skip
    made = bj.objectives.Multimodal(alpha=0.3)
    start = bj.init(made, sets, 2, jax.random.fold_in(jax.random.key(0), 0))
    found = bj.fit(made, sets, start, stop=bj.Stop(1e-4, 500))
    for q, adata in mdata.mod.items():
        have, want = adata.varm["bcnmf_components"].T, np.asarray(found.blocks["basis"][q])
        nearest = np.abs(have[:, None] - want[None]).max(2).min(1)
        np.testing.assert_allclose(nearest, 0, atol=1e-4 * want.max())


BAD = {
    "no MuData": (lambda m: m["rna"], {}, TypeError, "mdata must be a MuData .. AnnData .. bcnmf"),
    "no modality": (None, {"modalities": ["atac"]}, KeyError, "'atac' .. 'rna', 'protein'"),
    "none": (None, {"modalities": []}, ValueError, "modalities is empty"),
    "no column": (None, {"condition_key": "x"}, KeyError, "condition_key='x'"),
    "no cells": (None, {"target": "z"}, ValueError, r"target: no cell has \['z'\]"),
    "components": (None, {"n_components": "auto"}, ValueError, "n_components .. 'auto'"),
    "alpha": (None, {"alpha": -1}, ValueError, "alpha must be .. -1"),
    "loss": (None, {"loss": "poisson"}, ValueError, "loss must be one of .. 'kl'"),
    "seed": (None, {"random_state": None}, ValueError, "random_state"),
    "layer": (None, {"layer": "counts"}, KeyError, "layer 'counts'"),
    "mask": (None, {"mask_var": "hvg"}, KeyError, "mask_var='hvg'"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_fitted_is_said(what, mdata):
    change, arguments, error, words = BAD[what]
    asked = {"condition_key": "stim", "target": "yes", "background": "no"} | FEW | arguments
    with refused(error, words):
        bj.tl.multimodal(change(mdata) if change else mdata, **asked)
    assert "X_bcnmf" not in mdata.obsm and "bcnmf" not in mdata.uns


def test_cells_that_modalities_do_not_share_are_refused(mdata):
    fewer = mudata.MuData({"rna": mdata["rna"], "protein": mdata["protein"][:50].copy()})
    fewer.obs["stim"] = mdata.obs["stim"]
    with refused(ValueError, "'protein' has not all cells .. intersect_obs"):
        bj.tl.multimodal(fewer, "stim", "yes", "no", **FEW)
