"""`FitData`: the checked arguments of `BCNMF.fit`."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

from bcnmf_jax.data.sources import Source

Matrix = Float[np.ndarray, "n g"] | csr_array | csr_matrix | csc_array | csc_matrix | Source
"""A checked set: an array, a sparse matrix or a source of rows."""


class FitData(NamedTuple):
    """Checked arguments of ``BCNMF.fit``.

    Attributes
    ----------
    target : Matrix (n, g)
    background : Matrix (m, g), or list of them, or None
    weights : array (n,) or None
        Of the rows of the target.
    groups : dict or None
        Donor (mouse, cell line, ...) of every row of ``target`` and ``background``.
    """

    target: Matrix
    background: Matrix | list[Matrix] | None = None
    weights: Float[np.ndarray, " n"] | None = None
    groups: dict[str, Shaped[np.ndarray, " rows"]] | None = None
