"""Solvers: what one step does to the blocks. The loop around it is in `fit`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, PyTree

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
    is_frozen,
    reconstruct,
    visit_rows,
)
from bcnmf_jax.split import Split
from bcnmf_jax.terms import Term, by_codes, get, put


class AbstractSolver(eqx.Module):
    """One step of a method, applied to any objective."""

    @abstractmethod
    def init(self, objective: AbstractObjective, data: Data, blocks: Blocks) -> PyTree:
        """State before the first step."""

    @abstractmethod
    def step(
        self, objective: AbstractObjective, data: Data, blocks: Blocks, state: PyTree
    ) -> tuple[Blocks, PyTree]:
        """Blocks and state after a step."""


def multiply(a: Array, s: Split, power: Any) -> Array:
    """Multiplicative update: ``a * (neg / pos) ** power``."""
    if isinstance(power, int | float) and power == 1:
        return a * s.ratio
    return a * s.ratio ** jnp.asarray(power, a.dtype)


class MU(AbstractSolver):
    """Multiplicative updates, Gauss-Seidel: the codes of every data set, then the basis.

    Each step normalises the basis rows to unit sum and moves the scale to the codes, to which the
    updates are equivariant (unless a penalty is not).

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
        if self.inner_steps < 1:
            raise ValueError(f"MU(inner_steps) must be at least 1, found {self.inner_steps}")
        if not 0 <= self.extrapolation < 1:
            raise ValueError(f"MU(extrapolation) must be in [0, 1), found {self.extrapolation}")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"MU(chunk) must be at least 1 row, found {self.chunk}")

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

    def move_codes(self, objective, path, group, rows, codes, basis) -> Array:
        """The codes of a chunk of rows, updated."""
        power = self.damping * code_exponent(objective, path, group)
        at = code_split(objective, group, rows, basis)
        for _ in range(self.inner_steps):
            codes = multiply(codes, at(codes), power)
        return codes

    def move_basis(self, objective, terms, stats, splits, basis) -> PyTree:
        """The basis, updated, from the stats of all rows and its split gradient."""
        power = self.damping * basis_exponent(objective, terms)
        return jax.tree.map(lambda w, s: multiply(w, s, power), basis, splits)

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
        keep = lambda w, new: jnp.where(is_frozen(objective, w.shape[0]), w, new)  # noqa: E731
        blocks = {**blocks, "basis": jax.tree.map(keep, basis, moved)}
        blocks = canonical(objective, blocks) if objective.scale_free else blocks
        return blocks, self.after(state, old, blocks["basis"], splits)

    def step(self, objective, data, blocks, state):
        old = blocks["basis"]
        blocks = {**blocks, "basis": self.ahead(old, state)}
        blocks, terms, stats = self.codes(objective, data, blocks)
        return self.learn(objective, terms, stats, blocks, old, state)


def descend(x: Array, grad: Array, gram: Array, curvature: Array | float, sweeps: int) -> Array:
    """Coordinate descent over the rows of ``x (K, n)``, at 0 and above, on the quadratic of
    gradient ``grad`` at ``x``, matrix ``gram (K, K)`` between rows and, beside it, ``curvature``
    (K, n) of every entry for itself."""
    more = jnp.broadcast_to(curvature, x.shape)
    diagonal = jnp.diagonal(gram)[:, None] + more

    def row(j, moved):
        slope = grad[j] + gram[j] @ (moved - x) + more[j] * (moved[j] - x[j])
        step = jnp.where(diagonal[j] > 0, slope / jnp.where(diagonal[j] > 0, diagonal[j], 1), 0)
        return moved.at[j].set(jnp.maximum(moved[j] - step, 0))

    return lax.fori_loop(0, sweeps * x.shape[0], lambda i, m: row(i % x.shape[0], m), x)


class HALS(MU):
    """Coordinate descent, component by component, for squared error (hierarchical alternating least
    squares: Cichocki & Phan 2009), with the basis run ahead as `MU` does.

    The misfits that the basis pays for are quadratics, of which each component takes its minimum
    given the others. Those that it is paid for are concave: their tangent is bounded by a quadratic
    of every entry, as multiplicative updates bound it, which keeps the steps short where a
    background works against them. Without a background this is HALS, some ten times fewer passes
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

    damping: float = eqx.field(default=1.0, init=False, static=True)
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
        return descend(codes.T, grad.T, gram, 0.0, self.inner_steps).T

    def move_basis(self, objective, terms, stats, splits, basis):
        gram, pull = jnp.zeros((len(basis), len(basis)), basis.dtype), jnp.zeros_like(basis)
        for t, s in zip(terms, stats, strict=True):
            pays = jnp.asarray(t.pays, basis.dtype)
            gram += jnp.maximum(pays, 0) * t.basis_gram(s, len(basis))
            pull += jnp.where(pays < 0, t.basis_split(s, basis).pos, 0)
        tiny = jnp.finfo(basis.dtype).eps * jnp.max(basis, axis=1, keepdims=True)
        floor = jnp.maximum(basis, jnp.maximum(tiny, jnp.finfo(basis.dtype).tiny))
        return descend(basis, splits.grad, gram, pull / floor, 1)


def quadratic(objective: AbstractObjective, data: Data, basis: PyTree) -> bool:
    """Whether every cost is a quadratic of each block, and the basis one array (`HALS`)."""
    squared = all(isinstance(t.loss, Frobenius) for t in objective.terms(data))
    plain = not objective.penalties and not isinstance(basis, dict)
    return squared and plain and not reconstruct(objective.terms(data))


def default_solver(objective: AbstractObjective, data: Data) -> MU:
    """The solver of a fit that names none; chosen by ``python -m benchmarks quality``.

    Coordinate descent for squared error, but not where a contrast works against the whole basis:
    there, and for other losses, multiplicative updates that run ahead. Where code updates form no
    reconstruction, five of them cost little more than one.
    """
    one = objective.features(data)
    if quadratic(objective, data, one) and not objective.subtractive:
        return HALS()
    inner = 1 if reconstruct(objective.terms(data)) else 5
    return MU(inner_steps=inner, extrapolation=0.9999)


class _Positive(eqx.Module):
    """How a nonnegative block is written as an unconstrained one."""

    kind: str = eqx.field(static=True)

    def to(self, a):
        if self.kind == "softplus":
            return a + jnp.log(-jnp.expm1(-a))
        return jnp.log(a) if self.kind == "log" else a

    def back(self, theta):
        if self.kind == "softplus":
            return jax.nn.softplus(theta)
        return jnp.exp(theta) if self.kind == "log" else theta


class Optax(AbstractSolver):
    """Any optax transformation, as simultaneous gradient steps of every block on its own cost.

    Parameters
    ----------
    transform : optax.GradientTransformation
        For instance ``optax.adam(1e-2)``. Build it once: each is compiled for itself.
    parametrisation : {"projected", "softplus", "log"}
        Steps on the blocks followed by a projection to 0 and above, or on unconstrained blocks of
        which they are the softplus or the exponential.
    chunk : int, optional
        As in `MU`.

    Notes
    -----
    Before the first step the codes take one multiplicative update, which gives them their scale.
    Multiplicative updates are indifferent to the scale of their start; gradient steps are not.

    Raises
    ------
    ValueError
        If the parametrisation is unknown.
    """

    transform: optax.GradientTransformation = eqx.field(static=True)
    parametrisation: Literal["projected", "softplus", "log"] = eqx.field(
        default="projected", static=True
    )
    chunk: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.parametrisation not in ("projected", "softplus", "log"):
            raise ValueError(
                "Optax(parametrisation) must be 'projected', 'softplus' or 'log', found "
                f"{self.parametrisation!r}"
            )

    def init(self, objective, data, blocks):
        # A component that is 0 throughout a block is masked; single zeros may move.
        live = {
            k: jax.tree.map(
                lambda a, axis=int(k == "basis"): jnp.any(a > 0, axis, keepdims=True), v
            )
            for k, v in blocks.items()
        }
        blocks, _, _ = MU(chunk=self.chunk).codes(objective, data, blocks)
        to = _Positive(self.parametrisation).to
        floor = lambda a, on: jnp.where(on, jnp.maximum(a, jnp.finfo(a.dtype).tiny), 1)  # noqa: E731
        theta = jax.tree.map(lambda a, on: to(floor(a, on)), blocks, live)
        return theta, live, self.transform.init(theta)

    def step(self, objective, data, blocks, state):
        theta, live, inner = state
        back = _Positive(self.parametrisation).back
        given = blocks["basis"]

        def read(theta):
            # Frozen rows are those given: whatever a transformation does, they have no gradient
            # and do not move.
            new = jax.tree.map(lambda a, on: jnp.where(on, back(a), 0), theta, live)
            keep = lambda w, old: jnp.where(is_frozen(objective, w.shape[0]), old, w)  # noqa: E731
            return {**new, "basis": jax.tree.map(keep, new["basis"], given)}

        blocks, pull = jax.vjp(read, theta)
        grads, terms, stats = blocks, [], []
        for path, group in by_codes(objective.terms(data)).items():

            def slope(rows, codes, group=group):
                return codes, code_split(objective, group, rows, blocks["basis"])(codes).grad

            out, sums = visit_rows(group, get(blocks, path), blocks["basis"], slope, self.chunk)
            grads = put(grads, path, out)
            terms, stats = terms + group, stats + sums
        splits = basis_split(objective, terms, stats, blocks["basis"])
        slopes = jax.tree.map(
            lambda w, s: jnp.broadcast_to(s.grad, w.shape), blocks["basis"], splits
        )
        grads = {**grads, "basis": slopes}
        updates, inner = self.transform.update(pull(grads)[0], inner, theta)
        theta = optax.apply_updates(theta, updates)
        if self.parametrisation == "projected":
            theta = jax.tree.map(lambda a: jnp.maximum(a, 0), theta)
        return read(theta), (theta, live, inner)
