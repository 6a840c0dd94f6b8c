"""Scores of fitted codes and components: the protocol by which all methods are compared.

Nothing here picks the better of two readouts, and labels choose no setting. scikit-learn is imported
where it is used, so that importing the package stays light.

A score that does not exist is NaN: codes that are not finite (a failed fit), labels of one class,
fewer rows than clusters, no truth.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _codes(codes: ArrayLike) -> NDArray:
    array = np.asarray(codes, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"codes: found shape {array.shape}; pass samples x components, not empty")
    return array


def _classes(labels: ArrayLike, n: int, name: str = "labels") -> tuple[NDArray, int]:
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"{name}: found shape {array.shape}; pass one per row of codes: ({n},)")
    values, index = np.unique(array, return_inverse=True)
    return index, len(values)


def _divided(rows: NDArray, totals: NDArray) -> NDArray:
    """Rows over their totals; a row without any usage stays zero."""
    return rows / np.where(totals > 0, totals, 1.0)[:, None]


def readouts(codes: ArrayLike, shared: ArrayLike | None = None) -> dict[str, NDArray]:
    """Return the three readouts of codes that are clustered.

    Parameters
    ----------
    codes : (n, k) array_like
        Codes of the components that are read.
    shared : (n, s) array_like, optional
        Codes of the same rows on the components that the method shares with the background. They
        enter the total that shares are taken of, and are not read themselves.

    Returns
    -------
    dict
        ``"primary"``: square root of each code's share of the full code (Hellinger's map of
        compositions). Shares need nonnegative codes: if any is negative (the PCA family) these are
        the raw codes. ``"raw"``: as they are. ``"row_normalised"``: over the row's sum of absolute
        values. Rows of zeros stay zero.

    Raises
    ------
    ValueError
        If an array is malformed.
    """
    h = _codes(codes)
    full = h if shared is None else np.concatenate([h, _codes(shared)], axis=1)
    primary = h if full.min() < 0 else np.sqrt(_divided(h, full.sum(axis=1)))
    return {"primary": primary, "raw": h, "row_normalised": _divided(h, np.abs(h).sum(axis=1))}


def clustering(
    codes: ArrayLike,
    labels: ArrayLike,
    n_clusters: int | None = None,
    seed: int = 0,
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
    seed : int
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

    h = _codes(codes)
    classes, count = _classes(labels, len(h))
    clusters = count if n_clusters is None else n_clusters
    scores: dict[str, float] = {}
    for name, rows in readouts(h, shared).items():
        short = name.removesuffix("_normalised")
        scores[f"ari_{short}"] = scores[f"nmi_{short}"] = float("nan")
        if count < 2 or len(h) < clusters or not np.isfinite(rows).all():
            continue
        with warnings.catch_warnings():
            # Fewer distinct rows than clusters (a collapsed fit): the score says it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(rows)
        scores[f"ari_{short}"] = float(adjusted_rand_score(classes, found))
        scores[f"nmi_{short}"] = float(normalized_mutual_info_score(classes, found))
    return scores


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
    codes: ArrayLike, labels: ArrayLike, seed: int = 0, permutations: int = 20
) -> dict[str, float]:
    """Return how well the best single component tells the classes apart.

    Parameters
    ----------
    codes : (n, k) array_like
        Ranked as they are.
    labels : (n,) array_like
    seed : int
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

    h = _codes(codes)
    classes, count = _classes(labels, len(h))
    if permutations < 1:
        raise ValueError(f"permutations: found {permutations}; pass at least 1")
    if count < 2 or not np.isfinite(h).all():
        return {"auc": float("nan"), "auc_chance": float("nan")}
    rng = np.random.default_rng(seed)
    labellings = np.stack([classes, *(rng.permutation(classes) for _ in range(permutations))])
    # With two classes one of them says it all; columns are (labelling, class).
    wanted = np.arange(1 if count == 2 else 0, count)
    member = (labellings[:, None, :] == wanted[:, None]).reshape(-1, len(h)).T.astype(np.float64)
    areas = _auc(rankdata(h, axis=0), member)
    best = np.maximum(areas, 1 - areas).max(axis=1).reshape(len(labellings), -1).mean(axis=1)
    return {"auc": float(best[0]), "auc_chance": float(best[1:].mean())}


def _folds(classes: NDArray, groups: NDArray | None, seed: int) -> list[tuple[NDArray, NDArray]]:
    """Five splits stratified by class (fewer where classes or groups are); groups are kept whole."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        count = min(5, int(np.bincount(classes).min()))
        model = StratifiedKFold(max(count, 2), shuffle=True, random_state=seed)
    else:
        # A fold beyond the rarest class's number of groups would miss that class for certain.
        pairs = np.unique(np.stack([classes, groups]), axis=1)
        count = min(5, int(np.bincount(pairs[0]).min()))
        model = StratifiedGroupKFold(max(count, 2), shuffle=True, random_state=seed)
    return [] if count < 2 else list(model.split(classes, classes, groups))


def logistic_auc(
    codes: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    seed: int = 0,
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
    seed : int
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

    h = _codes(codes)
    classes, count = _classes(labels, len(h))
    group_index = None if groups is None else _classes(groups, len(h), "groups")[0]
    rows = readouts(h, shared)["primary"]

    def missing(why: str) -> dict[str, Any]:
        return {"auc_logistic": float("nan"), "auc_logistic_note": why}

    if not np.isfinite(rows).all():
        return missing("codes are not finite")
    if count < 2:
        return missing("labels hold one class")
    folds = _folds(classes, group_index, seed)
    if not folds:
        return missing(f"a class has fewer than two {'rows' if groups is None else 'groups'}")
    areas = np.full((len(folds), count), np.nan)
    for fold, (train, test) in enumerate(folds):
        if len(np.unique(classes[train])) < count:
            continue
        mean, deviation = rows[train].mean(axis=0), rows[train].std(axis=0)
        scaled = (rows - mean) / np.where(deviation > 0, deviation, 1.0)
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


def recovery(components: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Return the mean cosine of the true programs to the components matched with them.

    Parameters
    ----------
    components : (k, g) array_like
    truth : (t, g) array_like
        True programs.

    Returns
    -------
    dict
        ``cosine``: absolute cosines (signs are arbitrary in the PCA family) under the one-to-one
        matching of largest sum (Hungarian), averaged over the t programs; a program without a
        partner (k < t) counts 0. NaN if a component is not finite.

    Raises
    ------
    ValueError
        If the numbers of features differ.
    """
    from scipy.optimize import linear_sum_assignment

    found, true = (np.asarray(rows, dtype=np.float64) for rows in (components, truth))
    if found.ndim != 2 or true.ndim != 2 or found.shape[1] != true.shape[1]:
        raise ValueError(
            f"components: found shape {found.shape}, truth {true.shape}; "
            "pass two matrices over the same features"
        )
    if not (np.isfinite(found).all() and np.isfinite(true).all()):
        return {"cosine": float("nan")}
    # Scaled by the largest entry first: squares of very small or large numbers leave the range.
    found, true = (_divided(rows, np.abs(rows).max(axis=1)) for rows in (found, true))
    found, true = (_divided(rows, np.linalg.norm(rows, axis=1)) for rows in (found, true))
    cosines = np.abs(found @ true.T)
    return {"cosine": float(cosines[linear_sum_assignment(-cosines)].sum() / len(true))}


def score(
    codes: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    components: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
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
    seed : int
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
        **clustering(codes, labels, seed=seed, shared=shared),
        **component_auc(codes, labels, seed=seed),
        **logistic_auc(codes, labels, groups, seed=seed, shared=shared),
        **cosine,
    }
