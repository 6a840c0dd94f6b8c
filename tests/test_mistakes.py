"""Bad inputs to the estimator and to the loaders: a table of what is wrong and what is said."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError

import bcnmf_jax as bj
from tests.mistakes import before_any_fit, refused

rng = np.random.default_rng(0)
X = rng.gamma(0.5, 1, (40, 20))
Y = rng.gamma(0.5, 1, (30, 20))
NAMES = [f"gene{j}" for j in range(20)]
FRAME, OTHER = pd.DataFrame(X, columns=NAMES), pd.DataFrame(Y, columns=NAMES)
SMALL = {"n_components": 2, "alpha": 1.0, "n_restarts": 1, "max_iter": 5}


def put(value, a=X):
    """The matrix with one entry changed."""
    a = np.array(a)
    a[3, 4] = value
    return a


def fit(X=X, background=Y, *, again=None, sample_weight=None, groups=None, **parameters):
    """Fit, or fit and then do something with the model."""
    model = bj.BCNMF(**SMALL | parameters)
    options = (
        {} if groups is None else dict(zip(("groups", "background_groups"), groups, strict=True))
    )
    model.fit(X, background=background, sample_weight=sample_weight, **options)
    return again and again(model)


WHOLE = np.zeros((30, 20))
PARAMETERS = {
    "no component": ({"n_components": 0}, "n_components .. at least 1 .. found 0"),
    "half a component": ({"n_components": 2.5}, "n_components .. integer .. found 2.5"),
    "a word for a number": ({"n_components": "two"}, "n_components .. 'auto' .. found 'two'"),
    "alpha below zero": ({"alpha": -1.0}, "alpha .. at least 0 .. found -1.0"),
    "alpha NaN": ({"alpha": np.nan}, "alpha .. at least 0 .. found nan"),
    "alpha a word": ({"alpha": "high"}, "alpha .. 'auto' .. found 'high'"),
    "alphas for backgrounds": ({"alpha": [1.0, 2.0]}, "alpha"),
    "unknown loss": ({"loss": "poisson"}, "loss .. 'kl' .. found 'poisson'"),
    "unknown objective": ({"objective": "cpca"}, "objective .. 'nmf' .. found 'cpca'"),
    "unknown way with NaN": ({"missing": "drop"}, "missing .. 'mask' .. found 'drop'"),
    "restarts a truth value": ({"n_restarts": True}, "n_restarts .. integer .. True"),
    "no step": ({"max_iter": 0}, "max_iter .. from 1 to .. found 0"),
    "tol NaN": ({"tol": np.nan}, "tol .. at least 0 .. found nan"),
    "no background component": ({"n_background_components": 0}, "n_background_components .. 0"),
    "seed a word": ({"random_state": "lucky"}, "random_state .. integer .. lucky"),
}
ARRAYS = {
    "X with NaN": ({"X": put(np.nan)}, ValueError, "X has 1 values .. NaN .. missing='mask'"),
    "X infinite": ({"X": put(np.inf)}, ValueError, "X has 1 values .. infinite .. fill or drop"),
    "X negative": ({"X": put(-1.0)}, ValueError, "[Nn]egative values .. X"),
    "X constant": ({"X": np.full((40, 20), 2.0)}, ValueError, "constant"),
    "X a vector": ({"X": X[0]}, ValueError, "Expected 2D array .. Reshape"),
    "X without samples": ({"X": X[:0]}, ValueError, "0 sample"),
    "X without features": ({"X": X[:, :0]}, ValueError, "0 feature"),
    "X of words": ({"X": np.full((4, 3), "a", object)}, TypeError, "X must hold .. found text"),
    "X of digits": ({"X": X.astype(str)}, TypeError, "X must hold real numbers .. text .. astype"),
    "X of some digits": ({"X": put("1", X.astype(object))}, TypeError, "X must hold .. text"),
    "X a frame of digits": ({"X": FRAME.assign(gene3="1")}, TypeError, "X must hold .. text"),
    "background of digits": ({"background": Y.astype("S9")}, TypeError, "background must .. text"),
    "X complex": ({"X": X + 1j}, ValueError, "Complex data not supported"),
    "X half precision": ({"X": X.astype(np.float16)}, TypeError, "X is float16 .. float32"),
    "background with NaN": ({"background": put(np.nan, Y)}, ValueError,
                            "background has 1 values .. missing='mask'"),
    "background negative": ({"background": put(-1.0, Y)}, ValueError, "background"),
    "background constant": ({"background": WHOLE}, ValueError, "background .. constant"),
    "background narrow": ({"background": Y[:, :10]}, ValueError,
                          "background has 10 features .. same features in the same order"),
    "one of two narrow": ({"background": [Y, Y[:, :10]]}, ValueError,
                          r"background\[1\] has 10 features"),
    "no background in a list": ({"background": []}, ValueError, "background .. empty list .. None"),
    "background half precision": ({"background": Y.astype(np.float16)}, TypeError,
                                  "background is float16 .. float32"),
    "background needed": ({"background": None, "objective": "background_first"}, ValueError,
                          "objective='background_first' needs background="),
    "background of one row": ({"background": Y[:1], "objective": "balanced"}, ValueError,
                              "background has 1 row .. at least 2"),
    "backgroundless choice": ({"background": Y[:1], "alpha": "auto"}, ValueError,
                              "background has 1 row .. at least 2"),
    "X of one row": ({"X": X[:1], "objective": "background_first"}, ValueError,
                     "X has 1 row .. at least 2"),
    "columns in another order": ({"X": FRAME, "background": OTHER[NAMES[::-1]]}, ValueError,
                                 "another order .. 'gene19' where X has 'gene0'"),
    "columns that X lacks": ({"X": FRAME, "background": OTHER.rename(columns={"gene3": "Gene3"})},
                             ValueError, "background has not .. 'gene3' .. 'Gene3'"),
    "NaN in sparse": ({"X": sp.csr_array(put(np.nan)), "missing": "mask"}, ValueError,
                      "missing='mask' needs arrays .. X.toarray"),
    "weights zero": ({"sample_weight": np.zeros(40)}, ValueError, "weight"),
    "weights too few": ({"sample_weight": np.ones(39)}, ValueError, "sample_weight"),
    "groups too few": ({"groups": (np.arange(39), np.arange(30))}, ValueError, "groups .. 40"),
    "groups of one side": ({"groups": (np.arange(40), None)}, ValueError, "background_groups"),
}  # fmt: skip
LATER = {
    "not fitted": (lambda: bj.BCNMF().transform(X), NotFittedError, "not fitted"),
    "narrow samples": (lambda: fit(again=lambda m: m.transform(X[:, :9])), ValueError,
                       "9 features .. 20 features"),
    "renamed samples": (
        lambda: fit(FRAME, OTHER, again=lambda m: m.transform(FRAME.add_prefix("x"))),
        ValueError, "feature names"),
    "narrow codes": (lambda: fit(again=lambda m: m.inverse_transform(X)), ValueError, "2"),
    "X and y": (lambda: bj.BCNMF().fit(X, Y), TypeError, "y is ignored .. background=Y"),
    "background twice": (lambda: bj.BCNMF(background=Y).fit(X, background=Y), ValueError,
                         "constructor and to fit .. give it once"),
}  # fmt: skip
WARNED = {
    "constant features": (lambda: fit(X * (np.arange(20) > 2), Y * (np.arange(20) > 2)),
                          bj.data.ConstantFeatureWarning, "3 of 20 features .. can be dropped"),
    "another scale": (lambda: fit(X, Y * 100), bj.data.ScaleWarning,
                      "times the target's .. one scale"),
    "no share of the target": (lambda: fit(X, X[:30] + 1e-6 * Y, alpha=1e6, max_iter=100),
                               bj.estimator.CollapsedWarning,
                               "collapsed .. lower alpha .. background_first"),
}  # fmt: skip
CORE = {
    "no dictionary": (lambda: bj.prepare(X), TypeError, "data must be a dictionary .. ndarray"),
    "unknown set": (lambda: bj.prepare({"tarket": X}), ValueError, "tarket .. target"),
    "bfloat16": (lambda: bj.prepare({"target": jnp.asarray(X, jnp.bfloat16)}), TypeError,
                 "target.*bfloat16 .. convert"),
    "sparse": (lambda: bj.prepare({"target": sp.csr_array(X)}), TypeError, "sparse .. toarray"),
    "mask of another shape": (lambda: bj.prepare({"target": X}, mask={"target": X[1:]}),
                              ValueError, r"mask.* must have shape .. \(39, 20\)"),
    "no alpha": (lambda: bj.select({"target": X, "background": Y}, alphas=[]), ValueError,
                 "alphas"),
    "digits": (lambda: bj.prepare({"target": X.astype(str)}), TypeError, "target.* real numbers"),
    "digits as objects": (lambda: bj.prepare({"target": X.astype(str).astype(object)}), TypeError,
                          "target.* real numbers"),
    "one row to choose on": (lambda: bj.select({"target": X, "background": Y[:1]}), ValueError,
                             r"data\['background'\] has 1 row .. at least 2"),
    "few genes": (lambda: bj.datasets.beta_simulation(genes=100), ValueError,
                  "genes .. at least 1490 .. 5 shared programs of 250 .. found 100"),
    "no source": (lambda: bj.source("gone.h5ad"), FileNotFoundError, "gone.h5ad"),
    "layer of an array": (lambda: bj.source(X, layer="counts"), TypeError, "layer"),
    "no model": (lambda: bj.load("gone"), FileNotFoundError, "gone"),
}  # fmt: skip


@pytest.mark.parametrize("what", PARAMETERS)
def test_parameters(what):
    parameters, words = PARAMETERS[what]
    with refused(ValueError, words, X, Y):
        fit(**parameters)


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays(what):
    arguments, error, words = ARRAYS[what]
    with refused(error, words, *arguments.values(), X, Y):
        fit(**arguments)


@pytest.mark.parametrize("what", LATER)
def test_after_a_fit(what):
    call, error, words = LATER[what]
    fit()  # compiled, so that the time is the error's
    with refused(error, words, X, Y):
        call()


@pytest.mark.parametrize("what", WARNED)
def test_warnings(what):
    call, category, words = WARNED[what]
    with refused(category, words, X, Y):
        call()


@pytest.mark.parametrize("what", CORE)
def test_core(what):
    call, error, words = CORE[what]
    with refused(error, words, X, Y):
        call()


def test_a_refused_refit_leaves_the_model_as_it_was():
    model = bj.BCNMF(**SMALL)
    with pytest.warns(Warning):
        model.fit(X, background=Y)
    before = model.components_.copy()
    with refused(ValueError, "background has 10 features", before):
        model.fit(X, background=Y[:, :10])
    np.testing.assert_array_equal(model.components_, before)


def test_a_fit_would_be_noticed():
    x = np.random.default_rng(1).gamma(1, 1, (23, 11))  # of a shape that nothing else has
    with pytest.raises(AssertionError), before_any_fit():
        bj.BCNMF(**SMALL).fit(x)
