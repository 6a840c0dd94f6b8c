"""Every driver takes what `fit` takes: weights, masks, several backgrounds, modalities, a mesh.

Each driver is compared with `fit` from the same start, or refuses with an error that says so.
"""

from contextlib import nullcontext
from functools import cache

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.objectives import Multimodal
from tests.core import unchecked

KEY, RANK, STOP = jax.random.key(3), 2, bj.Stop(tol=0.0, max_steps=6)
G = 10


def drawn(n, g=G, seed=0):
    rng = np.random.default_rng([seed, n])
    return rng.gamma(0.5, 1, (n, 3)) @ rng.gamma(0.5, 1, (3, g)) + rng.gamma(1, 0.1, (n, g))


def holes(x):
    return (np.random.default_rng(x.size).random(x.shape) > 0.1).astype(float)


TWO = {"target": drawn(24), "background": drawn(18)}
SEVERAL = {"target": drawn(24), "background": [drawn(18), drawn(12)]}
PARTS = {k: {"a": drawn(n), "b": drawn(n, 6)} for k, n in (("target", 24), ("background", 18))}
#: What is fitted: data, and the keywords of `fit`.
CASES = {
    "plain": (TWO, {}),
    "weights": (TWO, {"weights": {k: 0.5 + np.arange(len(x)) % 3 for k, x in TWO.items()}}),
    "mask": (TWO, {"mask": {k: holes(x) for k, x in TWO.items()}}),
    "several backgrounds": (SEVERAL, {}),
    "modalities": (PARTS, {}),
}


def make(case, alpha=0.5):
    """The contrast, or the same of several modalities."""
    if case == "modalities":
        return Multimodal(alpha=alpha)
    return bj.Contrastive([alpha, alpha] if case == "several backgrounds" else alpha)


@cache
def alone(case):
    """A fit in memory, for all drivers that it is compared with."""
    data, given = CASES[case]
    start = bj.init(make(case), data, RANK, KEY, **given)
    return bj.fit(make(case), data, start, stop=STOP, **given).blocks


def spread(case):
    data, given = CASES[case]
    mesh = bj.fitting.row_mesh()
    start = bj.init(make(case), data, RANK, KEY, mesh=mesh, **given)
    return bj.fit(make(case), data, start, stop=STOP, mesh=mesh, **given).blocks


def swept(case, **more):
    data, given = CASES[case]
    objective = Multimodal if case == "modalities" else bj.Contrastive
    alphas = [[0.5, 0.5]] if case == "several backgrounds" else [0.5]
    found = bj.sweep(
        objective, data, alphas=alphas, ranks=[RANK], keys=[KEY], stop=STOP, **given, **more
    )
    return jax.tree.map(lambda a: a[0, 0, 0], found.blocks)


def swept_over_a_mesh(case):
    return swept(case, mesh=bj.fitting.row_mesh())


def known(case):
    """The data of a case read once, with their weights: what a stream takes."""
    data, given = CASES[case]
    return bj.streaming.summarize(data, given.get("weights"), chunk_rows=8)


def streamed(case, **more):
    if case == "mask":
        data = {**TWO, "target": np.where(CASES[case][1]["mask"]["target"], TWO["target"], np.nan)}
        bj.stream(make(case), data, rank=RANK, key=KEY)
    more = {"stop": STOP} | more
    return bj.stream(make(case), known(case), rank=RANK, key=KEY, chunk_rows=8, **more).blocks


def in_turn(case):
    """Components in turn, as arrays in memory and by passes; the same up to rounding."""
    data, given = CASES[case]
    objective = make(case) if case == "modalities" else bj.BackgroundFirst(2)
    stop = bj.Stop(1e-6, 200)
    whole = bj.fit_sequential(objective, data, RANK, KEY, stop=stop, **given)
    passes = None
    if case != "mask":
        passes = bj.streaming.fit_sequential(
            objective, known(case), RANK, KEY, stop=stop, chunk_rows=8
        ).blocks["basis"]
    return whole.blocks["basis"], passes


@cache
def estimated(case):
    """Components of the estimator."""
    data, given = CASES[case]
    x, y = data["target"], data["background"]
    if case == "mask":
        x, y = (np.where(given["mask"][k], data[k], np.nan) for k in ("target", "background"))
    fields = {"missing": "mask"} if case == "mask" else {}
    model = bj.BCNMF(
        RANK, alpha=0.5, objective="contrastive", n_restarts=1, max_iter=6, tol=0.0, random_state=0,
        **fields,
    )  # fmt: skip
    weights = {"sample_weight": given["weights"]["target"]} if case == "weights" else {}
    return model.fit(x, background=y, **weights).components_


#: Drivers that give what `fit` gives from the same start.
EQUAL = {
    "fit over a mesh": spread,
    "sweep": swept,
    "sweep over a mesh": swept_over_a_mesh,
    "stream": streamed,
}
REFUSED = {
    ("mask", "stream"): "mark missing values of data in memory with mask=",
    ("modalities", "in turn"): "objective must be a BackgroundFirst, found Multimodal",
    ("modalities", "estimator"): "several modalities are fitted by bcnmf_jax.tl.multimodal",
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def refused(case, name):
    """A context that expects the error of a crossing that is impossible, or none."""
    said = REFUSED.get((case, name))
    return pytest.raises((TypeError, ValueError), match=said) if said else nullcontext()


def same(one, two, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", EQUAL)
def test_a_driver_gives_what_fit_gives(x64, case, name):
    with refused(case, name):
        same(EQUAL[name](case), alone(case))


@pytest.mark.parametrize("case", CASES)
def test_components_in_turn(x64, case):
    with refused(case, "in turn"), unchecked() if case == "modalities" else nullcontext():
        whole, passes = in_turn(case)
        assert np.isfinite(whole).all() and len(whole) == RANK + 2
        if passes is not None:
            same(whole, passes, 1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case != "mask"])
def test_online_passes_go_most_of_the_way(x64, case):
    data, given = CASES[case]
    made, weights = make(case, 0.25), given.get("weights")
    start = bj.init(made, data, RANK, KEY, **given)
    exact = bj.fit(made, data, start, stop=bj.Stop(1e-5, 300), **given).blocks
    found = bj.stream(
        made, known(case), rank=RANK, key=KEY, stop=bj.Stop(1e-4, 60), chunk_rows=8, mode="online"
    ).blocks
    first, best, here = (
        float(bj.reduced_objective(made, data, blocks, weights=weights))
        for blocks in (start, exact, found)
    )
    assert here - best < 0.02 * (first - best)


@pytest.mark.parametrize("case", CASES)
def test_resamples(x64, case):
    data, given = CASES[case]
    start = bj.init(make(case), data, RANK, KEY, **given)
    fit = bj.fit(make(case), data, start, stop=bj.Stop(1e-4, 200), **given)
    found = bj.inference.bootstrap(make(case), data, fit, n_resamples=20, **given)
    assert found.match.min() > 0.6
    for loadings, intervals in zip(
        jax.tree.leaves(found.loadings), jax.tree.leaves(found.intervals), strict=True
    ):
        assert np.isfinite(intervals).all() and len(loadings) == RANK
        # Most loadings lie within their intervals, which are around them.
        inside = (loadings >= intervals[..., 0] - 1e-9) & (loadings <= intervals[..., 1] + 1e-9)
        assert inside.mean() > 0.6


@pytest.mark.parametrize("case", CASES)
def test_the_estimator(x64, case):
    with refused(case, "estimator"):
        found = estimated(case)
        assert np.isfinite(found).all()
        assert case == "plain" or np.abs(found - estimated("plain")).max() > 1e-3


def hidden(case, value):
    """The data of a case with other values where the mask or the weights are 0."""
    data, given = CASES[case]
    if case == "mask":
        changed = {k: np.where(given["mask"][k], x, value) for k, x in data.items()}
        return changed, given
    weights = {k: (np.arange(len(x)) % 4 > 0).astype(float) for k, x in data.items()}
    changed = {k: np.where(weights[k][:, None], x, value) for k, x in data.items()}
    return changed, {"weights": weights}


def fitted_in_turn(data, given):
    found = bj.fit_sequential(
        bj.BackgroundFirst(2), data, RANK, KEY, stop=bj.Stop(1e-4, 60), **given
    )
    return found.blocks["basis"]


def resampled(data, given):
    fit = bj.fit(make("plain"), data, bj.init(make("plain"), data, RANK, KEY, **given), **given)
    found = bj.inference.bootstrap(make("plain"), data, fit, n_resamples=20, stop=STOP, **given)
    return found.intervals


def best_of_a_sweep(data, given):
    keys, axes = [KEY, jax.random.key(1)], {"alphas": [0.0, 0.5], "ranks": [1, 2]}
    return bj.sweep(bj.Contrastive, data, keys=keys, stop=STOP, **axes, **given).blocks["basis"]


@pytest.mark.parametrize("case", ["weights", "mask"])
@pytest.mark.parametrize("driver", [fitted_in_turn, resampled, best_of_a_sweep])
def test_what_has_no_weight_has_no_effect(x64, case, driver):
    one, two = (driver(*hidden(case, value)) for value in (0.3, 7.0))
    # Codes of rows without weight have a say in when codes are settled.
    same(one, two, 1e-7 if driver is fitted_in_turn else 1e-9)
