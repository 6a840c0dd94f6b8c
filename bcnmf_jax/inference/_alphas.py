"""Where, along a path of contrasts, the programs that both sets share leave a contrastive basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.codes import SETTLED, solve_codes
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.result import Fit, result_name
from bcnmf_jax.fitting.start import start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import AbstractQuadraticLoss, Frobenius
from bcnmf_jax.model.objective import Data, require_target
from bcnmf_jax.model.scale import scaled
from bcnmf_jax.objectives import NMF
from bcnmf_jax.solvers.default import default_solver

FITTED = Stop(tol=1e-4, max_steps=300)
MINOR = 0.01
"""Share of the background's usage below which a program sets no limit."""


class CriticalAlphas(eqx.Module):
    """Contrasts per sample at which the programs of a background leave the basis of `Contrastive`.

    Attributes
    ----------
    alphas : Array (background_rank,)
        ``mean(h_k^2) / mean(g_k^2)`` over the samples of the target and of the background for
        squared error; ``mean(h_k) / mean(g_k)`` for other losses, whose misfits are of first order
        in the data's scale. In ascending order.
    shares : Array (background_rank,)
        Share of the background's usage that each program has, in the same order.
    median : Array
        Median of ``alphas``, weighted by ``shares``: the contrast at which half of what is shared
        has left. Contrasts in this median do not depend on scale or depth of either set.
    largest : Array
        The largest of ``alphas`` among programs with more than 1 % of the usage: beyond it nothing
        shared is left to remove, and a larger contrast only discards more of the target.
    """

    alphas: Float[Array, " B"]
    shares: Float[Array, " B"]
    median: Float[Array, ""]
    largest: Float[Array, ""]


@eqx.filter_jit
def _critical_alphas(
    data: Data, rank: int, loss: AbstractLoss, key, squared: bool
) -> CriticalAlphas:
    plain, background = NMF(loss), {"target": data["background"]}
    blocks = start(plain, background, rank, key, "random")
    solver = default_solver(plain, background)
    basis = run(plain, background, blocks, solver, FITTED, FITTED.looks).blocks["basis"]

    def moment(rows: Any) -> Array:
        codes = solve_codes(plain, {"target": rows}, basis, SETTLED)["target"]
        weight = 1 if rows.weights is None else jnp.max(rows.weights, axis=1, keepdims=True)
        return jnp.sum(weight * (codes**2 if squared else codes), axis=0) / rows.size

    x, y = moment(data["target"]), moment(data["background"])
    tiny = jnp.finfo(x.dtype).tiny
    alphas, used = x / jnp.maximum(y, tiny), jnp.sqrt(y) if squared else y
    order = jnp.argsort(alphas)
    alphas, shares = alphas[order], (used / jnp.maximum(used.sum(), tiny))[order]
    middle = jnp.argmax(jnp.cumsum(shares) >= 0.5)
    largest = jnp.max(jnp.where(shares > MINOR, alphas, 0))
    return CriticalAlphas(alphas, shares, alphas[middle], largest)


def critical_alphas(
    data: dict,
    *,
    background_rank: int = 10,
    loss: AbstractLoss | None = None,
    key: Key[Array, ""] | None = None,
    weights: dict | None = None,
    mask: dict | None = None,
) -> CriticalAlphas:
    """The contrasts at which shared programs drop out, from the data, before a contrast is fitted.

    A basis of the background is fitted by plain NMF, and read on both sets: program k leaves near
    the ratio of its mean squared codes, target over background.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``, one background; see `prepare`.
    background_rank : int
        Programs of the background.
    loss : AbstractLoss, optional
        By default squared error.
    key : jax.random.key, optional
        Of the start; by default ``jax.random.key(0)``.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    CriticalAlphas

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, without a background or with several, and for a rank below 1.
    """
    check_integer(background_rank, "background_rank")
    if isinstance(data, dict) and not hasattr(data.get("background"), "shape"):
        raise ValueError('critical_alphas needs one matrix as data["background"]')
    loss = Frobenius() if loss is None else loss
    rows = prepare(data, weights, mask)
    require_target(NMF(loss), rows)
    rows, _ = scaled(NMF(loss), rows)
    key = jax.random.key(0) if key is None else key
    return _critical_alphas(
        rows, int(background_rank), loss, key, isinstance(loss, AbstractQuadraticLoss)
    )


def collapse_alpha(
    found: Fit, alphas: Sequence[float] | Float[np.ndarray, " A"]
) -> Float[np.ndarray, " R"]:
    """The contrast at which the fits of a sweep collapse.

    Parameters
    ----------
    found : Fit
        From `sweep`: leading axes (alpha, rank, restart).
    alphas : array (A,)
        Those of the sweep, in its order.

    Returns
    -------
    ndarray (ranks,)
        For each rank the smallest alpha from which on, at it and at every larger one, more than
        half of the restarts collapsed or were not finite; infinity where the largest did not.

    Raises
    ------
    ValueError
        For a single fit, and for another number of alphas than the sweep has.
    """
    results, alphas = np.asarray(result_name(found.result)), np.asarray(alphas, float)
    if results.ndim != 3:
        raise ValueError(
            f"found must be a sweep, with axes (alpha, rank, restart); it has {results.ndim} axes"
        )
    if alphas.shape != results.shape[:1]:
        raise ValueError(f"alphas has shape {alphas.shape}; the sweep has {len(results)} alphas")
    order = np.argsort(alphas)
    lost = np.isin(results[order], ["collapsed", "nonfinite"]).mean(2) > 0.5
    # From the largest alpha downwards, as long as all are lost.
    count = np.cumprod(lost[::-1], axis=0).sum(0)
    return np.append(alphas[order], np.inf)[len(alphas) - count]
