"""Codes at their optimum for a basis, with a bound on how far their misfit still is from it.

The problem of a row is small and convex: Newton's method, whose quadratic model is solved on the
orthant by coordinate descent and a step on the face that it ends on. How far a row is from its
optimum is at most its duality gap, which the parts of its gradient give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.gradients import code_gradient
from bcnmf_jax.model.loss import by_row
from bcnmf_jax.model.losses import KL, AbstractQuadraticLoss
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.model.terms import Term, by_codes

MOST_STEPS = 30
"""Newton steps per row; from the codes of a basis nearby, one to three are made."""

ROUGHLY = 1e-3
"""Gap that no budget exceeds, relative to the reconstruction's share of the misfit."""


class Settled(NamedTuple):
    """Codes of some rows near their optimum.

    Attributes
    ----------
    codes : Array (n, K)
    value : Array (n,)
        Misfit of each row times its weight, without what depends on the data alone.
    gap : Array (n,)
        Upper bound of what the value could still fall by.
    rounding : Array (n,)
        What rounding may take from either.
    """

    codes: Array
    value: Array
    gap: Array
    rounding: Array


def solvable(objective: AbstractObjective, data: Data) -> bool:
    """Whether the codes of every row have a convex problem whose duality gap is known here: squared
    error or KL, the same for all that share codes, without a penalty on codes. A row that several
    terms share has one weight."""

    def known(group: list[Term]) -> bool:
        free = len(group) == 1 or all(t.rows.weights is None for t in group)
        kinds = AbstractQuadraticLoss, KL
        return free and any(all(isinstance(t.loss, k) for t in group) for k in kinds)

    groups = by_codes(objective.terms(data)).values()
    return all(map(known, groups)) and all(p.block == "basis" for p in objective.penalties)


def settle(
    objective: AbstractObjective,
    group: list[Term],
    rows: list[Rows],
    codes: Array,
    basis: PyTree,
    budget: Array,
) -> Settled:
    """Improve the codes of a chunk of rows until their mean gap is within a budget.

    Parameters
    ----------
    group : list of Term
        All terms of these codes; `solvable`.
    rows : list of Rows
        The chunk, one per term.
    codes : Array (n, K)
        Where to start.
    budget : scalar
        Mean gap of a row, in the units of the loss; may be infinite (`ROUGHLY`). What rounding
        alone leaves is allowed too.
    """
    split = code_gradient(objective, group, rows, basis)
    bends = [_curvature(t, r, basis) for t, r in zip(group, rows, strict=True)]
    squared = isinstance(group[0].loss, AbstractQuadraticLoss)
    v = rows[0].weights
    weight = v[:, 0] if v is not None and by_row(v) else jnp.ones_like(codes[:, 0])
    counts = jnp.maximum(weight, 1)  # samples of weight 0 are read, too

    def measure(codes):
        s = split(codes)
        s = GradientParts(*(jnp.broadcast_to(a, codes.shape) for a in (s.positive, s.negative)))
        gram = sum((bend(codes) for bend in bends[1:]), bends[0](codes))
        return s, gram, (_gap_squared(codes, s, gram) if squared else _gap_kl(codes, s))

    def step(carry):
        now, tried, taken, stride, count = carry
        codes, s, gram, _ = now
        newton = _on_orthant(codes, s.grad, gram)
        further = jnp.maximum(codes + stride[:, None] * (newton - codes), 0)
        tried = jnp.where(taken[:, None], further, 0.5 * (codes + tried))
        new = (tried, *measure(tried))
        # The mean slope is the fall of a quadratic, and nearly that of KL.
        before, after = (jnp.sum(a.grad * (tried - codes), 1) for a in (s, new[1]))
        taken = after <= 0.9 * abs(before)
        # From far below its optimum, a step doubles what stands in a logarithm and halves its slope
        # (s times the step: 1 + s); it may as well grow.
        grows = taken & ((1 + stride) * after < 0.8 * before)
        stride = jnp.where(grows, 10 * stride, 1)

        def pick(old, new):
            by_row = len(new) == len(taken)  # else one matrix for all, which stays
            return jnp.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old) if by_row else new

        return jax.tree.map(pick, now, new), tried, taken, stride, count + 1

    eps = 8 * jnp.finfo(codes.dtype).eps

    def short(carry):
        (codes, s, _, gap), *_, count = carry
        size = counts * jnp.sum(codes * s.positive, 1)
        allowed = jnp.minimum(budget, ROUGHLY * jnp.mean(size)) + eps * jnp.mean(size)
        return (jnp.mean(counts * gap) > allowed) & (count < MOST_STEPS)

    every, count = jnp.ones(len(codes), bool), jnp.zeros((), jnp.int32)
    start = (codes, *measure(codes)), codes, every, jnp.ones_like(weight), count
    codes, s, _, gap = lax.while_loop(short, step, start)[0]
    value = jnp.sum(codes * (0.5 * s.positive - s.negative), 1)
    if not squared:
        logs = [_log_likelihood(t, r, codes, basis) for t, r in zip(group, rows, strict=True)]
        value = jnp.sum(codes * s.positive, 1) - sum(logs[1:], logs[0])
    return Settled(
        codes, weight * value, weight * gap, weight * eps * jnp.sum(codes * s.positive, 1)
    )


def _curvature(term: Term, rows: Rows, basis: PyTree) -> Callable[[Array], Array]:
    """Function from codes to the matrices (n, K, K) of second derivatives of a row's misfit; one
    matrix (1, K, K) for all rows where they agree."""
    w = term.basis_map(basis)
    width = jax.tree.leaves(basis)[0].shape[0]
    reads = term.code_map(jnp.eye(width, dtype=w.dtype))
    if isinstance(term.loss, AbstractQuadraticLoss) and not term.loss.reconstructs(rows.weights):
        gram = (reads @ term.loss.code_gram(w) @ reads.T)[None]
        return lambda codes: gram
    i, j = np.triu_indices(w.shape[0])
    place = np.zeros((w.shape[0],) * 2, int)
    place[i, j] = place[j, i] = np.arange(len(i))
    pairs = w[i] * w[j]

    def at(codes):
        mu = term.loss.mean(term.code_map(codes), w)
        slope = lambda m: jnp.broadcast_to(term.loss.gradient_parts(rows.x, m).grad, m.shape)  # noqa: E731
        bend = jax.jvp(slope, (mu,), (jnp.ones_like(mu),))[1]
        bend = _weigh(bend, rows)
        return reads @ (bend @ pairs.T)[:, place] @ reads.T

    return at


def _log_likelihood(term: Term, rows: Rows, codes: Array, basis: PyTree) -> Array:
    mu = term.loss.mean(term.code_map(codes), term.basis_map(basis))
    return jnp.sum(_weigh(rows.x * jnp.log(mu), rows), 1)


def _weigh(a: Array, rows: Rows) -> Array:
    """Entries times their weights; the weight of a whole row is no matter of its codes."""
    return a if rows.weights is None or by_row(rows.weights) else a * rows.weights


def _gap_kl(codes: Array, s: GradientParts) -> Array:
    """Duality gap of a row under KL: ``x / mu``, scaled until no component can add to it, is dual
    feasible."""
    ratio = jnp.max(
        jnp.where(s.positive > 0, s.negative / jnp.where(s.positive > 0, s.positive, 1), 0), 1
    )
    log = jnp.log(jnp.where(ratio > 0, ratio, 1))
    return jnp.maximum(jnp.sum(codes * s.grad, 1) + jnp.sum(codes * s.negative, 1) * log, 0)


def _gap_squared(codes: Array, s: GradientParts, gram: Array) -> Array:
    """Duality gap of a row under squared error: the residual, less a multiple of the sum of the
    basis rows until no component correlates with it, is dual feasible."""
    sums = jnp.broadcast_to(gram.sum(2), codes.shape)
    shift = jnp.max(jnp.where(sums > 0, -s.grad / jnp.where(sums > 0, sums, 1), 0), 1)
    shift = jnp.maximum(shift, 0)
    more = shift * jnp.sum(codes * sums, 1) + 0.5 * shift**2 * sums.sum(1)
    return jnp.maximum(jnp.sum(codes * s.grad, 1) + more, 0)


def _on_orthant(codes: Array, slope: Array, gram: Array) -> Array:
    """Codes that lower the quadratics of slope ``slope`` and matrices ``gram`` at ``codes``, at 0
    and above: a sweep of coordinate descent, then the minimum on the face that it ends on, or as
    far towards it as the orthant goes."""
    # rows last: every operation below is one over all rows
    h, q, g = codes.T, slope.T, jnp.moveaxis(gram, 0, -1)
    k = len(h)

    def descend(j, carry):
        h, q = carry
        bend = g[j, j]
        lower = jnp.maximum(h[j] - q[j] / jnp.where(bend > 0, bend, 1), 0)
        new = jnp.where(bend > 0, lower, h[j])
        return h.at[j].set(new), q + g[j] * (new - h[j])[None]

    def eliminate(j, carry):
        m, d = carry
        factor = (m[:, j] / m[j, j][None]).at[j].set(0)
        return m - factor[:, None] * m[j][None], d - factor * d[j][None]

    h, q = lax.fori_loop(0, k, descend, (h, q))
    free, diagonal = h > 0, jnp.arange(k)
    ridge = 4 * jnp.finfo(h.dtype).eps * jnp.max(g[diagonal, diagonal], 0)
    m = jnp.where(free[:, None] & free[None], g, 0)
    m = m.at[diagonal, diagonal].add(jnp.where(free, ridge[None], 1))
    m, d = lax.fori_loop(0, k, eliminate, (m, jnp.where(free, -q, 0)))
    d = d / m[diagonal, diagonal]
    d = jnp.where(jnp.isfinite(d), d, 0)
    room = jnp.min(jnp.where(d < 0, h / jnp.where(d < 0, -d, 1), 1), 0)
    return jnp.maximum(h + jnp.minimum(room, 1)[None] * d, 0).T
