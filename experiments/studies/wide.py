"""What a fit of the features with most to explain loses against a fit of all.

`bcnmf_jax.BCNMF` as users call it, on data with many features: all of them, or the 3,000 that it
takes of more than 5,000. One row per data set, loss and number of features.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
import pandas as pd

import bcnmf_jax as bj
from bcnmf_jax.metrics import component_auc
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import Table, with_arguments
from experiments.core.rows import Job, Row
from experiments.core.study import Study, digest

DATA = (
    *(
        Data(name="beta_simulation", args={"beta": 4, "genes": 9000, "seed": seed})
        for seed in range(3)
    ),
    Data(name="kang_lymphocytes", args={"genes": 13215}),
)
LOSSES = {"frobenius": "log", "kl": "counts"}
"""Losses, and the scale of the data that each is for."""
FEATURES = {"most to explain": "auto", "all": None}
HASH = digest(list(LOSSES.items()), list(FEATURES.items()))


def fitted(data: Data, loss: str, features: str) -> Row:
    """The row of a fit: the best component, or the summed share of all, against the labels."""
    dataset = load_data(data)
    sets = dataset.data(LOSSES[loss])
    model = bj.BCNMF(
        loss=loss, n_top_features=FEATURES[features], random_state=0, verbose=False
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        model.fit(sets["target"], background=sets["background"])
        seconds = time.perf_counter() - began
    codes = np.asarray(model.transform(sets["target"], full=True))
    share = codes / np.maximum(codes.sum(1, keepdims=True), np.finfo(codes.dtype).tiny)
    own = share[:, : model.n_components_]
    readings = [codes[:, : model.n_components_], own.sum(1, keepdims=True)]
    return {
        "auc": max(component_auc(reading, dataset.labels)["auc"] for reading in readings),
        "objective": model.objective_, "n_components": model.n_components_,
        "fitted": int(model.features_.sum()), "seconds": seconds,
    }  # fmt: skip


def jobs() -> list[Job]:
    """Every data set, loss and number of features, as `recorded` takes them."""
    return [
        (
            {
                "config_hash": HASH, "data": data.name, "data_args": data.args, "loss": loss,
                "features": features,
            },
            partial(fitted, data, loss, features),
        )
        for data in DATA
        for loss in LOSSES
        for features in FEATURES
    ]  # fmt: skip


def wide_table(rows: list[Row]) -> Table:
    """One line per data set and loss: means over seeds."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        args = {k: v for k, v in row["data_args"].items() if k != "seed"}
        groups.setdefault((with_arguments(row["data"], args), row["loss"]), []).append(row)
    body, records = [], []
    for (name, loss), group in groups.items():
        record = {"data": name, "loss": loss}
        for features in FEATURES:
            mine = [row for row in group if row["features"] == features]
            mean = np.mean([row["auc"] for row in mine]) if mine else np.nan
            record[f"AUC, {features}"] = float(mean)
        draws = len({row["data_args"].get("seed") for row in group})
        body.append(
            [
                f"{name}{f' ×{draws}' if draws > 1 else ''}", loss,
                *(f"{record[f'AUC, {features}']:.4f}" for features in FEATURES),
            ]
        )  # fmt: skip
        records.append(record | {"draws": draws})
    caption = (
        "AUC of the best component or of the summed share of the target components of `BCNMF()`, "
        "fitted to the features with most to explain and to all; means over seeds."
    )
    header = ["data", "loss", *(f"AUC, {features}" for features in FEATURES)]
    return Table("wide", "Many features", caption, header, body, pd.DataFrame(records))


STUDY = Study("wide", jobs, wide_table)
