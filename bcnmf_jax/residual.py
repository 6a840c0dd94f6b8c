"""How far a basis is from a stationary point of the game's value."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from bcnmf_jax.data import prepare
from bcnmf_jax.fit import Stop
from bcnmf_jax.init import require_target
from bcnmf_jax.memory import owned
from bcnmf_jax.objective import AbstractObjective, Blocks, basis_split, is_frozen, visit_rows
from bcnmf_jax.scale import scaled
from bcnmf_jax.terms import by_codes, get
from bcnmf_jax.transform import SETTLED, solve_codes


def _moves(objective: AbstractObjective, w: Array) -> Array:
    """Which rows of an array of the basis move: not those that are frozen, or masked with 0."""
    return ~is_frozen(objective, w.shape[0]) & (jnp.sum(w, 1, keepdims=True) > 0)


def halves(objective: AbstractObjective, splits: PyTree, basis: PyTree) -> tuple[Array, Array]:
    """Halves of the slope of all that moves, flat."""

    def flat(half: str) -> Array:
        take = lambda w, s: jnp.where(_moves(objective, w), getattr(s, half), 0)  # noqa: E731
        return ravel_pytree(jax.tree.map(take, basis, splits))[0]

    return flat("pos"), flat("neg")


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


@eqx.filter_jit
def _measure(objective, data, basis, stop):
    blocks = solve_codes(objective, data, basis, stop)
    terms, stats = [], []
    for path, group in by_codes(objective.terms(data)).items():
        stay = lambda rows, codes: (codes, codes)  # noqa: E731
        stats += visit_rows(group, get(blocks, path), basis, stay)[1]
        terms += group
    found = halves(objective, basis_split(objective, terms, stats, basis), basis)
    return unrest(basis, *map(ravel_pytree(basis)[1], found))


def residual(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Array:
    """How far a basis is from a stationary point of the game's value, whichever solver found it.

    With ``P - N`` the slope of the basis ``W``, codes at their optimum: ``sum W |P - N|`` over
    ``sum W (P + N)``, of the components that move. It is 0 where every entry is at rest. An entry
    near 0 that the slope would raise (which multiplicative updates cannot) counts as if it were
    the mean of its row.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        See `prepare`.
    blocks : dict
        Of a fit; the basis alone is read.
    stop : Stop
        How well the codes are solved; steps are passes of ten code updates.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    scalar
        Does not depend on the scale of the data, nor on that of the components (without a penalty
        that fixes it). With a penalty on codes, the slope is that of the basis' cost at the codes
        that minimise theirs.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says.
    """
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, _ = scaled(objective, rows)
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: owned(w, dtype), blocks["basis"])
    return _measure(objective, rows, basis, stop)
