"""Fits explain what the published updates explain, by every solver, and do not stop before that."""

import jax
import numpy as np
import optax
import pytest

import bcnmf_jax as bj
from tests.known_good import ALPHA, KNOWN, RANK, SHARED, best_area, data, explained

LOSSES = {"frobenius": bj.Frobenius(), "kl": bj.KL()}
KEYS = jax.random.split(jax.random.key(0), 5)
SLACK = {"frobenius": 0.0025, "kl": 0.01}
"""Difference between optima of several starts, and what a tolerance of 2e-3 leaves."""
SOLVERS = {
    "default": None,
    "mu": bj.MU(),
    "mu ahead": bj.MU(inner_steps=5, extrapolation=0.9999),
    "hals": bj.HALS(),
    "variable projection": bj.VarPro(),
    "adam": bj.Optax(optax.adam(1e-1), "softplus"),
}


def nmf(alpha, loss):
    return bj.NMF(loss)


MAKE = {
    "nmf": (nmf, RANK + SHARED, {}),
    "contrastive": (bj.Contrastive, RANK + SHARED, {}),
    "background first": (bj.BackgroundFirst, RANK, {"background_rank": SHARED}),
    "shared + target": (bj.SharedTarget, RANK, {"shared_rank": SHARED}),
}
QUICK = {
    ("background first", "frobenius"): {"default", "mu", "adam"},
    ("background first", "kl"): {"mu"},
    ("nmf", "frobenius"): {"default", "mu", "variable projection"},
    ("contrastive", "frobenius"): {"default"},
    ("shared + target", "kl"): {"default"},
}
"""Rows that find what has failed before; the others are slow."""
ROWS = [
    pytest.param(
        name, loss, solver, marks=[pytest.mark.slow] * (solver not in QUICK.get((name, loss), ()))
    )
    for name, loss in KNOWN
    for solver in SOLVERS
    if (loss, solver) != ("kl", "hals")
]


@pytest.mark.parametrize(("name", "loss", "solver"), ROWS)
def test_what_is_explained(name, loss, solver):
    x, y, labels = data()
    make, rank, extra = MAKE[name]
    found = bj.sweep(
        make,
        {"target": x, "background": y},
        alphas=[ALPHA if name == "contrastive" else 0.0],
        ranks=[rank],
        keys=KEYS,
        loss=LOSSES[loss],
        solver=SOLVERS[solver],
        stop=bj.Stop(tol=2e-3, max_steps=1000),
        **extra,
    )[0, 0]
    share, area = KNOWN[name, loss]
    codes, basis = np.asarray(found.blocks["target"]), np.asarray(found.blocks["basis"])
    shares = [explained(loss, x, h.astype(float), w) for h, w in zip(codes, basis, strict=True)]
    np.testing.assert_allclose(found.diagnostics["x_explained"], shares, atol=1e-4)
    assert np.median(shares) > share - SLACK[loss], bj.result_name(found.result)
    if extra:
        areas = [best_area(h[:, :RANK], labels) for h in codes]
        assert np.median(areas) > area - 0.03
