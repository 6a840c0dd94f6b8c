"""Fits explain what the published updates explain, by every solver, and do not stop before that."""

import jax
import numpy as np
import optax
import pytest

import bcnmf_jax as bj
from tests.known_good import (
    ALPHA,
    DISPERSION,
    KNOWN,
    RANK,
    SHARED,
    best_area,
    data,
    explained,
)

LOSSES = {
    "frobenius": bj.Frobenius(),
    "kl": bj.KL(),
    "beta 1.5": bj.Beta(1.5),
    "negative binomial": bj.NegativeBinomial(DISPERSION),
}
KEYS = jax.random.split(jax.random.key(0), 5)
SLACK = {"frobenius": 0.0025}
"""Difference between optima of several starts, and what the tolerance leaves; else .01."""
SLOWER = {("kl", "mu"): 0.015, ("negative binomial", "adam"): 0.025}
"""The same for solvers that change little in ten steps, far from where they end."""
STOP = bj.Stop(tol=5e-4, max_steps=1500)
SOLVERS = {
    "default": None,
    "mu": bj.MU(),
    "mu ahead": bj.MU(inner_steps=5, extrapolation=0.9999),
    "hals": bj.HALS(),
    "variable projection": bj.solvers.VarPro(),
    "adam": bj.solvers.Optax(optax.adam(1e-1), "softplus"),
}


def nmf(alpha, loss):
    return bj.NMF(loss)


def combined(alpha, loss):
    return bj.objectives.CombinedBasis(0.0, loss)


MAKE = {
    "nmf": (nmf, RANK + SHARED, {}),
    "combined": (combined, RANK + SHARED, {}),
    "contrastive": (bj.Contrastive, RANK + SHARED, {}),
    "background first": (bj.BackgroundFirst, RANK, {"background_rank": SHARED}),
    "shared + target": (bj.objectives.SharedTarget, RANK, {"shared_rank": SHARED}),
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
    if (solver, loss) != ("hals", loss) or (loss == "frobenius" and name != "combined")
    if solver != "variable projection" or loss in ("frobenius", "kl")
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
        stop=STOP,
        **extra,
    )[0, 0]
    share, area = KNOWN[name, loss]
    codes, basis = np.asarray(found.blocks["target"]), found.blocks["basis"]
    basis = np.asarray(basis if name != "combined" else basis["shared"] + basis["target"])
    shares = [explained(loss, x, h.astype(float), w) for h, w in zip(codes, basis, strict=True)]
    np.testing.assert_allclose(found.diagnostics["x_explained"], shares, atol=1e-4)
    assert np.median(shares) > share - SLOWER.get((loss, solver), SLACK.get(loss, 0.01)), (
        bj.result_name(found.result)
    )
    if area:
        areas = [best_area(h[:, :RANK], labels) for h in codes]
        assert np.median(areas) > area - 0.03


def reaches(name, explains, codes):
    """Whether a fit under squared error is as good as `KNOWN` says."""
    share, area = KNOWN[name, "frobenius"]
    assert explains > share - SLACK["frobenius"]
    assert area is None or best_area(codes[:, :RANK], data()[2]) > area - 0.03


def test_other_ways_to_the_same_fit():
    x, y, _ = data()
    both = {"target": x, "background": y}
    objective = bj.BackgroundFirst(SHARED)
    for found in (
        bj.fit_sequential(objective, both, RANK, KEYS[0], stop=STOP),
        bj.stream(objective, both, rank=RANK, key=KEYS[0], stop=STOP, solver=bj.MU()),
    ):
        codes = np.asarray(found.blocks["target"])
        reaches("background first", found.diagnostics["x_explained"], codes)
    halves = {k: {"left": a[:, :128], "right": a[:, 128:]} for k, a in both.items()}
    many = bj.objectives.Multimodal(ALPHA)  # of one loss, modalities side by side are one matrix
    found = bj.fit(many, halves, bj.init(many, halves, RANK + SHARED, KEYS[0]), stop=STOP)
    reaches("contrastive", found.diagnostics["x_explained"], found.blocks["target"])


@pytest.mark.parametrize("objective", ["background_first", "sequential", "shared_target"])
def test_the_estimator(objective):
    x, y, _ = data()
    model = bj.BCNMF(
        RANK, objective=objective, alpha=0.0, n_background_components=SHARED, n_restarts=2,
        tol=5e-4, max_iter=1500, random_state=0,
    )  # fmt: skip
    codes = model.fit_transform(x.astype("float32"), background=y.astype("float32"))
    assert model.result_ == "converged"
    name = "shared + target" if objective == "shared_target" else "background first"
    reaches(name, model.diagnostics_["x_explained"], codes)
