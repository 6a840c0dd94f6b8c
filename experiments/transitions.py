"""Where a contrast acts, in several units of alpha: ``python -m experiments.transitions``.

On every data set the plain contrast (squared error) is fitted along a path of alphas: where does
explained target variance fall to half of what it is without a contrast, and where do fits collapse?
A few restarts locate both on a coarse path, all of them on a fine one in between. One row per data
set in ``paper/transitions/paths.jsonl``; a run that was interrupted goes on. Prints the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bcnmf_jax as bj
from experiments.config import load_fits
from experiments.records import PAPER, ROOT
from experiments.regret import printed
from experiments.rows import Row, tabulated
from experiments.run import circumstances, load_data
from experiments.schema import Data
from experiments.summary import CONFIGS
from experiments.transition_table import transition_table

RANK, RESTARTS, LOCATING = 5, 20, 4
COARSE = 0.1 * 1.25 ** np.arange(22)
FINE = 5
"""Alphas from one coarse value to the next."""
STOP = bj.Stop(tol=2e-3, max_steps=500)
HASH = hashlib.sha256(
    json.dumps([RANK, RESTARTS, LOCATING, COARSE.tolist(), FINE, 2e-3, 500]).encode()
).hexdigest()[:12]


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


def job(name: str, data: Data) -> tuple[Row, Callable[[], Row]]:
    """One data set, as `recorded` takes it."""
    about = {"config_hash": HASH, "config": name, "data": data.name, "data_args": data.args}
    return about, lambda: located(load_data(data).data())


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table, 2 for a file that cannot be continued."""
    parser = argparse.ArgumentParser(prog="python -m experiments.transitions", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAPER / "transitions", help="folder of rows")
    given = parser.parse_args(arguments)
    jobs = [job(name, data) for name, data in data_sets()]
    path, shared = given.out / "paths.jsonl", circumstances("transitions")
    return tabulated(path, jobs, shared, lambda rows: printed(transition_table(rows)))


if __name__ == "__main__":
    sys.exit(main())
