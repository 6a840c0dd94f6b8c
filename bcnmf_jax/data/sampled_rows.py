"""Rows that a choice is made on: some from all over a set, of whatever container, as an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import issparse

SAMPLED, PIECE = 4096, 32
"""Most rows of a set that a choice is made on, and neighbours that are read at once."""


class Sampled(NamedTuple):
    """Some rows of several sets.

    Attributes
    ----------
    sets : dict of ndarray (rows, g)
    rows : dict of int array (rows,)
        Their places, rising.
    said : list of str
        What was left out.
    """

    sets: dict[str, Float[np.ndarray, "_ g"]]
    rows: dict[str, Int[np.ndarray, " _"]]
    said: list[str]


def sampled(sets: Mapping[str, Any], among: Mapping[str, np.ndarray] | None = None) -> Sampled:
    """About `SAMPLED` rows of each set.

    Parameters
    ----------
    sets : dict of array, sparse matrix or source (n, g)
    among : dict of int array, optional
        Rows of a set that may be taken, rising; all of one that is not named.
    """
    of = {name: np.arange(a.shape[0]) for name, a in sets.items()} | dict(among or {})
    rows = {name: every[spread(len(every), SAMPLED)] for name, every in of.items()}
    said = [
        f"{len(rows[name])} of {len(every)} rows of the {name} were read"
        for name, every in of.items()
        if len(rows[name]) < len(every)
    ]
    return Sampled({name: dense(a, rows[name]) for name, a in sets.items()}, rows, said)


def spread(count: int, most: int) -> Int[np.ndarray, " _"]:
    """Numbers of about ``most`` of ``count`` rows, a piece of neighbours from each of as many equal
    stretches, so that donors that stand together have their share; all, where they are no more."""
    if count <= most:
        return np.arange(count)
    pieces, wanted = -(-count // PIECE), most // PIECE
    edges = np.linspace(0, pieces, wanted + 1).astype(int)
    drawn = np.random.default_rng(0).integers(edges[:-1], edges[1:]) * PIECE
    return np.concatenate([np.arange(i, min(i + PIECE, count)) for i in drawn])


def dense(a: Any, rows: np.ndarray) -> np.ndarray:
    """Rows, in rising order, of an array, a sparse matrix or a source, neighbours at once."""
    a = a.tocsr() if issparse(a) else a
    if not (issparse(a) or hasattr(a, "rows_into")):
        return a if len(rows) == len(a) else a[rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    read = [a[run[0] : run[-1] + 1] for run in runs]
    return np.concatenate([r.toarray() if issparse(r) else r for r in read])


def filled(x: np.ndarray) -> tuple[np.ndarray, int]:
    """An array with NaN at the mean of their feature (of 0, where it is never seen), and how many
    they are."""
    missing = np.isnan(x)
    if not missing.any():
        return x, 0
    seen = np.maximum((~missing).sum(0), 1)
    mean = np.where(missing, 0, x).sum(0) / seen
    return np.where(missing, mean.astype(x.dtype)[None], x), int(missing.sum())
