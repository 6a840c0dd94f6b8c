"""The table of how often a test of enrichment rejects, from recorded rows; imports no package."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import numpy as np
import pandas as pd

from experiments.formats import Table
from experiments.summary import LOSSES

LEVEL = 0.05


def share(rejected: list[list[bool]]) -> tuple[float, float]:
    """Mean over data sets of the share that is rejected, and its standard error."""
    means = np.array([np.mean(own) for own in rejected if own])
    if not len(means):
        return np.nan, np.nan
    return float(means.mean()), float(means.std() / np.sqrt(len(means)))


def cell(value: tuple[float, float]) -> str:
    """A share with its standard error."""
    return "–" if np.isnan(value[0]) else f"{value[0]:.3f} ± {value[1]:.3f}"


def rejections(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """What is rejected at 5 % in some data sets."""
    low = lambda values: [value <= LEVEL for value in values]  # noqa: E731
    of = lambda row, kind, key: [c[key] for c in row["components"] if c["kind"] == kind]  # noqa: E731
    return {
        "target components, p": share([low(of(row, "target", "p")) for row in rows]),
        "background components, p": share([low(of(row, "background", "p")) for row in rows]),
        "any component, q": share([[any(low(c["q"] for c in row["components"]))] for row in rows]),
        "t test between donors": share([low(row["naive_donors"]) for row in rows]),
        "t test between cells": share([low(row["naive_cells"]) for row in rows]),
    }


def calibration_table(rows: list[dict[str, Any]]) -> Table:
    """One line per scenario."""
    body, records = [], []
    for key in dict.fromkeys(row["config_hash"] for row in rows):
        mine = [row for row in rows if row["config_hash"] == key]
        told, found = mine[0]["scenario"], rejections(mine)
        model = f"{told['model']['objective'].replace('_', ' ')}, {LOSSES[told['loss']]}"
        strength, seconds = told["strength"], float(np.median([row["seconds"] for row in mine]))
        donors = f"{told['donors'][0]} / {told['donors'][1]}"
        body.append(
            [told["name"], f"{strength:g}", donors, model, str(len(mine))]
            + [cell(value) for value in found.values()]
            + [f"{seconds:.1f}"]
        )
        record = {"data": told["name"], "strength": strength, "donors": donors, "model": model}
        for name, (value, error) in found.items():
            record |= {name: value, f"{name}, se": error}
        records.append(record | {"sets": len(mine), "seconds": seconds})
    header = ["data", "strength", "donors", "model", "data sets"]
    header += [*rejections([]), "seconds"]
    caption = (
        "Share that is rejected at 5 %, mean ± standard error over simulated data sets with donor "
        "effects. Without a program that is the false positive rate. `bcnmf_jax.enrichment` gives "
        "p (per component) and q (Benjamini-Hochberg over the components of a model); the t tests, "
        "one-sided, are of the target components' own codes, which were fitted to differ. Strength "
        "is that of the target program, 25 cells a donor, 150 genes. Seconds are those of the test "
        "with 59 permutations."
    )
    frame = pd.DataFrame(records)
    return Table(
        "enrichment", "Level and power of the test of enrichment", caption, header, body, frame
    )
