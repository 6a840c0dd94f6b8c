"""Fits of the features with most to explain, in every container, and loadings of the others."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import bcnmf_jax as bj
from bcnmf_jax.data.sampled_rows import spread
from bcnmf_jax.data.top_features import Columns, top, unexplained
from bcnmf_jax.estimator._fitted import reference

ROWS, FEATURES, TOP = 160, 300, 100
GIVEN = {"n_components": 2, "objective": "balanced", "n_background_components": 2}


def cosines(found, planted):
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)  # noqa: E731
    return (unit(planted) @ unit(found).T).max(1)


@pytest.fixture(scope="module")
def planted():
    """Counts of two programs in the target and two in both sets, a third of the features each of
    some program; the rest is noise, and two own features of the programs are too weak for the
    top."""
    rng = np.random.default_rng(0)
    shared, own = np.zeros((2, FEATURES)), np.zeros((2, FEATURES))
    for k in range(2):
        shared[k, 30 * k : 30 * k + 30] = rng.gamma(2, 1, 30)
        own[k, 60 + 25 * k : 85 + 25 * k] = rng.gamma(2, 1, 25)
        own[k, 290 + k] = 0.15
    kind = rng.integers(0, 2, (2, ROWS))
    x = 4 * shared[kind[0]] + 3 * own[rng.integers(0, 2, ROWS)] + 0.2
    y = 4 * shared[kind[1]] + 0.2
    return rng.poisson(x).astype("f4"), rng.poisson(y).astype("f4"), own


@pytest.mark.parametrize("counts", [True, False])
def test_unexplained_is_the_misfit_of_a_model_without_structure(planted, counts):
    sets = planted[:2]
    mean = sum(a.mean(0, dtype=float) for a in sets)
    p, direct = mean / mean.sum(), 0
    for a in sets:
        a = a.astype(float)
        m = a.sum(1, keepdims=True) * p
        if counts:
            each = np.where(a > 0, a * np.log(np.where(a > 0, a, 1) / np.maximum(m, 1e-300)), 0)
            direct = direct + (each - a + m).mean(0)
        else:
            direct = direct + ((a - m) ** 2).mean(0)
    every = np.arange(FEATURES)
    whole = lambda a: Columns(a.astype("u1"), every)  # noqa: E731
    for form in (np.asarray, sparse.csr_array, sparse.csc_matrix, whole):
        found = unexplained([form(a) for a in sets], counts=counts)
        np.testing.assert_allclose(found.misfit, direct, rtol=1e-4, atol=1e-5)
        assert all(
            np.array_equal(n, (a > 0).sum(0)) for n, a in zip(found.stored, sets, strict=True)
        )


def test_top_takes_the_largest_and_of_equal_ones_the_first():
    assert top(np.array([1.0, 3, 2, 3, 2]), 3).tolist() == [1, 2, 3]


@pytest.mark.parametrize("loss", ["frobenius", pytest.param("kl", marks=pytest.mark.slow)])
def test_loadings_of_all_features_are_near_those_of_a_fit_of_all(planted, loss):
    x, y, own = planted
    fit = lambda n: bj.BCNMF(  # noqa: E731
        **GIVEN | {"objective": "sequential"},
        loss=loss,
        n_top_features=n,
        random_state=0,
        max_iter=300,
    ).fit(x, background=y)
    some, every = fit(TOP), fit(None)
    assert some.features_.sum() == TOP and every.features_.all()
    assert some.features_[:110].mean() > 0.8
    np.testing.assert_allclose(some.components_.sum(1), 1, rtol=1e-5)
    assert cosines(some.components_, own).min() > 0.9
    assert cosines(some.components_, every.components_).min() > 0.98
    mine = [int(np.argmax(some.components_ @ program)) for program in own]
    for k in np.flatnonzero(~some.features_[290:292]):
        loadings = some.components_[mine[k]]
        assert loadings[290 + k] > 3 * np.median(loadings[~some.features_])
    assert not some.features_[290:292].all(), "a weak feature is to be outside the top"


def forms(a, folder, name):
    np.save(folder / f"{name}.npy", a)
    yield "csr", sparse.csr_array(a)
    yield "csc", sparse.csc_matrix(a)
    yield "frame", pd.DataFrame(a)
    yield "memory map", bj.source(np.load(folder / f"{name}.npy", mmap_mode="r"))
    yield "source", Columns(a, np.arange(a.shape[1]))


@pytest.mark.parametrize(
    ("top_features", "held"),
    [(TOP, True), pytest.param(TOP, False, marks=pytest.mark.slow), (None, True)],
)
def test_the_answer_does_not_depend_on_the_container(
    planted, tmp_path, monkeypatch, top_features, held
):
    if not held:  # as what no memory holds
        monkeypatch.setattr("bcnmf_jax.estimator._features.DENSE", 0)
        monkeypatch.setattr("bcnmf_jax.data.top_features.HELD", 0)
    x, y, _ = planted
    fit = lambda a, b: bj.BCNMF(  # noqa: E731
        **GIVEN, n_top_features=top_features, n_restarts=1, tol=1e-5, random_state=0, verbose=False
    ).fit(a, background=b)
    wanted = fit(x, y)
    basis, codes = wanted.components_, wanted.transform(x)
    for (name, a), (_, b) in zip(forms(x, tmp_path, "x"), forms(y, tmp_path, "y"), strict=True):
        found = fit(a, b)
        assert np.array_equal(found.features_, wanted.features_), name
        np.testing.assert_allclose(
            found.components_, basis, rtol=1e-2, atol=1e-3 * basis.max(), err_msg=name
        )
        near = found.transform(a)
        np.testing.assert_allclose(near, codes, rtol=2e-2, atol=1e-3 * codes.max(), err_msg=name)


def test_a_choice_does_not_depend_on_the_container(planted):
    x, y, _ = planted
    fit = lambda a, b: bj.BCNMF(n_top_features=TOP, random_state=0, verbose=False).fit(  # noqa: E731
        a, background=b
    )
    one, other = fit(x, y), fit(sparse.csr_array(x), Columns(y, np.arange(FEATURES)))
    assert one.selection_.to_dict() == other.selection_.to_dict()
    np.testing.assert_allclose(other.components_, one.components_, rtol=1e-4, atol=1e-6)


def test_missing_values_and_several_backgrounds(planted):
    x, y, own = planted
    holes = x.copy()
    holes[np.random.default_rng(1).random(x.shape) < 0.05] = np.nan
    model = bj.BCNMF(**GIVEN, n_top_features=TOP, missing="mask", random_state=0)
    assert cosines(model.fit(holes, background=y).components_, own).min() > 0.9
    several = bj.BCNMF(**GIVEN, n_top_features=TOP, random_state=0)
    assert cosines(several.fit(x, background=[y[:80], y[80:]]).components_, own).min() > 0.9


def test_codes_are_read_on_what_was_fitted_also_after_saving(planted, tmp_path):
    x, y, _ = planted
    model = bj.BCNMF(**GIVEN, n_top_features=TOP, random_state=0).fit(x, background=y)
    codes = model.transform(x)
    other = np.where(model.features_, x, 7).astype("f4")
    assert np.array_equal(model.transform(other), codes)
    assert model.score(x) == model.score(other) > 0
    model.save(tmp_path / "m")
    assert np.array_equal(bj.load(tmp_path / "m").transform(x), codes)
    for wrong in (model.features_[:-1], model.features_.astype(int), ~np.ones(FEATURES, bool)):
        model.features_ = wrong
        model.save(tmp_path / "wrong")
        with pytest.raises(ValueError, match="features_ "):
            bj.load(tmp_path / "wrong")


@pytest.mark.parametrize("value", [0, 2.5, "most", True])
def test_numbers_that_are_none_are_refused(planted, value):
    with pytest.raises((TypeError, ValueError), match="n_top_features"):
        bj.BCNMF(n_top_features=value).fit(planted[0], background=planted[1])


def test_a_loss_with_a_value_for_each_feature_is_fitted_to_all(planted):
    x, y, _ = planted
    given = {"loss": bj.NegativeBinomial(np.full(FEATURES, 0.1)), "max_iter": 5, "n_restarts": 1}
    with pytest.raises(ValueError, match="n_top_features=100 cannot choose"):
        bj.BCNMF(**GIVEN, **given, n_top_features=TOP).fit(x, background=y)
    wide = lambda a: np.tile(a, (1, 17))  # noqa: E731
    given["loss"] = bj.NegativeBinomial(np.full(17 * FEATURES, 0.1))
    with pytest.warns(ConvergenceWarning):
        assert bj.BCNMF(**GIVEN, **given).fit(wide(x), background=wide(y)).features_.all()


def test_values_that_no_fit_takes_are_found_among_features_that_are_left_out(planted):
    x, y = (a.copy() for a in planted[:2])
    x[3, 250] = np.nan
    every = np.arange(FEATURES)
    with pytest.raises(ValueError, match="NaN or infinite"):
        bj.BCNMF(**GIVEN, n_top_features=TOP).fit(Columns(x, every), background=Columns(y, every))


def test_an_anndata_keeps_what_was_fitted(planted, capsys):
    x, y, _ = planted
    obs = pd.DataFrame(
        {
            "stim": np.repeat(["stim", "ctrl"], ROWS),
            "donor": [f"{s}{i % 4}" for s in "ab" for i in range(ROWS)],
        },
        index=[f"c{i}" for i in range(2 * ROWS)],
    )
    cells = ad.AnnData(sparse.csr_matrix(np.concatenate([x, y])), obs)
    where = {"target": "stim", "background": "ctrl"}
    bj.tl.bcnmf(cells, "stim", **where, **GIVEN, n_top_features=TOP, loss="kl", group_key="donor")
    assert f"{TOP} of {FEATURES} features are fitted" in capsys.readouterr().err
    assert cells.var["bcnmf_features"].sum() == TOP
    assert not np.isnan(cells.varm["bcnmf_components"]).any()
    model = bj.tl.stored.Stored(cells, "bcnmf").model()
    some = bj.tl.stored.Stored(cells[:, :200].copy(), "bcnmf").model()
    assert some.transform(cells.X[:20, :200]).shape == (20, 2)
    np.testing.assert_allclose(
        model.transform(cells.X[:20]), cells.obsm["X_bcnmf"][:20], rtol=1e-3, atol=0.1
    )


def test_rows_of_weight_0_choose_nothing(planted):
    x, y, _ = planted
    other = np.random.default_rng(2).poisson(5, x.shape).astype("f4")
    both, weights = np.concatenate([x, other]), np.repeat([1.0, 0.0], ROWS)
    fit = lambda a, v: bj.BCNMF(  # noqa: E731
        **GIVEN, n_top_features=TOP, n_restarts=1, max_iter=5, random_state=0
    ).fit(a, background=y, sample_weight=v)
    with pytest.warns(ConvergenceWarning):
        assert np.array_equal(fit(both, weights).features_, fit(x, None).features_)


def test_what_cannot_be_narrowed_is_refused_or_fitted_whole(planted):
    x, y, _ = planted
    plain = {"n_components": 2, "alpha": 1.0, "n_top_features": TOP}
    with pytest.raises(ValueError, match="cannot choose with objective='contrastive'"):
        bj.BCNMF(**plain).fit(x, background=y)
    penalised = bj.NMF(bj.Frobenius(), (bj.penalties.L1("target", 5.0),))
    with pytest.raises(ValueError, match="cannot choose with objective="):
        bj.BCNMF(2, objective=penalised, n_top_features=TOP).fit(x)
    holes = sparse.csr_array(x)
    holes.data[0] = np.nan
    with pytest.raises(ValueError, match="needs arrays, found NaN and sparse"):
        bj.BCNMF(**GIVEN, missing="mask", n_top_features=TOP).fit(holes, background=y)


def test_files_are_closed_after_codes_are_read(planted, tmp_path):
    x, y, _ = planted
    path = tmp_path / "cells.h5ad"
    ad.AnnData(x).write_h5ad(path)
    model = bj.BCNMF(**GIVEN, n_top_features=TOP, random_state=0).fit(x, background=y)
    np.testing.assert_allclose(model.transform(bj.source(path)), model.transform(x), rtol=1e-3)
    with h5py.File(path, "r+") as file:
        assert "X" in file


def test_rows_of_a_choice_come_from_every_donor_in_proportion():
    rng = np.random.default_rng(0)
    together = np.repeat(["a", "b", "c"], [60000, 30000, 10000])
    for donors in (together, rng.permutation(together)):
        rows = spread(len(donors), 4096)
        assert len(rows) == 4096 and (np.diff(rows) > 0).all()
        counts = np.unique(donors[rows], return_counts=True)[1]
        np.testing.assert_allclose(counts, [2458, 1229, 410], rtol=0.1)
    for count in (4097, 7000, 10001):
        rows = spread(count, 4096)
        assert 4096 - 32 < len(rows) <= 4096 and (np.diff(rows) > 0).all() and rows[-1] < count


def test_that_all_features_were_asked_for_is_saved(planted, tmp_path):
    x, y, _ = planted
    for asked in (None, TOP):
        model = bj.BCNMF(**GIVEN, n_top_features=asked, n_restarts=1, max_iter=5, random_state=0)
        with pytest.warns(ConvergenceWarning):
            model.fit(x, background=y)
        model.save(tmp_path / f"{asked}")
        again = bj.load(tmp_path / f"{asked}")
        assert again.n_top_features == asked
        assert np.array_equal(again.features_, model.features_)


@pytest.mark.parametrize(
    "objective", ["background_first", pytest.param("balanced", marks=pytest.mark.slow)]
)
def test_a_fit_that_is_not_finite_says_so_with_all_features(planted, objective):
    x, y, _ = planted
    model = bj.BCNMF(
        **GIVEN | {"objective": objective}, alpha=1e38, n_top_features=TOP, n_restarts=2,
        max_iter=20, random_state=0,
    )  # fmt: skip
    with pytest.warns(bj.estimator.CollapsedWarning, match="every restart ended nonfinite"):
        model.fit(x, background=y)
    assert model.result_ == "nonfinite" and model.components_.shape == (2, FEATURES)
    assert model.features_.sum() == TOP and (model.restarts_["result"] == "nonfinite").all()


def test_scores_are_measured_against_the_background_of_the_fitted_features(planted):
    x, y, _ = planted
    given = GIVEN | {"objective": "shared_target", "alpha": 0.5, "n_restarts": 1, "tol": 1e-3}
    model = bj.BCNMF(**given, n_top_features=TOP, random_state=0).fit(x, background=y)
    basis, seen = model.background_basis_, model.features_
    wanted = reference(y[:, seen], 2, bj.Frobenius())
    np.testing.assert_allclose(basis[:, seen], wanted, rtol=1e-5)
    assert basis.shape == (2, FEATURES) and not basis[:, ~seen].any()
    score = model.score(x)
    model.background_basis_ = np.where(seen, basis, 5).astype("f4")
    assert model.score(x) == score > 0
