"""Conclusions from fits: choices, tests, intervals, consensus; imports `streaming` and
what is below it."""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax.inference._alphas import CriticalAlphas, collapse_alpha, critical_alphas
from bcnmf_jax.inference._consensus_programs import Consensus, consensus
from bcnmf_jax.inference._resampled_loadings import Bootstrap, bootstrap
from bcnmf_jax.inference.background import background_check, split_by_stratum
from bcnmf_jax.inference.enrichment_test import Enrichment, enrichment

if TYPE_CHECKING:
    from bcnmf_jax.inference.selection import Selection, select


def __getattr__(name: str):
    # Of these, scikit-learn takes long to import.
    if name in ("Selection", "select"):
        return getattr(import_module("bcnmf_jax.inference.selection"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Bootstrap",
    "Consensus",
    "CriticalAlphas",
    "Enrichment",
    "Selection",
    "background_check",
    "bootstrap",
    "collapse_alpha",
    "consensus",
    "critical_alphas",
    "enrichment",
    "select",
    "split_by_stratum",
]  # fmt: skip
