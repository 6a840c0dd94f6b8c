"""Separation: how far groups of target samples stand apart along components that are the target's.

A candidate's **score** is the product of two numbers that no label enters. Its *silhouette* is that
of k-means on the primary readout of the target's codes (Rousseeuw 1987), of 2 to K + 1 clusters the
largest: whether the components tell samples of the target apart. Its *specificity* is ``2 A - 1``,
A the area under the ROC curve of the summed share of the target components between rows of target
and background: whether the background lacks what they describe. A cell type that both sets share
has the first without the second, a batch the second without the first.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score

from bcnmf_jax.metrics.readout import divided, readouts

VERSION = 4
"""Raised whenever another choice may come out of the same data."""
DISTINCT = 0.1
"""Excess from which on groups are distinct: below, the target varies by degree."""
MOST, STARTS = 1000, 3
"""Most rows that are clustered, and starts of k-means."""


def specificity(target: NDArray, background: NDArray, count: int) -> tuple[float, list[float]]:
    """``2 A - 1`` of the summed share of the first ``count`` components, and of each.

    Parameters
    ----------
    target, background : array (n, K), (m, K)
        Full codes, target components first.
    """
    rows = [divided(codes, codes.sum(1))[:, :count] for codes in (target, background)]
    own = [_contrast(*(r[:, k] for r in rows)) for k in range(count)]
    return _contrast(*(r.sum(1) for r in rows)), own


def _contrast(own: NDArray, other: NDArray) -> float:
    """``2 A - 1``, A the area under the ROC curve between two samples."""
    ranks = rankdata(np.concatenate([own, other]))[: len(own)]
    area = (ranks.sum() - len(own) * (len(own) + 1) / 2) / (len(own) * len(other))
    return float(2 * area - 1)


def silhouette(points: NDArray, clusters: int, seed: int) -> float:
    """Silhouette of k-means; -1 where there are fewer distinct points than clusters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer distinct points
        labels = KMeans(clusters, n_init=STARTS, random_state=seed).fit_predict(points)
    if not 1 < len(np.unique(labels)) < len(points):
        return -1.0
    return float(silhouette_score(points, labels))


def readout(codes: NDArray, count: int, seed: int) -> NDArray:
    """Primary readout of the first ``count`` components, of at most `MOST` rows."""
    rows = np.random.default_rng(seed).permutation(len(codes))[:MOST]
    return readouts(codes[rows, :count], codes[rows, count:])["primary"]


def separation(target: NDArray, background: NDArray, count: int, seed: int) -> dict[str, float]:
    """``score``, ``silhouette``, ``clusters`` and ``specificity`` of the first ``count`` components
    from full codes of both sets."""
    points = readout(target, count, seed)
    most = min(count + 1, len(points) - 1)
    apart = {c: silhouette(points, c, seed) for c in range(2, most + 1)}
    if not apart:  # too few samples for two groups
        return {"score": 0.0, "silhouette": -1.0, "clusters": 1, "specificity": 0.0}
    clusters = max(apart, key=lambda c: apart[c])
    specific = specificity(target, background, count)[0]
    return {
        "score": max(apart[clusters], 0.0) * max(specific, 0.0),
        "silhouette": apart[clusters],
        "clusters": clusters,
        "specificity": specific,
    }


def excess(target: NDArray, count: int, clusters: int, seed: int) -> float:
    """Silhouette beyond that of as many samples of one normal population, of the same mean and
    covariance and clipped at 0: what distinct groups add."""
    points = readout(target, count, seed)
    if clusters < 2 or len(points) <= clusters:
        return -1.0
    rng = np.random.default_rng(seed)
    covariance = np.cov(points.T).reshape(count, count)
    alike = np.maximum(rng.multivariate_normal(points.mean(0), covariance, len(points)), 0)
    return silhouette(points, clusters, seed) - silhouette(alike, clusters, seed)
