"""Slope of the reduced objective over the basis rows that move, and its distance from 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from bcnmf_jax.model.blocks import is_frozen
from bcnmf_jax.model.objective import AbstractObjective


def moving(objective: AbstractObjective, w: Array) -> Array:
    """Mask of the basis rows that move: not those that are frozen, or masked with 0."""
    return ~is_frozen(objective, w.shape[0]) & (jnp.sum(w, 1, keepdims=True) > 0)


def flat_parts(objective: AbstractObjective, splits: PyTree, basis: PyTree) -> tuple[Array, Array]:
    """Halves of the slope of all that moves, flat."""

    def flat(half: str) -> Array:
        take = lambda w, s: jnp.where(moving(objective, w), getattr(s, half), 0)  # noqa: E731
        return ravel_pytree(jax.tree.map(take, basis, splits))[0]

    return flat("positive"), flat("negative")


def unrest(basis: PyTree, pos: PyTree, neg: PyTree) -> Array:
    """``sum W |P - N| / sum W (P + N)``; where the slope asks for more of an entry that is below
    the mean of its row, it counts as that mean."""

    def one(w, p, n):
        fall = jnp.maximum(n - p, 0)
        off = w * jnp.maximum(p - n, 0) + jnp.maximum(w, jnp.mean(w, 1, keepdims=True)) * fall
        return jnp.sum(off), jnp.sum(w * (p + n))

    pairs = [one(*a) for a in zip(*map(jax.tree.leaves, (basis, pos, neg)), strict=True)]
    off, size = (jnp.sum(jnp.stack(a)) for a in zip(*pairs, strict=True))
    return off / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
