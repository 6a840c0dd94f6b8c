"""`BCNMF` with parameters on "auto"."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import bcnmf_jax as bj

AUTO = {"n_components": "auto", "alpha": "auto", "objective": "auto"}


@pytest.fixture(scope="module")
def sets():
    """Counts of two programs of the target over three shared ones."""
    rng = np.random.default_rng(0)
    shared = np.concatenate([np.kron(np.eye(3), np.ones((1, 15))), np.zeros((3, 20))], 1)
    own = np.concatenate([np.zeros((2, 45)), np.kron(np.eye(2), np.ones((1, 10)))], 1)

    def draw(strength):
        which = rng.integers(0, 2, 240)
        rate = 4 * rng.gamma(2, 1, (240, 3)) @ shared + strength * np.eye(2)[which] @ own + 0.5
        return rng.poisson(rate).astype("float32"), which

    return *draw(3.0), draw(0.0)[0]


@pytest.fixture(scope="module")
def fitted(sets):
    X, _, Y = sets
    return bj.BCNMF(**AUTO, n_restarts=1, random_state=0).fit(X, background=Y)


def test_what_was_chosen_is_fitted(sets, fitted):
    X, which, _ = sets
    found = fitted.selection_
    assert found.outcome == "contrast found" and fitted.n_components_ == found.n_components == 2
    assert (fitted.objective_, fitted.alpha_) == ("balanced", 1.5)
    assert len(fitted.background_components_) == found.n_background_components >= 3
    assert fitted.restarts_["result"].shape == (1,)  # the candidate itself goes on
    right = np.mean(fitted.transform(X).argmax(1) == which)
    assert max(right, 1 - right) > 0.9  # components have no order that labels know


@pytest.mark.slow
def test_what_is_given_stays(sets):
    X, _, Y = sets
    fit = bj.BCNMF(3, objective="auto", alpha=0.5, n_restarts=1, random_state=0)
    fit.fit(X, background=Y)
    assert fit.n_components_ == 3 and fit.alpha_ == 0.5
    tried = [r for r in fit.selection_.table if r["score"] is not None]
    assert {(r["n_components"], r["alpha"]) for r in tried} == {(3, 0.5)}


def test_a_choice_that_recommends_nothing_warns(sets):
    X, _, Y = sets
    with pytest.warns(bj.estimator.ContrastWarning, match="no power"):
        fit = bj.BCNMF(**AUTO, n_restarts=1, random_state=0).fit(X[:20], background=Y[:20])
    assert fit.selection_.outcome == "no power" and fit.n_components_ <= 5


@pytest.mark.slow
def test_a_background_that_does_not_suit_is_said(sets):
    X, _, Y = sets
    mine = np.where(np.arange(X.shape[1]) < 30, X, 0)  # features that the background has alone
    with pytest.warns(bj.estimator.ContrastWarning, match="background unsuitable"):
        fit = bj.BCNMF(**AUTO, n_restarts=1, random_state=0).fit(mine, background=Y)
    assert fit.selection_.outcome == "background unsuitable"
    assert "in the background alone" in fit.selection_.reasons[0]


@pytest.mark.parametrize(
    ("more", "spoil", "match"),
    [
        ({"objective": "published"}, lambda X, Y: {"background": Y}, "chooses for objectives"),
        ({}, lambda X, Y: {"background": Y[:, :2]}, "features"),
    ],
)
def test_what_a_choice_refuses(sets, more, spoil, match):
    X, _, Y = sets
    with pytest.raises(ValueError, match=match):
        bj.BCNMF(**AUTO | more).fit(X, **spoil(X, Y))


def test_weights_and_missing_values_are_for_the_fit(sets):
    X, which, Y = sets
    rng, weights = np.random.default_rng(0), np.ones(len(X))
    weights[:20] = 0
    holed = np.where(rng.random(X.shape) < 0.05, np.nan, X)
    fit = bj.BCNMF(n_restarts=1, random_state=0, missing="mask", verbose=False)
    fit.fit(holed, background=Y, sample_weight=weights)
    assert (
        f"{np.isnan(holed[20:]).sum()} missing values of the target stood"
        in fit.selection_.reasons[-1]
    )
    assert "without those of weight 0" in fit.selection_.reasons[-1]
    right = np.mean(fit.transform(X).argmax(1) == which)
    assert fit.n_components_ == 2 and max(right, 1 - right) > 0.9


def test_sequential_components_of_sparse_data(sets):
    X, _, Y = sets
    given = {"objective": "sequential", "n_restarts": 1, "random_state": 0, "max_iter": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dense = bj.BCNMF(2, **given).fit(X, background=Y)
        read = bj.BCNMF(2, **given).fit(csr_matrix(X), background=csr_matrix(Y))
    for a, b in zip(dense.components_, read.components_, strict=True):
        assert a @ b > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)
