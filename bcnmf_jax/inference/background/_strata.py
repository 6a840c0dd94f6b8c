"""One background per stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bcnmf_jax.data.sparse import check_matrix


def split_by_stratum(background: Any, groups: ArrayLike) -> list[Any]:
    """Split a background into one per stratum (cell type, batch, partner), for ``background=``.

    Every background of a list counts the same, whatever its number of samples: a stratum that is
    rare in the background weighs as much as a common one. Their contrasts add up: with S strata
    give ``alpha / S``.

    Parameters
    ----------
    background : array or sparse matrix (m, g)
    groups : array (m,)
        The stratum of every row.

    Returns
    -------
    list of arrays or CSR matrices
        In the order of the strata's sorted names.

    Raises
    ------
    ValueError
        For groups of another length, and a sparse matrix whose indices and pointers do not fit.
    """
    names = np.asarray(groups).astype(str)
    if names.shape != (background.shape[0],):
        raise ValueError(
            f"groups has shape {names.shape}; give one per row of background: "
            f"({background.shape[0]},)"
        )
    if hasattr(background, "tocsr"):
        check_matrix(background, "background")
    rows = background.tocsr() if hasattr(background, "tocsr") else np.asarray(background)
    return [rows[np.flatnonzero(names == name)] for name in np.unique(names)]
