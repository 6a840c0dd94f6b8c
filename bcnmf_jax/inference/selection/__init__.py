"""Label-free choice of objective, contrast and numbers of components."""

from bcnmf_jax.inference.selection.select import select
from bcnmf_jax.inference.selection.selection import OUTCOMES, Selection

__all__ = ["OUTCOMES", "Selection", "select"]
