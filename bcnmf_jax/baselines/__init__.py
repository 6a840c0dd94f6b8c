"""Methods to compare with: PCA, contrastive PCA, generalised contrastive PCA and NMF; imports
`data` alone.

All share one signature, ``name(target, background, rank, *, random_state=0, ...) -> Baseline``.
"""

from bcnmf_jax.baselines._contrast import CPCA_GRID, cpca, cpca_auto_alphas, cpca_medoids, cpca_path
from bcnmf_jax.baselines._nonnegative import nmf
from bcnmf_jax.baselines._result import Baseline
from bcnmf_jax.baselines._spectral import gcpca, pca

__all__ = [
    "CPCA_GRID",
    "Baseline",
    "cpca",
    "cpca_auto_alphas",
    "cpca_medoids",
    "cpca_path",
    "gcpca",
    "nmf",
    "pca",
]
