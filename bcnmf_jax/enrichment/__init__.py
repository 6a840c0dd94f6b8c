"""Whether components are used more in the target than in the background, donor by donor."""

from bcnmf_jax.enrichment.enrich import enrichment
from bcnmf_jax.enrichment.table import Enrichment

__all__ = ["Enrichment", "enrichment"]
