"""The loop: steps of a solver, looks every few of them, and the rule that ends a fit.

The loop on the device (`fit`, `sweep`), the one that is entered again between looks
(`fitting.many`) and the one over chunks of rows (`streaming`) look, stop and end by the functions
of this file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree

from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting._devices import as_held, collect, place_blocks, shard
from bcnmf_jax.fitting.arguments import check_blocks, check_types
from bcnmf_jax.fitting.change import relative_change
from bcnmf_jax.fitting.diagnostics import diagnose
from bcnmf_jax.fitting.result import Fit, outcome
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import blank, canonical, with_frozen
from bcnmf_jax.model.costs import costs, misfits_in_turn
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import restored, scaled, with_codes
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver

ROUNDING = 32
"""Units of the precision by which a sum may miss 1 and still be 1: a solver that normalises its
basis has done so."""
Trace = dict[str, Any]
"""Arrays (looks,): step, change and cost; see `Fit`."""


def new_trace(looks: int, dtype: Any) -> Trace:
    """Trace before the first look."""
    nan = np.full(looks, np.nan, dtype)
    return {"step": np.zeros(looks, np.int32), "change": nan, "cost": nan.copy()}


def noted(trace: Trace, slot: Any, **values: Any) -> Trace:
    """Trace with values of the look in a slot."""

    def put(array, value):
        if isinstance(array, np.ndarray):
            array = array.copy()
            array[slot] = value
            return array
        return array.at[slot].set(value)

    return trace | {name: put(trace[name], value) for name, value in values.items()}


def has_settled(stop: Stop, distance: Any, whole: Any) -> Any:
    """Whether a fit has converged at a look.

    Parameters
    ----------
    stop : Stop
    distance : scalar
        What the solver compares with ``stop.tol``: the largest relative change of a reconstruction,
        or the stationarity.
    whole : bool
        Whether ``stop.every`` steps lie between this look and the last one: over fewer, less
        changes.
    """
    return (distance < stop.tol.astype(distance.dtype)) & whole


def is_running(until: Any, steps: Any, settled: Any, going: Any) -> Any:
    """Whether there is a step to do before ``until``."""
    return (steps < until) & ~settled & going


def is_finite(blocks: PyTree) -> Bool[Array, ""]:
    """Whether every entry of the blocks is."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(blocks)]))


class Running(NamedTuple):
    """A fit between two looks.

    Attributes
    ----------
    blocks : dict
    state : pytree
        Of the solver.
    steps : Array of int
    settled, going : Array of bool
        Whether the last look converged, and whether a further step could help.
    trace : dict
    started : Array (K,) of bool
        Components that are not 0 at the start.
    """

    blocks: Blocks
    state: Any
    steps: Int[Array, "*fits"]
    settled: Bool[Array, "*fits"]
    going: Bool[Array, "*fits"]
    trace: Trace
    started: Bool[Array, "*fits K"]


def begin(
    objective: AbstractObjective, data: Data, blocks: Blocks, solver: AbstractSolver, looks: int
) -> Running:
    """A fit of prepared data before its first step, with room for so many looks."""
    trace = jax.tree.map(jnp.asarray, new_trace(looks, jax.tree.leaves(data)[0].dtype))
    started = jnp.stack([w.sum(1) for w in jax.tree.leaves(blocks["basis"])]).sum(0) > 0
    state = solver.init(objective, data, blocks)
    none, unsettled = jnp.zeros((), jnp.int32), jnp.asarray(False)
    return Running(blocks, state, none, unsettled, is_finite(blocks), trace, started)


def look(
    objective: AbstractObjective, data: Data, now: Running, solver: AbstractSolver, stop: Stop
) -> Running:
    """A fit after ``stop.every`` more steps, or as many as are left, and a look at it."""
    count = jnp.minimum(stop.every, stop.max_steps - now.steps).astype(jnp.int32)

    def step(_, carry):
        new, state = solver.step(objective, data, *carry)
        return with_frozen(objective, carry[0]["basis"], new), state

    blocks, state = lax.fori_loop(0, count, step, (now.blocks, now.state))
    blocks = canonical(objective, blocks, ROUNDING) if objective.scale_free else blocks
    terms = objective.terms(data)
    blocks = blank(terms, blocks)
    changes = [relative_change(t, now.blocks, blocks, objective.frozen) for t in terms]
    change = jnp.max(jnp.stack(changes))
    trace = noted(
        now.trace,
        now.steps // stop.every,
        step=(now.steps + count).astype(jnp.int32),
        change=change,
        cost=costs(objective, data, blocks, misfits=misfits_in_turn)["basis"],
    )
    distance, stuck = solver.progress(state, change)
    settled = has_settled(stop, distance, count == stop.every)
    going = is_finite(blocks) & ~stuck
    return Running(blocks, state, now.steps + count, settled, going, trace, now.started)


def advance(
    objective: AbstractObjective,
    data: Data,
    now: Running,
    solver: AbstractSolver,
    stop: Stop,
    until: Any,
) -> Running:
    """Look after look, until the fit ends or has gone ``until`` steps (whole looks)."""
    return lax.while_loop(
        lambda now: is_running(until, now.steps, now.settled, now.going),
        lambda now: look(objective, data, now, solver, stop),
        now,
    )


def finish(objective: AbstractObjective, data: Data, now: Running) -> Fit:
    """The fit that has ended, with costs, diagnostics and result."""
    blocks = canonical(objective, now.blocks) if objective.scale_free else now.blocks
    spent, found = diagnose(objective, data, blocks, now.started)
    finite = is_finite(blocks) & ~jnp.isnan(found["x_explained"])
    result = outcome(now.settled, now.going, found["collapsed"], finite)
    return Fit(blocks, spent, found, now.trace, now.steps, result)


def run(
    objective: AbstractObjective,
    data: Data,
    blocks: Blocks,
    solver: AbstractSolver,
    stop: Stop,
    looks: int,
) -> Fit:
    """The loop itself, for prepared data; pure, to be jitted and vmapped."""
    now = begin(objective, data, blocks, solver, looks)
    return finish(objective, data, advance(objective, data, now, solver, stop, stop.max_steps))


fit_prepared = eqx.filter_jit(run)
"""`run`, compiled."""


def fit(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    weights: dict | None = None,
    mask: dict | None = None,
    mesh: Mesh | None = None,
) -> Fit:
    """Fit an objective from starting blocks, in one compiled loop.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        ``{"target": X, "background": Y}``; see `prepare`.
    blocks : dict
        From `init`, or given by hand.
    solver : AbstractSolver
        By default coordinate descent (`HALS`) for squared error, and multiplicative updates that
        run ahead (`MU`) for other losses and where a contrast works against the whole basis.
    stop : Stop
    weights : dict, optional
        Weights per sample, ``{"target": (n,), "background": (m,)}``.
    mask : dict, optional
        Arrays of the data's shape, 0 where a value is missing (it may then be NaN).
    mesh : Mesh, optional
        From `row_mesh`: rows are spread over its devices, with the same answer. Under several
        processes each passes its own rows, of data and codes, and gets their codes. `shard` places
        data once for many fits.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, and for blocks that do not match them.
    """
    stop = Stop() if stop is None else stop
    check_types(objective, solver, stop)
    if mesh is None:
        rows = prepare(data, weights, mask)
        require_target(objective, rows)
        rows, unit = scaled(objective, rows)
        solver = default_solver(objective, rows) if solver is None else solver
        blocks = with_codes(check_blocks(objective, rows, blocks), 1 / unit)
        found = fit_prepared(objective, rows, blocks, solver, stop, stop.looks)
        return restored(objective, found, unit)
    rows = shard(data, mesh, weights, mask)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    solver = default_solver(objective, rows) if solver is None else solver
    terms, blocks = objective.terms(rows), check_blocks(objective, as_held(rows), blocks)
    blocks = place_blocks(terms, with_codes(blocks, 1 / unit), mesh)
    with jax.set_mesh(mesh):
        found = fit_prepared(objective, rows, blocks, solver, stop, stop.looks)
    return restored(objective, collect(terms, found), unit)
