"""What components fitted to some samples explain of others, beyond a basis of the background."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.diagnostics import dead_features, null_misfit
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.sequential import in_turn
from bcnmf_jax.fitting.start import start, uniform_rows
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import truncate
from bcnmf_jax.model.costs import misfits
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive, SharedTarget
from bcnmf_jax.solvers.default import default_solver

FITTED = Stop(tol=1e-3, max_steps=200)
SETTLED = Stop(tol=1e-4, max_steps=30)
DROPPED = Stop(tol=1e-4, max_steps=2)
"""Where codes are known and one component less is left."""
IN_TURN = Stop(tol=1e-5, max_steps=100)
"""For one component: what it changes of the whole reconstruction may be little."""
FLOOR = 0.01
"""Share of the mean profile in every component of the background, for losses of counts."""
STARTS = 2
"""Starts of every fit, of which the one of lowest cost on the training rows is kept."""
KINDS = ("sequential", "background_first", "shared_target", "contrastive")


def make(kind: str, alpha: float, loss: AbstractLoss, background_rank: int) -> AbstractObjective:
    """The objective of a kind; bounded below for every loss."""
    if kind == "shared_target":
        return SharedTarget(shared_rank=background_rank, alpha=alpha, loss=loss)
    if kind != "contrastive":
        return BackgroundFirst(background_rank=background_rank, alpha=alpha, loss=loss)
    if loss.bounded:
        return Contrastive(alpha=alpha, loss=loss)
    return BackgroundFirst(background_rank=1, alpha=alpha, loss=loss)


def fit_background(
    y: Rows, rank: Array | int, widest: int, loss: AbstractLoss, key: Key[Array, ""]
) -> Array:
    """NMF of rows of the background: the basis (widest, g), with rows of 0 beyond ``rank``."""
    plain, rows = NMF(loss), {"target": y}
    blocks = truncate(plain, start(plain, rows, widest, key, "random"), rank)
    found = run(plain, rows, blocks, default_solver(plain, rows), FITTED, FITTED.looks)
    return found.blocks["basis"]


fold_background = eqx.filter_jit(fit_background)


def components(
    kind: str,
    objective: Any,
    data: Data,
    test: Rows,
    frozen: Array,
    widest: int,
    key: Key[Array, ""],
) -> Array:
    """Target components at every number of them from 1 to ``widest``: (widest, widest, g), with
    rows of 0 beyond each number."""
    if kind == "sequential":
        rows = in_turn(objective, data, frozen, widest, key, None, IN_TURN, STARTS, IN_TURN.looks)
        rows = order_by_heldout_gain(objective.loss, test, rows, frozen)
        return jnp.tril(jnp.ones((widest, widest), rows.dtype))[:, :, None] * rows[None]
    solver = default_solver(objective, data)

    def one(index):
        rank, own = index // STARTS + 1, jax.random.fold_in(key, index % STARTS)
        if kind == "background_first":
            drawn = uniform_rows(own, widest, frozen.shape[1], frozen.dtype)
            basis = jnp.concatenate([drawn, frozen])
            blocks = solve_codes(objective, data, basis, SETTLED)
        else:
            blocks = start(objective, data, widest, own, "random")
        blocks = truncate(objective, blocks, rank)
        found = run(objective, data, blocks, solver, FITTED, FITTED.looks)
        return found.blocks["basis"][:widest], found.costs["basis"]

    bases, costs = lax.map(one, jnp.arange(widest * STARTS))
    costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf).reshape(widest, STARTS)
    best = jnp.argmin(costs, axis=1)
    return bases.reshape(widest, STARTS, *bases.shape[1:])[jnp.arange(widest), best]


def order_by_heldout_gain(loss: AbstractLoss, test: Rows, found: Array, frozen: Array) -> Array:
    """Components (count, g) in the order of what they are worth on held-out rows: of those that are
    left, the one without which they are described best is the last.

    The order in which components were found is that of the training rows, on which one that
    describes noise can come before a real one.
    """
    plain, whole, place = NMF(loss), {"target": test}, jnp.arange(len(found))
    term = plain.terms(whole)[0]

    def described(kept, near):
        basis = jnp.concatenate([jnp.where(kept[:, None], found, 0), frozen])
        codes = solve_codes(plain, whole, basis, DROPPED, near)
        return misfits([term], codes)[0], codes

    def drop(carry, _):
        kept, near = carry
        without, codes = lax.map(lambda j: described(kept & (place != j), near), place)
        last = jnp.argmin(jnp.where(kept, without, jnp.inf))
        return (kept & (place != last), jax.tree.map(lambda a: a[last], codes)), last

    every = jnp.ones(len(found), bool)
    start = solve_codes(plain, whole, jnp.concatenate([found, frozen]), SETTLED)
    return found[lax.scan(drop, (every, start), None, len(found))[1][::-1]]


class HeldOut(NamedTuple):
    """Samples that a fit has not seen, and their counts in two random halves, where there are
    counts, each as the samples themselves are (normalised, if they are)."""

    rows: Rows
    thinned: tuple[Rows, Rows] | None = None


def explained(
    loss: AbstractLoss, held: HeldOut, bases: Array, frozen: Array, halves: tuple[Array, Array]
) -> dict[str, Array]:
    """What bases explain of rows, beside the frozen components; the first entry is for these alone.

    Parameters
    ----------
    bases : Array (count, K, g)
    halves : two integer arrays
        Features that codes are read on and features that are predicted, for ``crossed``.

    Returns
    -------
    dict of Array (count + 1,)
        ``explained``: one minus the misfit over that of the model without structure. ``crossed``:
        the same on one half of the features with codes from the other (bi-cross-validation, Owen &
        Perry 2009). ``thinned``: the same on one half of the counts with codes from the other
        (count thinning, Neufeld et al. 2024); NaN without counts. ``dead``: dead features.
    """
    rows, (read, predicted) = held.rows, halves
    total = rows.x.sum(0) if rows.weights is None else (rows.x * rows.weights).sum(0)
    counts = jnp.all(rows.x == jnp.round(rows.x)) & jnp.any(rows.x > 1)

    some_loss, rest_loss = map(loss.of_features, halves)

    def fitted(loss, x, basis, near):
        return solve_codes(NMF(loss), {"target": Rows(x, rows.weights)}, basis, SETTLED, near)

    def share(loss, rows, codes, basis):
        term = NMF(loss).terms({"target": rows})[0]
        found = misfits([term], {"target": codes["target"], "basis": basis})[0]
        return 1 - found / null_misfit(term)

    def one(near, own):
        basis = jnp.concatenate([own, frozen])
        codes = fitted(loss, rows.x, basis, near.get("whole"))
        some = fitted(some_loss, rows.x[:, read], basis[:, read], near.get("some"))
        solved = {"whole": codes, "some": some}
        thinned = jnp.asarray(jnp.nan, basis.dtype)
        if held.thinned is not None:
            solved["half"] = fitted(loss, held.thinned[0].x, basis, near.get("half"))
            thinned = share(loss, held.thinned[1], solved["half"], basis)
        weighed = codes["target"] if rows.weights is None else codes["target"] * rows.weights
        rest = Rows(rows.x[:, predicted], rows.weights)
        return solved, {
            "explained": share(loss, rows, codes, basis),
            "crossed": share(rest_loss, rest, some, basis[:, predicted]),
            "thinned": thinned,
            "dead": dead_features(total, weighed.sum(0) @ basis, counts),
        }

    # Neighbours of a path have much of their codes in common.
    solved, alone = one({}, jnp.zeros_like(bases[0]))
    found = lax.scan(one, solved, bases)[1]
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), alone, found)


@eqx.filter_jit
def evaluate(
    kind: str,
    objective: Any,
    bounded: bool,
    widest: int,
    frozen: Array,
    background: Rows,
    train: Rows,
    test: HeldOut,
    other: HeldOut | None,
    halves: tuple[Array, Array],
    key: Key[Array, ""],
) -> tuple[Array, dict[str, Array], Any]:
    """Components from ``train``, and what they explain of ``test`` and of ``other`` rows, for the
    objective of a kind and whether its loss is bounded."""
    loss = objective.loss
    data = {"target": train, "background": background}
    if not bounded:
        # A feature that a part of the background lacks would cost all that it has in the target.
        mean = train.x.mean(0) + background.x.mean(0)
        profile = mean[None] / mean.sum()
        frozen = (1 - FLOOR) * frozen + FLOOR * frozen.sum(1, keepdims=True) * profile
    bases = components(kind, objective, data, test.rows, frozen, widest, key)
    at = lambda held: explained(loss, held, bases, frozen, halves)  # noqa: E731
    return bases, at(test), None if other is None else at(other)


@eqx.filter_jit
def cross_validate(
    train: Rows,
    test: Rows,
    loss: AbstractLoss,
    widest: int,
    ranks: Array,
    halves: tuple[Array, Array],
    key: Key[Array, ""],
) -> Array:
    """Bi-cross-validated share of ``test`` that NMF of ``train`` explains, at each rank."""
    bases = lax.map(lambda rank: fit_background(train, rank, widest, loss, key), ranks)
    none = jnp.zeros((0, train.x.shape[1]), train.x.dtype)
    return explained(loss, HeldOut(test), bases, none, halves)["crossed"][1:]
