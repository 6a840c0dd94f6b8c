"""Plain NMF of the target by scikit-learn."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from bcnmf_jax.baselines._result import Baseline, check_matrix
from bcnmf_jax.data.checks import check_integer


def nmf(
    target: ArrayLike,
    background: ArrayLike | None,
    rank: int,
    *,
    init: str = "random",
    tol: float = 1e-4,
    max_iter: int = 500,
    random_state: int = 0,
) -> Baseline:
    """Nonnegative matrix factorisation of the target alone, squared error, coordinate descent.

    Parameters
    ----------
    target : (n, g) array_like
        Nonnegative.
    background : array_like or None
        Not used.
    rank : int
        Number of components.
    init : {"random", "nndsvda"}
        Start: drawn with `random_state`, or singular vectors with zeros filled by the mean.
    tol, max_iter : float, int
        scikit-learn's stopping rule.
    random_state : int
        Seed of the start, and of the randomised singular vectors.

    Returns
    -------
    Baseline
        In the precision of the target; components scaled to unit sum and their scale moved to the
        codes. ``info``: ``error`` (Frobenius norm of the residual), ``steps``, ``converged``.

    Raises
    ------
    ValueError
        If the target is malformed or negative, `rank` outside 1 to min(n, g), or `init` unknown.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    x = check_matrix(target, "target", nonnegative=True)
    check_integer(rank, "rank", most=min(x.shape), note=" (the smaller side of target)")
    if init not in ("random", "nndsvda"):
        raise ValueError(f'init: found {init!r}; pass "random" or "nndsvda"')
    model = NMF(rank, solver="cd", init=init, tol=tol, max_iter=max_iter, random_state=random_state)
    with warnings.catch_warnings():
        # Reaching max_iter is reported in info["converged"] instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = model.fit_transform(x)
    scale = model.components_.sum(axis=1)
    components = model.components_ / np.where(scale > 0, scale, 1)[:, None]
    info = {
        "error": float(model.reconstruction_err_),
        "steps": int(model.n_iter_),
        "converged": bool(model.n_iter_ < max_iter),
    }
    return Baseline(codes * scale, components, None, info)
