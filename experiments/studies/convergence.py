"""Convergence of `bcnmf_jax.solvers.VarPro` and of plain multiplicative updates.

From the same starts on every data set (of the beta series the hardest): rises of the reduced
objective, stationarity at the end, and the time to the best value that multiplicative updates find
in 500 steps. Values are taken every ten steps with codes settled for that, in single precision, as
fits are. One row per data set, objective and start. Times need a quiet machine.
"""


# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import lax

import bcnmf_jax as bj
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import Table, with_arguments
from experiments.core.rows import Job, Row
from experiments.core.study import Study, digest
from experiments.studies.critical_alphas import data_sets

RANK, STARTS, TOL = 5, 1, 1e-4
MOST, MU_STEPS, EVERY = 1500, 500, 10
HARDEST = 16
NEAR = 1e-4
"""How near the best value of MU counts as reached, of the way there from the start."""
#: Objective and scale of the data.
OBJECTIVES: dict[str, tuple[bj.AbstractObjective, Any]] = {
    "contrast 0.9, squared error": (bj.Contrastive(alpha=0.9), "log"),
    "contrast 1.5, squared error": (bj.Contrastive(alpha=1.5), "log"),
    "background first 1, KL": (
        bj.BackgroundFirst(alpha=1.0, background_rank=5, loss=bj.KL()),
        "counts",
    ),
}
HASH = digest(RANK, STARTS, TOL, MOST, MU_STEPS, EVERY, NEAR, list(OBJECTIVES))


@eqx.filter_jit
def advance(objective, rows, solver, blocks, state, count):
    """``count`` steps."""
    step = lambda _, carry: solver.step(objective, rows, *carry)  # noqa: E731
    return lax.fori_loop(0, count, step, (blocks, state))


def walk(objective: Any, data: dict, start: dict, solver: Any, most: int) -> Row:
    """Seconds and values at every look, until the solver says that it is at rest."""
    rows = bj.prepare(data)
    blocks, state = start, solver.init(objective, rows, start)
    count = jnp.asarray(EVERY)
    jax.block_until_ready(advance(objective, rows, solver, blocks, state, count))  # compiles
    seconds, values, spent, left, stuck = [], [], 0.0, np.inf, 0.0
    for _ in range(most // EVERY):
        clock = time.perf_counter()
        blocks, state = jax.block_until_ready(
            advance(objective, rows, solver, blocks, state, count)
        )
        spent += time.perf_counter() - clock
        seconds.append(spent)
        values.append(float(bj.reduced_objective(objective, data, blocks)))
        left, stuck = (float(v) for v in solver.progress(state, jnp.asarray(jnp.inf)))
        if left <= TOL or stuck:
            break
    found = float(bj.fitting.stationarity(objective, data, blocks))
    rise = max(0.0, *np.diff(values))
    return {
        "seconds": seconds, "values": values, "rise": rise, "residual": found,
        "rest": left <= TOL, "stuck": bool(stuck),
    }  # fmt: skip


def reached(walk: Row, level: float) -> float:
    """Seconds until a value is at most ``level``; infinite if it never is."""
    below = np.flatnonzero(np.asarray(walk["values"]) <= level)
    return walk["seconds"][below[0]] if len(below) else np.inf


def walked(data: Data, name: str, start: int) -> Row:
    """The row of one start: where both solvers end, and when they pass the best value of MU."""
    objective, scale = OBJECTIVES[name]
    arrays = load_data(data).data(scale)
    begun = bj.init(objective, arrays, rank=RANK, key=jax.random.key(start))
    first = float(bj.reduced_objective(objective, arrays, begun))
    mu = walk(objective, arrays, begun, bj.MU(), MU_STEPS)
    own = walk(objective, arrays, begun, bj.solvers.VarPro(), MOST)
    best = min(mu["values"])
    way = max(first - best, np.finfo(float).tiny)
    told = {}
    for solver, found in (("mu", mu), ("varpro", own)):
        told[solver] = {
            "steps": EVERY * len(found["seconds"]), "residual": found["residual"],
            "rest": found["rest"], "stuck": found["stuck"], "rise": found["rise"] / way,
            "seconds": reached(found, best + NEAR * way),
            "below": (best - min(found["values"])) / way,
        }  # fmt: skip
    return {"value": first, "best": best, **told}


def jobs() -> list[Job]:
    """Every data set, objective and start, as `recorded` takes them."""
    found = []
    for config, data in data_sets():
        if data.name == "beta_simulation" and data.args["beta"] != HARDEST:
            continue
        for name in OBJECTIVES:
            for start in range(STARTS):
                about = {"config_hash": HASH, "config": config, "data": data.name}
                about |= {"data_args": data.args, "objective": name, "start": start}
                found.append((about, lambda d=data, n=name, s=start: walked(d, n, s)))
    return found


def ended(walk: dict[str, Any]) -> str:
    """At rest, degenerate, or neither within the steps."""
    if walk["rest"]:
        return "at rest"
    return "degenerate" if walk["stuck"] else "steps used up"


def convergence_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set and objective."""
    body, records = [], []
    keys = dict.fromkeys((row["config"], str(row["data_args"]), row["objective"]) for row in rows)
    for key in keys:
        mine = [r for r in rows if (r["config"], str(r["data_args"]), r["objective"]) == key]

        def median(solver: str, of: str, mine: list = mine) -> float:
            """Of all starts; what was never reached is infinite."""
            found = [row[solver][of] for row in mine]
            return float(np.median([np.inf if v is None else v for v in found]))

        ends = [ended(row["varpro"]) for row in mine]
        record = {
            "data": with_arguments(key[0], mine[0]["data_args"]),
            "objective": key[2],
            "ended": ", ".join(f"{ends.count(e)} {e}" for e in dict.fromkeys(ends)),
            "residual": median("varpro", "residual"),
            "residual, MU": median("mu", "residual"),
            "rise": max(row["varpro"]["rise"] for row in mine),
            "rise, MU": max(row["mu"]["rise"] for row in mine),
            "below MU": median("varpro", "below"),
            "MU, s": median("mu", "seconds"),
            "VarPro, s": median("varpro", "seconds"),
        }
        record["VarPro / MU"] = record["VarPro, s"] / record["MU, s"]
        records.append(record)
        numbers = [record[name] for name in list(record)[3:]]
        body.append([record["data"], record["objective"], record["ended"], *map(cell, numbers)])
    caption = (
        "`VarPro` and plain multiplicative updates (MU) from the same starts, K = 5, in single "
        "precision: how VarPro ended; the residual of stationarity where it ended and after 500 "
        "steps of MU, with codes settled anew; the largest rise of the value from one look to the "
        "next, ten steps later, of either, and how far below MU's best value VarPro ended, as "
        "shares of the way from the start to MU's best; seconds to MU's best value (to a "
        "ten-thousandth of that way; – where a solver does not get there), without compilation. "
        "Medians over starts: "
        f"{max(row['start'] for row in rows) + 1}."
    )
    header = list(records[0])
    return Table(
        "convergence", "Fits that come to rest", caption, header, body, pd.DataFrame(records)
    )


def cell(value: float) -> str:
    """A number of a few digits."""
    return f"{value:.2g}" if np.isfinite(value) else "–"


STUDY = Study("convergence", jobs, convergence_table)
