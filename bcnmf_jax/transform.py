"""Codes for a basis that is fixed: new samples, and the value of the game."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from bcnmf_jax.data import prepare
from bcnmf_jax.fit import Fit, Stop, relative_change
from bcnmf_jax.init import require_target, start_all_codes
from bcnmf_jax.objective import (
    AbstractObjective,
    Blocks,
    Data,
    check_structure,
    costs,
    is_frozen,
    misfits,
)
from bcnmf_jax.solvers import Codes

SETTLED = Stop(tol=1e-6, max_steps=200)


def solve_codes(objective: AbstractObjective, data: Data, basis: PyTree, stop: Stop) -> Blocks:
    """Blocks with the codes at their optimum for the basis; for prepared data.

    One step of ``stop`` is a pass of ten updates. The problem of each row is convex (squared
    error, KL) and its start depends on that row alone.
    """
    solver = Codes(inner_steps=10)
    terms = objective.terms(data)

    def look(carry):
        old, steps, _ = carry
        new, _ = solver.step(objective, data, old, None)
        change = jnp.max(jnp.stack([relative_change(t, old, new) for t in terms]))
        return new, steps + 1, change < stop.tol

    running = lambda c: (c[1] < stop.max_steps) & ~c[2]  # noqa: E731
    blocks = {"basis": basis} | start_all_codes(objective, data, basis)
    start = (blocks, jnp.zeros((), jnp.int32), jnp.asarray(False))
    return lax.while_loop(running, look, start)[0]


_solve = eqx.filter_jit(solve_codes)


def transform(
    objective: AbstractObjective,
    fit: Fit | Blocks,
    data: dict,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Any:
    """Codes of samples under the basis of a fit.

    Parameters
    ----------
    objective : AbstractObjective
    fit : Fit or dict
        A fit, or its blocks.
    data : dict
        ``{"target": X_new}``, ``{"background": Y_new}`` or both, with the features of the fit.
    stop : Stop
        Steps are passes of ten code updates.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    Array (n, K), or dict of them
        The codes for one name, a dictionary for several; nested as the data are.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, or with other features than the fit's.
    """
    rows = prepare(data, weights, mask, constant=True)
    check_structure(objective, rows)
    basis = (fit.blocks if isinstance(fit, Fit) else fit)["basis"]
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: jnp.asarray(w, dtype), basis)
    terms = objective.terms(rows)
    if unread := set(rows) - {t.codes[0] for t in terms}:
        raise ValueError(f"{type(objective).__name__} has no codes for {sorted(unread)}")
    for term in terms:
        want = term.mix(basis).shape[1]
        if term.rows.x.shape[1] != want:
            raise ValueError(
                f"data[{term.codes[0]!r}] has {term.rows.x.shape[1]} features, the fit {want}; "
                "give the features of the fit in their order"
            )
    blocks = _solve(objective, rows, basis, stop)
    codes = {name: blocks[name] for name in data}
    return codes[next(iter(data))] if len(data) == 1 else codes


@eqx.filter_jit
def _value(objective, data, basis, stop):
    value = costs(objective, data, solve_codes(objective, data, basis, stop))["basis"]
    if not objective.frozen:
        return value
    alone = jax.tree.map(lambda w: jnp.where(is_frozen(objective, w.shape[0]), w, 0), basis)
    blocks = solve_codes(objective, data, alone, stop)
    terms = objective.terms(data)
    spent = zip(terms, misfits(terms, blocks), strict=True)
    return value - sum(t.pays * v for t, v in spent if t.codes[0] != "target")


def game_value(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Array:
    """``V(basis)``: the basis' cost with all codes at their optimum, a scalar.

    What restarts are compared by: the cost at frozen codes bounds it from neither side. Where
    components are frozen, the background counts by what the others add to them,
    ``D(Y | G [W; B]) - D(Y | G B)``: a constant for a given B, without which the restart with the
    worst B would have the lowest value.
    """
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: jnp.asarray(w, dtype), blocks["basis"])
    return _value(objective, rows, basis, stop)


def block_costs(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    weights: dict | None = None,
    mask: dict | None = None,
) -> dict[str, Any]:
    """What each block minimises at these blocks: codes their own misfit, the basis the signed sum.

    Returns
    -------
    dict
        Nested as the blocks are.
    """
    return costs(objective, prepare(data, weights, mask), blocks)
