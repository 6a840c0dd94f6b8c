"""`BCNMF` keeps scikit-learn's conventions and chooses restarts without labels."""

import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

import bcnmf_jax as bj

FAST = {"n_components": 3, "n_restarts": 3, "random_state": 0, "max_iter": 300}


@pytest.fixture(scope="module")
def sets():
    d = bj.datasets.beta_simulation(beta=2, seed=0, n=120, genes=1500)
    return np.asarray(d.target), np.asarray(d.background)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("objective", ["nmf", "contrastive", "shared_target", "background_first"])
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
def test_shapes(sets, objective, loss):
    X, Y = sets
    model = bj.BCNMF(**FAST, objective=objective, loss=loss, n_background_components=2)
    codes = model.fit(X, background=Y).transform(X)
    extra = {"nmf": 0, "contrastive": int(loss == "kl")}.get(objective, 2)
    assert model.components_.shape == (3, 1500) and codes.shape == (120, 3)
    assert model.background_components_.shape == (extra, 1500)
    assert model.transform(X, full=True).shape == (120, 3 + extra)
    assert model.inverse_transform(codes).shape == X.shape
    assert set(model.diagnostics_) >= {"x_explained", "y_explained", "dead_features"}


def test_keeps_the_lowest_value_that_has_not_collapsed(sets):
    X, Y = sets
    model = bj.BCNMF(**FAST, alpha=1.2).fit(X, background=Y)
    fine = model.restarts_["result"] != "collapsed"
    made = bj.Contrastive(alpha=1.2)
    value = float(bj.game_value(made, {"target": X, "background": Y}, {"basis": model.components_}))
    np.testing.assert_allclose(value, model.restarts_["value"][fine].min(), rtol=1e-5)


def test_collapse_is_said(sets):
    X, Y = sets
    with pytest.warns(bj.CollapsedWarning, match="lower alpha"):
        model = bj.BCNMF(**FAST, alpha=500.0).fit(X, background=Y)
    assert model.result_ == "collapsed"


def test_bounded_where_the_published_form_is_not(sets):
    rng = np.random.default_rng(0)
    X, Y = rng.poisson(2.0, (60, 40)), rng.poisson(2.0, (60, 40))
    Y[:, :5] += rng.poisson(40.0, (60, 5))
    dead = {}
    for objective in ("published", "contrastive"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bj.DataWarning)
            model = bj.BCNMF(**FAST, alpha=3.0, loss="kl", objective=objective)
            model.fit(X, background=Y)
        dead[objective] = int(model.diagnostics_["dead_features"])
    assert dead["published"] >= 5 and dead["contrastive"] == 0


def test_same_seed_same_model(sets):
    X, Y = sets
    one, two = (bj.BCNMF(**FAST).fit(X, background=Y).components_ for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_double_precision_leaves_the_global_setting(sets):
    X, Y = (a.astype(np.float64) for a in sets)
    model = bj.BCNMF(**FAST).fit(X, background=Y)
    assert model.components_.dtype == model.transform(X).dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_frames_and_names(sets):
    X, Y = (pd.DataFrame(a[:, :50]).add_prefix("gene") for a in sets)
    model = bj.BCNMF(**FAST).fit(X, background=Y)
    assert list(model.get_feature_names_out()) == ["bcnmf0", "bcnmf1", "bcnmf2"]
    with pytest.raises(ValueError, match="columns of X"):
        clone(model).fit(X, background=Y[Y.columns[::-1]])
    with pytest.raises(ValueError, match="gene3"):
        clone(model).fit(X, background=Y.drop(columns="gene3"))


def test_several_backgrounds(sets):
    X, Y = sets
    model = bj.BCNMF(**FAST).fit(X, background=[Y[:50], Y[50:]])
    assert model.diagnostics_["y_explained"].shape == (2,)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_components": 0}, "n_components"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": "auto"}, "alpha"),
        ({"loss": "poisson"}, "loss"),
        ({"objective": "cpca"}, "objective"),
        ({"n_restarts": True}, "n_restarts"),
        ({"tol": np.nan}, "tol"),
    ],
)
def test_bad_parameters(sets, parameters, words):
    with pytest.raises(ValueError, match=words):
        bj.BCNMF(**parameters).fit(sets[0])


def test_bad_background(sets):
    X, Y = sets
    with pytest.raises(TypeError, match="background by name"):
        bj.BCNMF().fit(X, Y)
    with pytest.raises(ValueError, match="background has 10 features"):
        bj.BCNMF().fit(X, background=Y[:, :10])
    with pytest.raises(ValueError, match="background"):
        bj.BCNMF(objective="background_first").fit(X)
    with pytest.raises(TypeError, match="float16"):
        bj.BCNMF().fit(X, background=Y.astype(np.float16))
    with pytest.raises(ValueError, match="NaN"):
        bj.BCNMF().fit(X, background=np.where(Y == Y.max(), np.nan, Y))


def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(bj.BCNMF(n_components=2, n_restarts=2), on_fail=None)
    assert found and [r for r in found if r["status"] not in ("passed", "skipped")] == []
