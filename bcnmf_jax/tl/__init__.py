"""Tools for AnnData, after the manner of scverse (``bj.tl.bcnmf(adata, ...)``); imports `estimator`
and what is below it.

Each takes an AnnData first and writes into it or returns a table; `bcnmf_jax.pl` draws.
"""

from bcnmf_jax.tl._compare import background_check, enrichment
from bcnmf_jax.tl._fit import bcnmf
from bcnmf_jax.tl._gene_sets import gene_sets
from bcnmf_jax.tl._multimodal import multimodal
from bcnmf_jax.tl._path import alpha_path
from bcnmf_jax.tl.programs import rank_programs, subtract

__all__ = [
    "alpha_path",
    "background_check",
    "bcnmf",
    "enrichment",
    "gene_sets",
    "multimodal",
    "rank_programs",
    "subtract",
]
