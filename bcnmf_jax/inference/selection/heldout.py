"""What components fitted to some samples explain of others, beyond a basis of the background."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.diagnostics import dead_features, null_misfit
from bcnmf_jax.fitting.many import AbstractBatch, run_many
from bcnmf_jax.fitting.result import Fit
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


class BackgroundRanks(AbstractBatch):
    """NMF of rows of the background at several ranks, which mask the widest.

    Attributes
    ----------
    loss : AbstractLoss
    rows : Rows
    widest : int
    ranks : Array (R,)
    key : jax.random.key
    """

    loss: AbstractLoss
    rows: Rows
    widest: int = eqx.field(static=True)
    ranks: Int[Array, " R"]
    key: Key[Array, ""]

    def problem(self, index):
        return NMF(self.loss), {"target": self.rows}

    def start(self, index):
        plain, rows = self.problem(index)
        return truncate(
            plain, start(plain, rows, self.widest, self.key, "random"), self.ranks[index]
        )


def fit_background(
    y: Rows, ranks: Sequence[int], widest: int, loss: AbstractLoss, key: Key[Array, ""]
) -> Float[Array, "R widest g"]:
    """Bases of NMF of the background, with rows of 0 beyond each rank."""
    plain, rows = NMF(loss), {"target": y}
    batch = BackgroundRanks(loss, y, widest, jnp.asarray(ranks), key)
    solver = default_solver(plain, rows)
    return run_many(batch, len(ranks), solver, FITTED, size=1, keep=_basis)


def _basis(fit: Fit) -> Array:
    return fit.blocks["basis"]


def _basis_and_cost(fit: Fit) -> tuple[Array, Array]:
    return fit.blocks["basis"], fit.costs["basis"]


class ComponentRanks(AbstractBatch):
    """Target components at every number of them up to the widest, `STARTS` fits of each.

    Attributes
    ----------
    kind : str
    objective : AbstractObjective
    data : dict
        Prepared.
    frozen : Array (B, g)
        Basis of the background.
    widest : int
    key : jax.random.key
    """

    kind: str = eqx.field(static=True)
    objective: AbstractObjective
    data: Data
    frozen: Float[Array, "B g"]
    widest: int = eqx.field(static=True)
    key: Key[Array, ""]

    def problem(self, index):
        return self.objective, self.data

    def start(self, index):
        rank, own = index // STARTS + 1, jax.random.fold_in(self.key, index % STARTS)
        if self.kind == "background_first":
            drawn = uniform_rows(own, self.widest, self.frozen.shape[1], self.frozen.dtype)
            basis = jnp.concatenate([drawn, self.frozen])
            blocks = solve_codes(self.objective, self.data, basis, SETTLED)
        else:
            blocks = start(self.objective, self.data, self.widest, own, "random")
        return truncate(self.objective, blocks, rank)


def components(
    kind: str,
    objective: AbstractObjective,
    data: Data,
    test: Rows,
    frozen: Float[Array, "B g"],
    widest: int,
    key: Key[Array, ""],
) -> Float[Array, "widest widest g"]:
    """Target components at every number of them from 1 to ``widest``, with rows of 0 beyond each
    number; of several fits, that of the lowest cost."""
    if kind == "sequential":
        return _sequential(objective, data, test, frozen, widest, key)
    batch = ComponentRanks(kind, objective, data, frozen, widest, key)
    solver = default_solver(objective, data)
    count = widest * STARTS
    bases, costs = run_many(batch, count, solver, FITTED, size=1, keep=_basis_and_cost)
    costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf).reshape(widest, STARTS)
    best = jnp.argmin(costs, axis=1)
    bases = bases[:, :widest].reshape(widest, STARTS, widest, -1)
    return bases[jnp.arange(widest), best]


@eqx.filter_jit
def _sequential(objective, data, test, frozen, widest, key) -> Array:
    """Components in turn, in the order of their gain: the first ones are those of every number."""
    rows = in_turn(objective, data, frozen, widest, key, None, IN_TURN, STARTS, IN_TURN.looks)
    rows = order_by_heldout_gain(objective.loss, test, rows, frozen)
    return jnp.tril(jnp.ones((widest, widest), rows.dtype))[:, :, None] * rows[None]


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


explained_once = eqx.filter_jit(explained)


def evaluate(
    kind: str,
    objective: AbstractObjective,
    widest: int,
    frozen: Float[Array, "B g"],
    background: Rows,
    train: Rows,
    test: HeldOut,
    other: HeldOut | None,
    halves: tuple[Array, Array],
    key: Key[Array, ""],
) -> tuple[Array, dict[str, Array], dict[str, Array] | None]:
    """Components from ``train``, and what they explain of ``test`` and of ``other`` rows."""
    data = {"target": train, "background": background}
    if not objective.loss.bounded:
        frozen = _above_floor(frozen, train, background)
    bases = components(kind, objective, data, test.rows, frozen, widest, key)
    shares = partial(explained_once, objective.loss, bases=bases, frozen=frozen, halves=halves)
    return bases, shares(test), None if other is None else shares(other)


@eqx.filter_jit
def _above_floor(frozen: Array, train: Rows, background: Rows) -> Array:
    """Basis of the background with a share of the mean profile: a feature that a part of the
    background lacks would cost all that it has in the target."""
    mean = train.x.mean(0) + background.x.mean(0)
    profile = mean[None] / mean.sum()
    return (1 - FLOOR) * frozen + FLOOR * frozen.sum(1, keepdims=True) * profile


def cross_validate(
    train: Rows,
    test: Rows,
    loss: AbstractLoss,
    ranks: Sequence[int],
    halves: tuple[Array, Array],
    key: Key[Array, ""],
) -> Float[Array, " R"]:
    """Bi-cross-validated share of ``test`` that NMF of ``train`` explains, at each rank."""
    bases = fit_background(train, ranks, max(ranks), loss, key)
    none = jnp.zeros((0, train.x.shape[1]), train.x.dtype)
    return explained_once(loss, HeldOut(test), bases, none, halves)["crossed"][1:]
