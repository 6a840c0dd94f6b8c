"""Refits of a model, and what they say of samples that they have not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.enrichment.arrangements import Arrangement

TINY = 1e-3
"""A usage below this share of the other counts as this share: ratios stay finite."""


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
    codes = np.asarray(model.transform(rows, full=True), np.float64)
    if hasattr(rows, "tocsr"):
        total = np.asarray(rows.sum(1), np.float64).ravel()
    else:
        rows = np.asarray(rows, np.float64)
        seen = ~np.isnan(rows)
        total = np.where(seen, rows, 0).sum(1) * rows.shape[1] / np.maximum(seen.sum(1), 1)
    return codes / np.where(total > 0, total, 1)[:, None]


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


def answer(blank: Any, samples: Samples, at: Arrangement, paired: bool) -> Answer:
    """Fit the arrangement twice, on half of its samples (or of their counts) each, and read from
    each fit the usage in the other half."""
    usage, bases = None, []
    for fold in (0, 1):
        seen, unseen = zip(*(_parts(side, fold, samples.thinned) for side in at), strict=True)
        x, y = (_flat(samples.halves[fold][side]) for side in seen)
        model = blank.fit(x, background=y)
        basis = np.concatenate([model.components_, model.background_components_])
        rest = np.concatenate(unseen)
        values = samples.halves[1 - fold][rest]
        own = used(model, _flat(values)).reshape(*values.shape[:2], -1).mean(1)
        if bases:
            order = partners(cosines(bases[0], basis), len(model.components_))
            basis, own = basis[order], own[:, order]
        usage = np.zeros((len(samples.halves[0]), len(basis))) if usage is None else usage
        usage[rest] += own
        bases.append(basis)
    return Answer(*compare(usage, at, paired), np.stack(bases))


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


def _flat(samples: NDArray) -> NDArray:
    return samples.reshape(-1, samples.shape[-1])
