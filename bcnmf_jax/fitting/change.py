"""Relative change of a reconstruction, from products of the blocks' small Gram matrices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from bcnmf_jax.model.objective import Blocks
from bcnmf_jax.model.terms import Term, get


def moves(term: Term, old: Blocks, new: Blocks) -> tuple[Array, Array, Array]:
    """Sums of rows for the change of a reconstruction, each counted with its weight;
    adds over rows."""
    h0, h1 = (term.code_map(get(b, term.codes)) for b in (old, new))
    dh, v = h1 - h0, term.rows.weights
    if v is None:
        return dh.T @ dh, dh.T @ h0, h0.T @ h0
    v = jnp.max(v, axis=1, keepdims=True)
    moved = (v * dh).T
    return moved @ dh, moved @ h0, (v * h0).T @ h0


FAINT = 1e-3
"""Norm of the part that moves, relative to the whole reconstruction, below which it counts as it
were this: what is fainter is noise."""


def change_of(
    term: Term, grams: tuple[Array, Array, Array], old: Blocks, new: Blocks, frozen: int = 0
) -> Array:
    """Relative change of a reconstruction in the Frobenius norm, from the summed `moves`.

    With ``d`` for differences, ``h1 w1 - h0 w0 = dh w1 + h0 dw``: every product is of second order
    in the differences, so that nothing cancels in single precision.

    Parameters
    ----------
    frozen : int
        Trailing components whose basis rows do not move. They explain most of the data, and would
        hide a component that still grows: where the basis pays for these rows, the other components
        are measured against their own part of the reconstruction, too.
    """
    bases = [b["basis"] for b in (old, new)]
    moved, size = _norms(grams, *map(term.basis_map, bases))
    change = _ratio(moved, size)
    if not frozen:
        return change
    width = jax.tree.leaves(bases[0])[0].shape[0]
    moving = (jnp.arange(width) < width - frozen)[:, None]
    live = (term.basis_map(jax.tree.map(lambda w: jnp.where(moving, w, 0), b)) for b in bases)
    moved, part = _norms(grams, *live)
    own = _ratio(moved, jnp.maximum(part, FAINT**2 * size))
    return jnp.maximum(change, jnp.where(jnp.asarray(term.weight) == 0, 0, own))


def _norms(grams: tuple[Array, Array, Array], w0: Array, w1: Array):
    """Squared norms of the move of a reconstruction, and of the reconstruction."""
    both, mixed, before = grams
    inner = lambda gram, c, d: jnp.sum(gram * (c @ d.T))  # noqa: E731
    dw = w1 - w0
    moved = inner(both, w1, w1) + 2 * inner(mixed, w1, dw) + inner(before, dw, dw)
    return moved, inner(before, w0, w0)


def _ratio(moved: Array, size: Array) -> Array:
    return jnp.sqrt(jnp.maximum(moved, 0) / jnp.maximum(size, jnp.finfo(size.dtype).tiny))


def relative_change(term: Term, old: Blocks, new: Blocks, frozen: int = 0) -> Array:
    """Relative change of the reconstruction of all rows; see `change_of`."""
    return change_of(term, moves(term, old, new), old, new, frozen)
