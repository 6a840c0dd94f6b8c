"""One step on the blocks, a file for each solver; imports `model` and what is below it."""

from bcnmf_jax.solvers._optax import Optax
from bcnmf_jax.solvers._varpro import VarPro
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.hals import HALS
from bcnmf_jax.solvers.mu import MU
from bcnmf_jax.solvers.solver import AbstractSolver

__all__ = [
    "HALS",
    "MU",
    "AbstractAlternating",
    "AbstractSolver",
    "Optax",
    "VarPro",
    "default_solver",
]
