"""Refits of a model, and what they say of samples that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference._arrangements import Arrangement
from bcnmf_jax.inference._matching import cosines, partners
from bcnmf_jax.inference._refit import Places, refitted
from bcnmf_jax.model.scale import scaled

TINY = 1e-3
"""A usage below this share of the other counts as this share: ratios stay finite."""
READ = Stop(tol=1e-4, max_steps=30)
"""Of the codes of samples under the basis of a refit."""


class Samples(NamedTuple):
    """As many rows of every sample, (samples, rows, features), twice: two halves of the counts of
    the same cells, or the same values, where refits see other samples than those they are tested
    on."""

    halves: tuple[NDArray, NDArray]
    thinned: bool


class Answer(NamedTuple):
    """Of every component, target components first: effect and ratio in held-out samples, and what
    it is in the two refits (2, components, features)."""

    effect: NDArray
    log2_ratio: NDArray
    bases: NDArray


def used(model: Any, rows: Any) -> NDArray:
    """Share of its row's total that each component has in each row, (n, all components)."""
    codes = model.transform(rows, full=True)
    if hasattr(rows, "tocsr"):
        return shares(codes, np.asarray(rows.sum(1), np.float64).ravel())
    rows = np.asarray(rows, np.float64)
    seen = ~np.isnan(rows)
    total = np.where(seen, rows, 0).sum(1) * rows.shape[1] / np.maximum(seen.sum(1), 1)
    return shares(codes, total)


def shares(codes: NDArray, total: NDArray) -> NDArray:
    """Codes over the totals of their rows."""
    return codes.astype(np.float64) / np.where(total > 0, total, 1)[:, None]


class Refits:
    """Fits of a model's plan on some of the samples, and what they say of others.

    Parameters
    ----------
    plan : Plan
    samples : Samples
    stop : Stop
        Of every refit; all of them, also that of the observed arrangement, are alike.
    random_state : int
        Of the single start.
    """

    def __init__(self, plan: Plan, samples: Samples, stop: Stop, random_state: int):
        self.plan, self.stop, self.thinned = plan, stop, samples.thinned
        self.key = jax.random.key(random_state)
        one, other = samples.halves
        self.count, self.each = one.shape[:2]
        both = {"target": _prepared(one), "background": _prepared(other)}
        both, _ = scaled(plan.build(), both)
        self.halves = both["target"], both["target"] if other is one else both["background"]

    def answers(self, places: list[Arrangement], paired: bool) -> Iterator[Answer]:
        """Answer of each arrangement: it is fitted twice, on half of its samples (or of their
        counts) each, and from each fit usage is read in the other half."""
        folds = [self._fold(fold, places) for fold in (0, 1)]
        for at, one, other in zip(places, *folds, strict=True):
            order = partners(cosines(one[1], other[1]), self.plan.n_components)
            usage = np.zeros((self.count, len(order)))
            usage[one[0]] += one[2]
            usage[other[0]] += other[2][:, order]
            yield Answer(*compare(usage, at, paired), np.stack([one[1], other[1][order]]))

    def _fold(
        self, fold: int, places: list[Arrangement]
    ) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Samples that are read, basis, and mean usage of those samples (samples, components)."""
        parts = [[_parts(side, fold, self.thinned) for side in at] for at in places]
        seen = [np.stack([own[side][0] for own in parts]) for side in (0, 1)]
        rest = np.stack([np.concatenate([side[1] for side in own]) for own in parts])
        samples = Places(*(at.astype(np.int32) for at in (*seen, rest)))
        found = refitted(
            self.plan, self.halves[fold], self.halves[1 - fold], samples, self.each, self.key,
            self.stop, READ, _Usage(self.each),
        )  # fmt: skip
        for at, (basis, usage) in zip(rest, found, strict=True):
            yield at, basis, usage


class _Usage(eqx.Module):
    """Mean share of its row's total that each component has, of ``each`` rows of a sample."""

    each: int

    def __call__(self, codes: Array, rows: Rows) -> Array:
        total = _totals(rows)
        usage = codes / jnp.where(total > 0, total, 1)[:, None]
        return usage.reshape(-1, self.each, codes.shape[1]).mean(1)


def _prepared(samples: NDArray) -> Rows:
    """All rows of all samples; NaN are masked."""
    flat = samples.reshape(-1, samples.shape[-1])
    known = ~np.isnan(flat)
    mask = None if known.all() else {"target": known.astype(flat.dtype)}
    return prepare({"target": flat}, mask=mask)["target"]


def _totals(rows: Rows) -> Array:
    """Sum of every row, as large as if nothing were missing."""
    seen = rows.x.shape[1] if rows.weights is None else jnp.maximum(rows.weights.sum(1), 1)
    return rows.x.sum(1) * rows.x.shape[1] / seen


def compare(usage: NDArray, at: Arrangement, paired: bool) -> tuple[NDArray, NDArray]:
    """Effect size and log2 ratio of the usages (samples, components) of target against background.

    The effect is Hedges' g; of pairs, the mean difference over its standard deviation.
    """
    a, b = usage[at.target], usage[at.background]
    if paired:
        difference, degrees = a - b, len(a) - 1
        shift, spread = difference.mean(0), difference.std(0, ddof=1)
    else:
        degrees = len(a) + len(b) - 2
        squares = sum(((side - side.mean(0)) ** 2).sum(0) for side in (a, b))
        shift, spread = a.mean(0) - b.mean(0), np.sqrt(squares / degrees)
    small = 1 - 3 / (4 * degrees - 1)
    effect = small * np.where(spread > 0, shift / np.where(spread > 0, spread, 1), 0)
    return effect, log2_ratio(a.mean(0), b.mean(0))


def log2_ratio(a: NDArray, b: NDArray) -> NDArray:
    """log2 of a over b, within about ±10; 0 where both are."""
    a, b = np.maximum(a, TINY * b), np.maximum(b, TINY * a)
    both = (a > 0) & (b > 0)
    return np.where(both, np.log2(np.where(both, a, 1) / np.where(both, b, 1)), 0)


def _parts(side: NDArray, fold: int, thinned: bool) -> tuple[NDArray, NDArray]:
    """The samples of a side that the refit of a fold sees, and those that it is tested on."""
    if thinned:
        return side, side
    tested = np.arange(len(side)) % 2 == fold
    return side[~tested], side[tested]
