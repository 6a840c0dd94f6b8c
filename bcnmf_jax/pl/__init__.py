"""Plots of what `bcnmf_jax.tl` found, with matplotlib; imports `tl` and what is below it.

Each returns its axes.
"""

from bcnmf_jax.pl._embedding import embedding
from bcnmf_jax.pl._enrichment import enrichment
from bcnmf_jax.pl._paths import alpha_path, stability
from bcnmf_jax.pl._programs import programs
from bcnmf_jax.pl._usage import usage

__all__ = ["alpha_path", "embedding", "enrichment", "programs", "stability", "usage"]
