"""Target components one after the other, each beyond a basis of the background and the last ones.

Fitted together, components share a strong response among them; in turn, the first takes it whole
and the next find what it leaves.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.numbers import traced
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.loop import Running, advance, begin, finish, run
from bcnmf_jax.fitting.many import OnProgress, part_of, to_the_end
from bcnmf_jax.fitting.result import Fit, as_found
from bcnmf_jax.fitting.start import frozen_rows, residual_rows
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import Blocks, Data, require_target
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.objectives import BackgroundFirst
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.one_row import one_row_solver
from bcnmf_jax.solvers.solver import AbstractSolver

SETTLED = Stop(tol=1e-4, max_steps=100)
BEGUN = Stop(tol=1e-3, max_steps=30)
"""Of the codes whose residual is taken."""
STARTS = 2
"""Singular vectors of the residual that a component starts from."""
TRIED = Stop(tol=0.0, max_steps=10)
"""For each start, before the best goes on."""


def widened(objective: BackgroundFirst, rank: int) -> BackgroundFirst:
    """The objective of one component beside ``rank`` places for those that are known: the rows
    found so far stand frozen in a basis whose other rows are 0, so that every component is fitted
    by one compiled program."""
    return BackgroundFirst(
        background_rank=rank + objective.background_rank,
        alpha=objective.alpha,
        loss=objective.loss,
        penalties=objective.penalties,
    )


def next_start(
    wide: BackgroundFirst,
    data: Data,
    known: Array,
    key: Key[Array, ""],
    solver: AbstractSolver,
    starts: int,
) -> Blocks:
    """Start of the component beyond the ``known`` rows: of some rows along the residual the
    one of lowest cost after `TRIED`, and codes."""
    # A row that is about to be found stands before those that are known; of 0, it has no codes.
    known = jnp.concatenate([jnp.zeros_like(known[:1]), known])
    bare = solve_codes(wide, data, known, BEGUN)

    def settled(row):
        # From codes that are settled: from others, a row takes shared structure at once, and does
        # not let go of it.
        return solve_codes(wide, data, known.at[0].set(row), BEGUN, near=bare)

    def attempt(row):
        tried = run(wide, data, settled(row), solver, TRIED, TRIED.looks)
        return tried.costs["basis"], tried.blocks["basis"][0]

    drawn = residual_rows(wide.loss, data["target"], bare["target"] @ known, starts, key)
    costs, rows = lax.map(attempt, drawn)
    return settled(rows[jnp.argmin(jnp.where(jnp.isfinite(costs), costs, jnp.inf))])


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
) -> Array:
    """Basis rows (rank, g), each found beyond those before it; for prepared data, to be jitted."""
    wide = widened(objective, rank)
    solver = one_row_solver(wide, data) if solver is None else solver

    def one(found, index):
        known, own = jnp.concatenate([found, frozen]), jax.random.fold_in(key, index)
        blocks = next_start(wide, data, known, own, solver, starts)
        ended = run(wide, data, blocks, solver, stop, looks)
        return found.at[index].set(ended.blocks["basis"][0]), None

    return lax.scan(one, jnp.zeros((rank, frozen.shape[1]), frozen.dtype), jnp.arange(rank))[0]


_frozen = eqx.filter_jit(frozen_rows)


def paying(objective: BackgroundFirst, data: Data) -> Data:
    """The data that have a say in the target components: without a contrast the target alone, since
    the background's codes move nothing. A contrast that is traced may be any."""
    alpha = objective.alpha
    objective.terms(data)  # which refuses what does not suit the backgrounds
    if traced(alpha) or np.any(np.asarray(alpha)):
        return data
    return {name: rows for name, rows in data.items() if name != "background"}


@eqx.filter_jit
def _begin_next(wide, data, known, key, index, solver, starts, looks) -> Running:
    own = jax.random.fold_in(key, index)
    return begin(wide, data, next_start(wide, data, known, own, solver, starts), solver, looks)


@eqx.filter_jit
def _begin_all(objective, data, basis, solver, looks) -> Running:
    return begin(objective, data, solve_codes(objective, data, basis, SETTLED), solver, looks)


_advance, _finish = eqx.filter_jit(advance), eqx.filter_jit(finish)


@eqx.filter_jit
def _place(found, index, fit) -> Array:
    return found.at[index].set(fit.blocks["basis"][0])


def check_sequential(objective: Any, rank: Any, starts: Any) -> tuple[int, int]:
    """Rank and starts as integers, or an error that names the argument."""
    if not isinstance(objective, BackgroundFirst):
        raise TypeError(f"objective must be a BackgroundFirst, found {objective!r}")
    return check_integer(rank, "rank"), check_integer(starts, "starts")


def _ended(made, data, now, solver, stop, on_progress) -> Running:
    """A fit after its last step."""
    step = partial(_advance, made, data, solver=solver, stop=stop)
    now = to_the_end(lambda now, until: step(now, until=until), now, stop, on_progress)
    if on_progress:
        on_progress(1.0)
    return now


def together(
    objective: BackgroundFirst,
    data: Data,
    basis: Float[Array, "K g"],
    solver: AbstractSolver | None,
    stop: Stop,
    on_progress: OnProgress | None,
    *,
    steps: bool = True,
) -> Fit:
    """A fit to all target components of a basis, or without steps to their codes alone."""
    solver = default_solver(objective, data) if solver is None else solver
    moving = paying(objective, data) if steps else data
    now = _begin_all(objective, moving, basis, solver, stop.looks)
    if steps:
        now = _ended(objective, moving, now, solver, stop, on_progress)
    if len(moving) < len(data):
        ended = _begin_all(objective, data, now.blocks["basis"], solver, stop.looks)
        now = now._replace(blocks=ended.blocks | now.blocks)
    return _finish(objective, data, now)


def find_components(
    objective: BackgroundFirst,
    data: Data,
    frozen: Float[Array, "B g"],
    rank: int,
    key: Key[Array, ""],
    *,
    solver: AbstractSolver | None,
    stop: Stop,
    starts: int,
    on_progress: OnProgress | None,
    parts: int,
) -> tuple[Float[Array, "rank g"], list[Fit]]:
    """Target components of prepared data one after the other, beyond a basis of the background.

    Parameters
    ----------
    parts : int
        Parts of the whole work, of which each component is one.

    Returns
    -------
    basis rows, and the fit that each comes from
    """
    wide, data = widened(objective, rank), paying(objective, data)
    solver = one_row_solver(wide, data) if solver is None else solver
    found, fits = jnp.zeros((rank, frozen.shape[1]), frozen.dtype), []
    for k in range(rank):
        known, index = jnp.concatenate([found, frozen]), np.int32(k)
        now = _begin_next(wide, data, known, key, index, solver, starts, stop.looks)
        now = _ended(wide, data, now, solver, stop, part_of(on_progress, k, parts))
        fits.append(_finish(wide, data, now))
        found = _place(found, index, fits[-1])
    return found, fits


def fit_sequential(
    objective: BackgroundFirst,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    starts: int = STARTS,
    refit: bool = True,
    weights: dict | None = None,
    mask: dict | None = None,
    on_progress: OnProgress | None = None,
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
        Singular vectors of the residual of the last components, of which both signs are tried.
    refit : bool
        Refit all target components together at last, from where they were found: the first of
        several programs of equal strength is found as a blend of them, which the others then sort
        out. Without it, the first components are those of a smaller rank.
    weights, mask : dict, optional
        As in `fit`.
    on_progress : callable, optional
        Takes the share that is done, from 0 to 1, if every step is needed.

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
    rank, starts = check_sequential(objective, rank, starts)
    stop = Stop(tol=1e-5) if stop is None else stop
    check_types(objective, solver, stop)
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    parts = rank + bool(refit)
    frozen = _frozen(objective, rows, key)
    found, fits = find_components(
        objective, rows, frozen, rank, key, solver=solver, stop=stop, starts=starts,
        on_progress=on_progress, parts=parts,
    )  # fmt: skip
    last = together(
        objective, rows, jnp.concatenate([found, frozen]), solver, stop,
        part_of(on_progress, rank, parts), steps=refit,
    )  # fmt: skip
    last = last if refit else as_found(last, fits)
    steps = sum(f.steps for f in fits) + last.steps
    last = eqx.tree_at(lambda f: f.steps, last, steps)
    return restored(objective, last, unit)
