"""Target components one at a time: each beyond the basis of the background and the last ones.

Fitted together, components share a strong response among them; in turn, the first takes it whole
and the next find what it leaves.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Key

from bcnmf_jax.data import prepare
from bcnmf_jax.fit import RESULTS, Fit, Stop, check_types, run
from bcnmf_jax.init import check_rank, require_target, uniform_rows
from bcnmf_jax.losses import AbstractLoss, Frobenius
from bcnmf_jax.objective import Data
from bcnmf_jax.objectives import NMF, BackgroundFirst
from bcnmf_jax.solvers import AbstractSolver, default_solver
from bcnmf_jax.terms import Rows
from bcnmf_jax.transform import solve_codes

SETTLED = Stop(tol=1e-4, max_steps=100)
BEGUN = Stop(tol=1e-3, max_steps=30)
"""How well codes are settled where a residual is taken."""
ROUNDS = 10
"""Rounds of subspace iteration."""
TRIED = Stop(tol=0.0, max_steps=10)
"""For each start, before the best goes on."""


def residual_rows(
    loss: AbstractLoss, rows: Rows, basis: Array, count: int, key: Key[Array, ""]
) -> Array:
    """Rows (2 count, g) along which the target departs from what a basis explains of it: both
    halves of the leading singular vectors of the residual (as NNDSVD takes them of the data).

    For other losses than squared error the residual is over the root of each feature's mean, since
    counts vary with their mean.
    """
    plain, data = NMF(loss), {"target": rows}
    fitted = solve_codes(plain, data, basis, BEGUN)["target"] @ basis
    residual = rows.x - fitted if rows.v is None else rows.v * (rows.x - fitted)
    scale = jnp.ones_like(basis[0])
    if type(loss) is not Frobenius:
        scale = jnp.sqrt(jnp.maximum(fitted.mean(0), jnp.finfo(fitted.dtype).eps))
    residual = residual / scale
    drawn = jax.random.normal(key, (basis.shape[1], count), basis.dtype)
    again = lambda _, v: jnp.linalg.qr(residual.T @ (residual @ v))[0]  # noqa: E731
    space = lax.fori_loop(0, ROUNDS, again, jnp.linalg.qr(drawn)[0])
    turn = jnp.linalg.svd(residual @ space, full_matrices=False)[2]
    vectors = turn @ space.T * scale
    halves = jnp.maximum(jnp.concatenate([vectors, -vectors]), 0)
    # A little everywhere: multiplicative updates move no zero.
    halves = halves + 1e-2 * halves.mean(1, keepdims=True)
    return halves / halves.sum(1, keepdims=True)


def in_turn(
    objective: BackgroundFirst,
    data: Data,
    frozen: Array,
    rank: int,
    key: Key[Array, ""],
    solver: AbstractSolver | None,
    stop: Stop,
    starts: int,
    looks: int,
) -> tuple[Array, Fit]:
    """Basis rows (rank, g) and the fits that gave them, with a leading axis; for prepared data.

    The rows found so far stand frozen in a basis whose other rows are 0, so that every component
    is fitted by one compiled program. Of the starts the one of lowest cost after `TRIED` goes on.
    """
    wide = BackgroundFirst(
        background_rank=rank + objective.background_rank,
        alpha=objective.alpha,
        loss=objective.loss,
        penalties=objective.penalties,
    )
    solver = default_solver(wide, data) if solver is None else solver

    def one(found, index):
        own = jax.random.fold_in(key, index)
        known = jnp.concatenate([found, frozen])

        def fit(row, stop, looks):
            basis = jnp.concatenate([row[None], known])
            # From codes that are settled: from others, a row takes shared structure at once, and
            # does not let go of it.
            blocks = solve_codes(wide, data, basis, BEGUN)
            return run(wide, data, blocks, solver, stop, looks)

        def attempt(row):
            tried = fit(row, TRIED, TRIED.looks)
            return tried.costs["basis"], tried.blocks["basis"][0]

        drawn = residual_rows(objective.loss, data["target"], known, starts, own)
        costs, rows = lax.map(attempt, drawn)
        best = jnp.argmin(jnp.where(jnp.isfinite(costs), costs, jnp.inf))
        ended = fit(rows[best], stop, looks)
        row = ended.blocks["basis"][0]
        return found.at[index].set(row), eqx.tree_at(lambda f: f.blocks, ended, {})

    return lax.scan(one, jnp.zeros((rank, frozen.shape[1]), frozen.dtype), jnp.arange(rank))


@eqx.filter_jit
def _deflate(objective, data, rank, key, solver, stop, starts, refit, looks) -> Fit:
    dtype = jax.tree.leaves(data)[0].dtype
    drawn = uniform_rows(key, rank + objective.extra, objective.features(data), dtype)
    frozen = objective.prepare_basis(data, drawn, key)[rank:]
    rows, fits = in_turn(objective, data, frozen, rank, key, solver, stop, starts, looks)
    blocks = solve_codes(objective, data, jnp.concatenate([rows, frozen]), SETTLED)
    solver = default_solver(objective, data) if solver is None else solver
    last = stop if refit else eqx.tree_at(lambda s: s.max_steps, stop, np.asarray(0, np.int32))
    found = run(objective, data, blocks, solver, last, looks)
    # Without a refit, no step says whether it converged: the fits of the components do.
    result = (
        found.result
        if refit
        else RESULTS.where(found.result == RESULTS.max_steps, _worst(fits.result), found.result)
    )
    steps = fits.steps.sum() + found.steps
    return eqx.tree_at(lambda f: (f.steps, f.result), found, (steps, result))


def _worst(results: Any) -> Any:
    """Of the results of single components: max_steps or converged. That one of them collapses or
    is not finite shows in all of them together."""
    slow = jnp.any(results == RESULTS.max_steps)
    return RESULTS.where(slow, RESULTS.max_steps, RESULTS.converged)


def deflate(
    objective: BackgroundFirst,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    starts: int = 2,
    refit: bool = True,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Fit:
    """Fit target components one after the other, each beyond the background's basis and the last.

    Parameters
    ----------
    objective : BackgroundFirst
    data : dict
        ``{"target": X, "background": Y}``; see `prepare`.
    rank : int
        Number of target components.
    key : jax.random.key
    solver : AbstractSolver, optional
        As in `fit`.
    stop : Stop, optional
        For each component.
    starts : int
        Singular vectors of the residual of the last components, of which both halves are tried.
    refit : bool
        Refit all target components together at last, from where they were found: the first of
        several programs of equal strength is found as a blend of them, which the others then sort
        out. Without it, the first components are those of a smaller rank.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    Fit
        Target components first, in the order in which they were found, then the background's.
        Steps are those of all fits, the trace is that of the last.

    Raises
    ------
    TypeError, ValueError
        For another objective, a rank or number of starts below 1, and data as `prepare` says.
    """
    if not isinstance(objective, BackgroundFirst):
        raise TypeError(f"objective must be a BackgroundFirst, found {objective!r}")
    check_rank(rank)
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be an integer of at least 1, found {starts!r}")
    stop = Stop(tol=1e-5) if stop is None else stop
    check_types(objective, solver, stop)
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    return _deflate(objective, rows, int(rank), key, solver, stop, starts, bool(refit), stop.looks)
