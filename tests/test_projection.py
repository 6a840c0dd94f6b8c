"""Variable projection: exact codes, descent on the reduced objective, and where it ends."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, nnls

import bcnmf_jax as bj
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.solvers._exact_codes import settle
from bcnmf_jax.solvers._quasi_newton import Memory
from tests import tables

KEY = jax.random.key(0)
LOSSES = {k: tables.LOSSES[k] for k in ("frobenius", "kl")}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def programs(rng, n, m, shared=3, own=2, features=30):
    """Counts of shared programs in both sets, and of the target's own."""
    basis = rng.gamma(0.3, 1, (shared + own, features)) + 0.02
    usage = [rng.gamma(0.5, 1, (k, shared + own)) for k in (n, m)]
    usage[1][:, shared:] = 0
    x, y = (rng.poisson(8 * h @ basis).astype(float) for h in usage)
    return {"target": x, "background": y}


OBJECTIVES = {
    "contrast, squared error": lambda alpha: bj.Contrastive(alpha),
    "background first, KL": lambda alpha: bj.BackgroundFirst(2, alpha, bj.KL()),
    "shared + target, KL": lambda alpha: bj.objectives.SharedTarget(2, alpha, bj.KL()),
}
each_objective = pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES.keys())


@each_loss
@pytest.mark.parametrize("masked", [False, True])
def test_codes_are_optimal_and_the_gap_bounds_what_is_missing(x64, loss, masked):
    rng = np.random.default_rng(0)
    x, w = rng.poisson(2.0, (12, 9)).astype(float), rng.gamma(0.5, 1, (4, 9)) + 0.01
    w[3] = w[2] + 0.05 * w[3]  # nearly the same component
    v = (rng.random(x.shape) > 0.2).astype(float) if masked else np.ones_like(x)
    made, rows = bj.NMF(loss), Rows(jnp.asarray(x * v), jnp.asarray(v) if masked else None)
    group = made.terms({"target": rows})

    def misfit(h, i):
        mu = loss.mean(jnp.asarray(h), jnp.asarray(w))
        return float(jnp.sum(v[i] * loss.deviance(jnp.asarray(x[i]), mu)))

    def best(i):
        if isinstance(loss, bj.Frobenius):
            return misfit(nnls((w * v[i]).T, x[i] * v[i])[0], i)
        found = [minimize(misfit, np.full(4, s), (i,), bounds=[(1e-9, None)] * 4, tol=1e-12)
                 for s in (0.1, 1.0)]  # fmt: skip
        return min(f.fun for f in found)

    least = np.array([best(i) for i in range(len(x))])
    start, short = jnp.full((12, 4), 0.7), []
    for budget in (jnp.inf, 1e-2, 1e-12):
        codes, _, gap, _ = settle(made, group, [rows], start, jnp.asarray(w), jnp.asarray(budget))
        missing = np.array([misfit(codes[i], i) for i in range(len(x))]) - least
        assert (np.asarray(codes) >= 0).all() and (missing <= gap + 1e-6).all()
        assert np.mean(gap) <= budget + 1e-9 * x.sum()
        short.append(float(np.mean(gap)))
    assert short[0] >= short[2] and missing.max() < 1e-6


def test_the_direction_knows_the_last_move(x64):
    rng = np.random.default_rng(0)
    moves, bends = rng.normal(size=(2, 3, 6))
    bends += 3 * moves  # so that the function bends upwards along each
    memory = Memory.empty(3, jnp.zeros(6))
    for move, bend in zip(moves, bends, strict=True):
        memory = memory.add(jnp.asarray(move), jnp.asarray(bend))
    every, metric = jnp.ones(6, bool), jnp.asarray(rng.gamma(1, 1, 6))
    way, learnt = memory.direction(memory.bends[0], metric, every)
    assert bool(learnt)
    np.testing.assert_allclose(way, -memory.moves[0], rtol=1e-9)
    unit = jnp.asarray(rng.gamma(1, 1, 6) + 0.1)
    slope = jnp.asarray(rng.normal(size=6))
    plain = memory.direction(slope, metric, every)[0]
    scaled = memory.rescaled(unit).direction(slope * unit, metric / unit**2, every)[0]
    np.testing.assert_allclose(scaled * unit, plain, rtol=1e-9)


def test_what_bends_downwards_is_not_learnt_from():
    move, slope = jnp.asarray([1.0, 0.5]), jnp.asarray([0.3, -1.0])
    memory = Memory.empty(2, move).add(move, -move)
    way, learnt = memory.direction(slope, jnp.asarray([2.0, 1.0]), jnp.ones(2, bool))
    assert not bool(learnt)
    np.testing.assert_allclose(way, [-0.6, 1.0])


@each_objective
@pytest.mark.parametrize("alpha", [0.3, 1.4])
def test_every_step_lowers_the_value(x64, make, alpha):
    data = bj.prepare(programs(np.random.default_rng(1), 50, 40))
    made, solver = make(jnp.asarray(alpha)), bj.solvers.VarPro()
    blocks = bj.init(made, data, 3, KEY)
    state, passed = solver.init(made, data, blocks), []
    step = eqx.filter_jit(solver.step)
    for _ in range(40):
        before = state.reduced
        basis, (blocks, state) = blocks["basis"], step(made, data, blocks, state)
        if bool(jnp.allclose(blocks["basis"], basis, rtol=0, atol=1e-14)):
            continue  # better codes for the same basis
        fall = float(before.value - state.reduced.value)
        passed.append(fall)
        hidden = float(before.error + state.reduced.error)
        assert hidden <= 0.1 * fall + 4 * float(before.rounding + state.reduced.rounding)
    assert len(passed) > 20


STEPS = range(0, 30, 3)


def test_the_value_is_that_of_the_game(x64):
    data = bj.prepare(programs(np.random.default_rng(1), 50, 40))
    made, stop = bj.Contrastive(1.4), bj.Stop(1e-12, 3000)
    start = bj.init(made, data, 3, KEY)
    fits = [
        bj.fit(made, data, start, solver=bj.solvers.VarPro(), stop=bj.Stop(0.0, n)) for n in STEPS
    ]
    values = np.array([float(bj.reduced_objective(made, data, f.blocks, stop=stop)) for f in fits])
    assert (np.diff(values) <= 1e-9 * abs(values[0])).all() and values[-1] < values[0]
    ends = [float(bj.fitting.block_costs(made, data, f.blocks)["basis"]) for f in fits[-3:]]
    np.testing.assert_allclose(ends, values[-3:], rtol=1e-9)
