"""Plots of what `bcnmf_jax.tl` found, with matplotlib; imports `tl` and what is below it.

Each returns its axes.
"""

from bcnmf_jax.pl.embedding import embedding
from bcnmf_jax.pl.enrichment import enrichment
from bcnmf_jax.pl.paths import alpha_path, stability
from bcnmf_jax.pl.programs import programs
from bcnmf_jax.pl.usage import usage

__all__ = ["alpha_path", "embedding", "enrichment", "programs", "stability", "usage"]
