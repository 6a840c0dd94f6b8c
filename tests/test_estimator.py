"""`BCNMF` keeps scikit-learn's conventions and chooses restarts without labels."""

import warnings

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import bcnmf_jax as bj
from bcnmf_jax.estimator._inputs import stacked
from bcnmf_jax.inference.restarts import Restart, ordered

FAST = {"n_components": 3, "n_restarts": 3, "random_state": 0, "max_iter": 300}
SMALL = {"n_components": 2, "alpha": 1.0, "n_restarts": 2, "random_state": 0, "max_iter": 200}


@pytest.fixture(scope="module")
def sets():
    d = bj.datasets.beta_simulation(beta=2, seed=0, n=120, genes=1500)
    return np.asarray(d.target), np.asarray(d.background)


@pytest.fixture(scope="module")
def small():
    """A shared program in both sets and one of the target alone: (40 + 30) x 20."""
    rng = np.random.default_rng(0)
    basis = np.zeros((2, 20))
    basis[0, :12], basis[1, 12:] = rng.uniform(0.5, 1, 12), rng.uniform(0.5, 1, 8)
    noise = lambda n: rng.uniform(0, 0.05, (n, 20))  # noqa: E731
    X = rng.gamma(2, 1, (40, 2)) @ basis + noise(40)
    return X, rng.gamma(2, 1, (30, 1)) @ basis[:1] + noise(30)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize(
    ("objective", "loss", "extra"),
    [
        ("nmf", "frobenius", 0),
        ("contrastive", "frobenius", 0),
        ("contrastive", "kl", 1),
        ("shared_target", "frobenius", 2),
        ("background_first", "frobenius", 2),
    ],
)
def test_shapes(small, objective, loss, extra):
    X, Y = small
    model = bj.BCNMF(**SMALL, objective=objective, loss=loss, n_background_components=2)
    codes = model.fit(X, background=Y).transform(X)
    assert model.components_.shape == (2, 20) and codes.shape == (40, 2)
    assert model.background_components_.shape == (extra, 20)
    assert model.transform(X, full=True).shape == (40, 2 + extra)
    assert model.inverse_transform(codes).shape == X.shape
    assert set(model.diagnostics_) >= {"x_explained", "y_explained", "dead_features"}
    assert (model.n_components_, model.objective_, model.selection_) == (2, objective, None)
    assert model.alpha_ == (0.0 if objective == "nmf" else 1.0)
    assert {len(u) for u in model.usage_.values()} == {2 + extra}
    if objective != "nmf":
        ratio = model.usage_["target"][:2] / np.maximum(model.usage_["background"][:2], 1e-9)
        assert ratio[0] >= ratio[1]


def test_keeps_the_lowest_value_that_has_not_collapsed(sets):
    X, Y = sets
    model = bj.BCNMF(**FAST, alpha=1.2).fit(X, background=Y)
    fine = model.restarts_["result"] != "collapsed"
    made = bj.Contrastive(alpha=1.2)
    value = float(
        bj.reduced_objective(made, {"target": X, "background": Y}, {"basis": model.components_})
    )
    np.testing.assert_allclose(value, model.restarts_["value"][fine].min(), rtol=1e-5)


def test_order_of_components():
    usage = {
        "target": np.array([4.0, 1.0, 0.0, 2.0, 6.0, 9.0]),
        "background": np.array([2.0, 0.0, 0.0, 1e-9, 1.0, 0.1]),
    }
    size = np.array([9.0, 1.0, 5.0, 2.0, 1.0, 1.0])
    restart = Restart(np.arange(6.0)[:, None], usage, size, {}, 0, "converged", 0.0)
    # Absent from the background: the larger first; then by ratio; without codes last; the sixth is
    # no target component.
    found = ordered(restart, 5)
    assert found.basis[:, 0].tolist() == [3, 1, 4, 0, 2, 5]
    assert found.usage["target"].tolist() == [2, 1, 6, 4, 0, 9]
    alone = ordered(restart._replace(usage={"target": usage["target"]}), 5)
    assert alone.basis[:, 0].tolist() == [0, 3, 1, 4, 2, 5]


def test_collapse_is_said(sets):
    X, Y = sets
    with pytest.warns(bj.estimator.CollapsedWarning, match="lower alpha"):
        model = bj.BCNMF(**FAST, alpha=500.0).fit(X, background=Y)
    assert model.result_ == "collapsed"


def test_bounded_where_the_published_form_is_not():
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


def test_same_seed_same_model(small):
    X, Y = small
    fit = lambda seed: bj.BCNMF(**SMALL | {"random_state": seed}).fit(X, background=Y)  # noqa: E731
    for make in (int, np.random.RandomState):
        np.testing.assert_array_equal(fit(make(3)).components_, fit(make(3)).components_)
    assert (fit(None).components_ >= 0).all()


def test_double_precision_leaves_the_global_setting(small):
    X, Y = small
    model = bj.BCNMF(**SMALL).fit(X, background=Y)
    assert model.components_.dtype == model.transform(X).dtype == np.float64
    assert model.transform(X.astype(np.float32)).dtype == np.float32
    assert not jax.config.jax_enable_x64


def test_codes_of_a_row_are_its_own(small):
    X, Y = small
    model = bj.BCNMF(**SMALL, objective="background_first", n_background_components=2)
    codes = model.fit_transform(X, background=Y)
    np.testing.assert_array_equal(codes, model.transform(X))
    scale = codes.max()
    # To what codes are settled to, whatever the other rows are, and how large.
    for other in (X[5:6], X[::-1], np.vstack([X, 1e4 * X[:3]])):
        found = model.transform(other)
        same = {1: found[:1], 40: found[::-1][5:6]}.get(len(other), found[5:6])
        np.testing.assert_allclose(same, codes[5:6], atol=1e-4 * scale)


def test_a_weight_of_two_is_the_row_twice(small):
    X, Y = small
    count = np.arange(40) % 3
    model = bj.BCNMF(**SMALL | {"alpha": 0.7}, loss="kl")
    weighed = model.fit(X, background=Y, sample_weight=count).components_
    twice = model.fit(X.repeat(count, axis=0), background=Y).components_
    np.testing.assert_allclose(weighed, twice, atol=1e-9)


def test_missing_values_are_left_out(small):
    X, Y = small
    rng = np.random.default_rng(1)
    holes = rng.random(X.shape) < 0.2
    holed, Z = np.where(holes, np.nan, X), np.where(rng.random(Y.shape) < 0.1, np.nan, Y)
    with pytest.raises(ValueError, match=r"X has .* NaN.*missing='mask'"):
        bj.BCNMF(**SMALL).fit(holed, background=Y)
    with pytest.raises(ValueError, match=r"background has .* NaN.*missing='mask'"):
        bj.BCNMF(**SMALL).fit(X, background=Z)
    options = SMALL | {"missing": "mask", "tol": 1e-6, "max_iter": 2000}
    with pytest.raises(ValueError, match="needs arrays"):
        bj.BCNMF(**options).fit(sp.csr_array(holed), background=Y)
    with pytest.raises(ValueError, match="infinite"):
        bj.BCNMF(**options).fit(np.where(holes, np.inf, X))
    model = bj.BCNMF(**options, objective="background_first", n_background_components=1)
    model.fit(holed, background=Z)
    found = model.inverse_transform(model.transform(holed, full=True))
    assert np.linalg.norm((found - X)[holes]) < 0.05 * np.linalg.norm(X[holes])


def test_verbose_speaks_on_standard_error(small, capsys):
    X, Y = small
    for kind in (np.asarray, sp.csr_array):
        bj.BCNMF(**SMALL, verbose=True).fit(kind(X), background=Y)
        said = capsys.readouterr()
        assert said.out == "" and "[BCNMF] restart 2: converged after" in said.err
    bj.BCNMF(**SMALL).fit(X, background=Y)
    assert capsys.readouterr().err == ""


def test_several_backgrounds(small):
    X, Y = small
    model = bj.BCNMF(**SMALL | {"alpha": [0.5, 1.0]}).fit(X, background=[Y[:15], Y[15:]])
    assert model.diagnostics_["y_explained"].shape == (2,) and model.alpha_.tolist() == [0.5, 1]
    alone = [bj.BCNMF(**SMALL).fit(X, background=b).components_ for b in (Y, [Y], (Y,), Y.tolist())]
    for one in alone[1:]:
        np.testing.assert_array_equal(one, alone[0])
    np.testing.assert_array_equal(stacked([sp.csr_array(Y[:15]), Y[15:]])[3:20], Y[3:20])
    np.testing.assert_array_equal(stacked([Y[:15], Y[15:]])[:], Y)


def explained(X, basis):
    """Independent: least squares row by row."""
    fitted = np.array([nnls(basis.T, row)[0] for row in X]) @ basis
    return 1 - ((X - fitted) ** 2).sum() / (X**2).sum()


def test_score_is_the_gain_beyond_the_background(small):
    X, Y = small
    model = bj.BCNMF(**SMALL, n_background_components=2).fit(X, background=Y)
    gain, basis = model.score(X), model.background_basis_
    assert basis.shape == (2, 20)
    both = np.vstack([model.components_, basis])
    np.testing.assert_allclose(gain, explained(X, both) - explained(X, basis), atol=1e-5)
    some = np.arange(40) < 25
    want = explained(X[some], both) - explained(X[some], basis)
    found = model.score(sp.csr_array(X), sample_weight=some)
    np.testing.assert_allclose(found, want, atol=1e-5)
    # The basis is one of the background: it explains that well, and the target's program not.
    assert explained(Y, basis) > 0.99 > explained(X, basis)


@parametrize_with_checks([bj.BCNMF(n_components=2, n_restarts=2)])
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)
