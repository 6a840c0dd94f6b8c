"""Whether a background suits a target, before anything is fitted."""

from bcnmf_jax.background.check import background_check
from bcnmf_jax.background.finding import Check, Finding
from bcnmf_jax.background.strata import strata

__all__ = ["Check", "Finding", "background_check", "strata"]
