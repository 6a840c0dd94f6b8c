"""Why the plain contrast fails where a response has a common part.

``python -m experiments.beside``: components of the plain contrast (squared error) are fitted at
several alphas. Are they copies of one another, and what do their codes tell of the label when they
are read on these components alone, as published, and beside a plain basis of the background? One
row per data set and alpha in ``paper/beside/codes.jsonl``; a run that was interrupted goes on.
Prints the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import bcnmf_jax as bj
from experiments.beside_table import beside_table
from experiments.records import PAPER
from experiments.regret import printed
from experiments.rows import Row, tabulated
from experiments.run import circumstances, load_data
from experiments.schema import Data
from experiments.scoring import known, score_one, scorers

RANK, BACKGROUND_RANK, RESTARTS = 5, 5, 20
ALPHAS = (0.0, 0.5, 1.0, 1.5)
TOL, STEPS = 2e-3, 500
STOP = bj.Stop(tol=TOL, max_steps=STEPS)
DATA = (
    Data(name="kang_lymphocytes"),
    Data(name="kang_cross_donor"),
    Data(name="mixseq"),
    Data(name="mnist_on_photos", args={"digits": 2}),
    Data(name="beta_simulation", args={"beta": 8}),
    Data(name="beta_simulation", args={"beta": 16}),
)
HASH = hashlib.sha256(
    json.dumps([RANK, BACKGROUND_RANK, RESTARTS, TOL, STEPS]).encode()
).hexdigest()[:12]


def redundancy(basis: np.ndarray) -> float:
    """Mean cosine of all pairs of components (k, g)."""
    unit = basis / np.maximum(np.linalg.norm(basis, axis=1, keepdims=True), 1e-30)
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


@eqx.filter_jit
def background_bases(y: jax.Array, keys: jax.Array) -> jax.Array:
    """A plain basis of the background for every restart."""
    plain, rows = bj.NMF(), bj.prepare({"target": y})

    def one(key):
        return bj.fit(plain, rows, bj.init(plain, rows, BACKGROUND_RANK, key), stop=STOP)

    return jax.lax.map(lambda key: one(key).blocks["basis"], keys)


def read(pool: Executor, data: Data, alpha: float) -> Row:
    """The row of a data set and alpha: redundancy and both readouts of every restart."""
    dataset = load_data(data)
    values, truth = dataset.data("log"), known(dataset)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(jnp.arange(RESTARTS))
    found = bj.sweep(bj.Contrastive, values, alphas=[alpha], ranks=[RANK], keys=keys, stop=STOP)
    bases, target = np.asarray(found.blocks["basis"])[0, 0], {"target": values["target"]}
    beside = background_bases(jnp.asarray(values["background"]), keys)
    plain, pending = bj.NMF(), []
    for seed in range(RESTARTS):
        rows = jnp.asarray(bases[seed])
        alone = np.asarray(bj.transform(plain, {"basis": rows}, target))
        whole = {"basis": jnp.concatenate([rows, beside[seed]])}
        both = np.asarray(bj.transform(plain, whole, target))
        for own, shared in ((alone, None), (both[:, :RANK], both[:, RANK:])):
            pending.append(pool.submit(score_one, own, bases[seed], shared, truth, seed))
    scores = [one.result() for one in pending]
    told = {
        readout: {name: [s[name] for s in scores[i::2]] for name in ("auc", "ari_primary")}
        for i, readout in enumerate(("alone", "beside"))
    }
    results = bj.result_name(found.result)[0, 0].tolist()
    return {"results": results, "redundancy": [redundancy(basis) for basis in bases], **told}


def jobs(pool: Executor) -> list[tuple[Row, Callable[[], Row]]]:
    """Every data set and alpha, as `recorded` takes them."""
    return [
        (
            {"config_hash": HASH, "data": d.name, "data_args": d.args, "alpha": alpha},
            partial(read, pool, d, alpha),
        )
        for d in DATA
        for alpha in ALPHAS
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table, 2 for a file that cannot be continued."""
    parser = argparse.ArgumentParser(prog="python -m experiments.beside", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAPER / "beside", help="folder of rows")
    given = parser.parse_args(arguments)
    with scorers(1) as pool:
        path, shared = given.out / "codes.jsonl", circumstances("beside")
        return tabulated(path, jobs(pool), shared, lambda rows: printed(beside_table(rows)))


if __name__ == "__main__":
    sys.exit(main())
