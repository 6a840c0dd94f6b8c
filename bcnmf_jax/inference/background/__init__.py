"""Whether a background suits a target, before anything is fitted."""

from bcnmf_jax.inference.background._check import background_check
from bcnmf_jax.inference.background._finding import Check, Finding
from bcnmf_jax.inference.background._strata import split_by_stratum

__all__ = ["Check", "Finding", "background_check", "split_by_stratum"]
