"""Candidates of a choice: the background's basis and target components at every number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.balanced import balanced, contrast
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.many import AbstractBatch, default_size, run_many
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.sequential import in_turn, paying
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
IN_TURN = Stop(tol=1e-5, max_steps=100)
"""For one component: what it changes of the whole reconstruction may be little."""
BRIEFLY = Stop(tol=1e-5, max_steps=40)
"""The same, where the last digits of its gain change nothing."""
STARTS = 2
"""Starts of every fit, of which the one of lowest cost on the training rows is kept."""
KINDS = ("balanced", "sequential", "background_first", "shared_target", "contrastive")
DROPPED = Stop(tol=1e-4, max_steps=2)
"""Of codes from known ones, where one component less is left."""


def make(
    kind: str | AbstractObjective, alpha: float, loss: AbstractLoss, background_rank: int
) -> AbstractObjective:
    """The objective of a kind, bounded below for every loss; an object as it is."""
    if isinstance(kind, AbstractObjective):
        return kind
    if kind == "shared_target":
        return SharedTarget(shared_rank=background_rank, alpha=alpha, loss=loss)
    if kind in ("contrastive", "balanced"):
        return contrast(loss, alpha)
    return BackgroundFirst(background_rank=background_rank, alpha=alpha, loss=loss)


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
    return run_many(batch, len(ranks), solver, FITTED, size=1, keep=kept_basis)


def kept_basis(fit: Fit) -> Array:
    """Basis of a fit, all that `run_many` keeps of it."""
    return fit.blocks["basis"]


def _basis_and_cost(fit: Fit) -> tuple[Array, Array]:
    return fit.blocks["basis"], fit.costs["basis"]


class Settings(AbstractBatch):
    """Target components at several contrasts and numbers of them, `STARTS` fits of each.

    Attributes
    ----------
    kind : str
    objective : AbstractObjective
    data : dict
        Prepared.
    frozen : Array (B, g)
        Basis of the background.
    alphas : Array (S,), optional
        Contrasts of the settings; without them that of the objective.
    ranks : Array (S,)
        Their numbers of components.
    widest : int
    key : jax.random.key
    """

    kind: str = eqx.field(static=True)
    objective: AbstractObjective
    data: Data
    frozen: Float[Array, "B g"]
    alphas: Float[Array, " S"] | None
    ranks: Int[Array, " S"]
    widest: int = eqx.field(static=True)
    key: Key[Array, ""]

    def problem(self, index):
        return at(self.objective, self.alphas, index // STARTS), self.data

    def start(self, index):
        objective, data = self.problem(index)
        own = jax.random.fold_in(self.key, index % STARTS)
        if self.kind == "background_first":
            drawn = uniform_rows(own, self.widest, self.frozen.shape[1], self.frozen.dtype)
            basis = jnp.concatenate([drawn, self.frozen])
            blocks = solve_codes(objective, data, basis, SETTLED)
        else:
            blocks = start(objective, data, self.widest, own, "random")
        return truncate(objective, blocks, self.ranks[index // STARTS])


def at(objective: Any, alphas: Array | None, index: Any) -> Any:
    """The objective at one of several contrasts."""
    if alphas is None:
        return objective
    return eqx.tree_at(lambda o: o.alpha, objective, alphas[index])


def components(
    kind: str,
    objective: AbstractObjective,
    data: Data,
    test: Rows | None,
    frozen: Float[Array, "B g"],
    widest: int,
    key: Key[Array, ""],
) -> Float[Array, "widest widest g"]:
    """Target components at every number of them from 1 to ``widest``, with rows of 0 beyond each
    number; of several fits, that of the lowest cost."""
    if kind == "sequential":
        assert isinstance(objective, BackgroundFirst)
        return _sequential(objective, paying(objective, data), test, frozen, widest, key)
    ranks = range(1, widest + 1)
    return at_settings(kind, objective, data, frozen, None, ranks, key, side_by_side=False)


def at_settings(
    kind: str,
    objective: AbstractObjective,
    data: Data,
    frozen: Float[Array, "B g"],
    alphas: Sequence[float] | None,
    ranks: Sequence[int],
    key: Key[Array, ""],
    *,
    side_by_side: bool,
) -> Float[Array, "S widest g"]:
    """Target components, of any objective but "sequential", at each contrast and number of them,
    with rows of 0 beyond that number; the contrasts are in the place of the objective's own."""
    values = None if alphas is None else jnp.asarray(alphas, frozen.dtype)
    if kind == "balanced":
        assert isinstance(objective, Contrastive | BackgroundFirst)
        one: Any = objective if values is None else at(objective, jnp.ones_like(values), 0)
        objective, data = balanced(one, data, frozen)
        values = None if values is None else values * objective.alpha
    widest, count = int(max(ranks)), len(ranks)
    batch = Settings(kind, objective, data, frozen, values, jnp.asarray(ranks), widest, key)
    solver = default_solver(objective, data)
    size = default_size(objective, data, widest + objective.extra) if side_by_side else 1
    bases, costs = run_many(batch, count * STARTS, solver, FITTED, size=size, keep=_basis_and_cost)
    costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf).reshape(count, STARTS)
    best = jnp.argmin(costs, axis=1)
    bases = bases[:, :widest].reshape(count, STARTS, widest, -1)
    return bases[jnp.arange(count), best]


@eqx.filter_jit
def _sequential(objective, data, test, frozen, widest, key) -> Array:
    """Components in turn, in the order of their gain on ``test`` rows, or in which they are found:
    the first ones are those of every number."""
    stop = BRIEFLY if test is None else IN_TURN
    rows = in_turn(objective, data, frozen, widest, key, None, stop, STARTS, stop.looks)
    if test is not None:
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
