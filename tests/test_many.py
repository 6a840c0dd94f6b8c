"""Fits that say how far they are: the same fits, by the same programs."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.fitting import many
from bcnmf_jax.fitting.many import fit_restarts

STOP = bj.Stop(tol=0.0, max_steps=95)
ONE = jax.random.key(0)[None]


@pytest.fixture
def eager(monkeypatch):
    """As where every look takes long: each is a segment of its own."""
    monkeypatch.setattr(many, "SECONDS", 0.0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    draw = lambda n: rng.gamma(1, 1, (n, 3)) @ rng.gamma(0.3, 1, (3, 25)) + 0.01  # noqa: E731
    return bj.prepare({"target": draw(40), "background": draw(30)})


def same(one, other):
    for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "objective",
    [bj.Contrastive(0.5), bj.Contrastive(0.5, bj.KL()), bj.BackgroundFirst(2)],
    ids=["squared error", "KL", "background first"],
)
def test_fits_that_are_listened_to_are_the_same_bit_by_bit(rows, objective, eager, compilations):
    keys, heard = jax.random.split(jax.random.key(0), 3), []
    alone = fit_restarts(objective, rows, 2, keys, STOP)
    before = compilations()
    told = fit_restarts(objective, rows, 2, keys, STOP, on_progress=heard.append)
    assert compilations() == before
    same(alone, told)
    # Ten looks, of which the last is of five steps; then all are done.
    assert heard == [*(k * 10 / 95 for k in range(1, 10)), 1.0]


def test_starts_are_those_of_a_sweep(rows):
    keys, loss = jax.random.split(jax.random.key(0), 5), bj.Frobenius()
    fits = fit_restarts(bj.Contrastive(0.5, loss), rows, 2, keys, STOP)
    swept = bj.sweep(bj.Contrastive, rows, alphas=[0.5], ranks=[2], keys=keys, loss=loss, stop=STOP)
    for a, b in zip(*map(jax.tree.leaves, (fits, swept[0, 0])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_batches_share_out_the_work(rows, eager, monkeypatch):
    keys, heard, objective = jax.random.split(jax.random.key(0), 3), [], bj.Contrastive(0.5)
    together = fit_restarts(objective, rows, 2, keys, STOP)
    monkeypatch.setattr(many, "default_size", lambda *_: 2)
    apart = fit_restarts(objective, rows, 2, keys, STOP, on_progress=heard.append)
    assert heard == sorted(heard) and heard[9] == 0.5 and heard[-1] == 1 and len(heard) == 20
    for a, b in zip(*map(jax.tree.leaves, (together, apart)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_fit_that_ends_early_is_done(rows, eager):
    heard = []
    stop = bj.Stop(tol=1e-2, max_steps=10_000)
    found = fit_restarts(
        bj.Contrastive(0.5), rows, 2, jax.random.key(0)[None], stop, on_progress=heard.append
    )
    assert int(found.steps[0]) < 1000 and heard[-1] == 1 and len(heard) == found.steps[0] // 10
    none = bj.Stop(max_steps=0)
    assert (
        fit_restarts(
            bj.NMF(), rows, 2, jax.random.key(0)[None], none, on_progress=heard.append
        ).steps
        == 0
    )


def test_quick_looks_are_joined(rows, monkeypatch):
    monkeypatch.setattr(many, "SECONDS", 1e6)
    heard = []
    fit_restarts(
        bj.Contrastive(0.5), rows, 2, jax.random.key(0)[None], STOP, on_progress=heard.append
    )
    assert [round(95 * share) for share in heard] == [10, 30, 70, 95]


def test_components_in_turn_are_listened_to(rows, eager):
    heard, objective = [], bj.BackgroundFirst(2)
    args = objective, rows, 2, jax.random.key(0)
    alone = bj.fit_sequential(*args, stop=STOP)
    same(alone, bj.fit_sequential(*args, stop=STOP, on_progress=heard.append))
    assert heard == sorted(heard) and len(heard) == 3 * 10 and heard[-1] == 1
    assert int(alone.steps) == 3 * 95
