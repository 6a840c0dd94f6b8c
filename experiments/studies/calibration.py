"""Level and power of `bcnmf_jax.enrichment` on simulated donors.

Each data set (`donor_simulation`) has a model and a test of its components, and beside it two tests
that many would take: t tests of the model's own codes, between donors and between cells. One row
per data set.
"""


# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

import bcnmf_jax as bj
from bcnmf_jax.datasets import Dataset
from experiments.core.donors import donor_simulation
from experiments.core.formats import Table
from experiments.core.registry import LOSSES
from experiments.core.rows import Job, Row
from experiments.core.study import Study

PERMUTATIONS = 199
CONTRAST = {"objective": "contrastive", "alpha": 1.0}
BALANCED = {"objective": "balanced", "alpha": 1.5}
BEYOND = {"objective": "background_first", "alpha": 0.0, "n_background_components": 5}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Data sets of one kind, and the model that is tested on them."""

    name: str
    model: dict[str, Any]
    donors: tuple[int, int] = (8, 8)
    pairs: bool = False
    strength: float = 0.0
    loss: str = "frobenius"
    sets: int = 200

    def hash(self, exchanges: int = PERMUTATIONS) -> str:
        """Of everything but the number of data sets."""
        told = {k: v for k, v in dataclasses.asdict(self).items() if k != "sets"}
        text = json.dumps(told | {"permutations": exchanges}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def data(self, seed: int) -> Dataset:
        """One of the data sets."""
        return donor_simulation(seed, donors=self.donors, pairs=self.pairs, strength=self.strength)


SCENARIOS = (
    Scenario("no program", CONTRAST),
    Scenario("no program, pairs", CONTRAST, pairs=True),
    Scenario("no program", CONTRAST, donors=(4, 4)),
    Scenario("no program", CONTRAST, donors=(12, 6)),
    Scenario("no program", CONTRAST, loss="kl"),
    Scenario("no program", BALANCED),
    Scenario("faint program", BALANCED, strength=0.1),
    Scenario("program", BALANCED, strength=0.3),
    Scenario("program", BALANCED, strength=0.3, donors=(4, 4)),
)


def tested(scenario: Scenario, seed: int) -> Row:
    """Fit and test one data set."""
    dataset = scenario.data(seed)
    data = dataset.data("counts" if scenario.loss == "kl" else "log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = bj.BCNMF(
            2, loss=scenario.loss, n_restarts=1, random_state=seed, tol=1e-3, max_iter=200,
            **scenario.model,
        ).fit(data["target"], background=data["background"])  # fmt: skip
    begun = time.perf_counter()
    found = bj.enrichment(
        model, data["target"], data["background"], groups=dataset.groups,
        background_groups=dataset.background_groups, pairs=scenario.pairs,
        n_permutations=PERMUTATIONS, random_state=seed,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    kept = ("kind", "effect", "log2_ratio", "held_out_log2_ratio", "match", "p", "q")
    return {
        "seconds": seconds,
        "components": [{key: row[key] for key in kept} for row in found.rows],
        **naive(model, data, dataset),
    }


def naive(model: bj.BCNMF, data: dict[str, np.ndarray], dataset: Dataset) -> dict[str, list[float]]:
    """One-sided p-values of t tests on the codes of the model itself, per target component."""
    groups = {"target": dataset.groups, "background": dataset.background_groups}
    cells, donors = [], []
    for name, x in data.items():
        usage = model.transform(x) / np.maximum(x.sum(1, keepdims=True), 1e-12)
        own = np.asarray(groups[name])
        cells.append(usage)
        donors.append(np.stack([usage[own == group].mean(0) for group in np.unique(own)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a component that is used nowhere
        return {
            name: np.nan_to_num(ttest_ind(*two, alternative="greater").pvalue, nan=1.0).tolist()
            for name, two in (("naive_donors", donors), ("naive_cells", cells))
        }


def job(scenario: Scenario, seed: int) -> Job:
    """One data set, as `recorded` takes it."""
    told = {k: v for k, v in dataclasses.asdict(scenario).items() if k != "sets"}
    about = {"config_hash": scenario.hash(), "scenario": told, "seed": seed}
    return about, lambda: tested(scenario, seed)


def jobs() -> list[Job]:
    """Every data set of every scenario."""
    most = max(scenario.sets for scenario in SCENARIOS)
    return [job(s, seed) for seed in range(most) for s in SCENARIOS if seed < s.sets]


LEVEL, LEAST = 0.05, 50
"""Level of the test, and data sets of every scenario from which on rows of `PERMUTATIONS` exchanges
take the place of those before."""


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
    counts = Counter(row["config_hash"] for row in rows)
    enough = all(counts[scenario.hash()] >= LEAST for scenario in SCENARIOS)
    rows = [row for row in rows if (row["config_hash"] in PAST) != enough] or rows
    exchanges = 59 if all(row["config_hash"] in PAST for row in rows) else PERMUTATIONS
    for key in dict.fromkeys(row["config_hash"] for row in rows):
        mine = [row for row in rows if row["config_hash"] == key]
        told, found = mine[0]["scenario"], rejections(mine)
        model = f"{told['model']['objective'].replace('_', ' ')}, {LOSSES[told['loss']].label}"
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
        f"with {exchanges} exchanges."
    )
    frame = pd.DataFrame(records)
    return Table(
        "enrichment", "Level and power of the test of enrichment", caption, header, body, frame
    )


PAST = frozenset(
    scenario.hash(59)
    for scenario in (
        *SCENARIOS,
        Scenario("no program", BEYOND),
        Scenario("faint program", BEYOND, strength=0.1),
        Scenario("program", BEYOND, strength=0.3),
        Scenario("program", BEYOND, strength=0.3, donors=(4, 4)),
    )
)
"""Rows of tests with 59 exchanges, some of an objective that is tested no more."""
STUDY = Study("calibration", jobs, calibration_table, PAST)
