"""The fit along a path of contrasts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.extras import require
from bcnmf_jax.tl._fit import fitted_sets
from bcnmf_jax.tl._rows import loaded
from bcnmf_jax.tl.stored import Stored, own

if TYPE_CHECKING:
    from anndata import AnnData

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)


def alpha_path(
    adata: AnnData,
    alphas: Sequence[float] = ALPHAS,
    *,
    background: Any = None,
    key: str = "bcnmf",
) -> Any:
    """Fit again at every contrast, all else as it was; `pl.alpha_path` draws it.

    Parameters
    ----------
    adata : AnnData
        That `bcnmf` has been run on.
    alphas : sequence of float
        Contrasts per sample.
    background : AnnData, optional
        The one that `bcnmf` was given, where it was given one.
    key : str
        ``key_added`` of `bcnmf`.

    Returns
    -------
    DataFrame
        One row per alpha: ``alpha``, ``value`` (of the game) and ``result`` of the restart that was
        kept, ``x_explained``, ``y_explained``, ``dead_features``, ``dead_components``. Also in
        ``uns[key]["alpha_path"]``.

    Raises
    ------
    KeyError, ValueError
        Where nothing is stored under ``key``, and for an alpha that `BCNMF` refuses.
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    from bcnmf_jax.estimator.bcnmf import CollapsedWarning

    if isinstance(alphas, str) or np.ndim(alphas) != 1 or len(alphas) == 0:
        raise ValueError(f"alphas must be a list of at least one number, found {alphas!r}")
    stored, rows = Stored(adata, key), []
    x, y = loaded(*fitted_sets(adata, stored, background))
    for alpha in sorted(alphas):
        model = clone(stored.model()).set_params(alpha=float(alpha))
        with warnings.catch_warnings():
            # The table says how each of them ended.
            warnings.simplefilter("ignore", CollapsedWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, background=y)
        same = {"alpha": float(alpha), "value": model.value_}
        names = ("x_explained", "y_explained", "dead_features", "dead_components")
        told = {name: model.diagnostics_[name] for name in names}
        rows.append(same | {"result": model.result_} | told)
    table = require("pandas", "bio").DataFrame(rows)
    own(adata)
    adata.uns[key]["alpha_path"] = table
    return table
