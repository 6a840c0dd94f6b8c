"""Alphas at which a contrast acts, in several units.

The plain contrast (squared error) is fitted along a path of alphas on every data set: the alpha at
which explained target variance falls to half of what it is without a contrast, and the one at which
fits collapse. A few restarts locate both on a coarse path, all of them on a fine one in between.
One row per data set.
"""


# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd

import bcnmf_jax as bj
from experiments.core.config import load_fits
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import Table, with_arguments
from experiments.core.records import ROOT
from experiments.core.rows import Job, Row
from experiments.core.study import Study, digest
from experiments.core.summary import CONFIGS

RANK, RESTARTS, LOCATING = 5, 20, 4
COARSE = 0.1 * 1.25 ** np.arange(22)
FINE = 5
"""Alphas from one coarse value to the next."""
STOP = bj.Stop(tol=2e-3, max_steps=500)
HASH = digest(RANK, RESTARTS, LOCATING, COARSE.tolist(), FINE, 2e-3, 500)


def data_sets() -> list[tuple[str, Data]]:
    """Those of all main configurations, with their names, without the masked ones."""
    found = []
    for name in CONFIGS[1:]:  # the first is the demonstration, whose data are among the others
        for data in load_fits(ROOT / "configs" / f"{name}.toml").data:
            if "missing" not in data.args:
                found.append((name, data))
    return found


def path(data: dict, alphas: Any, restarts: int) -> tuple[np.ndarray, float]:
    """Explained target variance (alphas, restarts), and the alpha at which fits collapse."""
    keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(0), r))(np.arange(restarts))
    fits = bj.sweep(bj.Contrastive, data, alphas=alphas, ranks=[RANK], keys=keys, stop=STOP)
    explained = np.asarray(fits.diagnostics["x_explained"], float)[:, 0]
    return explained, float(bj.inference.collapse_alpha(fits, alphas)[0])


def half(alphas: np.ndarray, explained: np.ndarray, level: float) -> float:
    """Where the medians first fall below a level, between two alphas; NaN where they do not."""
    medians = np.nanmedian(explained, axis=1)
    below = np.flatnonzero(medians < level)
    if not len(below) or below[0] == 0:
        return np.nan
    at = below[0]
    return float(np.interp(level, medians[[at, at - 1]], alphas[[at, at - 1]]))


def around(alpha: float) -> list[float]:
    """Fine alphas from the second coarse one below to the second above, since a few restarts locate
    it roughly; none where it lies outside the path."""
    if not np.isfinite(alpha):
        return []
    at = np.searchsorted(COARSE, alpha)
    low, high = COARSE[max(at - 2, 0)], COARSE[min(at + 1, len(COARSE) - 1)]
    return list(np.geomspace(low, high, 3 * FINE))


def units(data: dict) -> dict[str, float]:
    """What one unit is per sample: alpha in a unit is alpha per sample over this."""
    x, y = (data[name].astype(float) for name in ("target", "background"))
    centred = [np.square(a - a.mean(0)).sum() / len(a) for a in (x, y)]
    totals = [a.sum() / len(a) for a in (x, y)]
    found = bj.inference.critical_alphas(data)
    return {
        "sample": 1.0,
        "variance": centred[0] / centred[1],
        "total": totals[0] / totals[1],
        "transition": float(found.median),
        "limit": float(found.largest),
    }


def located(data: dict) -> Row:
    """The row of a data set."""
    begun = path(data, [0.0], RESTARTS)[0]
    level = 0.5 * float(np.median(begun))
    rough, collapse = path(data, COARSE, LOCATING)
    alphas = np.unique(around(half(COARSE, rough, level)) + around(collapse))
    if not len(alphas):  # neither happens on the path
        alphas = COARSE[[0, -1]]
    explained, at = path(data, alphas, RESTARTS)
    low, middle, high = np.nanquantile(explained, [0.25, 0.5, 0.75], axis=1).tolist()
    return {
        "plain": 2 * level,
        "coarse": {"alphas": COARSE.tolist(), "x_explained": np.nanmedian(rough, 1).tolist()},
        "fine": {"alphas": alphas.tolist(), "q1": low, "median": middle, "q3": high},
        "half": half(alphas, explained, level),
        "collapse": at,
        "units": units(data),
    }


def job(name: str, data: Data) -> Job:
    """One data set, as `recorded` takes it."""
    about = {"config_hash": HASH, "config": name, "data": data.name, "data_args": data.args}
    return about, lambda: located(load_data(data).data())


def jobs() -> list[Job]:
    """Every data set of the main configurations."""
    return [job(name, data) for name, data in data_sets()]


PLACES = ("half", "collapse")


def spread(values: pd.Series) -> float:
    """The largest of some numbers over the smallest."""
    return float(values.max() / values.min())


def critical_alphas_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set, and one for how far they lie apart."""
    records = []
    for row in rows:
        record: dict[str, Any] = {"data": with_arguments(row["config"], row["data_args"])}
        for place in PLACES:
            at = np.nan if row[place] is None else row[place]
            record |= {f"{place}, {unit}": at / size for unit, size in row["units"].items()}
        records.append(record)
    frame = pd.DataFrame(records)
    numbers = frame.columns[1:]
    body = [[str(r["data"]), *(_cell(r[name]) for name in numbers)] for _, r in frame.iterrows()]
    body.append(["*largest / smallest*", *(f"*{spread(frame[name]):.2f}*" for name in numbers)])
    caption = (
        "Alpha at which the plain contrast (squared error, K = 5) explains half of the target "
        "variance that plain NMF does (*half*), and from which on most fits collapse (*collapse*; "
        "– where none do up to the end of the path), medians over 20 restarts. In units of: one "
        "sample (what `alpha` is); the ratio of centred variances per sample, target over "
        "background; the ratio of totals; `bcnmf_jax.inference.critical_alphas(...).median`, the "
        "contrast at which programs of the background should leave; and its `largest`. The last "
        "line is "
        "what a fixed alpha means on different data sets: 1 would be the same on all."
    )
    return Table("critical_alphas", "Units of alpha", caption, ["data", *numbers], body, frame)


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


STUDY = Study("critical_alphas", jobs, critical_alphas_table)
