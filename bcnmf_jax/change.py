"""How far a reconstruction has moved, from products of the blocks' small Gram matrices."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from bcnmf_jax.objective import Blocks
from bcnmf_jax.terms import Term, get


def moves(term: Term, old: Blocks, new: Blocks) -> tuple[Array, Array, Array]:
    """What these rows contribute to the change of a reconstruction, each counted with its weight;
    adds over rows."""
    h0, h1 = (term.read(get(b, term.codes)) for b in (old, new))
    dh, v = h1 - h0, term.rows.v
    if v is None:
        return dh.T @ dh, dh.T @ h0, h0.T @ h0
    v = jnp.max(v, axis=1, keepdims=True)
    moved = (v * dh).T
    return moved @ dh, moved @ h0, (v * h0).T @ h0


def change_of(term: Term, grams: tuple[Array, Array, Array], old: Blocks, new: Blocks) -> Array:
    """Relative change of a reconstruction in the Frobenius norm, from the summed `moves`.

    With ``d`` for differences, ``h1 w1 - h0 w0 = dh w1 + h0 dw``: every product is of second order
    in the differences, so that nothing cancels in single precision.
    """
    w0, w1 = (term.mix(b["basis"]) for b in (old, new))
    dw = w1 - w0
    inner = lambda gram, c, d: jnp.sum(gram * (c @ d.T))  # noqa: E731
    both, mixed, before = grams
    moved = inner(both, w1, w1) + 2 * inner(mixed, w1, dw) + inner(before, dw, dw)
    size = inner(before, w0, w0)
    return jnp.sqrt(jnp.maximum(moved, 0) / jnp.maximum(size, jnp.finfo(size.dtype).tiny))


def relative_change(term: Term, old: Blocks, new: Blocks) -> Array:
    """Relative change of the reconstruction of all rows."""
    return change_of(term, moves(term, old, new), old, new)
