"""Costs of the blocks: misfits of terms, penalties, and what each block minimises."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, PyTree

from bcnmf_jax.data.chunks import RESTARTS, axis_size, scan_rows
from bcnmf_jax.model.gradients import default_chunk
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.terms import Term, by_codes, get, put


def misfits(terms: list[Term], blocks: Blocks) -> list[Array]:
    """The misfit of every term, by chunks."""
    return [_misfit(t, get(blocks, t.codes), blocks["basis"]) for t in terms]


def _misfit(term: Term, codes: Array, basis: PyTree) -> Array:
    def visit(total, piece):
        rows, mine = piece
        return total + term.value(rows, mine, basis), ()

    zero = jnp.zeros((), term.rows.x.dtype)
    return scan_rows(visit, zero, (term.rows, codes), default_chunk([term]))[0]


def misfits_in_turn(terms: list[Term], blocks: Blocks) -> list[Array]:
    """`misfits` that under vmap take one fit after the other: a misfit forms a reconstruction, and
    those of many fits side by side fit no cache. Not differentiable.

    Where fits are spread over devices, those of all devices take their turn together."""
    if axis_size(RESTARTS) > 1:
        return misfits(terms, blocks)
    return [_misfit_in_turn(t, get(blocks, t.codes), blocks["basis"]) for t in terms]


def _misfit_in_turn(*term_codes_basis: Any) -> Array:
    arrays, rest = eqx.partition(term_codes_basis, eqx.is_array)

    @sequential_vmap
    def one(arrays):
        return _misfit(*eqx.combine(arrays, rest))

    return one(arrays)


def assemble(objective: AbstractObjective, terms: list[Term], values: list, blocks: Blocks) -> dict:
    """Per-block costs from the misfits; nested as the blocks are."""
    costs = blocks
    for path, group in by_codes(terms).items():
        codes = get(blocks, path)
        own = sum(v for t, v in zip(terms, values, strict=True) if t.codes == path)
        own += sum(p.value(codes) for p in objective.penalties if p.block == group[0].codes[0])
        costs = put(costs, path, jnp.asarray(own))
    return {**costs, "basis": basis_cost(objective, terms, values, blocks["basis"])}


def basis_cost(objective: AbstractObjective, terms: list, values: list, basis: PyTree) -> Array:
    """Cost of the basis: the weighted sum of the misfits, and its penalties."""
    paid = sum(jnp.asarray(t.weight, v.dtype) * v for t, v in zip(terms, values, strict=True))
    return paid + objective.basis_penalty(basis)[0]


def costs(
    objective: AbstractObjective, data: Data, blocks: Blocks, *, misfits: Callable = misfits
) -> dict[str, Any]:
    """Cost of each block: of codes their own misfit, of the basis the weighted sum."""
    terms = objective.terms(data)
    return assemble(objective, terms, misfits(terms, blocks), blocks)
