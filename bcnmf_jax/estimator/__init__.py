"""`BCNMF`, the method behind scikit-learn's interface, and its saved models; imports `inference`
and what is below it."""

from bcnmf_jax.estimator._automatic import ContrastWarning
from bcnmf_jax.estimator.bcnmf import BCNMF, CollapsedWarning
from bcnmf_jax.estimator.saved import load

__all__ = ["BCNMF", "CollapsedWarning", "ContrastWarning", "load"]
