"""The solver of a fit that names none."""

from bcnmf_jax.model.gradients import reconstruct
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.solvers.hals import HALS, quadratic
from bcnmf_jax.solvers.mu import MU


def default_solver(objective: AbstractObjective, data: Data) -> AbstractAlternating:
    """The solver of a fit that names none; ``python -m benchmarks quality`` compares.

    Coordinate descent for squared error, but not where a contrast works against the whole basis:
    there, and for other losses, multiplicative updates that run ahead. Where code updates form no
    reconstruction, five of them cost little more than one.
    """
    repelled = objective.subtractive and "background" in data
    if quadratic(objective, data, objective.features(data)) and not repelled:
        return HALS()
    inner = 1 if reconstruct(objective.terms(data)) else 5
    return MU(inner_steps=inner, extrapolation=0.9999)
