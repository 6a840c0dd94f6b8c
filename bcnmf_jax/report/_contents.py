"""Content of a run folder, read once and checked: the input of every part of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.report.run_folder import ENTRIES, read_config, read_table
from bcnmf_jax.report.run_forms import COMPONENT, TABLES, RunFolderError
from bcnmf_jax.storage.folders import as_one

SETS = ("target", "background")
SHARED = "background"
"""First letters of the names of components that target and background share."""


@dataclass(frozen=True)
class Fitted:
    """Components and codes of a fit; target components come first.

    Attributes
    ----------
    names : list of str, k + s
    loadings : array (k + s, g)
    features : list of str, g
    samples : list of str, n
    sets : array (n,)
        Index into `SETS`.
    codes : array (n, k + s)
    columns : dict of array (n,) of str
        What else is known about the samples.
    n_target : int
        Number of target components, k.
    """

    names: list[str]
    loadings: NDArray
    features: list[str]
    samples: list[str]
    sets: NDArray
    codes: NDArray
    columns: dict[str, NDArray]
    n_target: int

    @property
    def shares(self) -> NDArray:
        """Share of each component in the reconstruction of each sample, ``(n, k + s)``."""
        size = np.nan_to_num(self.codes * self.loadings.sum(1))  # of a fit that was lost
        total = size.sum(1, keepdims=True)
        return size / np.where(total > 0, total, 1)


@dataclass(frozen=True)
class Run:
    """A run folder in memory.

    Attributes
    ----------
    name : str
    config : dict
    tables : dict of DataFrame
        Those that the run has.
    fitted : Fitted or None
        Of a fit.
    """

    name: str
    config: dict[str, Any]
    tables: dict[str, Any]
    fitted: Fitted | None


def read_run(folder: str | Path) -> Run:
    """Read a run folder.

    Raises
    ------
    RunFolderError
        For a folder that is no run, and a table without the columns it should have.
    OSError
        If other processes replace it for long.
    """

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        config = read_config(folder)
        return config, {name: read_table(folder, name, config["columns"]) for name in TABLES}

    config, found = as_one(folder, ENTRIES, read)
    tables = {name: table for name, table in found.items() if table is not None}
    return Run(Path(folder).resolve().name, config, tables, _fitted(folder, config, tables))


def _fitted(folder: str | Path, config: dict[str, Any], tables: dict[str, Any]) -> Fitted | None:
    if "components" not in tables or "usage" not in tables:
        return None
    components, usage = tables["components"], tables["usage"]
    found = [name for name in components.columns if name != "feature"]
    names = sorted(found, key=lambda name: name.startswith(SHARED))  # a stable sort
    columns = config["columns"]
    for column in (*names, *columns):
        if column not in usage:
            raise RunFolderError(f"{folder}/tables/usage.tsv has no column {column!r}")
    sets = usage["set"].to_numpy()
    unknown = sorted(set(sets) - set(SETS))
    if unknown:
        raise RunFolderError(
            f"{folder}/tables/usage.tsv: 'set' must be target or background, found {unknown[0]!r}"
        )
    if odd := [name for name in names if not COMPONENT.fullmatch(name)] or names == []:
        raise RunFolderError(f"{folder}/tables/components.tsv: {odd} are no components")
    loadings, codes = (table[names].to_numpy(float) for table in (components, usage))
    if (loadings < 0).any() or (codes < 0).any():
        raise RunFolderError(f"{folder}: a loading or code is negative")
    return Fitted(
        names=names,
        loadings=loadings.T,
        features=components["feature"].to_list(),
        samples=usage["sample"].to_list(),
        sets=np.array([SETS.index(name) for name in sets]),
        codes=codes,
        columns={name: usage[name].fillna("missing").to_numpy() for name in columns},
        n_target=sum(not name.startswith(SHARED) for name in names),
    )
