"""Variable projection: descent on the reduced objective itself."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.model.blocks import canonical
from bcnmf_jax.model.gradients import basis_gradient, visit_rows
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.terms import by_codes, get, put
from bcnmf_jax.solvers._exact_codes import settle, solvable
from bcnmf_jax.solvers._quasi_newton import Memory
from bcnmf_jax.solvers.slopes import flat_parts, unrest
from bcnmf_jax.solvers.solver import AbstractSolver

ARMIJO = 0.1
"""Share of the fall that the slope promises which a step must keep."""
GAP = 0.1
"""Share of that which the duality gaps, before and after, may hide."""
TRIES = 4
"""Lengths of a step that are tried before the next look at the direction."""
SHORTEST = 1e-6
"""Length of a step along the metric below which no step lowers the value."""


class Reduced(eqx.Module):
    """A basis with its codes near their optimum, and what descent needs to know of it.

    Attributes
    ----------
    value : scalar
        Reduced objective, without what depends on the data alone.
    error : scalar
        Bound of what the value is off by, from the duality gaps of the codes.
    rounding : scalar
        What rounding may take from the value.
    pos, neg : Array (N,)
        Halves of the slope in the basis, flat.
    """

    value: Array
    error: Array
    rounding: Array
    positive: Array
    negative: Array

    @property
    def slope(self) -> Array:
        return self.positive - self.negative


class State(eqx.Module):
    """State of `VarPro`: the last point, the memory of its moves, the next step length."""

    reduced: Reduced
    memory: Memory
    length: Array
    residual: Array
    stuck: Array


class VarPro(AbstractSolver):
    """Variable projection: every step lowers the reduced objective, codes at their optimum.

    The codes are solved for each basis that is tried, until their duality gap is below a hundredth
    of the fall that the step must keep. The slope of the value is then that of the basis at these
    codes. Limited-memory BFGS in the metric of multiplicative updates gives a direction, along
    which a step is shortened until the value falls (Armijo). It ends where `stationarity` is below
    ``Stop.tol``, or as *degenerate* where no step lowers the value: codes that are not unique, or
    the end of the precision.

    Parameters
    ----------
    memory : int
        Moves remembered, at least 1.
    reach : float
        Most that a component moves in a step, relative to its length. Longer first steps end in
        worse optima.
    chunk : int, optional
        As in `MU`.

    Raises
    ------
    TypeError
        At the fit: for losses other than squared error and KL, and for penalties on codes.
    ValueError
        If a parameter is out of range.
    """

    memory: int = eqx.field(default=8, static=True)
    reach: float = eqx.field(default=0.5, static=True)
    chunk: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        check_integer(self.memory, "VarPro(memory)")
        if not self.reach > 0:
            raise ValueError(f"VarPro(reach) must be above 0, found {self.reach}")
        if self.chunk is not None:
            check_integer(self.chunk, "VarPro(chunk)")

    def init(self, objective, data, blocks):
        if not solvable(objective, data):
            raise TypeError(
                "VarPro needs squared error or KL without a penalty on codes, and, where "
                "modalities share codes, without weights and masks; use MU"
            )
        flat = ravel_pytree(blocks["basis"])[0]
        none, far = jnp.zeros_like(flat), jnp.asarray(jnp.inf, flat.dtype)
        reduced = Reduced(far, far, jnp.zeros_like(far), none, none)
        memory = Memory.empty(self.memory, flat)
        return State(reduced, memory, jnp.ones_like(far), far, jnp.asarray(False))

    def progress(self, state, change):
        return state.residual, state.stuck

    def step(self, objective, data, blocks, state):
        w, now = ravel_pytree(blocks["basis"])[0], state.reduced
        way, learnt, longest = self.aim(blocks["basis"], state)
        length = jnp.minimum(longest, jnp.where(learnt, 1, state.length))
        promise = abs(jnp.sum(now.slope * (w - jnp.maximum(w + length * way, 0))))
        # Codes that are too rough to judge the next steps are solved further first.
        codes_only = ~(now.error <= 0.2 * GAP * ARMIJO * promise + 2 * now.rounding)
        way = jnp.where(codes_only, 0, way)
        taken, length, blocks, reduced = self.search(
            objective, data, blocks, now, way, length, promise, codes_only
        )
        more = state.memory.add(ravel_pytree(blocks["basis"])[0] - w, reduced.slope - now.slope)
        moved = taken & ~codes_only
        memory = jax.tree.map(lambda x, y: jnp.where(moved, x, y), more, state.memory)
        memory = eqx.tree_at(lambda m: m.count, memory, jnp.where(taken, memory.count, 0))
        # The length of steps along the metric alone is kept for the next of them.
        next_length = jnp.minimum(1, jnp.where(taken, 2 * length, length))
        next_length = jnp.where(codes_only, state.length, jnp.where(learnt, 1, next_length))
        lost = ~taken & ~learnt & (next_length < SHORTEST)
        ended = jnp.where(codes_only, reduced.error >= now.error, lost)
        unflatten = ravel_pytree(blocks["basis"])[1]
        residual = unrest(blocks["basis"], unflatten(reduced.positive), unflatten(reduced.negative))
        state = State(reduced, memory, next_length, residual, state.stuck | ended)
        return _unit_rows(objective, blocks, state) if objective.scale_free else (blocks, state)

    def aim(self, basis: PyTree, state: State) -> tuple[Array, Array, Array]:
        """A direction, whether it is learnt from the last moves, and the longest step along it."""
        (w, unflatten), slope = ravel_pytree(basis), state.reduced.slope
        metric = _metric(basis, unflatten(state.reduced.positive))
        free = (slope <= 0) | (w > metric * slope)
        way, learnt = state.memory.direction(slope, metric, free)
        return way, learnt, jnp.minimum(1, self.reach / _relative(unflatten(way), basis))

    def search(self, objective, data, blocks, now, way, length, promise, codes_only):
        """The longest of a few steps along a direction that lowers the value enough; no step at
        all, but better codes, where those are asked for."""
        w, unflatten = ravel_pytree(blocks["basis"])

        def attempt(carry):
            t, count = carry[:2]
            step = jnp.maximum(w + t * way, 0) - w
            fall = -jnp.sum(now.slope * step)
            budget = 0.01 * GAP * ARMIJO * jnp.where(codes_only, promise, abs(fall))
            budget = jnp.where(jnp.isfinite(now.error), budget, jnp.inf)
            tried = {**blocks, "basis": unflatten(w + step)}
            found, reduced = self.evaluate(objective, data, tried, budget)
            hidden = jnp.maximum(now.error + reduced.error - 4 * reduced.rounding, 0)
            lower = (now.value - reduced.value >= ARMIJO * fall) & (hidden <= GAP * ARMIJO * fall)
            # Below rounding the mean slope tells what the values cannot.
            mean = -0.5 * jnp.sum((now.slope + reduced.slope) * step)
            lower |= (fall < reduced.rounding) & (mean >= ARMIJO * fall)
            taken = (codes_only | (lower & (fall > 0))) & jnp.isfinite(reduced.value)
            over = reduced.value - now.value + fall
            shorter = jnp.clip(0.5 * fall / jnp.where(over > 0, over, jnp.inf), 0.1, 0.5)
            return jnp.where(taken, t, t * shorter), count + 1, taken, found, reduced

        start = (length, jnp.zeros((), jnp.int32), jnp.asarray(False), blocks, now)
        again = lambda c: ~c[2] & (c[1] < TRIES)  # noqa: E731
        length, _, taken, found, reduced = lax.while_loop(again, attempt, start)
        pick = lambda a, b: jnp.where(taken, a, b)  # noqa: E731
        return taken, length, *jax.tree.map(pick, (found, reduced), (blocks, now))

    def evaluate(
        self, objective: AbstractObjective, data: Data, blocks: Blocks, budget: Array
    ) -> tuple[Blocks, Reduced]:
        """Solve the codes of a basis to a gap of the value, and see where it stands."""
        groups, basis = by_codes(objective.terms(data)), blocks["basis"]
        count = sum(get(blocks, path).shape[0] for path in groups)
        zero = jnp.zeros((), budget.dtype)
        value, error, rounding, terms, stats = zero, zero, zero, [], []
        for path, group in groups.items():
            weight = jnp.asarray(group[0].weight, budget.dtype)
            each = budget / (count * jnp.maximum(abs(weight), 1))

            def solve(rows, codes, group=group, each=each):
                found = settle(objective, group, rows, codes, basis, each)
                return found.codes, found

            found, sums = visit_rows(group, get(blocks, path), basis, solve, self.chunk)
            blocks = put(blocks, path, found.codes)
            terms, stats = terms + group, stats + sums
            value += weight * jnp.sum(found.value)
            error += abs(weight) * jnp.sum(found.gap)
            rounding += abs(weight) * jnp.sum(found.rounding)
        value += objective.basis_penalty(basis)[0]
        pos, neg = flat_parts(objective, basis_gradient(objective, terms, stats, basis), basis)
        return blocks, Reduced(value, error, rounding, pos, neg)


def _metric(basis: PyTree, pos: PyTree) -> Array:
    """Diagonal metric of multiplicative updates, ``W / P``, flat; entries near 0 can move too."""

    def one(w, p):
        mean = lambda a: jnp.mean(a, 1, keepdims=True)  # noqa: E731
        low = jnp.maximum(p, 1e-3 * mean(p))
        return jnp.where(low > 0, jnp.maximum(w, 0.1 * mean(w)) / jnp.where(low > 0, low, 1), 0)

    return ravel_pytree(jax.tree.map(one, basis, pos))[0]


def _relative(way: PyTree, basis: PyTree) -> Array:
    """Largest length of a row's move relative to that of the row."""
    tiny = jnp.finfo(jax.tree.leaves(basis)[0].dtype).tiny
    norm = lambda a: jnp.linalg.norm(a, axis=1)  # noqa: E731
    ratios = jax.tree.map(lambda d, w: jnp.max(norm(d) / jnp.maximum(norm(w), tiny)), way, basis)
    return jnp.max(jnp.stack([*jax.tree.leaves(ratios), jnp.asarray(tiny)]))


def _unit_rows(objective: AbstractObjective, blocks: Blocks, state: State) -> tuple[Blocks, State]:
    """Blocks with basis rows of unit sum, and the state in their units."""
    width = jax.tree.leaves(blocks["basis"])[0].shape[0]
    scaled = canonical(objective, {**blocks, "unit": jnp.ones((1, width), state.length.dtype)})
    unit = scaled.pop("unit").T
    wide = jax.tree.map(lambda w: jnp.broadcast_to(unit, w.shape), blocks["basis"])
    flat = ravel_pytree(wide)[0]
    reduced, memory = state.reduced, state.memory.rescaled(flat)
    reduced = eqx.tree_at(
        lambda g: (g.positive, g.negative),
        reduced,
        (reduced.positive * flat, reduced.negative * flat),
    )
    return scaled, eqx.tree_at(lambda s: (s.reduced, s.memory), state, (reduced, memory))
