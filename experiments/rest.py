"""Does a fit come to rest, and how soon: ``python -m experiments.rest``.

On every data set (of the beta series the hardest) `bcnmf_jax.VarPro` and plain multiplicative
updates go from the same starts: does the reduced objective only fall, does the residual of
stationarity reach 1e-4, and when is the best value reached that multiplicative updates find in 500
steps? Values and residuals are taken every ten steps with codes settled for that, in single
precision, as fits are. One row per data set, objective and start in ``paper/rest/walks.jsonl``; a
run that was interrupted goes on. Times are worth something on a quiet machine alone. Prints the
table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import bcnmf_jax as bj
from experiments.records import PAPER
from experiments.regret import printed
from experiments.rest_table import rest_table
from experiments.rows import Row, tabulated
from experiments.run import circumstances, load_data
from experiments.schema import Data
from experiments.transitions import data_sets

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
HASH = hashlib.sha256(
    json.dumps([RANK, STARTS, TOL, MOST, MU_STEPS, EVERY, NEAR, list(OBJECTIVES)]).encode()
).hexdigest()[:12]


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


def jobs() -> list[tuple[Row, Callable[[], Row]]]:
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


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table, 2 for a file that cannot be continued."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rest", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAPER / "rest", help="folder of rows")
    given = parser.parse_args(arguments)
    path, shared = given.out / "walks.jsonl", circumstances("rest")
    return tabulated(path, jobs(), shared, lambda rows: printed(rest_table(rows)))


if __name__ == "__main__":
    sys.exit(main())
