"""Whether components are used more in the target than in the background, donor by donor."""

from bcnmf_jax.inference.enrichment_test._enrich import enrichment
from bcnmf_jax.inference.enrichment_test._table import Enrichment

__all__ = ["Enrichment", "enrichment"]
