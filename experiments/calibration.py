"""The level and the power of `bj.enrichment`: ``python -m experiments.calibration``.

Simulated donors (`donor_simulation`), a model of each data set, and the test of its components, and
beside it two that many would take: t tests of the model's own codes, between donors and between
cells. Every data set is a row of ``paper/calibration/enrichment.jsonl``; a run that was interrupted
goes on where it stopped. Prints the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

import bcnmf_jax as bj
from bcnmf_jax.datasets import Dataset
from experiments.calibrated import calibration_table
from experiments.donors import donor_simulation
from experiments.records import PAPER
from experiments.regret import printed
from experiments.rows import Row, tabulated
from experiments.run import circumstances

PERMUTATIONS = 59
CONTRAST = {"objective": "contrastive", "alpha": 1.0}
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

    @property
    def hash(self) -> str:
        """Of everything but the number of data sets."""
        told = {k: v for k, v in dataclasses.asdict(self).items() if k != "sets"}
        text = json.dumps(told | {"permutations": PERMUTATIONS}, sort_keys=True)
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
    Scenario("no program", BEYOND),
    Scenario("faint program", BEYOND, strength=0.1, sets=60),
    Scenario("program", BEYOND, strength=0.3, sets=60),
    Scenario("program", BEYOND, strength=0.3, donors=(4, 4), sets=60),
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


def job(scenario: Scenario, seed: int) -> tuple[Row, Callable[[], Row]]:
    """One data set, as `recorded` takes it."""
    told = {k: v for k, v in dataclasses.asdict(scenario).items() if k != "sets"}
    about = {"config_hash": scenario.hash, "scenario": told, "seed": seed}
    return about, lambda: tested(scenario, seed)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table, 2 for a file that cannot be continued."""
    parser = argparse.ArgumentParser(prog="python -m experiments.calibration", description=__doc__)
    parser.add_argument("--sets", type=int, help="data sets of each scenario, at most")
    parser.add_argument("--out", type=Path, default=PAPER / "calibration", help="folder of rows")
    given = parser.parse_args(arguments)
    if given.sets is not None and given.sets < 1:
        parser.error(f"--sets must be at least 1, found {given.sets}")
    jobs = [
        job(scenario, seed)
        for scenario in SCENARIOS
        for seed in range(min(scenario.sets, given.sets or scenario.sets))
    ]
    path, shared = given.out / "enrichment.jsonl", circumstances("calibration")
    return tabulated(path, jobs, shared, lambda rows: printed(calibration_table(rows)))


if __name__ == "__main__":
    sys.exit(main())
