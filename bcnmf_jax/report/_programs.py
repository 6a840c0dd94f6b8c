"""The page's section of components: their features, and the samples that use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.report._contents import SETS, Fitted, Run
from bcnmf_jax.report._embedding import packed, scaled
from bcnmf_jax.report._pictures import Box, box

TOP = 50
"""Features listed for each component."""
TESTED = {
    "held_out_log2_ratio": "held-out log2 ratio",
    "null_log2_ratio": "null",
    "null_log2_ratio_95": "95 % of the null is below",
    "effect": "effect size",
    "p": "p",
    "q": "q",
    "note": "note",
}
"""Columns of the enrichment table that are shown beside a component, and how they are called."""
MOST_GROUPS = 30
"""Columns with more values are not drawn group by group."""


@dataclass(frozen=True)
class Feature:
    """A feature of a component: its share of the component, and the part of the feature's loadings
    on all components that this one holds."""

    name: str
    share: float
    specificity: float


@dataclass(frozen=True)
class Group:
    """The usage of a component by some samples; ``colour`` is that of their set."""

    name: str
    size: int
    mean: float
    colour: int
    box: Box


@dataclass(frozen=True)
class Program:
    """One component as the page shows it.

    Attributes
    ----------
    name, anchor : str
        The name, and that of its place in the page.
    shared : bool
        Whether target and background share it.
    features : list of Feature
        The first ones, by loading.
    usage : dict of list of Group
        Per column of the samples ("" for the two sets alone), the groups of each set.
    high : float
        Where the axis of the pictures ends.
    tested : dict
        What the enrichment table says of it, as `TESTED` names it; empty where there is none.
    """

    name: str
    anchor: str
    shared: bool
    features: list[Feature]
    usage: dict[str, list[Group]]
    high: float
    tested: dict[str, Any]


def programs(run: Run, fitted: Fitted) -> list[Program]:
    """All components of a fit, target components first."""
    within, specificity = _shares(fitted.loadings)
    shares, tested, divided = fitted.shares, _tested(run), _divisions(fitted)
    found = []
    for k, name in enumerate(fitted.names):
        mine = shares[:, k]
        high = float(np.quantile(mine, 0.995)) or float(mine.max())
        order = np.argsort(-within[k], kind="stable")[:TOP]
        features = [
            Feature(fitted.features[j], float(within[k, j]), float(specificity[k, j]))
            for j in order[within[k, order] > 0]
        ]
        usage = {
            column: [
                Group(label, len(rows), float(mine[rows].mean()), colour, box(mine[rows], high))
                for label, colour, rows in groups
            ]
            for column, groups in divided.items()
        }
        shared = k >= fitted.n_target
        about = tested.get(name, {})
        found.append(Program(name, f"component-{k}", shared, features, usage, high, about))
    return found


def _divisions(fitted: Fitted) -> dict[str, list[tuple[str, int, NDArray]]]:
    """The samples by set (""), and by set within the values of each column that has few values and
    other groups than the sets: of each group the name, the set and the rows."""
    sides = [np.flatnonzero(fitted.sets == i) for i in range(len(SETS))]
    found = {"": [(name, i, sides[i]) for i, name in enumerate(SETS) if len(sides[i])]}
    for column, values in fitted.columns.items():
        levels, index = np.unique(values, return_inverse=True)
        if len(levels) > MOST_GROUPS:
            continue
        groups = [
            (f"{level}, {name}", i, sides[i][index[sides[i]] == j])
            for j, level in enumerate(levels)
            for i, name in enumerate(SETS)
        ]
        groups = [group for group in groups if len(group[2])]
        if len(groups) > len(found[""]):
            found[column] = groups
    return found


def _shares(loadings: NDArray) -> tuple[NDArray, NDArray]:
    """Each loading over its component's sum, and that over the feature's sum of all components."""
    loadings = np.nan_to_num(loadings)
    sums = loadings.sum(1, keepdims=True)
    within = loadings / np.where(sums > 0, sums, 1)
    totals = within.sum(0)
    return within, within / np.where(totals > 0, totals, 1)


def _tested(run: Run) -> dict[str, dict[str, Any]]:
    """Rows of the enrichment table by component, without missing values."""
    table = run.tables.get("enrichment")
    if table is None:
        return {}
    found = {}
    for row in table.to_dict("records"):
        known = {name: row[key] for key, name in TESTED.items() if key in row}
        found[str(row["component"])] = {k: v for k, v in known.items() if v == v}  # no NaN
    return found


def lookup(fitted: Fitted) -> dict[str, Any]:
    """All features and loadings for the page's search, ready for JSON.

    Loadings are shares of their component as 16-bit integers in base64; ``high`` is what 65535
    stands for.
    """
    within, _ = _shares(fitted.loadings)
    tops = within.max(1)
    return {
        "features": fitted.features,
        "programs": [
            {"name": name, "high": float(top), "loadings": packed(scaled(row, top), "<u2")}
            for name, top, row in zip(fitted.names, tops, within, strict=True)
        ],
    }
