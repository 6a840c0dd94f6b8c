"""From the options to target and background: read, split, matched and brought to one scale."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from scipy import sparse

from bcnmf_jax.cli._options import DataOptions
from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.data.top_features import some_features
from bcnmf_jax.datasets.dataset import log_normalise
from bcnmf_jax.datasets.tables import Table, TableError, read_table
from bcnmf_jax.datasets.tables.table import some
from bcnmf_jax.report.run_values import fingerprint

DENSE_BYTES = 2**30
"""Sparse data up to this size are made dense: fits in memory are faster than passes over rows."""


@dataclass(frozen=True)
class Inputs:
    """Target and background on one scale and with the same features.

    Attributes
    ----------
    target, background : Table
    scale : dict
        ``applied`` ("none" or "log") and ``why``.
    counts : dict or None
        Values of both before logarithms were taken.
    """

    target: Table
    background: Table
    scale: dict[str, str]
    counts: dict[str, Any] | None = None

    @property
    def sparse(self) -> bool:
        """Whether some are too large to be made dense."""
        return any(sparse.issparse(t.values) for t in (self.target, self.background))

    def values(self) -> dict[str, Any]:
        """Arrays, or CSR arrays of what is too large to be made dense."""
        return {"target": self.target.values, "background": self.background.values}

    def arrays(self, columns: np.ndarray | None = None) -> dict[str, Any]:
        """Dense arrays, for what does not read sparse ones, of all features or some.

        Raises
        ------
        TableError
            If they are too large.
        """
        found = self.values()
        if columns is not None:
            found = {name: some_features(a, columns) for name, a in found.items()}
        if not fits(*found.values()):
            width = found["target"].shape[1]
            raise TableError(
                f"{self.size(width)} would take more than {DENSE_BYTES >> 30} GiB as dense arrays; "
                "keep the most variable features, or use bcnmf fit, which reads them by passes"
            )
        return {name: as_dense(a) for name, a in found.items()}

    def size(self, width: int | None = None) -> str:
        """Samples and features (or another number of these), in words."""
        n, m = len(self.target.samples), len(self.background.samples)
        width = len(self.target.features) if width is None else width
        return f"{n} target and {m} background samples x {width} features"

    def described(self) -> dict[str, Any]:
        """The keys of config.json that say what was read."""
        samples = {"target": len(self.target.samples), "background": len(self.background.samples)}
        return {"samples": samples, "features": len(self.target.features), "scale": self.scale}


def sources(options: DataOptions) -> list[dict[str, str]]:
    """Sources of the data, with the sha256 of their content.

    Raises
    ------
    FileNotFoundError
        For a file or folder that is not there.
    """
    files = {"target": options.file, "background": options.background_file}
    if options.background_file is None:
        files = {"data": options.file}
    for path in files.values():
        if not path.exists():
            raise FileNotFoundError(f"no file or folder {str(path)!r}")
    return [
        {"role": role, "path": str(path.resolve()), "sha256": fingerprint(path)}
        for role, path in files.items()
    ]


def read_inputs(options: DataOptions, loss: str, columns: list[str], masked: bool) -> Inputs:
    """Read what the options name.

    Parameters
    ----------
    options : DataOptions
    loss : str
        Which "auto" goes by.
    columns : list of str
        Columns of obs that are needed.
    masked : bool
        Missing values are taken.

    Raises
    ------
    TableError, OSError, ImportError
        As `read_table`, for sets that do not match, and columns and conditions that are not there.
    """
    if options.background_file is None:
        name = other = str(options.file)
        target, background = _split(options)
    else:
        name, other = str(options.file), str(options.background_file)
        target, background = (read_table(path, options.layer) for path in (name, other))
    for table, file in ((target, name), (background, other)):
        _about(file, table.check, masked)
        for column in columns:
            _about(file, table.column, column)
    target, background = _matched(target, background, name, other, common=options.common)
    applied, why = _scale(options.scale, loss, (target, background))
    if applied == "log" and masked:
        # Of a sample with missing values no total is known.
        raise TableError(
            f"--missing mask takes values as they are, and here logarithms are asked for ({why}); "
            "normalise them, or pass --scale none"
        )
    counts = {"target": target.values, "background": background.values}
    target, background = dense(scaled(target, applied), scaled(background, applied))
    scale = {"applied": applied, "why": why}
    return Inputs(target, background, scale, counts if applied == "log" else None)


def _about(name: str, check: Any, *arguments: Any) -> Any:
    """Call a check, and put the file's name before what it complains of."""
    try:
        return check(*arguments)
    except TableError as error:
        raise TableError(f"{name}: {error}") from error


def _split(options: DataOptions) -> list[Table]:
    """Target and background of one file, by the condition of each sample."""
    table, key = read_table(options.file, options.layer), options.condition_key
    wanted = {"target": options.target or [], "background": options.background or []}
    if both := sorted(set(wanted["target"]) & set(wanted["background"])):
        raise TableError(f"condition {both[0]!r} is in both --target and --background")
    conditions = _about(str(options.file), table.column, key)
    # A sample without a condition is neither, whatever is asked for.
    filled = table.filled(str(key))
    have, lost = sorted(set(conditions[filled])), int((~filled).sum())
    for name, chosen in wanted.items():
        for condition in chosen:
            if condition not in have:
                raise TableError(
                    f"--{name} {condition!r} does not occur in {key!r} of {options.file}: it "
                    f"has {some(have)}"
                    + f"; {lost} samples have none, and are left out"
                    * bool(lost)
                )
    if lost:
        said = f"{lost} of {len(filled)} samples have no condition in {key!r} and are left out"
        warnings.warn(said, DataWarning, stacklevel=2)
    return [table.rows(np.isin(conditions, chosen) & filled) for chosen in wanted.values()]


def _matched(
    target: Table, background: Table, name: str, other: str, *, common: bool
) -> tuple[Table, Table]:
    """Both with the features of the target in its order, or with those that both have."""
    if not target.named:
        return _about(name, target.with_features, background.features), background
    if not background.named:
        return target, _about(other, background.with_features, target.features)
    both = target.features[np.isin(target.features, background.features)]
    if common and both.size:
        return target.with_features(both), background.with_features(both)
    for (mine, one), (its, two) in permutations(((target, name), (background, other))):
        lacking = mine.features[~np.isin(mine.features, its.features)]
        if lacking.size:
            raise TableError(
                f"{two} lacks {lacking.size} of the {len(mine.features)} features of {one} "
                f"({some(lacking)}); {both.size} are in both"
                + ", --common uses them"
                * bool(both.size)
            )
    return target, background.with_features(target.features)


def _scale(asked: str, loss: str, tables: tuple[Table, Table]) -> tuple[str, str]:
    """Transformation of the values, and its reason."""
    if asked != "auto":
        return asked, f"--scale {asked}"
    if loss != "frobenius":
        return "none", f"loss {loss} takes counts as they are"
    if all(map(are_counts, tables)):
        return "log", (
            "all values are whole numbers and the loss is squared error: each sample to a total of "
            "10,000, then log(1 + x)"
        )
    return "none", "the values are no counts, whole numbers beyond 1: they are taken as normalised"


def are_counts(table: Table) -> bool:
    """Whether all values that are there are whole numbers, and some above 1."""
    filled = table.values.data if sparse.issparse(table.values) else table.values
    filled = filled[~np.isnan(filled)]
    return bool(filled.size and filled.max() > 1 and (filled == np.round(filled)).all())


def scaled(table: Table, applied: str) -> Table:
    """The table log-normalised where that is to be applied."""
    if applied == "none":
        return table
    values = table.values
    if not sparse.issparse(values):
        return replace(table, values=log_normalise(values))
    # Every stored value is a row of its own, which knows its sample's total.
    totals = np.repeat(values.sum(1), np.diff(values.indptr))
    filled = log_normalise(values.data[:, None], totals)[:, 0]
    made = sparse.csr_array((filled, values.indices, values.indptr), shape=values.shape)
    return replace(table, values=made)


def dense(*tables: Table) -> tuple[Table, ...]:
    """Dense where all of them fit."""
    if not fits(*(t.values for t in tables)):
        return tables
    return tuple(replace(t, values=as_dense(t.values)) for t in tables)


def fits(*sets: Any) -> bool:
    """Whether sets are small enough to be made dense, or are so already."""
    size = sum(a.shape[0] * a.shape[1] for a in sets) * 4
    return size <= DENSE_BYTES or not any(map(sparse.issparse, sets))


def as_dense(values: Any) -> np.ndarray:
    """Values as an array."""
    return values.toarray() if sparse.issparse(values) else values
