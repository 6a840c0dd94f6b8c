"""What a run folder holds, read once and checked: the input of every part of the page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.run_folder import OWN, RunFolderError, read_config, read_table

SETS = ("target", "background")
SHARED = "background"
"""How the names of components begin that target and background share."""
NEEDED = {
    "components": ("feature",),
    "usage": ("sample", "set"),
    "restarts": ("value", "result"),
    "path": ("alpha", "n_components", "result", "x_explained", "y_explained", "dead_features"),
    "selection": ("objective", "alpha", "n_components", "net", "net_se"),
    "enrichment": ("component", "kind", "level", "q", "note"),
    "background": ("name", "level", "advice"),
    "comparison": (),
}
"""Tables of a run and the columns that the page reads by name."""


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
        size = np.nan_to_num(self.codes * self.loadings.sum(1))
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
    """
    config = read_config(folder)
    tables = {}
    for name, columns in NEEDED.items():
        table = read_table(folder, name, config.get("columns", ()))
        if table is None:
            continue
        missing = [column for column in columns if column not in table]
        if missing:
            raise RunFolderError(f"{folder}/tables/{name}.tsv has no column {missing[0]!r}")
        tables[name] = table
    return Run(Path(folder).resolve().name, config, tables, _fitted(folder, config, tables))


def _fitted(folder: str | Path, config: dict[str, Any], tables: dict[str, Any]) -> Fitted | None:
    if "components" not in tables or "usage" not in tables:
        return None
    components, usage = tables["components"], tables["usage"]
    found = [name for name in components.columns if name != "feature"]
    names = sorted(found, key=lambda name: name.startswith(SHARED))  # a stable sort
    columns = config.get("columns", ())
    if twice := [name for name, times in Counter([*OWN, *names, *columns]).items() if times > 1]:
        raise RunFolderError(f"{folder}/tables/usage.tsv has two columns {twice[0]!r}")
    for name, table in (("feature", components), ("sample", usage)):
        if not len(table):
            raise RunFolderError(f"{folder} has no {name}s")
        if (lost := table[name].isna()).any():
            raise RunFolderError(f"{folder}: {name} number {int(lost.argmax()) + 1} has no name")
    for column in (*names, *columns):
        if column not in usage:
            raise RunFolderError(f"{folder}/tables/usage.tsv has no column {column!r}")
    sets = usage["set"].astype(str).to_numpy()
    unknown = sorted(set(sets) - set(SETS))
    if unknown:
        raise RunFolderError(
            f"{folder}/tables/usage.tsv: 'set' must be target or background, found {unknown[0]!r}"
        )
    try:
        loadings, codes = (table[names].to_numpy(float) for table in (components, usage))
    except ValueError as error:
        raise RunFolderError(f"{folder}: a loading or code is not a number ({error})") from error
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
