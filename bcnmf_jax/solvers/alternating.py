"""Solvers that alternate: what one step does to the blocks. The loop around it is in `fit`."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.blocks import canonical, with_frozen
from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.gradients import (
    basis_gradient,
    visit_rows,
)
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.terms import Path, Term, by_codes, get, put
from bcnmf_jax.solvers.solver import AbstractSolver

LIFT = 0.1
"""Share of its row's mean to which an entry of 0 is raised where the slope asks for more of it."""
ASKED = 1 + 1e-3
"""Ratio ``neg / pos`` from which the slope asks for more, and not its rounding."""


def multiply(a: Array, s: GradientParts, power: Any) -> Array:
    """Multiplicative update of the rows of a block: ``a * (neg / pos) ** power``.

    A product moves no entry of 0. Where the slope would raise one, the point is not stationary, and
    the entry becomes a tenth of its row's mean (Lin 2007 and Takahashi & Hibi 2014 keep entries
    above a floor for the same reason). Rows of zeros, by which a rank is masked, stay.
    """
    plain = isinstance(power, int | float) and power == 1
    moved = a * (s.ratio if plain else s.ratio ** jnp.asarray(power, a.dtype))
    locked = (a == 0) & (s.negative > ASKED * s.positive)
    return jnp.where(locked, LIFT * a.mean(1, keepdims=True), moved)


class AbstractAlternating(AbstractSolver):
    """Gauss-Seidel: the codes of every data set, then the basis; a subclass says how each moves.

    Each step normalises the basis rows to unit sum and moves the scale to the codes, to which the
    updates are equivariant (unless a penalty is not).
    """

    inner_steps: eqx.AbstractVar[int]
    extrapolation: eqx.AbstractVar[float]
    chunk: eqx.AbstractVar[int | None]

    def __check_init__(self):
        name = type(self).__name__
        check_integer(self.inner_steps, f"{name}(inner_steps)")
        if not 0 <= self.extrapolation < 1:
            raise ValueError(f"{name}(extrapolation) must be in [0, 1), found {self.extrapolation}")
        if self.chunk is not None:
            check_integer(self.chunk, f"{name}(chunk)")

    @abstractmethod
    def move_codes(
        self,
        objective: AbstractObjective,
        path: Path,
        group: list[Term],
        rows: list[Rows],
        codes: Float[Array, "n k"],
        basis: PyTree,
    ) -> Float[Array, "n k"]:
        """The codes of a chunk of rows, updated."""

    @abstractmethod
    def move_basis(
        self,
        objective: AbstractObjective,
        terms: list[Term],
        stats: list,
        splits: PyTree,
        basis: PyTree,
    ) -> PyTree:
        """The basis, updated, from the statistics of all rows and its gradient in parts."""

    def init(self, objective: AbstractObjective, data: Data, blocks: Blocks) -> PyTree:
        return (blocks["basis"], jnp.zeros((), jnp.int32)) if self.extrapolation else None

    def ahead(self, basis: PyTree, state: PyTree) -> PyTree:
        """The basis that a step starts from."""
        if state is None:
            return basis
        old, count = state
        share = jnp.minimum(count / (count + 3), self.extrapolation)
        move = lambda a, b: a + share.astype(a.dtype) * jnp.maximum(a - b, 0)  # noqa: E731
        return jax.tree.map(move, basis, old)

    def after(self, state: PyTree, old: PyTree, new: PyTree, splits: PyTree) -> PyTree:
        """The state after a step from ``old`` to ``new`` with these gradients in parts."""
        if state is None:
            return None
        slopes = jax.tree.map(lambda a, b, s: jnp.sum(s.grad * (b - a)), old, new, splits)
        uphill = sum(jax.tree.leaves(slopes)) > 0
        return old, jnp.where(uphill, 0, state[1] + 1)

    def codes(self, objective: AbstractObjective, data: Data, blocks: Blocks):
        """Update all codes; also the list of terms, and the statistics of each in that order."""
        terms, stats, basis = [], [], blocks["basis"]
        for path, group in by_codes(objective.terms(data)).items():

            def update(rows, codes, path=path, group=group):
                codes = self.move_codes(objective, path, group, rows, codes, basis)
                return codes, codes

            codes, sums = visit_rows(group, get(blocks, path), basis, update, self.chunk)
            blocks = put(blocks, path, codes)
            terms, stats = terms + group, stats + sums
        return blocks, terms, stats

    def learn(
        self,
        objective: AbstractObjective,
        terms: list[Term],
        stats: list,
        blocks: Blocks,
        old: PyTree,
        state: PyTree,
    ) -> tuple[Blocks, PyTree]:
        """The second half of a step: the basis from the statistics of all rows, normalised.

        ``old`` and ``state`` are the basis and the state before the step; ``blocks`` has the basis
        that the stats were taken with.
        """
        basis = blocks["basis"]
        splits = basis_gradient(objective, terms, stats, basis)
        moved = self.move_basis(objective, terms, stats, splits, basis)
        blocks = with_frozen(objective, basis, {**blocks, "basis": moved})
        blocks = canonical(objective, blocks) if objective.scale_free else blocks
        return blocks, self.after(state, old, blocks["basis"], splits)

    def step(
        self, objective: AbstractObjective, data: Data, blocks: Blocks, state: PyTree
    ) -> tuple[Blocks, PyTree]:
        old = blocks["basis"]
        blocks = {**blocks, "basis": self.ahead(old, state)}
        blocks, terms, stats = self.codes(objective, data, blocks)
        return self.learn(objective, terms, stats, blocks, old, state)
