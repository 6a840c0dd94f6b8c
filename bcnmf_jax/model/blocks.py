"""Blocks of a fit in canonical form, with frozen or masked components."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from bcnmf_jax.model.objective import AbstractObjective, Blocks
from bcnmf_jax.model.terms import Term, get, put


def blank(terms: list[Term], blocks: Blocks) -> Blocks:
    """Blocks with 0 for the codes of rows that only fill up a device (`Rows.valid`), which weight
    decay of unconstrained codes would move."""
    for term in terms:
        if term.rows.valid is not None:
            blocks = put(blocks, term.codes, get(blocks, term.codes) * term.rows.valid)
    return blocks


def is_frozen(objective: AbstractObjective, width: int) -> Array:
    """Mask of the ``width`` basis rows that do not move, as a column."""
    return (jnp.arange(width) >= width - objective.frozen)[:, None]


def canonical(objective: AbstractObjective, blocks: Blocks, within: float = 0.0) -> Blocks:
    """Basis rows at unit sum (over all arrays of the basis together), their scale in the codes.

    Frozen rows, rows of zeros, and rows whose sum is ``within`` units of the precision of 1 are
    left as they are.
    """
    leaves = jax.tree.leaves(blocks["basis"])
    total = sum(w.sum(1) for w in leaves[1:]) + leaves[0].sum(1)
    keep = (total == 0) | is_frozen(objective, total.shape[0])[:, 0]
    if within:
        keep |= jnp.abs(total - 1) <= within * jnp.finfo(total.dtype).eps
    total = jnp.where(keep, 1, total)
    by_column, by_row = total[None], total[:, None]
    codes = {k: jax.tree.map(lambda h: h * by_column, v) for k, v in blocks.items() if k != "basis"}
    return {"basis": jax.tree.map(lambda w: w / by_row, blocks["basis"]), **codes}


def with_frozen(objective: AbstractObjective, given: PyTree, blocks: Blocks) -> Blocks:
    """Blocks after a step from the basis ``given``, with its frozen rows."""
    keep = lambda w, new: jnp.where(is_frozen(objective, w.shape[0]), w, new)  # noqa: E731
    return {**blocks, "basis": jax.tree.map(keep, given, blocks["basis"])}


def truncate(objective: AbstractObjective, blocks: Blocks, rank: Array | int) -> Blocks:
    """Blocks with the components from ``rank`` to the largest rank at 0: a rank is a mask."""
    width = jax.tree.leaves(blocks["basis"])[0].shape[0]
    j = jnp.arange(width)
    live = (j < rank) | (j >= width - objective.extra)
    codes = {
        k: jax.tree.map(lambda h: jnp.where(live[None], h, 0), v)
        for k, v in blocks.items()
        if k != "basis"
    }
    basis = jax.tree.map(lambda w: jnp.where(live[:, None], w, 0), blocks["basis"])
    return {"basis": basis, **codes}
