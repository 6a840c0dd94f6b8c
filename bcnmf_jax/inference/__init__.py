"""What may be concluded from fits: choices, tests, intervals, consensus; imports `streaming` and
what is below it."""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax.inference.alphas import Transitions, collapse_alpha, transitions
from bcnmf_jax.inference.background import background_check, strata
from bcnmf_jax.inference.consensus_programs import Consensus, consensus
from bcnmf_jax.inference.enrichment_test import Enrichment, enrichment
from bcnmf_jax.inference.resampled_loadings import Bootstrap, bootstrap

if TYPE_CHECKING:
    from bcnmf_jax.inference.selection import Selection, select


def __getattr__(name: str):
    # Of these, scikit-learn takes long to import.
    if name in ("Selection", "select"):
        return getattr(import_module("bcnmf_jax.inference.selection"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Bootstrap", "Consensus", "Enrichment", "Selection", "Transitions", "background_check",
    "bootstrap", "collapse_alpha", "consensus", "enrichment", "select", "strata", "transitions",
]  # fmt: skip
