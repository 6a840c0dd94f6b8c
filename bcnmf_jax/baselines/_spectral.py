"""PCA and generalised contrastive PCA, and the eigenproblems that contrastive PCA shares."""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.baselines._result import Baseline, check_matrix, check_pair
from bcnmf_jax.data.checks import check_integer


def centre(rows: NDArray, *, standardize: bool = False) -> NDArray:
    """Subtract each feature's mean; with `standardize` divide by its deviation (ddof 0) too.

    A feature that is constant up to rounding becomes exactly zero under `standardize`.
    """
    centred = rows - rows.mean(axis=0)
    if standardize:
        deviation = centred.std(axis=0)
        varies = deviation > 1e-12 * np.abs(rows).max(axis=0)
        centred[:, varies] /= deviation[varies]
        centred[:, ~varies] = 0.0
    return centred


def leading(matrix: NDArray, count: int) -> tuple[NDArray, NDArray]:
    """Largest `count` eigenvalues of a symmetric (d, d) matrix and their vectors (d, count)."""
    d = matrix.shape[0]
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(d - count, d - 1))
    return values[::-1], vectors[:, ::-1]


def principal_axes(rows: NDArray, count: int) -> tuple[NDArray, NDArray]:
    """Orthonormal axes of largest sum of squares, directions without any left out.

    Parameters
    ----------
    rows : (n, g) array
        Centred rows.
    count : int
        Most axes to return.

    Returns
    -------
    squares : (d,) array
        Sums of squares along the axes, decreasing; d <= `count`. Directions with less than
        ``max(n, g) * eps`` of the largest are dropped as numerically empty.
    axes : (g, d) array
    """
    n, g = rows.shape
    if n < g:
        # All rows lie in an n-dimensional space: solve there, and pay for n x n instead of g x g.
        span, r = scipy.linalg.qr(rows.T, mode="economic")
        squares, axes = leading(r @ r.T, min(count, n))
        axes = span @ axes
    else:
        squares, axes = leading(rows.T @ rows, min(count, g))
    alive = squares > max(n, g) * np.finfo(np.float64).eps * max(squares[0], 0.0)
    return squares[alive], axes[:, alive]


def fix_signs(axes: NDArray) -> NDArray:
    """Flip each column of a (g, k) array so that its entry of largest absolute value is positive.

    The rule is a function of the axes alone, hence the same on every machine and row order.
    """
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)


def pca(
    target: ArrayLike, background: ArrayLike | None, rank: int, *, random_state: int = 0
) -> Baseline:
    """Principal components of the target alone.

    Parameters
    ----------
    target : (n, g) array_like
    background : array_like or None
        Not used.
    rank : int
        Number of components.
    random_state : int
        Not used: the method has no randomness.

    Returns
    -------
    Baseline
        Codes of the centred target; ``info["explained_variance_ratio"]`` (k,), decreasing.

    Raises
    ------
    ValueError
        If the target is malformed or does not vary in `rank` directions.
    """
    x = centre(check_matrix(target, "target").astype(np.float64, copy=False))
    check_integer(rank, "rank", most=min(x.shape), note=" (the smaller side of target)")
    squares, axes = principal_axes(x, rank)
    check_integer(rank, "rank", most=axes.shape[1], note=" (directions in which target varies)")
    axes = fix_signs(axes)
    return Baseline(
        x @ axes, axes.T, None, {"explained_variance_ratio": squares / np.square(x).sum()}
    )


def gcpca(
    target: ArrayLike,
    background: ArrayLike,
    rank: int,
    *,
    dims: int | None = None,
    random_state: int = 0,
) -> Baseline:
    r"""Generalised contrastive PCA, version 4 (not orthogonal, no contrast strength to set).

    Both sets are z-scored by themselves and each feature scaled to unit length (sum of squares 1
    over its set), then directions maximise the index

    .. math:: v'(C_X - C_Y)v \; / \; v'(C_X + C_Y)v \in [-1, 1]

    inside the joint principal space of both sets.

    Parameters
    ----------
    target, background : (n, g), (m, g) array_like
    rank : int
        Number of components, of largest index first.
    dims : int, optional
        Joint principal axes kept. The default is the published one, ``min(n, m, g)`` or the rank
        of the joint data if that is less. With m <= g it leaves directions in which the background
        has almost no variance by chance, and these come first; fewer axes avoid that.
    random_state : int
        Not used: the method has no randomness.

    Returns
    -------
    Baseline
        Codes of the z-scored target; components of unit length over z-scored features;
        ``info["index"]`` (k,), ``info["dims"]`` the axes kept.

    Raises
    ------
    ValueError
        If the data are malformed, or fewer than `rank` axes are left.

    Notes
    -----
    On the joint principal axes the sum of both scatter matrices is diagonal, so the generalised
    problem becomes one symmetric eigenproblem of the whitened target. Multiplying either scatter
    matrix by a number changes the index but neither the directions nor their order, so the choice
    of divisor (n or n - 1) does not matter; the index here weighs both sets alike.

    References
    ----------
    de Oliveira, Garg, Hjerling-Leffler, Batista-Brito, Sjulson (2025), PLOS Computational Biology,
    "Identifying patterns differing between high-dimensional datasets with generalized contrastive
    PCA".
    """
    x, y = (centre(rows, standardize=True) for rows in check_pair(target, background))
    unit_x, unit_y = x / np.sqrt(len(x)), y / np.sqrt(len(y))
    limit = min(len(x), len(y), x.shape[1])
    if dims is not None:
        check_integer(rank, "rank", most=dims, note=" (dims)")
        limit = min(limit, dims)
    squares, axes = principal_axes(np.concatenate([unit_x, unit_y]), limit)
    check_integer(rank, "rank", most=axes.shape[1], note=" (joint directions kept)")
    whitening = axes / np.sqrt(squares)
    white_x = unit_x @ whitening
    share, vectors = leading(white_x.T @ white_x, rank)
    components = whitening @ vectors
    components = fix_signs(components / np.linalg.norm(components, axis=0))
    return Baseline(
        x @ components, components.T, None, {"index": 2 * share - 1, "dims": axes.shape[1]}
    )
