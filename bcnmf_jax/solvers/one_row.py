"""Coordinate descent of one basis row beside rows that are frozen, for squared error."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import PyTree

from bcnmf_jax.model.blocks import canonical, with_frozen
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.hals import HALS, descend
from bcnmf_jax.solvers.solver import AbstractSolver


class OneRow(HALS):
    """`HALS` where the first basis row alone moves, of one data set without weights.

    The products of the data with the frozen rows are taken once for the whole fit, so that a step
    passes over the data with one row, not with all.
    """

    def init(self, objective: AbstractObjective, data: Data, blocks: Blocks) -> PyTree:
        basis = blocks["basis"]
        return super().init(objective, data, blocks), data["target"].x @ basis[1:].T

    def step(
        self, objective: AbstractObjective, data: Data, blocks: Blocks, state: PyTree
    ) -> tuple[Blocks, PyTree]:
        x, old, (before, beside) = data["target"].x, blocks["basis"], state
        basis = self.ahead(old, before).at[1:].set(old[1:])
        reached = jnp.concatenate([(x @ basis[0])[:, None], beside], axis=1)
        gram, codes = basis @ basis.T, blocks["target"]
        visits = jnp.tile(jnp.arange(len(basis)), self.inner_steps)
        codes = descend(codes.T, (codes @ gram - reached).T, gram, 0.0, visits).T
        own = codes[:, 0]
        slope, curvature = (own @ codes) @ basis - own @ x, own @ own
        step = jnp.where(curvature > 0, slope / jnp.where(curvature > 0, curvature, 1), 0)
        moved = basis.at[0].set(jnp.maximum(basis[0] - step, 0))
        blocks = canonical(objective, with_frozen(objective, old, blocks | {
            "basis": moved, "target": codes,
        }))  # fmt: skip
        if before is not None:
            uphill = jnp.sum(slope * (blocks["basis"][0] - old[0])) > 0
            before = old, jnp.where(uphill, 0, before[1] + 1)
        return blocks, (before, beside)


def one_row_solver(objective: AbstractObjective, data: Data) -> AbstractSolver:
    """The solver of one component beside frozen ones: `OneRow` where it can be, else that of any
    fit."""
    found = default_solver(objective, data)
    alone = set(data) == {"target"} and data["target"].weights is None
    return OneRow() if isinstance(found, HALS) and alone else found
