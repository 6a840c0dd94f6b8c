"""Why the plain contrast fails where a response has a common part.

Components of the plain contrast (squared error) at several alphas: their mean cosine, and
scores of codes read on these components alone, as published, and jointly with a plain basis of the
background. One row per data set and alpha.
"""


# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import bcnmf_jax as bj
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import Table, data_name, quartiles, score
from experiments.core.rows import Job, Row
from experiments.core.scoring import known, score_one, scorers
from experiments.core.study import Study, digest

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
HASH = digest(RANK, BACKGROUND_RANK, RESTARTS, TOL, STEPS)


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


def read(data: Data, alpha: float) -> Row:
    """The row of a data set and alpha: redundancy and both readouts of every restart."""
    dataset = load_data(data)
    values, truth = dataset.data("log"), known(dataset)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(jnp.arange(RESTARTS))
    found = bj.sweep(bj.Contrastive, values, alphas=[alpha], ranks=[RANK], keys=keys, stop=STOP)
    bases, target = np.asarray(found.blocks["basis"])[0, 0], {"target": values["target"]}
    beside = background_bases(jnp.asarray(values["background"]), keys)
    plain, pending, pool = bj.NMF(), [], scorers(1)
    for seed in range(RESTARTS):
        rows = jnp.asarray(bases[seed])
        alone = np.asarray(bj.transform(plain, {"basis": rows}, target))
        whole = {"basis": jnp.concatenate([rows, beside[seed]])}
        both = np.asarray(bj.transform(plain, whole, target))
        for own, shared in ((alone, None), (both[:, :RANK], both[:, RANK:])):
            pending.append(pool.submit(score_one, own, bases[seed], shared, truth, seed))
    scores = [one.result() for one in pending]
    pool.shutdown()
    told = {
        readout: {name: [s[name] for s in scores[i::2]] for name in ("auc", "ari_primary")}
        for i, readout in enumerate(("alone", "beside"))
    }
    results = bj.result_name(found.result)[0, 0].tolist()
    return {"results": results, "redundancy": [redundancy(basis) for basis in bases], **told}


def jobs() -> list[Job]:
    """Every data set and alpha, as `recorded` takes them."""
    return [
        (
            {"config_hash": HASH, "data": d.name, "data_args": d.args, "alpha": alpha},
            partial(read, d, alpha),
        )
        for d in DATA
        for alpha in ALPHAS
    ]


def joint_readout_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set and alpha."""
    body, records, last = [], [], ""
    for row in rows:
        record: dict[str, Any] = {"data": data_name(row), "alpha": row["alpha"]}
        record["collapsed"] = row["results"].count("collapsed")
        measured = {"cosine of components": row["redundancy"]}
        for name, of in (("AUC", "auc"), ("ARI", "ari_primary")):
            measured |= {f"{name}, {readout}": row[readout][of] for readout in ("alone", "beside")}
        for name, values in measured.items():
            median, low, high = quartiles(values)
            record |= {name: median, f"{name}, q1": low, f"{name}, q3": high}
        shown = "" if record["data"] == last else record["data"]
        cells = [shown, f"{row['alpha']:g}", str(record["collapsed"])]
        body.append([*cells, *(score(record[name]) for name in measured)])
        records.append(record)
        last = record["data"]
    caption = (
        "The plain contrast (squared error, K = 5), medians over "
        f"{len(rows[0]['redundancy'])} restarts (and how many of them *collapsed*): the mean "
        "cosine between its components (1: copies of one another), and AUC of the best component "
        "and primary ARI of codes that are read on its components *alone*, as published, and "
        "*beside* a plain basis of the background. α = 0 is plain NMF of the target."
    )
    header = ["data", "α", "collapsed", "cosine of components"]
    header += ["AUC, alone", "AUC, beside", "ARI, alone", "ARI, beside"]
    return Table(
        "joint_readout",
        "Why the plain contrast fails",
        caption,
        header,
        body,
        pd.DataFrame(records),
    )


STUDY = Study("joint_readout", jobs, joint_readout_table)
