"""Refits side by side are the fits that a plan makes of the same rows one by one."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference._refit import Places, refitted
from bcnmf_jax.inference.restarts import InMemory
from bcnmf_jax.objectives import SharedTarget

KEY, STOP, READ = jax.random.key(3), bj.Stop(1e-3, 20), bj.Stop(1e-4, 30)
START = np.random.default_rng(5).gamma(1, 1, (4, 14)).astype("float32")
PLANS = {
    "balanced": Plan("balanced", 1.5, 2, 2, bj.Frobenius()),
    "balanced from a basis": Plan("balanced", 1.5, 2, 2, bj.Frobenius(), start=START),
    "balanced, KL": Plan("balanced", 1.5, 2, 2, bj.KL()),
    "sequential": Plan("sequential", 0.0, 2, 2, bj.Frobenius()),
    "sequential from a basis": Plan("sequential", 0.0, 2, 2, bj.Frobenius(), start=START),
    "sequential, each by itself": Plan("sequential", 0.0, 2, 2, bj.Frobenius(), together=False),
    "sequential against a contrast": Plan("sequential", 0.5, 2, 2, bj.Frobenius()),
    "background first": Plan("background_first", 0.0, 2, 2, bj.Frobenius()),
    "an object": Plan(SharedTarget(shared_rank=2, alpha=0.5), 0.5, 2, 2, bj.Frobenius()),
}


def whole(codes, rows):
    return codes


FAST = ("balanced", "sequential from a basis", "an object")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in PLANS]
)
def test_refits_are_the_fits_of_the_same_rows(name):
    plan, rng = PLANS[name], np.random.default_rng(0)
    every = rng.gamma(2, 1, (48, 14)).astype("float32")
    every[:24, :5] += rng.gamma(1, 1, (24, 1)).astype("float32")
    rows = prepare({"target": every})["target"]
    drawn = np.stack([rng.permutation(48) for _ in range(3)])
    places = Places(drawn[:, :18], drawn[:, 18:38], drawn[:, 38:])
    found = list(refitted(plan, rows, rows, places, KEY, STOP, READ, whole))
    for i, (basis, codes) in enumerate(found):
        data = {"target": Rows(rows.x[places.target[i]]),
                "background": Rows(rows.x[places.background[i]])}  # fmt: skip
        (one,) = InMemory(data, None, None).fits(plan, KEY[None], STOP)
        np.testing.assert_allclose(basis, one.blocks["basis"], rtol=2e-2, atol=1e-4)
        same = bj.transform(plan.reading, {"basis": basis}, {"target": every[places.read[i]]},
                            stop=READ)  # fmt: skip
        np.testing.assert_allclose(codes, same, rtol=1e-3, atol=1e-3)
