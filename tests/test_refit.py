"""Refits side by side are the fits that a plan makes of the same rows one by one."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference import _refit
from bcnmf_jax.inference.restarts import InMemory
from bcnmf_jax.objectives import SharedTarget

KEY, STOP, READ = jax.random.key(3), bj.Stop(1e-3, 20), bj.Stop(1e-4, 30)
PLANS = {
    "balanced": Plan("balanced", 1.5, 2, 2, bj.Frobenius()),
    "balanced, KL": Plan("balanced", 1.5, 2, 2, bj.KL()),
    "sequential": Plan("sequential", 0.0, 2, 2, bj.Frobenius()),
    "sequential, each by itself": Plan("sequential", 0.0, 2, 2, bj.Frobenius(), together=False),
    "sequential against a contrast": Plan("sequential", 0.5, 2, 2, bj.Frobenius()),
    "background first": Plan("background_first", 0.0, 2, 2, bj.Frobenius()),
    "contrastive": Plan("contrastive", 0.8, 2, 2, bj.Frobenius()),
    "contrastive, KL": Plan("contrastive", 0.8, 2, 2, bj.KL()),
    "shared and target": Plan("shared_target", 0.5, 2, 2, bj.Frobenius()),
    "a solver": Plan("contrastive", 0.8, 2, 2, bj.Frobenius(), solver=bj.MU(inner_steps=2)),
    "an object": Plan(SharedTarget(shared_rank=2, alpha=0.5), 0.5, 2, 2, bj.Frobenius()),
}
FAST = ("balanced", "an object")


def whole(codes, rows):
    return codes


CASES = [(name, False) for name in PLANS] + [("contrastive", True), ("an object", True)]


@pytest.mark.parametrize(
    ("name", "masked"),
    [pytest.param(*c, marks=[] if c[0] in FAST else pytest.mark.slow) for c in CASES],
)
def test_refits_are_the_fits_of_the_same_rows(name, masked, monkeypatch):
    """Five of them in batches of two, the last of which is filled up."""
    monkeypatch.setattr(_refit, "default_size", lambda *_: 2)
    plan, rng = PLANS[name], np.random.default_rng(0)
    every = rng.gamma(2, 1, (48, 14)).astype("float32")
    every[:24, :5] += rng.gamma(1, 1, (24, 1)).astype("float32")
    mask = {"target": (rng.random(every.shape) > 0.1).astype("float32")} if masked else None
    rows = prepare({"target": every}, mask=mask)["target"]
    drawn = np.stack([rng.permutation(24) for _ in range(5)]).astype("int32")
    places = _refit.Places(drawn[:, :9], drawn[:, 9:19], drawn[:, 19:])
    found = list(_refit.refitted(plan, rows, rows, places, 2, KEY, STOP, READ, whole))
    assert len(found) == 5
    for i, (basis, codes) in enumerate(found):
        target, background, read = (_rows(rows, at[i]) for at in places)
        sets = InMemory({"target": target, "background": background}, None, None)
        (one,) = sets.fits(plan, KEY[None], STOP)
        np.testing.assert_allclose(basis, one.blocks["basis"], rtol=2e-2, atol=1e-4)
        same = bj.transform(plan.reading, {"basis": basis}, {"target": read}, stop=READ)
        np.testing.assert_allclose(codes, same, rtol=1e-3, atol=1e-3)


def _rows(rows, at):
    """The two rows of each sample."""
    index = (2 * at[:, None] + np.arange(2)).ravel()
    return jax.tree.map(lambda a: a[index], rows)
