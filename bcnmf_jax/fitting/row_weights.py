"""Weights of the background's rows by which shared programs have the energy that the target gives
them (`balance`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import Data, require_target
from bcnmf_jax.objectives import NMF

ROUNDS, MOST_WEIGHT = 2, 20.0
"""Rounds of the weights, and the largest: more of either lets few rows stand for the background."""
READ = Stop(tol=1e-4, max_steps=30)
"""Of the codes that weights are computed from."""


def energies(loss: AbstractLoss, codes: Float[Array, "n B"], basis: Float[Array, "B g"]) -> Array:
    """Energy (n, B) of each component in each row: what its part of the reconstruction adds to the
    loss of a reconstruction of 0, its square for squared error and its sum for counts."""
    if loss.degree == 2:
        return (codes * jnp.linalg.norm(basis, axis=1)[None]) ** 2
    return codes * basis.sum(1)[None]


def weights_from(
    target: Float[Array, " B"], background: Float[Array, "m B"], count: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Weights of the background's rows.

    A row's share of each program says how much of that program's correction it takes.

    Parameters
    ----------
    target : Array (B,)
        Mean energy of each shared program in the target.
    background : Array (m, B)
        Energy in each row of the background.
    count : Array (m,)
        What every row counts already.
    """
    least = jnp.finfo(background.dtype).tiny
    share = background / jnp.maximum(background.sum(1, keepdims=True), least)
    count = count / jnp.maximum(count.mean(), least)
    w = jnp.ones(background.shape[0], background.dtype)
    for _ in range(ROUNDS):
        now = ((w * count)[:, None] * background).mean(0)
        # What the background all but lacks is not shared.
        there = now > jnp.finfo(now.dtype).eps * now.max()
        ratio = jnp.where(there, target / jnp.where(there, now, 1), 1)
        w = jnp.minimum(w * (share @ ratio), MOST_WEIGHT)
    # A target that has nothing of it all is met by the background as it is.
    return jnp.where((w * count).sum() > 0, w, 1)


def counted(rows: Rows) -> Array:
    """Count of every row, (n,): the largest of its weights."""
    return jnp.ones(rows.x.shape[0]) if rows.weights is None else jnp.max(rows.weights, axis=1)


@eqx.filter_jit
def row_weights(loss: AbstractLoss, target: Rows, background: Rows, basis: Array) -> Array:
    """Weights (m,) of prepared rows; see `balance`."""
    plain = NMF(loss)

    def energy(rows: Rows) -> Array:
        codes = solve_codes(plain, {"target": rows}, basis, READ)["target"]
        return energies(loss, codes, basis)

    own, v = energy(target), counted(target).astype(basis.dtype)
    mean = (v[:, None] * own).sum(0) / v.sum()
    return weights_from(mean, energy(background), counted(background).astype(basis.dtype))


def balance(
    loss: AbstractLoss, data: dict, basis: Float[Any, "B g"], *, weights: dict | None = None,
    mask: dict | None = None,
) -> Any:  # fmt: skip
    """Weights (m,) of the rows of the background by which each shared program has the mean energy
    that it has in the target; of several backgrounds a list of them.

    Program k leaves a contrastive basis near the ratio of its energies in the two sets, whatever
    the rest does. Weighted so, every ratio is near 1, and one contrast beyond 1 repels all of them.

    Parameters
    ----------
    loss : AbstractLoss
    data : dict
        ``{"target": X, "background": Y}``, or a list of backgrounds.
    basis : array (B, g)
        Basis of the background (NMF), whose components are the shared programs.
    weights, mask : dict, optional
        As in `fit`.

    Raises
    ------
    TypeError, ValueError
        As `prepare`; without a background.
    """
    rows = prepare(data, weights, mask)
    require_target(NMF(loss), {"target": rows["target"]})
    return each_background(lambda r: row_weights(loss, rows["target"], r, jnp.asarray(basis)), rows)


def each_background(work: Callable[[Rows], Any], rows: Data) -> Any:
    """Work on the background, or on each of several.

    Raises
    ------
    ValueError
        Without a background.
    """
    if "background" not in rows:
        raise ValueError('a balanced contrast needs data["background"]')
    several = rows["background"]
    return [work(r) for r in several] if isinstance(several, list) else work(several)
