"""Target components in turn: they stay when more are asked for, and take no shared structure."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.solvers.one_row import OneRow, one_row_solver
from tests.core import unchecked


@pytest.fixture(scope="module")
def data():
    """Two programs of the target over three shared ones, of a hundred times their size."""
    rng = np.random.default_rng(0)
    shared = np.kron(np.eye(3), rng.gamma(2, 1, (1, 20)))
    own = np.concatenate([np.zeros((2, 60)), np.kron(np.eye(2), rng.gamma(2, 1, (1, 20)))], 1)
    shared = np.concatenate([shared, np.zeros((3, 40))], 1)

    def draw(n, target):
        rate = 10 * rng.gamma(1, 1, (n, 3)) @ shared
        carries = np.eye(2)[rng.integers(0, 2, n)] * rng.gamma(4, 0.25, (n, 1))
        rate += target * carries @ own
        return (rate + 0.01 * rng.random(rate.shape)).astype("float32")

    return {"target": draw(120, 1.0), "background": draw(100, 0.0)}, own


@pytest.mark.parametrize(
    "loss", [bj.Frobenius(), pytest.param(bj.KL(), marks=pytest.mark.slow)], ids=["frobenius", "kl"]
)
def test_both_programs_are_found_and_the_first_stays(data, loss):
    values, own = data
    objective = bj.BackgroundFirst(background_rank=4, loss=loss)
    two = bj.fit_sequential(objective, values, 2, jax.random.key(0))
    w = np.asarray(two.blocks["basis"][:2])
    cosines = w @ own.T / np.linalg.norm(w, axis=1)[:, None] / np.linalg.norm(own, axis=1)
    assert np.sort(cosines.max(0))[0] > 0.9 and set(cosines.argmax(0)) == {0, 1}
    # The first of two equal programs is a blend of them, and stays so without a refit.
    one = bj.fit_sequential(objective, values, 1, jax.random.key(0), refit=False)
    plain = bj.fit_sequential(objective, values, 2, jax.random.key(0), refit=False)
    np.testing.assert_allclose(
        one.blocks["basis"][0], plain.blocks["basis"][0], rtol=1e-3, atol=1e-5
    )
    assert two.diagnostics["x_explained"] > plain.diagnostics["x_explained"] - 1e-6
    assert two.diagnostics["x_explained"] > one.diagnostics["x_explained"]
    assert two.blocks["target"].shape == (120, 6) and two.steps > one.steps


def test_one_row_beside_frozen_ones_moves_as_in_coordinate_descent(data):
    x = data[0]["target"]
    rng = np.random.default_rng(1)
    basis = rng.random((5, x.shape[1])).astype("float32")
    basis /= basis.sum(1, keepdims=True)
    basis[2] = 0  # a place for a row that is not known yet
    blocks = {"basis": basis, "target": rng.random((len(x), 5)).astype("float32")}
    objective, stop = bj.BackgroundFirst(background_rank=4), bj.Stop(tol=0.0, max_steps=20)
    rows = bj.prepare({"target": x})
    assert isinstance(one_row_solver(objective, rows), OneRow)
    weighed = bj.prepare({"target": x}, weights={"target": np.arange(1.0, len(x) + 1)})
    assert not isinstance(one_row_solver(objective, weighed), OneRow)
    ends = [bj.fit(objective, rows, blocks, solver=s, stop=stop) for s in (OneRow(), bj.HALS())]
    for name in ("basis", "target"):
        one, every = (np.asarray(f.blocks[name]) for f in ends)
        np.testing.assert_allclose(one, every, rtol=2e-3, atol=1e-4 * every.max())
    np.testing.assert_array_equal(ends[0].blocks["basis"][1:], basis[1:])


def test_without_a_contrast_the_background_moves_nothing(data):
    key, stop, fits = jax.random.key(0), bj.Stop(tol=1e-6), []
    for alpha in (0.0, 1e-12):  # the second goes over both sets
        objective = bj.BackgroundFirst(background_rank=4, alpha=alpha)
        fits.append(bj.fit_sequential(objective, data[0], 2, key, stop=stop))
    assert fits[0].blocks.keys() == fits[1].blocks.keys()
    explained = [float(f.diagnostics["x_explained"]) for f in fits]
    assert abs(explained[0] - explained[1]) < 1e-5
    for name in ("target", "background"):
        one, other = (np.asarray(f.blocks[name] @ f.blocks["basis"]) for f in fits)
        assert np.linalg.norm(one - other) < 2e-3 * np.linalg.norm(other)


def test_what_is_refused():
    values = {"target": np.ones((4, 3)) + np.eye(4, 3), "background": 1 + np.eye(5, 3)}
    key, first = jax.random.key(0), bj.BackgroundFirst(background_rank=1)
    with pytest.raises(TypeError, match="a BackgroundFirst"), unchecked():
        bj.fit_sequential(bj.NMF(), values, 1, key)
    with pytest.raises(ValueError, match="starts must be"):
        bj.fit_sequential(first, values, 1, key, starts=0)
    with pytest.raises(ValueError, match="rank must be"):
        bj.fit_sequential(first, values, 0, key)
    with pytest.raises(ValueError, match="background"):
        bj.fit_sequential(first, {"target": values["target"]}, 1, key)
