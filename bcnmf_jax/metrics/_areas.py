"""Areas under the ROC curve: of the best single component, and of a logistic readout."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.metrics.readout import check_classes, check_codes, full_codes, readouts


def _auc(ranks: NDArray, member: NDArray) -> NDArray:
    """Areas under the ROC curve from ranks: Mann-Whitney, ties count one half.

    Parameters
    ----------
    ranks : (n, k) array
        Ranks from 1 within each column, ties averaged.
    member : (n, c) array
        Columns of zeros and ones; each holds both.

    Returns
    -------
    (c, k) array
    """
    n, inside = len(ranks), member.sum(axis=0)[:, None]
    return (member.T @ ranks - inside * (inside + 1) / 2) / (inside * (n - inside))


def component_auc(
    codes: ArrayLike, labels: ArrayLike, random_state: int = 0, permutations: int = 20
) -> dict[str, float]:
    """Return how well the best single component tells the classes apart.

    Parameters
    ----------
    codes : (n, k) array_like
        Ranked as they are.
    labels : (n,) array_like
    random_state : int
        Seed of the permutations.
    permutations : int
        Number of random relabellings behind the chance level.

    Returns
    -------
    dict
        ``auc``: the largest ``max(a, 1 - a)`` over components; with more than two classes, this
        for each class against the rest, averaged over classes. ``auc_chance``: the mean of the
        same under permuted labels, above .5 because a best of k is taken.

    Raises
    ------
    ValueError
        If an array is malformed or `permutations` < 1.
    """
    from scipy.stats import rankdata

    h = check_codes(codes)
    classes, count = check_classes(labels, len(h))
    check_integer(permutations, "permutations")
    if count < 2 or not np.isfinite(h).all():
        return {"auc": float("nan"), "auc_chance": float("nan")}
    rng = np.random.default_rng(random_state)
    labellings = np.stack([classes, *(rng.permutation(classes) for _ in range(permutations))])
    # With two classes one of them says it all; columns are (labelling, class).
    wanted = np.arange(1 if count == 2 else 0, count)
    member = (labellings[:, None, :] == wanted[:, None]).reshape(-1, len(h)).T.astype(np.float64)
    areas = _auc(rankdata(h, axis=0), member)
    best = np.maximum(areas, 1 - areas).max(axis=1).reshape(len(labellings), -1).mean(axis=1)
    return {"auc": float(best[0]), "auc_chance": float(best[1:].mean())}


def _folds(
    classes: NDArray, groups: NDArray | None, random_state: int
) -> list[tuple[NDArray, NDArray]]:
    """Five splits stratified by class (fewer where a class is rare), groups kept whole."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        count = min(5, int(np.bincount(classes).min()))
        model = StratifiedKFold(max(count, 2), shuffle=True, random_state=random_state)
    else:
        # A fold beyond the rarest class's number of groups would miss that class for certain.
        pairs = np.unique(np.stack([classes, groups]), axis=1)
        count = min(5, int(np.bincount(pairs[0]).min()))
        model = StratifiedGroupKFold(max(count, 2), shuffle=True, random_state=random_state)
    return [] if count < 2 else list(model.split(classes, classes, groups))


def logistic_auc(
    codes: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    random_state: int = 0,
    *,
    shared: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return the cross-validated area under the ROC curve of a logistic readout of all codes.

    The primary readout (see `readouts`), standardised on each training part, enters scikit-learn's
    logistic regression (L2, C = 1). Areas are taken inside test parts, where decisions are
    comparable, and averaged over parts, then over classes against the rest.

    Parameters
    ----------
    codes, shared
        See `readouts`.
    labels : (n,) array_like
    groups : (n,) array_like, optional
        Donor, mouse or cell line of each row; none is split between training and test.
    random_state : int
        Seed of the folds.

    Returns
    -------
    dict
        ``auc_logistic`` and ``auc_logistic_note``: empty, or why the former is NaN.

    Raises
    ------
    ValueError
        If an array is malformed.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    h, full = full_codes(codes, shared)
    classes, count = check_classes(labels, len(h))
    group_index = None if groups is None else check_classes(groups, len(h), "groups")[0]

    def missing(why: str) -> dict[str, Any]:
        return {"auc_logistic": float("nan"), "auc_logistic_note": why}

    if not np.isfinite(full).all():
        return missing("codes are not finite")
    if count < 2:
        return missing("labels hold one class")
    folds = _folds(classes, group_index, random_state)
    if not folds:
        return missing(f"a class has fewer than two {'rows' if groups is None else 'groups'}")
    rows = readouts(h, shared)["primary"]
    areas = np.full((len(folds), count), np.nan)
    for fold, (train, test) in enumerate(folds):
        if len(np.unique(classes[train])) < count:
            continue
        mean, deviation = rows[train].mean(axis=0), rows[train].std(axis=0)
        scaled = (rows - mean) / np.where(deviation > 0, deviation, 1.0)
        with threadpool_limits(1):  # as in clustering: many short products
            model = LogisticRegression(max_iter=1000).fit(scaled[train], classes[train])
        decision = model.decision_function(scaled[test])
        areas[fold] = _one_against_rest(decision, classes[test], count)
    if np.isnan(areas).all(axis=0).any():
        return missing("groups leave no fold with a class and its rest on both sides")
    return {"auc_logistic": float(np.nanmean(areas, axis=0).mean()), "auc_logistic_note": ""}


def _one_against_rest(decision: NDArray, classes: NDArray, count: int) -> NDArray:
    """Area of each class's own decision, (count,); NaN where the class or its rest is missing."""
    from scipy.stats import rankdata

    if decision.ndim == 1:
        decision = np.stack([-decision, decision], axis=1)
    ranks, member = rankdata(decision, axis=0), np.eye(count)[classes]
    present = (member.sum(axis=0) > 0) & (member.sum(axis=0) < len(classes))
    areas = np.full(count, np.nan)
    areas[present] = np.diag(_auc(ranks[:, present], member[:, present]))
    return areas
