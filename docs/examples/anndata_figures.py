"""The pictures of docs/figures that come from AnnData: ``python docs/examples/anndata_figures.py``.

Simulated cells of eight donors, each with treated and control cells; two programs answer.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import anndata
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

import bcnmf_jax as bj
from bcnmf_jax.storage.files import whole_file

FIGURES = Path(__file__).parents[1] / "figures"
CELLS, DONORS = 600, 8


def simulated() -> anndata.AnnData:
    """Treated and control cells; log-normalised."""
    d = bj.datasets.beta_simulation(beta=8, seed=0, n=CELLS, genes=1500)
    obs = pd.DataFrame({"condition": np.repeat(["treated", "control"], CELLS)})
    obs["donor"] = [f"donor {i % DONORS + 1}" for i in range(2 * CELLS)]
    obs.index = [f"cell{i}" for i in range(2 * CELLS)]
    X = csr_matrix(np.concatenate([d.target, d.background]))
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=d.feature_names))


def main() -> None:
    """Fit, and draw."""
    adata = simulated()
    bj.tl.bcnmf(
        adata, "condition", target="treated", background="control", group_key="donor",
        n_components=2, alpha=0.0, objective="background_first", n_background_components=6,
    )  # fmt: skip
    bj.tl.enrichment(adata, pairs=True, n_permutations=99)
    drawn = {
        "programs": bj.pl.programs(adata, 12, programs=["bcnmf0", "bcnmf1", "background1"]),
        "usage": bj.pl.usage(adata, "donor", programs=["bcnmf0", "bcnmf1", "background1"]),
    }
    figures = {name: axes[0].figure for name, axes in drawn.items()}
    figures["enrichment"] = bj.pl.enrichment(adata).figure
    for name, figure in figures.items():
        with whole_file(FIGURES / f"{name}.png") as partial:
            figure.savefig(partial, dpi=150)


if __name__ == "__main__":
    main()
