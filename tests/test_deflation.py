"""Target components in turn: they stay when more are asked for, and take no shared structure."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
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
