"""Samples x features with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from bcnmf_jax.datasets.dataset import Array

SHOWN = 3
"""Names that an error lists of many."""


class TableError(ValueError):
    """A file that cannot be read as samples x features, or one that does not match another."""


@dataclass(frozen=True, eq=False)
class Table:
    """Samples x features with their names.

    Attributes
    ----------
    values : array or CSR array (n, g), float32
    features, samples : array of str (g,), (n,)
        ``feature0``, ... and ``0``, ... where a file has no names.
    named : bool
        Whether the features have names of their own.
    obs : pandas.DataFrame (n rows) or None
        What is known about the samples (AnnData).

    Raises
    ------
    TableError
        For no samples or features, other numbers of names, and features of one name.
    """

    values: Any
    features: Array
    samples: Array
    named: bool = True
    obs: Any = None

    def __post_init__(self):
        n, g = self.values.shape
        if not (n and g):
            raise TableError(f"it is empty: {n} samples, {g} features")
        if self.features.shape != (g,) or self.samples.shape != (n,):
            raise TableError(
                f"it has {n} samples and {g} features, but {self.samples.size} and "
                f"{self.features.size} names of them"
            )
        names, times = np.unique(self.features, return_counts=True)
        if (times > 1).any():
            raise TableError(
                f"{(times > 1).sum()} names of features occur more than once "
                f"({some(names[times > 1])}); make them unique"
            )

    def rows(self, chosen: Array) -> Table:
        """The samples of a mask."""
        at = np.flatnonzero(chosen)
        obs = None if self.obs is None else self.obs.iloc[at]
        return replace(self, values=self.values[at], samples=self.samples[at], obs=obs)

    def column(self, name: str) -> Array:
        """A column of obs as text.

        Raises
        ------
        TableError
            If there is no such column.
        """
        if self.obs is None:
            raise TableError(f"it has no column {name!r}; only .h5ad files have columns")
        if name not in self.obs:
            raise TableError(f"it has no column {name!r}; it has {', '.join(self.obs.columns)}")
        return self.obs[name].astype(str).to_numpy()

    def groups(self, name: str) -> Array:
        """A column of obs that says to which donor (mouse, cell line, ...) each sample belongs.

        Raises
        ------
        TableError
            If there is no such column, or it has missing values: they would be a donor.
        """
        column = self.column(name)
        assert self.obs is not None
        if lost := int(self.obs[name].isna().sum()):
            raise TableError(
                f"column {name!r} has {lost} missing values; leave these samples out, or name them"
            )
        return column

    def with_features(self, wanted: Array) -> Table:
        """The features of these names, in this order.

        Raises
        ------
        TableError
            For names that are missing. A table without names must have as many features, and takes
            the names.
        """
        if not self.named:
            if len(wanted) != len(self.features):
                raise TableError(
                    f"it has {len(self.features)} features without names, expected {len(wanted)}"
                )
            return replace(self, features=wanted, named=True)
        place = {name: i for i, name in enumerate(self.features.tolist())}
        missing = [name for name in wanted.tolist() if name not in place]
        if missing:
            raise TableError(f"it lacks {len(missing)} of {len(wanted)} features ({some(missing)})")
        at = np.array([place[name] for name in wanted.tolist()])
        if np.array_equal(at, np.arange(len(self.features))):
            return self
        return replace(self, values=self.values[:, at], features=wanted)

    def check(self, masked: bool = False) -> None:
        """Raise TableError for values that are missing (unless masked), infinite or negative."""
        filled = self.values.data if sparse.issparse(self.values) else self.values
        for bad, what, remedy in (
            (np.isnan(filled) & (not masked), "missing", "fill or drop them, or mask them"),
            (np.isinf(filled), "infinite", "fill or drop them"),
            (filled < 0, "negative", "the factorisation is nonnegative: do not centre or z-score"),
        ):
            if bad.any():
                raise TableError(
                    f"it has {int(bad.sum())} {what} values (first: {self._where(bad)}); {remedy}"
                )

    def _where(self, bad: Array) -> str:
        first = int(np.argmax(bad))
        if sparse.issparse(self.values):
            row = int(np.searchsorted(self.values.indptr, first, side="right")) - 1
            column = int(self.values.indices[first])
        else:
            row, column = divmod(first, self.values.shape[1])
        return f"sample {self.samples[row]}, feature {self.features[column]}"


def some(names: Sequence[Any] | Array) -> str:
    """The first of the names, for a message."""
    return ", ".join(str(name) for name in names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
