"""Compiled functions of a pass: what one chunk adds to the sums, and a step from the sums."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.data.summaries import is_summary
from bcnmf_jax.fitting.change import change_of, moves
from bcnmf_jax.fitting.codes import start_all_codes
from bcnmf_jax.fitting.diagnostics import conclude, null_misfit, shares, summarise
from bcnmf_jax.fitting.start import settled
from bcnmf_jax.model.blocks import canonical
from bcnmf_jax.model.costs import basis_cost, misfits
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.streaming.parts import Part

begin = eqx.filter_jit(start_all_codes)


@eqx.filter_jit
def settle(objective: AbstractObjective, data: Data, basis: PyTree) -> Blocks:
    """The codes that a chunk starts from where the objective settles them, and the basis."""
    return settled(objective, data, {"basis": basis} | start_all_codes(objective, data, basis))


def _with_unit(basis: PyTree) -> Blocks:
    """Blocks with one row of codes 1: it becomes what codes are to be multiplied by."""
    leaf = jax.tree.leaves(basis)[0]
    return {"basis": basis, "unit": jnp.ones((1, leaf.shape[0]), leaf.dtype)}


@eqx.filter_jit
def visit(
    objective: AbstractObjective,
    solver: AbstractAlternating,
    data: Data,
    basis: PyTree | None,
    ahead: PyTree,
    codes: Blocks,
) -> tuple[Blocks, list, list | None]:
    """One chunk of a step: its codes, what it adds to the stats, and its misfits before the step.

    Parameters
    ----------
    basis : pytree, optional
        For the misfits; None where they are not wanted.
    ahead : pytree
        The basis that the step starts from.
    """
    spent = None
    if basis is not None:
        spent = misfits(objective.terms(data), {"basis": basis, **codes})
    blocks, _, stats = solver.codes(objective, data, {"basis": ahead, **codes})
    return {name: blocks[name] for name in codes}, stats, spent


@eqx.filter_jit
def learn(
    objective: AbstractObjective,
    solver: AbstractAlternating,
    data: Data,
    basis: PyTree,
    ahead: PyTree,
    state: PyTree,
    stats: list,
    memory: tuple[list, list, Any] | None = None,
) -> tuple[PyTree, Array, PyTree, list | None]:
    """The basis from the statistics of all chunks.

    Parameters
    ----------
    stats : list
        Per term of the whole data; None where no row was visited.
    memory : optional
        Decayed sums of earlier stats, the share of all rows that each will be the sum over (these
        included), and the decay.

    Returns
    -------
    basis, unit, state, sums
        ``unit (K,)`` is what codes are to be multiplied by; ``sums`` the new memory.
    """
    terms, sums = objective.terms(data), None
    if memory is not None:
        old, seen, decay = memory
        grow = lambda m, new: decay.astype(m.dtype) * m + new  # noqa: E731
        both = zip(terms, old, stats, strict=True)
        # A data set of which no row was visited keeps its sums, and their share, as they are.
        sums = [
            m if s is None else jax.tree.map(grow, m, t.to_memory(s, ahead)) for t, m, s in both
        ]
        stats = [
            jax.tree.map(lambda m, n=n: m / n.astype(m.dtype), t.from_memory(one, ahead))
            for t, one, n in zip(terms, sums, seen, strict=True)
        ]
    blocks, state = solver.learn(objective, terms, stats, _with_unit(ahead), basis, state)
    unit = blocks["unit"][0]
    if sums is not None:
        sums = [t.rescale(m, unit) for t, m in zip(terms, sums, strict=True)]
    return blocks["basis"], unit, state, sums


ahead = eqx.filter_jit(lambda solver, basis, state: solver.ahead(basis, state))
price = eqx.filter_jit(lambda o, data, values, w: basis_cost(o, o.terms(data), values, w))
add = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b))


@eqx.filter_jit
def normalise(objective: AbstractObjective, basis: PyTree) -> tuple[PyTree, Array]:
    """The basis in canonical form, and what codes are to be multiplied by."""
    blocks = canonical(objective, _with_unit(basis))
    return blocks["basis"], blocks["unit"][0]


@eqx.filter_jit
def moved(objective: AbstractObjective, data: Data, old: Blocks, new: Blocks) -> list:
    """Per term, what a chunk of codes adds to the change of the reconstruction."""
    return [moves(t, old, new) for t in objective.terms(data)]


@eqx.filter_jit
def largest_change(
    objective: AbstractObjective, data: Data, sums: list, old: PyTree, new: PyTree
) -> Array:
    """Largest relative change of a reconstruction, from the sums of `moved`."""
    both = {"basis": old}, {"basis": new}
    each = zip(objective.terms(data), sums, strict=True)
    return jnp.max(jnp.stack([change_of(t, g, *both, objective.frozen) for t, g in each]))


def columns(part: Part, dtype: Any) -> PyTree:
    """Shares of the features, by which a model without structure is made."""
    share = lambda k: shares(jnp.asarray(k.total, dtype))  # noqa: E731
    return jax.tree.map(share, part.known, is_leaf=is_summary)


@eqx.filter_jit
def tally(objective: AbstractObjective, data: Data, blocks: Blocks, columns: PyTree) -> dict:
    """Sums of a chunk for costs and diagnostics."""
    terms = objective.terms(data)
    rows = jax.tree.leaves(data, is_leaf=is_rows)
    share = dict(zip(map(id, rows), jax.tree.leaves(columns), strict=True))
    target = [t for t in terms if t.codes == ("target",)]
    sums = summarise(target, blocks["target"], blocks["basis"]) if target else None
    return {
        "values": misfits(terms, blocks),
        "nulls": [null_misfit(t, share[id(t.rows)]) for t in terms],
        "sums": sums,
    }


diagnosed = eqx.filter_jit(lambda o, data, *rest: conclude(o, o.terms(data), *rest))
