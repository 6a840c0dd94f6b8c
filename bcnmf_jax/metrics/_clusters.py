"""Agreement of k-means with labels."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.metrics.readout import check_classes, full_codes, readouts

#: Short names of the readouts, in the order of `readouts`.
READOUTS = ("primary", "raw", "row")


def clustering(
    codes: ArrayLike,
    labels: ArrayLike,
    n_clusters: int | None = None,
    random_state: int = 0,
    *,
    shared: ArrayLike | None = None,
) -> dict[str, float]:
    """Return the agreement of k-means (10 starts) with the labels, for every readout.

    Parameters
    ----------
    codes, shared
        See `readouts`.
    labels : (n,) array_like
    n_clusters : int, optional
        The number of classes by default.
    random_state : int
        Seed of k-means.

    Returns
    -------
    dict
        ``ari_*`` (adjusted Rand index) and ``nmi_*`` (normalised mutual information, arithmetic
        mean) for ``primary``, ``raw`` and ``row``.

    Raises
    ------
    ValueError
        If an array is malformed.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from threadpoolctl import threadpool_limits

    h, full = full_codes(codes, shared)
    classes, count = check_classes(labels, len(h))
    clusters = count if n_clusters is None else check_integer(n_clusters, "n_clusters")
    scores = {f"{kind}_{name}": float("nan") for name in READOUTS for kind in ("ari", "nmi")}
    if count < 2 or len(h) < clusters or not np.isfinite(full).all():
        return scores
    for name, rows in zip(READOUTS, readouts(h, shared).values(), strict=True):
        # Threads meet at a barrier in each of many short iterations: one thread is as fast on an
        # idle machine and many times faster on a busy one.
        with threadpool_limits(1), warnings.catch_warnings():
            # Fewer distinct rows than clusters (a collapsed fit): the score says it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = KMeans(clusters, n_init=10, random_state=random_state).fit_predict(rows)
        scores[f"ari_{name}"] = float(adjusted_rand_score(classes, found))
        scores[f"nmi_{name}"] = float(normalized_mutual_info_score(classes, found))
    return scores
