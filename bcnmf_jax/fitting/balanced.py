"""The balanced contrast: a background whose shared programs have the energy that the target gives
them, so that one contrast is past the transition of all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.codes import SETTLED, solve_codes
from bcnmf_jax.fitting.fixed_basis import reduced_objective
from bcnmf_jax.fitting.loop import begin, finish
from bcnmf_jax.fitting.many import AbstractBatch, OnProgress, fit_restarts, run_many
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.row_weights import each_background, row_weights
from bcnmf_jax.fitting.sequential import BEGUN
from bcnmf_jax.fitting.start import frozen_rows, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective, Data, require_target
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.objectives import BackgroundFirst, Contrastive
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver

ALPHA = 1.5
"""Contrast past every transition of a balanced background, which gather at 1."""


def contrast(loss: AbstractLoss, alpha: Any = ALPHA) -> Contrastive | BackgroundFirst:
    """The objective that learns the basis, bounded below: the published contrast; beside one frozen
    component of the background where the loss leaves that unbounded (KL, negative binomial)."""
    if loss.bounded:
        return Contrastive(alpha=alpha, loss=loss)
    return BackgroundFirst(background_rank=1, alpha=alpha, loss=loss)


_frozen = eqx.filter_jit(frozen_rows)


def weighted(
    objective: Contrastive | BackgroundFirst, mean: Any, sizes: Any = None
) -> Contrastive | BackgroundFirst:  # fmt: skip
    """An objective for a background of this mean weight: a sum over rows counts their weights, and
    a contrast is per row. Of several backgrounds there is one mean each; one contrast for all is
    shared out among them by their ``sizes``, since each alone has the energy of the target."""
    alpha = jnp.asarray(objective.alpha)
    if sizes is not None and alpha.ndim == 0:
        alpha = alpha * sizes / sizes.sum()
    return eqx.tree_at(lambda o: o.alpha, objective, alpha * mean)


def balanced(
    objective: Contrastive | BackgroundFirst, rows: Data, frozen: Float[Array, "B g"]
) -> tuple[Contrastive | BackgroundFirst, Data]:
    """An objective and prepared data with the weights of `balance`; a sum over rows counts them, so
    that the contrast is times their mean."""

    def one(own: Rows) -> tuple[Rows, Any]:
        w = row_weights(objective.loss, rows["target"], own, frozen)
        v = w[:, None] if own.weights is None else own.weights * w[:, None]
        new = replace(own, weights=v)
        return new, new.size / own.size

    found = each_background(one, rows)
    sizes = None
    if isinstance(found, list):
        background, mean = [f[0] for f in found], jnp.stack([jnp.asarray(f[1]) for f in found])
        sizes = jnp.stack([jnp.asarray(r.size, mean.dtype) for r in rows["background"]])
    else:
        background, mean = found
    return weighted(objective, mean, sizes), {**rows, "background": background}


@eqx.filter_jit
def _read(reading, data, basis, stop) -> Fit:
    """A fit of no step: codes beside the background's basis, and what they explain."""
    blocks = solve_codes(reading, data, basis, SETTLED)
    return finish(reading, data, begin(reading, data, blocks, default_solver(reading, data), stop))


class _From(AbstractBatch):
    """One fit from target components that are given."""

    objective: AbstractObjective
    data: Data
    own: Float[Array, "K g"]
    key: Key[Array, ""]

    def problem(self, index):
        return self.objective, self.data

    def start(self, index):
        drawn = start(self.objective, self.data, len(self.own), self.key, "random")["basis"]
        basis = drawn.at[: len(self.own)].set(self.own)
        return solve_codes(self.objective, self.data, basis, BEGUN)


def fit_balanced_restarts(
    objective: Contrastive | BackgroundFirst,
    data: Data,
    rank: int,
    keys: Key[Array, " restarts"],
    *,
    background_rank: int,
    basis: Float[Array, "K g"] | None = None,
    solver: AbstractSolver | None,
    stop: Stop,
    on_progress: OnProgress | None = None,
) -> list[tuple[Fit, float]]:
    """Fits of prepared data from every key and their reduced objectives; one basis of the
    background, from the first key, balances and reads them all. With a basis, target components
    first, one fit that goes on from it, beside its own components of the background."""
    rows, unit = scaled(objective, data)
    reading = BackgroundFirst(background_rank=background_rank, alpha=0.0, loss=objective.loss)
    frozen = _frozen(reading, rows, keys[0]) if basis is None else basis[rank:]
    made, weighed = balanced(objective, rows, frozen)
    if basis is None:
        fits = fit_restarts(made, weighed, rank, keys, stop, solver=solver, on_progress=on_progress)
    else:
        solver = default_solver(made, weighed) if solver is None else solver
        one = _From(made, weighed, basis[:rank], keys[0])
        fits = run_many(one, 1, solver, stop, size=1, on_progress=on_progress)
    found = []
    for r in range(len(fits.steps)):
        one = fits[r]
        value = float(reduced_objective(made, weighed, one.blocks))
        whole = jnp.concatenate([one.blocks["basis"][:rank], frozen])
        last = _read(reading, rows, whole, stop.looks)
        same = lambda f: (f.steps, f.result, f.trace)  # noqa: E731
        last = eqx.tree_at(same, last, same(one))
        found.append((restored(reading, last, unit), value))
    return found


def check_balanced(objective: Any, rank: Any, background_rank: Any) -> tuple[int, int]:
    """Both ranks as integers, or an error that names the argument."""
    if not isinstance(objective, Contrastive | BackgroundFirst):
        raise TypeError(f"objective must be Contrastive or BackgroundFirst, found {objective!r}")
    return check_integer(rank, "rank"), check_integer(background_rank, "background_rank")


def fit_balanced(
    objective: Contrastive | BackgroundFirst,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    background_rank: int = 8,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    weights: dict | None = None,
    mask: dict | None = None,
    on_progress: OnProgress | None = None,
) -> Fit:
    """Fit target components by the contrast against a balanced background, and read codes beside a
    basis of the background.

    Parameters
    ----------
    objective : Contrastive, or BackgroundFirst of background rank 1
        What learns the basis: `Contrastive(1.5)` for squared error. KL and the negative binomial,
        under which that is unbounded below, take ``BackgroundFirst(1, alpha=1.5, loss=...)``.
    data : dict
        ``{"target": X, "background": Y}``; see `prepare`.
    rank : int
        Number of target components; few.
    key : jax.random.key
    background_rank : int
        Number of background components; small, since a rich basis explains the target's programs
        too.
    solver : AbstractSolver, optional
        As in `fit`.
    stop : Stop, optional
    weights, mask : dict, optional
        As in `fit`; weights of the background are counted beside those of the balance.
    on_progress : callable, optional
        Takes the share that is done, from 0 to 1, if every step is needed.

    Returns
    -------
    Fit
        Target components first, then the background's; codes of both sets on all of them. Trace,
        steps and result are those of the contrast.

    Raises
    ------
    TypeError, ValueError
        For another objective, a rank below 1, and data as `prepare` says; without a background.
    """
    rank, count = check_balanced(objective, rank, background_rank)
    stop = Stop() if stop is None else stop
    check_types(objective, solver, stop)
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    keys = jax.random.wrap_key_data(jax.random.key_data(key)[None])
    found = fit_balanced_restarts(
        objective, rows, rank, keys, background_rank=count, solver=solver, stop=stop,
        on_progress=on_progress,
    )  # fmt: skip
    return found[0][0]
