"""Bad inputs to `bj.tl`: a table of what is wrong and what is said; nothing is written."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import bcnmf_jax as bj
from tests.cells import ASKED, simulated
from tests.mistakes import refused


@pytest.fixture
def adata():
    return simulated()


def own_loss():
    """A loss whose class no other process can find."""

    class Own(bj.Frobenius):
        pass

    return Own()


def _broken(name):
    """An AnnData with something wrong with it."""
    adata = simulated()
    if name == "nan":
        adata.X[3, 2] = np.nan
    elif name == "negative":
        adata.X[3, 2] = -1
    elif name == "twice":
        adata.var_names = ["gene0", *adata.var_names[:-1]]
    elif name == "half":
        adata.X = adata.X.astype(np.float16)
    elif name == "unused":
        adata.obs["stim"] = pd.Categorical(adata.obs["stim"]).add_categories("d")
    return adata


@pytest.mark.parametrize(
    ("name", "arguments", "error", "words"),
    [
        ("", {"condition_key": "stimm"}, KeyError, "condition_key='stimm' .. stim"),
        ("", {"condition_key": None}, ValueError, "condition_key and target"),
        ("", {"target": None}, ValueError, "condition_key and target"),
        ("", {"target": "x"}, ValueError, r"target: no cell has \['x'\] .. 'a'"),
        ("", {"target": []}, ValueError, "target is empty"),
        ("", {"background": ["b", "y"]}, ValueError, r"background: no cell has \['y'\]"),
        ("", {"background": None}, ValueError, "background is missing"),
        ("", {"background": ["a", "b"]}, ValueError, r"overlap: both have \['a'\]"),
        ("unused", {"target": "d"}, ValueError, r"target: no cell has \['d'\]"),
        ("", {"layer": "counts"}, KeyError, "no layer 'counts'"),
        ("", {"mask_var": "hvg"}, KeyError, "mask_var='hvg' .. used"),
        ("", {"mask_var": [True]}, ValueError, "mask_var must be 1500 booleans"),
        ("", {"mask_var": np.zeros(1500, bool)}, ValueError, "mask_var selects no gene"),
        ("", {"group_key": "mouse"}, KeyError, "group_key='mouse' .. donor"),
        ("", {"n_component": 3}, TypeError, "no parameter 'n_component' .. n_components"),
        ("", {"n_components": 0}, ValueError, "n_components"),
        ("", {"loss": "poisson"}, ValueError, "loss"),
        ("", {"loss": own_loss()}, ValueError, "Own cannot be stored: .. top level of a module"),
        ("nan", {}, ValueError, "adata.X has 1 values that are NaN"),
        ("negative", {}, ValueError, "adata.X has negative values"),
        ("twice", {}, ValueError, r"var_names has duplicates: \['gene0'\] .. make_unique"),
        ("half", {}, TypeError, "adata.X is float16"),
        ("", {"key_added": ""}, ValueError, "key_added must be a name"),
        ("", {"key_added": "a/b"}, ValueError, "key_added must be a name .. 'a/b'"),
        ("", {"key_added": 3}, ValueError, "key_added must be a name .. 3"),
    ],
)
def test_errors_name_the_argument_and_change_nothing(name, arguments, error, words):
    adata = _broken(name)
    asked = {"condition_key": "stim", "target": "a", "background": "b"} | ASKED | arguments
    with refused(error, words, adata.X, adata.obs, adata.var):
        bj.tl.bcnmf(adata, **asked)
    assert not adata.obsm and not adata.varm and not adata.uns and len(adata.obs.columns) == 2


def test_what_is_no_anndata_or_cannot_be_copied(adata, tmp_path):
    with pytest.raises(TypeError, match="adata must be an AnnData, found ndarray"):
        bj.tl.bcnmf(adata.X, "stim", "a", "b")
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"copy=True.*to_memory"):
        bj.tl.bcnmf(backed, "stim", "a", "b", copy=True)
    with pytest.raises(ValueError, match=r"view of a backed.*to_memory"):
        bj.tl.bcnmf(backed[:50], "stim", "a", "b")
    for use in (bj.tl.rank_programs, bj.tl.subtract, bj.tl.alpha_path):
        with pytest.raises(KeyError, match=r"run bj\.tl\.bcnmf"):
            use(adata)


def test_counts_under_squared_error_are_warned_of(adata):
    adata.X = np.expm1(adata.X).round()
    with pytest.warns(bj.DataWarning, match=r"adata.X holds whole numbers.*loss='kl'"):
        bj.tl.bcnmf(adata, "stim", "a", "b", **ASKED | {"max_iter": 5})


@pytest.mark.parametrize(
    ("key", "fields", "words"),
    [
        ("pca", {"obsm": ["X_pca"]}, r"obsm\['X_pca'\]"),
        ("neighbors", {"uns": ["neighbors"]}, r"uns\['neighbors'\]"),
        ("cell", {"obs": ["cell_role"]}, r"obs\['cell_role'\]"),
        ("x", {"obsm": ["X_x_background"]}, r"obsm\['X_x_background'\]"),
        ("x", {"varm": ["x_components"]}, r"varm\['x_components'\]"),
        ("x_umap", {"fit": ["x"]}, "shares names of fields with the fit under 'x'"),
        ("x", {"fit": ["x_background"]}, "the fit under 'x_background'"),
    ],
)
def test_a_key_writes_over_nothing_else(adata, key, fields, words):
    for where, names in fields.items():
        for name in names:
            if where == "fit":
                adata.uns[name] = {"params": {}}
                adata.obsm[f"X_{name}"] = np.ones((adata.n_obs, 2))
            elif where == "uns":
                adata.uns[name] = {"connectivities_key": "connectivities"}
            elif where == "obs":
                adata.obs[name] = "x"
            else:
                getattr(adata, where)[name] = np.ones((getattr(adata, where).dim_names.size, 2))
    with refused(ValueError, words, adata.X, adata.obs):
        bj.tl.bcnmf(adata, "stim", "a", "b", key_added=key, **ASKED)
