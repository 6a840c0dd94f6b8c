"""Label-free choices: `bj.select` on every data set, then fits at what it chose, scored.

A configuration with a ``[choice]`` table is run here: ``python -m experiments.run
configs/select.toml``. Every choice is one row of ``paper/choices/NAME.jsonl``, with the scores of
its restarts; labels are read for these alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

import bcnmf_jax as bj
from bcnmf_jax.datasets import Dataset
from bcnmf_jax.inference.selection import rule
from experiments.core.data_schema import Data, Strict, check_different
from experiments.core.rows import Results, Row, plain
from experiments.core.scoring import known, score_one, scorers

LOSSES = {"frobenius": bj.Frobenius(), "kl": bj.KL()}
SCORED = ("ari_primary", "ari_raw", "ari_row", "auc", "auc_chance", "auc_logistic", "cosine")


class Choice(Strict, frozen=True):
    """What may be chosen; see ``bcnmf_jax.select``."""

    losses: list[Literal["frobenius", "kl"]] = Field(min_length=1)
    objectives: list[str] = Field(min_length=1)
    alphas: list[float] = Field(min_length=1)
    ranks: list[int] = Field(min_length=1)
    background_ranks: list[int] = Field(min_length=1)
    splits: int = Field(default=8, ge=2)


class ChoiceConfig(Strict, frozen=True):
    """Data sets and what may be chosen on each."""

    choice: Choice
    data: list[Data] = Field(min_length=1)
    restarts: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _different(self) -> ChoiceConfig:
        check_different(self.data)
        return self

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of everything but the lists of data sets and
        losses, of which every row names its own, and of the version of the rule."""
        told = self.model_dump(exclude={"data": True, "choice": {"losses"}})
        told |= {"rule": rule.VERSION}
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def quickened(self) -> ChoiceConfig:
        """What ``--quick`` runs: two splits and restarts on one data set."""
        choice = self.choice.model_copy(update={"splits": 2, "losses": self.choice.losses[:1]})
        simulated = [d for d in self.data if d.name.endswith("simulation")]
        data = (simulated or self.data)[:1]
        return self.model_copy(update={"choice": choice, "restarts": 2, "data": data})


def identity(row: Row) -> str:
    """What a row is about."""
    return json.dumps([row[k] for k in ("config_hash", "data", "data_args", "loss")])


def run(config: ChoiceConfig, path: Path, shared: Row, load: Any) -> list[Row]:
    """Choose and score whatever the file does not hold yet; returns its rows.

    Parameters
    ----------
    shared : dict
        Fields of all rows: versions, machine.
    load : callable
        The data set of a `Data`.

    Raises
    ------
    ResultsError
        As `Results`.
    """
    with Results(path, {config.hash}, identity) as results, scorers(1) as pool:
        for loss in config.choice.losses:
            for data in config.data:
                about = {"data": data.name, "data_args": data.described, "loss": loss}
                if identity(shared | about) in results.done:
                    continue
                row = plain(shared | about | chosen(load(data), loss, config, pool))
                results.append([row])
                said = f"{row['outcome']}: {row['objective']}, K={row['n_components']}"
                print(f"{data.name} {data.described} {loss}: {said}", file=sys.stderr, flush=True)
        return results.rows


def chosen(dataset: Dataset, loss: str, config: ChoiceConfig, pool) -> Row:
    """What is chosen on a data set, and the scores of restarts at it."""
    scale: Any = "counts" if loss == "kl" else "log"
    values, choice = dataset.data(scale), config.choice
    begun = time.perf_counter()
    found = bj.select(
        values, objectives=choice.objectives, alphas=choice.alphas, ranks=choice.ranks,
        background_ranks=choice.background_ranks, loss=LOSSES[loss], splits=choice.splits,
        random_state=config.seed, groups=groups_of(dataset), criterion="gain",
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    pending = []
    for seed in range(config.restarts):
        model = bj.BCNMF(
            found.n_components, alpha=found.alpha, loss=loss, objective=found.objective,
            n_background_components=found.n_background_components, n_restarts=1,
            random_state=seed, max_iter=1000,
        ).fit(values["target"], background=values["background"])  # fmt: skip
        codes, k = model.transform(values["target"], full=True), len(model.components_)
        beside = codes[:, k:] if codes.shape[1] > k else None
        scores = pool.submit(
            score_one, codes[:, :k], model.components_, beside, known(dataset), seed
        )
        pending.append((scores, model.result_))
    results = [result for _, result in pending]
    scores = [score.result() for score, _ in pending]
    n, g = values["target"].shape
    return {
        **{"n": n, "m": len(values["background"]), "g": g, "scale": scale, "seconds": seconds},
        **found.to_dict(),
        "results": results,
        "scores": {name: [s[name] for s in scores] for name in SCORED},
    }


def groups_of(dataset: Dataset) -> dict[str, np.ndarray] | None:
    """Groups of both sets, where both are known and there are enough of them to split."""
    mine, theirs = dataset.groups, dataset.background_groups
    if mine is None or theirs is None or len(np.unique(mine)) < 2 or len(np.unique(theirs)) < 4:
        return None
    return {"target": mine, "background": theirs}
