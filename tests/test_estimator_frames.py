"""`BCNMF` among frames, pipelines and searches of scikit-learn."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler

import bcnmf_jax as bj

SMALL = {"n_components": 2, "alpha": 1.0, "n_restarts": 1, "random_state": 0, "max_iter": 100}
NAMES = [f"gene{i}" for i in range(20)]


@pytest.fixture(scope="module")
def small():
    """Shared structure, and a program of the target alone: (40 + 40) x 20."""
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.5, 1, (3, 20))
    X = rng.gamma(2, 1, (40, 3)) @ basis + 0.05
    return X, 3 * rng.gamma(2, 1, (40, 2)) @ basis[:2] + 0.05


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(small, frame):
    made = frame is pd.DataFrame
    X, Y = (frame(a, columns=NAMES) if made else frame(a, schema=NAMES) for a in small)
    model = bj.BCNMF(**SMALL).fit(X, background=Y)
    plain = bj.BCNMF(**SMALL).fit(small[0], background=small[1])
    np.testing.assert_array_equal(model.components_, plain.components_)
    assert list(model.feature_names_in_) == NAMES
    assert list(model.get_feature_names_out()) == ["bcnmf0", "bcnmf1"]
    model.set_output(transform="pandas" if made else "polars")
    codes = model.transform(X)
    assert isinstance(codes, frame) and list(codes.columns) == ["bcnmf0", "bcnmf1"]
    with pytest.raises(ValueError, match="full=True gives arrays"):
        model.transform(X, full=True)
    assert model.set_output(transform="default").transform(X, full=True).shape == (40, 2)
    with pytest.raises(ValueError, match="order"):
        model.transform(X[NAMES[::-1]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_that_do_not_match_are_named(small, frame):
    made = frame is pd.DataFrame
    X, Y = (frame(a, columns=NAMES) if made else frame(a, schema=NAMES) for a in small)
    model = bj.BCNMF(**SMALL)
    with pytest.raises(ValueError, match=r"another order \('gene19' where X has 'gene0'\)"):
        model.fit(X, background=Y[NAMES[::-1]])
    with pytest.raises(ValueError, match=r"background has not.*it lacks \['gene3', 'gene7'\]$"):
        model.fit(X, background=Y[[n for n in NAMES if n not in ("gene3", "gene7")]])
    other = [n.upper() for n in NAMES]
    renamed = Y.rename(columns=dict(zip(NAMES, other, strict=True))) if made else Y.clone()
    if not made:
        renamed.columns = other
    with pytest.raises(ValueError, match=r"background\[1\].*and 15 more; X lacks \['GENE0'"):
        model.fit(X, background=[Y, renamed])


def test_background_in_the_constructor_is_a_setting(small):
    X, Y = small
    model = bj.BCNMF(**SMALL, background=Y)
    given = bj.BCNMF(**SMALL).fit(X, background=Y)
    np.testing.assert_array_equal(clone(model).fit(X).components_, given.components_)


def test_score_is_the_same_once_pickled_or_saved(small, tmp_path):
    X, Y = small
    model = bj.BCNMF(**SMALL).fit(X, background=Y)
    before = vars(model).keys()
    pickled = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "model")
    score = model.score(X)
    assert vars(model).keys() == before
    assert pickled.score(X) == bj.load(tmp_path / "model").score(X) == score
    assert bj.BCNMF(**SMALL, background=Y).fit(X).score(X) == score
    del pickled.background_basis_  # of an earlier version
    with pytest.raises(ValueError, match="saved without background_basis_"):
        pickled.score(X)


def test_grid_search(small):
    X, Y = small
    grid = {"n_components": [1, 2], "alpha": [0.0, 0.8]}
    model = bj.BCNMF(**SMALL, background=Y, n_background_components=2)
    search = GridSearchCV(model, grid, cv=2, refit=False).fit(X)
    gains = search.cv_results_["mean_test_score"].reshape(2, 2)  # (alpha, n_components)
    assert gains[1, 0] > gains[0, 0] > 0


def test_pipelines_carry_the_background_along(small, routing):
    X, Y = small
    steps = [("scale", MaxAbsScaler()), ("nmf", bj.BCNMF(**SMALL).set_fit_request(background=True))]
    pipeline = Pipeline(steps, transform_input=["background"])
    codes = pipeline.fit(X, background=Y).transform(X)
    scale = MaxAbsScaler().fit(X)
    by_hand = bj.BCNMF(**SMALL).fit(scale.transform(X), background=scale.transform(Y))
    np.testing.assert_array_equal(codes, by_hand.transform(scale.transform(X)))
    assert pipeline.score(X) == by_hand.score(scale.transform(X))


class Witness(bj.BCNMF):
    """Notes how many rows every fit sees, and fits nothing."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None, *, background=None, sample_weight=None):
        background = self.background if background is None else background
        rows = background[0] if isinstance(background, tuple) else background
        self.seen.append((len(X), len(rows)))
        return self


def test_a_background_of_as_many_rows_stays_whole_as_a_setting_and_as_a_tuple(small, routing):
    X, Y = small
    assert len(X) == len(Y)
    given = [("scale", MaxAbsScaler()), ("nmf", Witness().set_fit_request(background=True))]
    pipeline = Pipeline(given, transform_input=["background"])
    setting = Pipeline([("nmf", Witness(background=Y))])
    cases = {
        "array": (pipeline, {"background": Y}),
        "tuple": (pipeline, {"background": (Y,)}),
        "setting": (setting, {}),
    }
    seen = {}
    for name, (model, fit) in cases.items():
        Witness.seen.clear()
        search = GridSearchCV(model, {"nmf__alpha": [0.5]}, cv=2, scoring=lambda *_: 0.0)
        search.fit(X, **fit)
        seen[name] = list(Witness.seen)
    assert seen["tuple"] == seen["setting"] == [(20, 40), (20, 40), (40, 40)]
    assert seen["array"] == [(20, 20), (20, 20), (40, 40)]  # the trap that the docstring names


@pytest.mark.slow
def test_joblib(small):
    X, Y = small
    model = bj.BCNMF(**SMALL, background=Y)
    one, two = (GridSearchCV(model, {"alpha": [0.0, 0.8]}, cv=2, n_jobs=n).fit(X) for n in (1, 2))
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(one.cv_results_[name], two.cv_results_[name], rtol=1e-5)
