"""Contrastive PCA and its published automatic choice of the contrast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from bcnmf_jax.baselines._result import Baseline, check_pair
from bcnmf_jax.baselines._spectral import centre, fix_signs, leading, principal_axes
from bcnmf_jax.data.checks import check_integer

#: The published candidates: no contrast, then 40 values spaced evenly in log from 0.1 to 1000.
CPCA_GRID: tuple[float, ...] = (0.0, *np.logspace(-1, 3, 40).tolist())


def cpca_path(
    target: ArrayLike,
    background: ArrayLike,
    rank: int,
    alphas: Sequence[float] | NDArray = CPCA_GRID,
    *,
    dims: int | None = 1000,
    standardize: bool = False,
    random_state: int = 0,
) -> list[Baseline]:
    """Contrastive PCA at several contrasts, the covariances computed once.

    Components are the leading eigenvectors of ``C_X - alpha * C_Y``, both covariances centred at
    their own mean and divided by n - 1 and m - 1, so that `alpha` is per sample.

    Parameters
    ----------
    target, background : (n, g), (m, g) array_like
    rank : int
        Number of components.
    alphas : sequence of float
        Contrasts, finite and nonnegative; 0 is PCA.
    dims : int or None
        Joint principal axes kept before the contrast: 1000 is published (there by a randomised
        solver, here exactly); None keeps all. Directions in which neither set varies are always
        dropped: at a strong contrast they would otherwise come first, with codes of zero.
    standardize : bool
        Whether each set's features are first scaled to unit variance over that set.
    random_state : int
        Not used: the method has no randomness.

    Returns
    -------
    list of Baseline
        One per contrast, in order. Codes of the centred (standardised) target;
        ``info["eigenvalues"]`` (k,), decreasing; ``info["dims"]`` the axes kept. Components are
        nested: those of a smaller rank are the first ones of a larger.

    Raises
    ------
    ValueError
        If the data or a contrast are malformed, or fewer than `rank` axes are left.

    References
    ----------
    Abid, Zhang, Bagaria, Zou (2018), Nature Communications 9:2134, algorithm 1.
    """
    contrasts = np.asarray(alphas, dtype=np.float64)
    if contrasts.ndim != 1 or not np.isfinite(contrasts).all() or (contrasts < 0).any():
        raise ValueError(f"alphas: found {alphas!r}; pass a list of finite nonnegative numbers")
    x, y = (centre(rows, standardize=standardize) for rows in check_pair(target, background))
    limit = x.shape[1] if dims is None else min(dims, x.shape[1])
    check_integer(rank, "rank", most=limit, note=" (features or dims)")
    _, axes = principal_axes(np.concatenate([x, y]), limit)
    check_integer(
        rank, "rank", most=axes.shape[1], note=" (directions in which target or background vary)"
    )
    reduced_x, reduced_y = x @ axes, y @ axes
    cov_x = reduced_x.T @ reduced_x / (len(x) - 1)
    cov_y = reduced_y.T @ reduced_y / (len(y) - 1)
    with threadpool_limits(1):  # eigenproblems of this size lose more by waiting on threads
        solved = [leading(cov_x - alpha * cov_y, rank) for alpha in contrasts]
    path = []
    for alpha, (values, vectors) in zip(contrasts.tolist(), solved, strict=True):
        components = fix_signs(axes @ vectors)
        info = {"eigenvalues": values, "dims": axes.shape[1]}
        path.append(Baseline(x @ components, components.T, alpha, info))
    return path


def cpca_medoids(
    path: Sequence[Baseline], *, n_alphas: int = 3, random_state: int = 0
) -> list[int]:
    """Positions in a path of the contrasts that stand for its clusters of alike subspaces.

    The affinity of two contrasts is the product of the cosines of the principal angles between
    the spaces that their codes span over the target's samples, as the published program has it.
    Spectral clustering forms ``n_alphas + 1`` clusters; the one that holds the first contrast (0,
    that is PCA) is left out, and each other gives its member of largest total affinity.

    Parameters
    ----------
    path : sequence of Baseline
        From `cpca_path`, the first at contrast 0.
    n_alphas : int
        Contrasts wanted; fewer come back where clusters stay empty.
    random_state : int
        For the k-means inside the spectral clustering.

    Returns
    -------
    list of int
        In increasing order of the contrast.

    Raises
    ------
    ValueError
        If the path does not begin with contrast 0, is not longer than ``n_alphas + 1``, or holds
        one subspace only.

    References
    ----------
    Abid, Zhang, Bagaria, Zou (2018), Nature Communications 9:2134, algorithm 2. The program
    multiplies the first two cosines (it draws planes); the product of all is the paper's.
    """
    from sklearn.cluster import SpectralClustering

    if n_alphas < 1 or len(path) <= n_alphas + 1 or path[0].alpha != 0:
        raise ValueError(
            f"path: found {len(path)} contrasts beginning with "
            f"{path[0].alpha if path else None}; pass more than n_alphas + 1 = {n_alphas + 1}, "
            "the first of them 0"
        )
    spans = np.stack([np.linalg.qr(fit.codes)[0] for fit in path])
    # The singular values of Q_i' Q_j are the cosines, and |det| is the product of them all.
    affinity = np.abs(np.linalg.det(np.einsum("ink,jnl->ijkl", spans, spans, optimize=True)))
    np.fill_diagonal(affinity, 1.0)
    model = SpectralClustering(n_alphas + 1, affinity="precomputed", random_state=random_state)
    clusters = model.fit(affinity).labels_
    medoids = []
    for cluster in set(clusters.tolist()) - {clusters[0]}:
        members = np.flatnonzero(clusters == cluster)
        within = affinity[np.ix_(members, members)].sum(axis=0)
        medoids.append(int(members[within.argmax()]))
    if not medoids:
        raise ValueError("path: every contrast gives the same subspace; lower rank or pass alpha")
    return sorted(medoids, key=lambda i: path[i].alpha or 0.0)


def cpca_auto_alphas(
    target: ArrayLike,
    background: ArrayLike,
    rank: int,
    *,
    n_alphas: int = 3,
    dims: int | None = 1000,
    standardize: bool = False,
    random_state: int = 0,
) -> list[float]:
    """Contrasts that the published automatic choice proposes from `CPCA_GRID`, increasing.

    A path that is there already gives them without new eigenproblems: see `cpca_medoids`.
    Parameters and errors are those of `cpca_path` and `cpca_medoids`.
    """
    path = cpca_path(target, background, rank, dims=dims, standardize=standardize)
    return [CPCA_GRID[i] for i in cpca_medoids(path, n_alphas=n_alphas, random_state=random_state)]


def cpca(
    target: ArrayLike,
    background: ArrayLike,
    rank: int,
    *,
    alpha: float | str = "auto",
    dims: int | None = 1000,
    standardize: bool = False,
    random_state: int = 0,
) -> Baseline:
    """Contrastive PCA at one contrast.

    Parameters
    ----------
    target, background, rank, dims, standardize
        See `cpca_path`.
    alpha : float or "auto"
        Contrast per sample. "auto": of the three contrasts that the published choice proposes the
        middle one. The paper stops at the proposals and lets a person choose by eye; taking the
        middle is this project's rule, fixed without labels or scores.
    random_state : int
        For the spectral clustering of "auto".

    Returns
    -------
    Baseline
        As from `cpca_path`; with "auto" also ``info["auto_alphas"]``, all proposals.

    Raises
    ------
    ValueError
        As `cpca_path`, and for any other word than "auto".
    """
    if isinstance(alpha, str):
        if alpha != "auto":
            raise ValueError(f'alpha: found {alpha!r}; pass a nonnegative number or "auto"')
        path = cpca_path(target, background, rank, dims=dims, standardize=standardize)
        medoids = cpca_medoids(path, random_state=random_state)
        chosen = path[medoids[(len(medoids) - 1) // 2]]
        info = {**chosen.info, "auto_alphas": [path[i].alpha for i in medoids]}
        return Baseline(chosen.codes, chosen.components, chosen.alpha, info)
    return cpca_path(target, background, rank, [alpha], dims=dims, standardize=standardize)[0]
