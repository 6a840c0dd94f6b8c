"""The loop: `fit` runs a solver on an objective until `Stop` says so."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.numbers import concrete
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.change import relative_change
from bcnmf_jax.fitting.codes import start_all_codes
from bcnmf_jax.fitting.devices import as_held, collect, place_blocks, shard
from bcnmf_jax.fitting.diagnostics import diagnose
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import blank, canonical, with_frozen
from bcnmf_jax.model.costs import costs, misfits_in_turn
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import restored, scaled, with_codes
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver


class RESULTS(eqx.Enumeration):
    """How a fit ended."""

    converged = "converged"
    max_steps = "max_steps: the blocks still move; raise max_steps or tol"
    nonfinite = "nonfinite: a block has NaN or infinite entries; lower alpha or the step size"
    collapsed = (
        "collapsed: the basis no longer describes the target (see diagnostics); lower alpha, "
        "change the loss, or check that the background suits the target"
    )
    degenerate = (
        "degenerate: no step lowers the reduced objective, whose slope is not 0 yet; the precision "
        "is used up (fit float64 data under jax.enable_x64) or codes are not unique (fewer "
        "components, another start)"
    )


_NAMES = ["converged", "max_steps", "nonfinite", "collapsed", "degenerate"]


def result_name(result: Any) -> Any:
    """Name of a result, or an array of names where results have leading axes."""
    is_one = [np.asarray(result == getattr(RESULTS, name)) for name in _NAMES]
    names = np.select(is_one, _NAMES, default="")
    return str(names) if names.ndim == 0 else names


class Fit(eqx.Module):
    """A fit. From `sweep`, every array has leading axes (alpha, rank, restart).

    Attributes
    ----------
    blocks : dict
        ``"basis"`` (K, g) with rows of unit sum (unless a penalty fixes their scale), codes
        (rows, K) under the name of each data set; target components first.
    costs : dict
        What each block minimises, at the end: codes their own misfit, the basis the signed sum.
    diagnostics : dict
        See `diagnose`.
    trace : dict
        At every look: ``step``, ``change`` (largest relative change of a reconstruction) and
        ``cost`` (of the basis). After the last look ``step`` is 0 and the others NaN.
    steps : int array
    result : RESULTS
        Precedence nonfinite, collapsed, degenerate, max_steps, converged.
    """

    blocks: Blocks
    costs: dict[str, Any]
    diagnostics: dict[str, Any]
    trace: dict[str, Array]
    steps: Array
    result: Any

    def __getitem__(self, index: Any) -> Fit:
        """One fit, or some, of a sweep: ``s[alpha, rank, restart]``. Padding stays."""
        return jax.tree.map(lambda leaf: leaf[index], self)


ROUNDING = 32
"""Units of the precision by which a sum may miss 1 and still be 1: a solver that normalises its
basis has done so."""


def _finite(blocks: Blocks) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(blocks)]))


class Running(NamedTuple):
    """Where a fit stands between two looks; ``state`` is the solver's, ``started`` says which
    components the start had."""

    blocks: Blocks
    state: Any
    steps: Array
    settled: Array
    going: Array
    trace: dict[str, Array]
    started: Array


def begin(
    objective: AbstractObjective, data: Data, blocks: Blocks, solver: AbstractSolver, looks: int
) -> Running:
    """A fit of prepared data before its first step, with room for so many looks."""
    dtype = jax.tree.leaves(data)[0].dtype
    trace = {
        "step": jnp.zeros(looks, jnp.int32),
        "change": jnp.full(looks, jnp.nan, dtype),
        "cost": jnp.full(looks, jnp.nan, dtype),
    }
    started = jnp.stack([w.sum(1) for w in jax.tree.leaves(blocks["basis"])]).sum(0) > 0
    state = solver.init(objective, data, blocks)
    none, unsettled = jnp.zeros((), jnp.int32), jnp.asarray(False)
    return Running(blocks, state, none, unsettled, _finite(blocks), trace, started)


def advance(
    objective: AbstractObjective,
    data: Data,
    now: Running,
    solver: AbstractSolver,
    stop: Stop,
    until: Any,
) -> Running:
    """Look after look, until the fit ends or has gone ``until`` steps (whole looks)."""

    def running(now):
        return (now.steps < until) & ~now.settled & now.going

    def look(now):
        old, steps = now.blocks, now.steps
        count = jnp.minimum(stop.every, stop.max_steps - steps).astype(jnp.int32)

        def step(_, carry):
            new, state = solver.step(objective, data, *carry)
            return with_frozen(objective, carry[0]["basis"], new), state

        new, state = lax.fori_loop(0, count, step, (old, now.state))
        new = canonical(objective, new, ROUNDING) if objective.scale_free else new
        terms = objective.terms(data)
        new = blank(terms, new)
        change = [relative_change(t, old, new, objective.frozen) for t in terms]
        change = jnp.max(jnp.stack(change))
        at = {
            "step": (steps + count).astype(jnp.int32),
            "change": change,
            "cost": costs(objective, data, new, misfits=misfits_in_turn)["basis"],
        }
        trace = {k: now.trace[k].at[steps // stop.every].set(at[k]) for k in now.trace}
        # A last look over fewer steps sees less change, and settles nothing.
        reached, stuck = solver.progress(state, change)
        settled = (reached < stop.tol.astype(reached.dtype)) & (count == stop.every)
        going = _finite(new) & ~stuck
        return Running(new, state, steps + count, settled, going, trace, now.started)

    return lax.while_loop(running, look, now)


def finish(objective: AbstractObjective, data: Data, now: Running) -> Fit:
    """What a fit that has ended found."""
    blocks = canonical(objective, now.blocks) if objective.scale_free else now.blocks
    spent, found = diagnose(objective, data, blocks, now.started)
    result = RESULTS.where(now.settled, RESULTS.converged, RESULTS.max_steps)
    result = RESULTS.where(now.going | now.settled, result, RESULTS.degenerate)
    result = RESULTS.where(found["collapsed"], RESULTS.collapsed, result)
    finite = _finite(blocks) & ~jnp.isnan(found["x_explained"])
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
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


def check_types(objective: Any, solver: Any, stop: Any) -> None:
    """Raise TypeError for a class, a name or a number where an object is meant (no solver, None, is
    the default)."""
    kinds = {"objective": AbstractObjective, "solver": AbstractSolver, "stop": Stop}
    for (name, kind), value in zip(kinds.items(), (objective, solver, stop), strict=True):
        if not (isinstance(value, kind) or (name == "solver" and value is None)):
            raise TypeError(f"{name} must be an instance of {kind.__name__}, found {value!r}")


def check_blocks(objective: AbstractObjective, data: Data, blocks: Blocks) -> Blocks:
    """Blocks of the data's dtype, or an error that names the block."""
    dtype = jax.tree.leaves(data)[0].dtype
    blocks = jax.tree.map(lambda a: owned(a, dtype), blocks)
    width = jax.tree.leaves(blocks["basis"])[0].shape[0]
    if width <= objective.extra:
        raise ValueError(
            f"blocks['basis'] has {width} components, of which {objective.extra} are shared or "
            "frozen; it needs more"
        )
    wants = jax.eval_shape(partial(start_all_codes, objective), data, blocks["basis"]) | {
        "basis": jax.tree.map(lambda w: w, blocks["basis"])
    }
    for name, want in wants.items():
        if name not in blocks:
            raise ValueError(f"blocks lack {name!r}; bcnmf_jax.init gives a complete start")
        have = blocks[name]
        shapes = [jax.tree.map(jnp.shape, a) for a in (have, want)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"blocks[{name!r}] has shape {shapes[0]}, the data ask for {shapes[1]}"
            )
    features = objective.features(data)
    have = jax.tree.map(lambda w: w.shape[1], blocks["basis"])
    if have != features:
        raise ValueError(f"blocks['basis'] has {have} features, the data {features}")
    for leaf in jax.tree.leaves(blocks):
        value = concrete(leaf)
        if value is not None and not ((value >= 0) & np.isfinite(value)).all():
            raise ValueError("blocks must be nonnegative and finite; found negative values or NaN")
    return {name: blocks[name] for name in wants}


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
