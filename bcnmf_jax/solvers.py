"""Solvers that alternate: what one step does to the blocks. The loop around it is in `fit`."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from bcnmf_jax.checks import check_integer
from bcnmf_jax.losses import Frobenius
from bcnmf_jax.objective import (
    AbstractObjective,
    Blocks,
    Data,
    basis_exponent,
    basis_split,
    canonical,
    code_exponent,
    code_split,
    reconstruct,
    visit_rows,
    with_frozen,
)
from bcnmf_jax.split import Split
from bcnmf_jax.terms import Path, Rows, Term, by_codes, get, put


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

    def progress(self, state: PyTree, change: Array) -> tuple[Array, Array]:
        """What `Stop.tol` is compared with, given the largest relative change of a reconstruction
        (here that), and whether no step can help any more (here never)."""
        return change, jnp.asarray(False)


LIFT = 0.1
"""Share of its row's mean to which an entry of 0 is raised where the slope asks for more of it."""
ASKED = 1 + 1e-3
"""Ratio ``neg / pos`` from which the slope asks for more, and not its rounding."""


def multiply(a: Array, s: Split, power: Any) -> Array:
    """Multiplicative update of the rows of a block: ``a * (neg / pos) ** power``.

    A product moves no entry of 0. Where the slope would raise one, the point is not stationary, and
    the entry becomes a tenth of its row's mean (Lin 2007 and Takahashi & Hibi 2014 keep entries
    above a floor for the same reason). Rows of zeros, by which a rank is masked, stay.
    """
    plain = isinstance(power, int | float) and power == 1
    moved = a * (s.ratio if plain else s.ratio ** jnp.asarray(power, a.dtype))
    locked = (a == 0) & (s.neg > ASKED * s.pos)
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
        codes: Array,
        basis: PyTree,
    ) -> Array:
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
        """The basis, updated, from the stats of all rows and its split gradient."""

    def init(self, objective, data, blocks):
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
        """The state after a step from ``old`` to ``new`` with these split gradients."""
        if state is None:
            return None
        slopes = jax.tree.map(lambda a, b, s: jnp.sum(s.grad * (b - a)), old, new, splits)
        uphill = sum(jax.tree.leaves(slopes)) > 0
        return old, jnp.where(uphill, 0, state[1] + 1)

    def codes(self, objective: AbstractObjective, data: Data, blocks: Blocks):
        """Update all codes; also the list of terms and the stats of each, in the same order."""
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
        """The second half of a step: the basis from the stats of all rows, normalised.

        ``old`` and ``state`` are the basis and the state before the step; ``blocks`` has the basis
        that the stats were taken with.
        """
        basis = blocks["basis"]
        splits = basis_split(objective, terms, stats, basis)
        moved = self.move_basis(objective, terms, stats, splits, basis)
        blocks = with_frozen(objective, basis, {**blocks, "basis": moved})
        blocks = canonical(objective, blocks) if objective.scale_free else blocks
        return blocks, self.after(state, old, blocks["basis"], splits)

    def step(self, objective, data, blocks, state):
        old = blocks["basis"]
        blocks = {**blocks, "basis": self.ahead(old, state)}
        blocks, terms, stats = self.codes(objective, data, blocks)
        return self.learn(objective, terms, stats, blocks, old, state)


class MU(AbstractAlternating):
    """Multiplicative updates, Gauss-Seidel: the codes of every data set, then the basis.

    As published, but that an entry of 0 which its slope would raise is lifted (`multiply`).

    Parameters
    ----------
    damping : float
        Exponent in (0, 1] of every factor, times the one that descent asks for (1 for the
        published losses).
    inner_steps : int
        Code updates per basis update, at least 1. Squared error forms its products once per pass,
        so that further inner steps cost little.
    extrapolation : float
        Largest share, in [0, 1), of the basis' last move (where it grew) that is repeated before
        the next update; 0 is the plain update. The shares grow as Nesterov's, ``k / (k + 3)``
        (BMMe: Hien, Leplat & Gillis 2024), and start again where a step went uphill (O'Donoghue &
        Candes 2015). The basis alone runs ahead: codes of a background work against it, and
        moving both at once can oscillate.
    chunk : int, optional
        Rows visited at a time; by default what fits the caches.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    damping: float = eqx.field(default=1.0, static=True)
    inner_steps: int = eqx.field(default=1, static=True)
    extrapolation: float = eqx.field(default=0.0, static=True)
    chunk: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if not 0 < self.damping <= 1:
            raise ValueError(f"MU(damping) must be in (0, 1], found {self.damping}")

    def move_codes(self, objective, path, group, rows, codes, basis):
        power = self.damping * code_exponent(objective, path, group)
        at = code_split(objective, group, rows, basis)
        for _ in range(self.inner_steps):
            codes = multiply(codes, at(codes), power)
        return codes

    def move_basis(self, objective, terms, stats, splits, basis):
        power = self.damping * basis_exponent(objective, terms)
        return jax.tree.map(lambda w, s: multiply(w, s, power), basis, splits)


def descend(x: Array, grad: Array, gram: Array, curvature: Array | float, visits: Array) -> Array:
    """Coordinate descent over the rows of ``x (K, n)``, in the order of ``visits``, at 0 and above,
    on the quadratic of gradient ``grad`` at ``x``, matrix ``gram (K, K)`` between rows and, beside
    it, ``curvature`` (K, n) of every entry for itself."""
    more = jnp.broadcast_to(curvature, x.shape)
    diagonal = jnp.diagonal(gram)[:, None] + more

    def row(j, moved):
        slope = grad[j] + gram[j] @ (moved - x) + more[j] * (moved[j] - x[j])
        step = jnp.where(diagonal[j] > 0, slope / jnp.where(diagonal[j] > 0, diagonal[j], 1), 0)
        return moved.at[j].set(jnp.maximum(moved[j] - step, 0))

    return lax.fori_loop(0, len(visits), lambda i, m: row(visits[i], m), x)


class HALS(AbstractAlternating):
    """Coordinate descent, component by component, for squared error (hierarchical alternating least
    squares: Cichocki & Phan 2009), with the basis run ahead as `MU` does.

    The misfits that the basis pays for are quadratics, of which each component takes its minimum
    given the others. Those that it is paid for are concave: their tangent is bounded by a quadratic
    of every entry, as multiplicative updates bound it, which keeps the steps short where a
    background works against them. Without a background this is HALS, with far fewer passes
    than multiplicative updates; against a strong contrast `MU` gets further.

    Parameters
    ----------
    inner_steps : int
        Sweeps over the codes per pass.
    extrapolation : float
    chunk : int, optional
        As in `MU`.

    Raises
    ------
    TypeError
        At the fit: for another loss, a mask of entries, penalties, or a basis of several arrays.
    """

    inner_steps: int = eqx.field(default=3, static=True)
    extrapolation: float = eqx.field(default=0.9999, static=True)
    chunk: int | None = eqx.field(default=None, static=True)

    def init(self, objective, data, blocks):
        if not quadratic(objective, data, blocks["basis"]):
            raise TypeError(
                "HALS needs squared error without mask or penalty and a basis of one array; use MU"
            )
        return super().init(objective, data, blocks)

    def move_codes(self, objective, path, group, rows, codes, basis):
        grad = code_split(objective, group, rows, basis)(codes).grad
        gram = jnp.sum(jnp.stack([t.code_gram(basis) for t in group]), axis=0)
        visits = jnp.tile(jnp.arange(codes.shape[1]), self.inner_steps)
        return descend(codes.T, grad.T, gram, 0.0, visits).T

    def move_basis(self, objective, terms, stats, splits, basis):
        gram, pull = jnp.zeros((len(basis), len(basis)), basis.dtype), jnp.zeros_like(basis)
        for t, s in zip(terms, stats, strict=True):
            pays = jnp.asarray(t.pays, basis.dtype)
            gram += jnp.maximum(pays, 0) * t.basis_gram(s, len(basis))
            pull += jnp.where(pays < 0, t.basis_split(s, basis).pos, 0)
        largest = jnp.max(basis, axis=1, keepdims=True)
        floor = jnp.maximum(basis, jnp.finfo(basis.dtype).eps * largest)
        curvature = jnp.where(largest > 0, pull / jnp.where(largest > 0, floor, 1), 0)
        visits = jnp.arange(len(basis) - objective.frozen)
        return descend(basis, splits.grad, gram, curvature, visits)


def quadratic(objective: AbstractObjective, data: Data, basis: PyTree) -> bool:
    """Whether every cost is a quadratic of each block, and the basis one array (`HALS`)."""
    terms = objective.terms(data)
    squared = all(type(t.loss) is Frobenius for t in terms) and not reconstruct(terms)
    plain = not objective.penalties and not objective.basis_powers
    return squared and plain and not isinstance(basis, dict)


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
