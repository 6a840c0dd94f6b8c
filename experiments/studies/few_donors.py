"""Contrasts between donors: how often one is found where there is none, and where there is.

Simulated donors with gene-wise factors of their own (`donor_simulation`), as many a side or in
pairs, with a program of several strengths in those of the target. One row per data set.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import warnings
from functools import partial

import pandas as pd
from scipy.stats import binomtest

from bcnmf_jax.inference.selection import donors
from bcnmf_jax.inference.selection.select import contrast_alone
from experiments.core.donors import donor_simulation
from experiments.core.formats import Table
from experiments.core.rows import Job, Row
from experiments.core.study import Study, digest

CELLS = ((3, False), (4, False), (8, False), (3, True), (4, True), (5, True), (8, True))
"""Donors a side, and whether they are pairs."""
STRENGTHS = (0.0, 0.1, 0.3)
DRAWS = {0.0: 300, 0.1: 100, 0.3: 100}
"""Data sets of each strength."""
FEW = digest("pairs as donors", donors.EXCHANGES, donors.LEVEL, donors.ROWS, donors.COMPONENTS)
"""Of three and four pairs, which are exchanged as if they were none."""
PAST = frozenset(
    [digest("existence by splits", 5), *(digest("splits", 5, version) for version in range(1, 4))]
)
"""Rows of three and four pairs by held-out samples, which decided there before."""
HASH = digest(donors.EXCHANGES, donors.LEVEL, donors.ROWS, donors.COMPONENTS)


def asked(count: int, paired: bool, strength: float, seed: int) -> Row:
    """What is answered of one data set."""
    d = donor_simulation(seed, donors=(count, count), pairs=paired, strength=strength)
    groups = {"target": d.groups, "background": d.background_groups}
    data = {"target": d.target, "background": d.background}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome, reason = contrast_alone(data, groups=groups, random_state=seed)
    return {"outcome": outcome, "reason": reason}


def jobs() -> list[Job]:
    """Every data set, draw by draw, as `recorded` takes them."""
    return [
        (
            {
                "config_hash": FEW if paired and count < 5 else HASH,
                "donors": count, "paired": paired, "strength": strength, "seed": seed,
            },
            partial(asked, count, paired, strength, seed),
        )
        for seed in range(max(DRAWS.values()))
        for count, paired in CELLS
        for strength in STRENGTHS
        if seed < DRAWS[strength]
    ]  # fmt: skip


def few_donors_table(rows: list[Row]) -> Table:
    """One line per number of donors: shares of contrasts found, with 95 % intervals."""
    rows = [row for row in rows if row["config_hash"] not in PAST]
    body, records = [], []
    for count, paired in CELLS:
        cells = [f"{count} {'pairs' if paired else 'against ' + str(count)}"]
        for strength in STRENGTHS:
            mine = [
                row["outcome"] == "contrast found"
                for row in rows
                if (row["donors"], row["paired"], row["strength"]) == (count, paired, strength)
            ]
            if not mine:
                cells.append("–")
                continue
            found = binomtest(sum(mine), len(mine))
            low, high = found.proportion_ci(method="wilson")
            cells.append(f"{found.statistic:.0%} [{low:.0%}, {high:.0%}] of {len(mine)}")
            records.append(
                {
                    "donors": count, "paired": paired, "strength": strength, "sets": len(mine),
                    "found": found.statistic, "low": low, "high": high,
                }
            )  # fmt: skip
        body.append(cells)
    caption = (
        "Share of simulated data sets in which a contrast is found between donors, with 95 % "
        "intervals (Wilson), by the strength of a program in all donors of the target. Strength 0: "
        f"false positives, asked at most {donors.LEVEL:.0%}."
    )
    header = ["donors", *(f"strength {s:g}" for s in STRENGTHS)]
    return Table(
        "few_donors", "Contrasts between few donors", caption, header, body, pd.DataFrame(records)
    )


STUDY = Study("few_donors", jobs, few_donors_table, PAST)
