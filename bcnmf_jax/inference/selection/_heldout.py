"""Gain on held-out samples of components fitted to others, beyond a basis of the background."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.diagnostics import dead_features, null_misfit
from bcnmf_jax.inference.selection.candidates import SETTLED, components, fit_background
from bcnmf_jax.model.costs import misfits
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF

FLOOR = 0.01
"""Share of the mean profile in every component of the background, for losses of counts."""


class HeldOut(NamedTuple):
    """Samples that a fit has not seen, and their counts in two random halves, where there are
    counts, each as the samples themselves are (normalised, if they are)."""

    rows: Rows
    thinned: tuple[Rows, Rows] | None = None


def explained(
    loss: AbstractLoss, held: HeldOut, bases: Array, frozen: Array,
    halves: tuple[Array, Array] | None,
) -> dict[str, Array]:  # fmt: skip
    """Shares of rows that bases explain beside the frozen components, the first by these alone.

    Parameters
    ----------
    bases : Array (count, K, g)
    halves : two integer arrays, optional
        Features that codes are read on and features that are predicted, for ``crossed``, which is
        NaN without them.

    Returns
    -------
    dict of Array (count + 1,)
        ``explained``: one minus the misfit over that of the model without structure. ``crossed``:
        the same on one half of the features with codes from the other (bi-cross-validation, Owen &
        Perry 2009). ``thinned``: the same on one half of the counts with codes from the other
        (count thinning, Neufeld et al. 2024); NaN without counts. ``dead``: dead features.
    """
    rows, nothing = held.rows, jnp.asarray(jnp.nan, bases.dtype)
    total = rows.x.sum(0) if rows.weights is None else (rows.x * rows.weights).sum(0)
    counts = jnp.all(rows.x == jnp.round(rows.x)) & jnp.any(rows.x > 1)

    def fitted(loss, x, basis, near):
        return solve_codes(NMF(loss), {"target": Rows(x, rows.weights)}, basis, SETTLED, near)

    def share(loss, rows, codes, basis):
        term = NMF(loss).terms({"target": rows})[0]
        found = misfits([term], {"target": codes["target"], "basis": basis})[0]
        return 1 - found / null_misfit(term)

    def one(near, own):
        basis = jnp.concatenate([own, frozen])
        codes = fitted(loss, rows.x, basis, near.get("whole"))
        solved, crossed, thinned = {"whole": codes}, nothing, nothing
        if halves is not None:
            (read, predicted), (some, rest) = halves, map(loss.of_features, halves)
            solved["some"] = fitted(some, rows.x[:, read], basis[:, read], near.get("some"))
            left = Rows(rows.x[:, predicted], rows.weights)
            crossed = share(rest, left, solved["some"], basis[:, predicted])
        if held.thinned is not None:
            solved["half"] = fitted(loss, held.thinned[0].x, basis, near.get("half"))
            thinned = share(loss, held.thinned[1], solved["half"], basis)
        weighed = codes["target"] if rows.weights is None else codes["target"] * rows.weights
        return solved, {
            "explained": share(loss, rows, codes, basis),
            "crossed": crossed,
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
    halves: tuple[Array, Array] | None,
    key: Key[Array, ""],
) -> tuple[Array, dict[str, Array], dict[str, Array] | None]:
    """Components from ``train``, and what they explain of ``test`` and of ``other`` rows; without
    halves of the features those in turn stay in the order in which they were found."""
    data = {"target": train, "background": background}
    if not objective.loss.bounded:
        frozen = _above_floor(frozen, train, background)
    ordered = None if halves is None else test.rows
    bases = components(kind, objective, data, ordered, frozen, widest, key)
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
