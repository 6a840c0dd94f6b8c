"""Refits of a model, and what they say of samples that they have not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.fixed_basis import transform
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference._arrangements import Arrangement
from bcnmf_jax.inference.restarts import InMemory

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


def cosines(a: NDArray, b: NDArray) -> NDArray:
    """Cosines of the rows of a to those of b; 0 for a row of zeros."""
    a, b = (m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-30) for m in (a, b))
    return a @ b.T


def partners(similar: NDArray, target: int) -> NDArray[np.intp]:
    """For every component its partner in the other set: one to one, of largest total similarity,
    target components (the first ``target``) among themselves."""
    from scipy.optimize import linear_sum_assignment

    first, rest = similar[:target, :target], similar[target:, target:]
    pairs = [linear_sum_assignment(-s)[1] for s in (first, rest)]
    return np.concatenate([pairs[0], target + pairs[1]])


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
        self.key = jax.random.key(random_state)[None]
        one, other = samples.halves
        self.count, self.each = one.shape[:2]
        first = _prepared(one)
        self.halves = first, first if other is one else _prepared(other)

    def answer(self, at: Arrangement, paired: bool) -> Answer:
        """Fit the arrangement twice, on half of its samples (or of their counts) each, and read
        from each fit the usage in the other half."""
        usage, bases = None, []
        for fold in (0, 1):
            seen, unseen = zip(*(_parts(side, fold, self.thinned) for side in at), strict=True)
            basis = self.fitted(fold, *seen)
            rest = np.concatenate(unseen)
            own = self.read(1 - fold, rest, basis)
            if bases:
                order = partners(cosines(bases[0], basis), self.plan.n_components)
                basis, own = basis[order], own[:, order]
            usage = np.zeros((self.count, len(basis))) if usage is None else usage
            usage[rest] += own
            bases.append(basis)
        assert usage is not None
        return Answer(*compare(usage, at, paired), np.stack(bases))

    def fitted(self, half: int, target: NDArray, background: NDArray) -> NDArray:
        """The basis that samples of one half give, target components first."""
        places = {"target": target, "background": background}
        data = {name: self._rows(half, at) for name, at in places.items()}
        (found,) = InMemory(data, None, None).fits(self.plan, self.key, self.stop)
        return np.asarray(found.blocks["basis"])

    def read(self, half: int, at: NDArray, basis: NDArray) -> NDArray:
        """Mean usage of samples of one half under a basis, (samples, components)."""
        data = {"target": self._rows(half, at)}
        codes = transform(self.plan.reading, {"basis": basis}, data, stop=READ)
        usage = shares(np.asarray(codes), np.asarray(_totals(data["target"])))
        return usage.reshape(len(at), self.each, -1).mean(1)

    def _rows(self, half: int, at: NDArray) -> Rows:
        index = np.asarray(at)[:, None] * self.each + np.arange(self.each)
        return _take(self.halves[half], index.ravel())


def _prepared(samples: NDArray) -> Rows:
    """All rows of all samples; NaN are masked."""
    flat = samples.reshape(-1, samples.shape[-1])
    known = ~np.isnan(flat)
    mask = None if known.all() else {"target": known.astype(flat.dtype)}
    return prepare({"target": flat}, mask=mask)["target"]


@jax.jit
def _take(rows: Rows, index: Array) -> Rows:
    return jax.tree.map(lambda a: a[index], rows)


@jax.jit
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
