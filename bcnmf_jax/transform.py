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
from bcnmf_jax.init import start_all_codes
from bcnmf_jax.objective import AbstractObjective, Blocks, Data, costs
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
    rows = prepare(data, weights, mask)
    basis = (fit.blocks if isinstance(fit, Fit) else fit)["basis"]
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: jnp.asarray(w, dtype), basis)
    for term in objective.terms(rows):
        want = term.mix(basis).shape[1]
        if term.rows.x.shape[1] != want:
            raise ValueError(
                f"data[{term.codes[0]!r}] has {term.rows.x.shape[1]} features, the fit {want}; "
                "give the features of the fit in their order"
            )
    blocks = _solve(objective, rows, basis, stop)
    codes = {name: blocks[name] for name in blocks if name != "basis"}
    return codes[next(iter(data))] if len(data) == 1 else codes


@eqx.filter_jit
def _value(objective, data, basis, stop):
    return costs(objective, data, solve_codes(objective, data, basis, stop))["basis"]


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

    What restarts are compared by: the cost at frozen codes bounds it from neither side.
    """
    rows = prepare(data, weights, mask)
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: jnp.asarray(w, dtype), blocks["basis"])
    return _value(objective, rows, basis, stop)
