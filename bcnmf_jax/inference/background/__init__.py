"""Whether a background suits a target, before anything is fitted."""

from bcnmf_jax.inference.background.check import background_check
from bcnmf_jax.inference.background.finding import Check, Finding
from bcnmf_jax.inference.background.strata import split_by_stratum

__all__ = ["Check", "Finding", "background_check", "split_by_stratum"]
