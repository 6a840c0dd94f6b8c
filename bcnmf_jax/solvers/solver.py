"""The abstract solver: state before the first step, and one step."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data


class AbstractSolver(eqx.Module):
    """One step of a method, applied to any objective."""

    @abstractmethod
    def init(self, objective: AbstractObjective, data: Data, blocks: Blocks) -> PyTree:
        """State before the first step."""

    @abstractmethod
    def step(
        self, objective: AbstractObjective, data: Data, blocks: Blocks, state: PyTree
    ) -> tuple[Blocks, PyTree]:
        """Blocks and state after a step. Whatever it does, the loop keeps the frozen rows of the
        basis, and at every look gives the others unit sum, their scale to the codes."""

    def progress(
        self, state: PyTree, change: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Bool[Array, ""]]:
        """Distance that `Stop.tol` is compared with, and whether no step can help any more.

        Here ``change``, the largest relative change of a reconstruction, and never."""
        return change, jnp.asarray(False)
