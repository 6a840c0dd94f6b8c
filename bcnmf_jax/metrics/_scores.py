"""All scores of one fit."""

from typing import Any

from numpy.typing import ArrayLike

from bcnmf_jax.metrics._areas import component_auc, logistic_auc
from bcnmf_jax.metrics._clusters import clustering
from bcnmf_jax.metrics._programs import recovery


def score(
    codes: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    components: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    random_state: int = 0,
    *,
    shared: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return every score of one fit as one flat dictionary.

    Parameters
    ----------
    codes, shared
        See `readouts`.
    labels, groups : (n,) array_like
        See `logistic_auc`.
    components, truth : (k, g), (t, g) array_like, optional
        See `recovery`; ``cosine`` is NaN unless both are given.
    random_state : int
        Seed of k-means, permutations and folds.

    Returns
    -------
    dict
        The keys of `clustering`, `component_auc`, `logistic_auc` and `recovery`.

    Raises
    ------
    ValueError
        If an array is malformed.
    """
    cosine = {"cosine": float("nan")}
    if components is not None and truth is not None:
        cosine = recovery(components, truth)
    return {
        **clustering(codes, labels, random_state=random_state, shared=shared),
        **component_auc(codes, labels, random_state=random_state),
        **logistic_auc(codes, labels, groups, random_state=random_state, shared=shared),
        **cosine,
    }
