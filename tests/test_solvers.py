"""Coordinate descent, the choice of a solver, and what online passes remember."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.decomposition import NMF as SklearnNMF

import bcnmf_jax as bj
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.costs import costs
from bcnmf_jax.model.gradients import basis_gradient
from bcnmf_jax.model.terms import Term
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.streaming.parts import DataSets
from bcnmf_jax.streaming.sample import fitted, sample
from tests import tables
from tests.contracts import same

KEY = jax.random.key(0)


@pytest.fixture
def matrix():
    rng = np.random.default_rng(0)
    return rng.gamma(0.5, 1, (60, 4)) @ rng.gamma(0.5, 1, (4, 30)) + 0.1 * rng.random((60, 30))


def cost(made, data, blocks, solver, steps):
    f = bj.fit(made, data, blocks, solver=solver, stop=bj.Stop(tol=0.0, max_steps=steps, every=1))
    return np.asarray(f.trace["cost"])[:steps]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_coordinate_descent_ends_where_that_of_scikit_learn_does(x64, matrix):
    made, data = bj.NMF(), {"target": matrix}
    start = bj.init(made, data, 4, KEY)
    peer = SklearnNMF(4, init="custom", solver="cd", tol=0, max_iter=2000)
    codes = peer.fit_transform(matrix, W=np.array(start["target"]), H=np.array(start["basis"]))
    theirs = 0.5 * np.sum((matrix - codes @ peer.components_) ** 2)
    ours = cost(made, data, start, bj.HALS(), 2000)[-1]
    assert abs(ours - theirs) < 0.02 * theirs


def test_without_running_ahead_no_sweep_raises_the_cost(x64, matrix):
    made, data = bj.NMF(), {"target": matrix}
    spent = cost(made, data, bj.init(made, data, 4, KEY), bj.HALS(extrapolation=0.0), 50)
    assert (np.diff(spent) <= 1e-12 * spent[0]).all()


@pytest.mark.parametrize("name", ["nmf", "background first", "shared + target"])
def test_the_default_is_faster_than_plain_updates(x64, name):
    row = tables.OBJECTIVES[name]
    made, data = row.make(0.2, bj.Frobenius()), row.data(np.random.default_rng(3))
    start = bj.init(made, data, 3, KEY)
    values = {
        steps: float(bj.reduced_objective(made, data, bj.fit(made, data, start, solver=solver,
                     stop=bj.Stop(tol=0.0, max_steps=steps)).blocks))
        for steps, solver in ((30, None), (90, bj.MU()))
    }  # fmt: skip
    assert values[30] <= 1.001 * values[90]


@pytest.mark.parametrize(
    ("name", "loss", "solver"),
    [
        ("nmf", "frobenius", bj.HALS()),
        ("background first", "frobenius", bj.HALS()),
        ("shared + target", "frobenius", bj.HALS()),
        ("contrastive", "frobenius", bj.MU(inner_steps=5, extrapolation=0.9999)),
        ("multimodal", "frobenius", bj.MU(inner_steps=5, extrapolation=0.9999)),
        ("combined", "frobenius", bj.MU(inner_steps=5, extrapolation=0.9999)),
        ("nmf", "kl", bj.MU(extrapolation=0.9999)),
    ],
)
def test_which_solver_is_taken(name, loss, solver):
    row = tables.OBJECTIVES[name]
    data = bj.prepare(row.data(np.random.default_rng(0)))
    assert default_solver(row.make(0.5, tables.LOSSES[loss]), data) == solver


def test_a_mask_needs_reconstructions(matrix):
    mask = {"target": np.random.default_rng(0).random(matrix.shape) > 0.1}
    made, data = bj.NMF(), {"target": matrix.astype("float32")}
    assert default_solver(made, bj.prepare(data, mask=mask)) == bj.MU(extrapolation=0.9999)
    start = bj.init(made, data, 2, KEY, mask=mask)
    with pytest.raises(TypeError, match="mask"):
        bj.fit(made, data, start, solver=bj.HALS(), mask=mask)


def test_codes_are_least_squares(x64, matrix):
    basis = np.random.default_rng(1).gamma(0.5, 1, (5, 30))
    codes = bj.transform(bj.NMF(), {"basis": basis}, {"target": matrix}, stop=bj.Stop(1e-12, 500))
    want = np.array([nnls(basis.T, row)[0] for row in matrix])
    np.testing.assert_allclose(codes, want, atol=1e-6 * want.max())


@pytest.mark.parametrize("pays", [1.0, -0.7])
@pytest.mark.parametrize("loss", tables.LOSSES.values(), ids=tables.LOSSES.keys())
def test_what_is_remembered_holds_at_the_basis_it_was_taken_at(x64, loss, pays):
    rng = np.random.default_rng(0)
    x, h, w = (jnp.asarray(rng.gamma(1, 1, s) + 0.1) for s in ((20, 9), (20, 3), (3, 9)))
    term, d = Term(Rows(x), ("target",), loss, pays), jnp.array([0.5, 2.0, 3.0])
    rows = term.rows
    kept = term.to_memory(term.statistics(rows, h, w), w)
    same(term.from_memory(kept, w), term.statistics(rows, h, w), 1e-12)
    moved = term.from_memory(term.rescale(kept, d), w / d[:, None])
    same(moved, term.statistics(rows, h * d[None], w / d[:, None]), 1e-12)


def counts(rng, n, basis):
    return rng.poisson(3 * rng.gamma(0.5, 1, (n, len(basis))) @ basis) + 1.0


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
def test_a_long_memory_does_not_overshoot(loss):
    """Gradients that are remembered as they are, and used again at other bases, diverge."""
    rng = np.random.default_rng(1)
    basis = rng.gamma(0.2, 1, (4, 40))
    data = {"target": counts(rng, 1600, basis), "background": counts(rng, 800, basis)}
    made = bj.Contrastive(0.5, loss)
    start = bj.init(made, data, 4, KEY)
    options = dict(mode="online", decay=0.95, updates_per_epoch=32, start_rows=0, chunk_rows=50)
    f = bj.stream(made, data, rank=4, key=KEY, stop=bj.Stop(0.0, 30), **options)
    assert bj.result_name(f.result) == "max_steps"
    value = lambda b: float(bj.reduced_objective(made, data, b, stop=bj.Stop(1e-5, 50)))  # noqa: E731
    best = value(bj.fit(made, data, start, stop=bj.Stop(tol=0.0, max_steps=300)).blocks)
    assert value(f.blocks) - best < 0.1 * (value(start) - best)


def test_a_sample_comes_from_all_over_the_data(x64):
    x = np.arange(1.0, 3201.0)[:, None] * np.ones((1, 3))
    y = -x[:1000] + 4000
    sets = DataSets(bj.Contrastive(), bj.streaming.summarize({"target": x, "background": y}), 256)
    found = {k: np.asarray(r.x[:, 0]) for k, r in sample(sets, 420, [1, 2]).items()}
    assert len(found["target"]) == 320 and len(found["background"]) in (96, 104, 128)
    for rows, whole in ((found["target"], x[:, 0]), (found["background"], y[:, 0])):
        assert len(set(rows)) == len(rows) and np.isin(rows, whole).all()
        assert np.ptp(rows) > 0.4 * np.ptp(whole)
    every = sample(sets, 10_000, [1, 2])
    same({k: r.x for k, r in every.items()}, {"target": x, "background": y}, 0)


def online_problem(rng):
    basis = rng.gamma(0.2, 1, (4, 40))
    data = {"target": counts(rng, 4000, basis), "background": counts(rng, 2000, basis)}
    made = bj.Contrastive(0.3, bj.KL())
    value = lambda b: float(bj.reduced_objective(made, data, b, stop=bj.Stop(1e-5, 50)))  # noqa: E731
    return made, data, value


def test_online_passes_improve_on_the_fit_of_their_sample():
    made, data, value = online_problem(np.random.default_rng(2))
    start = bj.init(made, data, 4, KEY)
    best = value(bj.fit(made, data, start, stop=bj.Stop(tol=0.0, max_steps=500)).blocks)
    sets = DataSets(made, bj.streaming.summarize(data), 100)
    sampled = value({"basis": fitted(made, sets, start["basis"], 300, [0, 0])})
    f = bj.stream(made, data, rank=4, key=KEY, stop=bj.Stop(0.0, 3), mode="online",
                  chunk_rows=100, start_rows=300)  # fmt: skip
    assert sampled - best < 0.5 * (value(start) - best)
    assert value(f.blocks) - best < 0.5 * (sampled - best)


def test_features_that_the_sample_lacks_are_not_lost():
    made, data = bj.NMF(bj.KL()), {"target": online_problem(np.random.default_rng(2))[1]["target"]}
    sets = DataSets(made, bj.streaming.summarize(data), 100)
    drawn = bj.init(made, data, 4, KEY)["basis"]
    data["target"][:, 7] = 0  # what the sample reads; one update takes the feature to 0
    assert (np.asarray(fitted(made, sets, drawn, 300, [0, 0]))[:, 7] > 0).all()


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_background_that_is_seldom_visited(decay):
    made, data, _ = online_problem(np.random.default_rng(2))
    data["background"] = data["background"][:60]
    f = bj.stream(made, data, rank=3, key=KEY, stop=bj.Stop(0.0, 2), mode="online",
                  chunk_rows=20, updates_per_epoch=200, start_rows=0, decay=decay)  # fmt: skip
    assert bj.result_name(f.result) == "max_steps"


@pytest.mark.parametrize("alpha", [0.2, 10.0])
@pytest.mark.parametrize("name", ["contrastive", "shared + target", "background first"])
def test_a_basis_step_never_raises_the_cost_at_frozen_codes(x64, name, alpha):
    row = tables.OBJECTIVES[name]
    made, data = row.make(alpha, bj.Frobenius()), bj.prepare(row.data(np.random.default_rng(4)))
    blocks = bj.init(made, data, 3, KEY)
    for _ in range(5):
        blocks, terms, stats = bj.HALS().codes(made, data, blocks)
        splits = basis_gradient(made, terms, stats, blocks["basis"])
        moved = bj.HALS().move_basis(made, terms, stats, splits, blocks["basis"])
        before, after = (
            float(costs(made, data, {**blocks, "basis": w})["basis"])
            for w in (blocks["basis"], moved)
        )
        assert after <= before + 1e-9 * abs(before)
        blocks = {**blocks, "basis": moved}
