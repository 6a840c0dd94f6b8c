"""The data set of a configuration: a function of the package, or a file of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import bcnmf_jax as bj
from bcnmf_jax.datasets import Dataset, log_normalise
from bcnmf_jax.datasets.tables.files import read_table
from bcnmf_jax.datasets.tables.table import Table, TableError
from experiments.core.config import ConfigError
from experiments.core.data_schema import Columns, Data


def built_in(data: Data) -> Dataset:
    """A data set of `bcnmf_jax.datasets`."""
    return getattr(bj.datasets, data.name)(**data.args)


def read(path: Path, columns: Columns, *needed: str | None) -> Table:
    """Samples of a file, with the named columns of a text table as obs."""
    needed = tuple(name for name in needed if name)
    if path.suffix not in (".csv", ".tsv"):
        return read_table(path, columns.layer)
    named = [name for name in (columns.condition, columns.labels, columns.groups) if name]
    separator = "\t" if path.suffix == ".tsv" else ","
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0].tolist()
    frame = pd.read_csv(
        path, sep=separator, index_col=0, keep_default_na=False, na_values=[""],
        dtype=dict.fromkeys(named, str),
    )  # fmt: skip
    for what, held in (("columns", pd.Index(header[1:])), ("samples", frame.index)):
        if len(twice := held[held.duplicated()]):
            raise TableError(f"several {what} are named {twice[0]!r}; make the names unique")
    if lost := [name for name in needed if name not in frame]:
        raise TableError(f"it has no column {lost[0]!r}")
    obs = frame[[name for name in named if name in frame]]
    values = frame.drop(columns=obs.columns)
    try:
        numbers = values.to_numpy(np.float32)
    except ValueError as error:
        raise TableError(f"a feature that is no number ({error}); name its column") from error
    features, samples = (
        index.astype(str).to_numpy(str) for index in (values.columns, values.index)
    )
    return Table(numbers, features, samples, obs=obs)


def own(name: str, columns: Columns) -> Dataset:
    """The data set of a file: whole numbers are counts, and log-normalised for squared error.

    Raises
    ------
    ConfigError
        For a file that cannot be read, or lacks a column, a condition or a feature.
    """
    path = columns.folder / columns.path
    try:
        first = read(path, columns, columns.condition, columns.labels, columns.groups)
        if columns.background_path is not None:
            path = columns.folder / columns.background_path
            sets = [first, read(path, columns, columns.groups).with_features(first.features)]
        else:
            at = first.column(str(columns.condition))
            lacking = sorted({*columns.target, *columns.background} - set(at.tolist()))
            if lacking:
                raise TableError(f"no sample has {columns.condition} {', '.join(lacking)}")
            sets = [first.rows(np.isin(at, of)) for of in (columns.target, columns.background)]
        labels = sets[0].groups(columns.labels)
        groups = [one.groups(columns.groups) if columns.groups else None for one in sets]
        target, background = (
            np.asarray(t.values.toarray() if sparse.issparse(t.values) else t.values, np.float32)
            for t in sets
        )
        for x, what in ((target, "target"), (background, "background")):
            if (x < 0).any():
                raise TableError(f"{what} holds negative values, {x.min():g} the lowest")
        counted = all((x == np.round(x)).all() for x in (target, background))
        return Dataset(
            name=name,
            target=log_normalise(target) if counted else target,
            background=log_normalise(background) if counted else background,
            labels=np.unique(labels, return_inverse=True)[1],
            feature_names=sets[0].features,
            description=f"{columns.path}, sha256 {columns.sha256}",
            counts={"target": target, "background": background} if counted else None,
            groups=groups[0],
            background_groups=groups[1],
        )
    except (TableError, ValueError, OSError, ImportError) as error:
        raise ConfigError(f"data: file: {path}: {error}") from error


def load_data(data: Data) -> Dataset:
    """The data set of a configuration.

    Raises
    ------
    ConfigError
        If the function takes other arguments, or a file lacks what its columns name.
    """
    try:
        dataset = own(data.name, data.file) if data.file else built_in(data)
    except TypeError as error:
        raise ConfigError(f"data: args: {error}") from error
    if data.background_fraction == 1:
        return dataset
    m = len(dataset.background)
    count = max(round(m * data.background_fraction), 1)
    kept = np.sort(np.random.default_rng(0).choice(m, count, replace=False))
    changes: dict[str, Any] = {"background": dataset.background[kept]}
    if dataset.counts is not None:
        changes["counts"] = dataset.counts | {"background": dataset.counts["background"][kept]}
    if dataset.mask is not None:
        changes["mask"] = dataset.mask | {"background": dataset.mask["background"][kept]}
    if dataset.background_groups is not None:
        changes["background_groups"] = dataset.background_groups[kept]
    return dataclasses.replace(dataset, **changes)
