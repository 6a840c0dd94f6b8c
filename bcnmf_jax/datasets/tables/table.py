"""Samples x features with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from bcnmf_jax.datasets.dataset import Array

BREAKS = ("\n", "\r", "\0")
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
        For no samples or features, other numbers of names, features of one name, and names that are
        empty or have line breaks.
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
        for what, given in (("feature", self.features), ("sample", self.samples)):
            _check_names(what, given)
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
        """A column of obs as text; what is missing is empty.

        Raises
        ------
        TableError
            If there is no such column, or a value has a line break.
        """
        if self.obs is None:
            raise TableError(f"it has no column {name!r}; only .h5ad files have columns")
        if name not in self.obs:
            raise TableError(f"it has no column {name!r}; it has {', '.join(self.obs.columns)}")
        values = self.obs[name].astype(str).to_numpy(dtype=object)
        values[~self.filled(name)] = ""
        _check_lines(f"column {name!r}", values)
        return values.astype(str)

    def filled(self, name: str) -> Array:
        """Samples that have a value in a column of obs, which there must be."""
        assert self.obs is not None
        return self.obs[name].notna().to_numpy()

    def groups(self, name: str) -> Array:
        """A column of obs that says to which donor (mouse, cell line, label, ...) each sample
        belongs.

        Raises
        ------
        TableError
            If there is no such column, or it has missing values: they would be a donor.
        """
        column = self.column(name)
        if lost := int((~self.filled(name)).sum()):
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


def _check_names(what: str, names: Array) -> None:
    """Raise TableError for a name that is empty or has a line break: tables could not hold it."""
    if (empty := names == "").any():
        raise TableError(
            f"{what} number {int(np.argmax(empty)) + 1} has no name ({int(empty.sum())} in all); "
            "name all of them"
        )
    _check_lines(f"names of {what}s", names)


def _check_lines(what: str, texts: Array) -> None:
    held = texts.tolist()
    if any(mark in "".join(held) for mark in BREAKS):
        at = next(i for i, text in enumerate(held) if any(mark in text for mark in BREAKS))
        raise TableError(
            f"{what}: number {at + 1} is {held[at]!r}, which has a line break; rename it"
        )


def some(names: Sequence[Any] | Array) -> str:
    """The first of the names, for a message."""
    return ", ".join(str(name) for name in names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
