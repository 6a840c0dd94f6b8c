"""Codes inside a fit: their start, and `solve_codes` for a basis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.fitting.change import relative_change
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.terms import Term, by_codes
from bcnmf_jax.solvers.hals import HALS, quadratic
from bcnmf_jax.solvers.mu import MU


def start_codes(group: list[Term], basis: PyTree) -> Float[Array, "n k"]:
    """Codes of the terms that share them: every component that takes part starts at its row's
    total. A row's start depends on that row alone, and not on the rank."""
    width = jax.tree.leaves(basis)[0].shape[0]
    live = jnp.stack([w.sum(1) for w in jax.tree.leaves(basis)]).sum(0) > 0
    total = sum(t.rows.x.sum(1, keepdims=True) for t in group)

    def reach(term: Term) -> Array:
        h, back = jax.vjp(term.code_map, jnp.zeros((1, width), term.rows.x.dtype))
        return back(jnp.ones_like(h))[0]

    takes_part = sum(reach(t) for t in group) > 0
    return jnp.where(takes_part & live[None], total, 0)


def start_all_codes(objective: AbstractObjective, data: Data, basis: PyTree) -> dict[str, Any]:
    """Starting codes of every data set, nested as the data are."""
    codes: dict[str, Any] = {}
    for path, group in by_codes(objective.terms(data)).items():
        mine = start_codes(group, basis)
        if len(path) == 1:
            codes[path[0]] = mine
        else:
            codes.setdefault(path[0], []).append(mine)
    return codes


SETTLED = Stop(tol=1e-6, max_steps=200)
KEPT = 0.01
"""Share of a start that known codes are raised to where they are below."""


def solve_codes(
    objective: AbstractObjective, data: Data, basis: PyTree, stop: Stop, near: Blocks | None = None
) -> Blocks:
    """Blocks with the codes at their optimum for the basis; for prepared data.

    One step of ``stop`` is a pass of ten updates, or sweeps (`HALS`). The problem of each row is
    convex (squared error, KL) and its start depends on that row alone, or is that of blocks
    ``near``: their codes, of which none is below `KEPT` of the row's own start, since one that has
    come to 0 would stay there.
    """
    solver = (HALS if quadratic(objective, data, basis) else MU)(inner_steps=10)
    # The codes of a row are its own problem, whatever its weight.
    terms = [replace(t, rows=replace(t.rows, weights=None)) for t in objective.terms(data)]

    def look(carry):
        old, steps, _ = carry
        new, _, _ = solver.codes(objective, data, old)
        change = jnp.max(jnp.stack([relative_change(t, old, new) for t in terms]))
        return new, steps + 1, change < stop.tol.astype(change.dtype)

    running = lambda c: (c[1] < stop.max_steps) & ~c[2]  # noqa: E731
    codes = start_all_codes(objective, data, basis)
    if near is not None:
        known = {name: near[name] for name in codes}
        codes = jax.tree.map(lambda a, b: jnp.maximum(a, KEPT * b), known, codes)
    blocks = {"basis": basis} | codes
    start = (blocks, jnp.zeros((), jnp.int32), jnp.asarray(False))
    return lax.while_loop(running, look, start)[0]


solved = eqx.filter_jit(solve_codes)
