"""The model: gradient parts, losses, penalties, terms and the abstract objective; imports
`data` and what is below it."""

from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.model.terms import Term

__all__ = ["AbstractLoss", "AbstractObjective", "AbstractPenalty", "GradientParts", "Term"]
