"""An AnnData for tests, with planted programs, and the options of a small fit of it."""

import anndata as ad
import numpy as np
import pandas as pd

import bcnmf_jax as bj

FAST = {
    "n_components": 2, "alpha": 1.0, "objective": "background_first", "loss": "frobenius",
    "n_background_components": 5, "n_restarts": 2, "max_iter": 60,
}  # fmt: skip
ASKED = FAST | {"mask_var": "used"}


def simulated():
    """100 cells of the target, 100 of the background and 20 others in any order; 1,500 genes."""
    d = bj.datasets.beta_simulation(beta=2, seed=0, n=100, genes=1500)
    X = np.concatenate([d.target, d.background, d.target[:20]])
    obs = pd.DataFrame({"stim": ["a"] * 100 + ["b"] * 100 + ["c"] * 20})
    obs["donor"] = [f"d{i % 4}" for i in range(220)]
    obs.index = [f"cell{i}" for i in range(220)]
    order = np.random.default_rng(0).permutation(220)
    adata = ad.AnnData(X[order], obs=obs.iloc[order], var=pd.DataFrame(index=d.feature_names))
    adata.var["used"] = np.arange(1500) % 300 > 0
    return adata
