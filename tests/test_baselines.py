"""Baselines: agreement with scikit-learn and with equations written out again; invariances."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from bcnmf_jax import baselines

LINEAR = {
    "pca": baselines.pca,
    "cpca": lambda x, y, k, **kw: baselines.cpca(x, y, k, alpha=1.5, **kw),
    "cpca standardised": lambda x, y, k, **kw: baselines.cpca(
        x, y, k, alpha=1.5, standardize=True, **kw
    ),
    "cpca auto": baselines.cpca,
    "gcpca": baselines.gcpca,
}
METHODS = {**LINEAR, "nmf": baselines.nmf}


def noise(seed, n=60, m=50, g=12):
    """Two nonnegative sets whose spectra decay, so that eigenvectors are well defined."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(3, 0.3, g)
    return tuple(np.abs(rng.normal(size=(rows, g)) * scale + 1) for rows in (n, m))


def planted(seed=0, n=200, m=150, g=20):
    """A strong shared direction, and a weaker one that splits the target in two."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, g)), rng.normal(size=(m, g))
    x[:, 0] *= 8
    y[:, 0] *= 8
    labels = np.arange(n) % 2
    x[:, 5:9] += 2 * labels[:, None]
    return x, y, labels


def same_up_to_sign(a, b, atol):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    signs = np.sign((a * b).sum(axis=1, keepdims=True))
    assert_allclose(a, b * signs, atol=atol, rtol=0)


def published_cpca(x, y, rank, alpha, dims=None, standardize=False):
    """The published equations, with full decompositions: axes in features, codes of the target."""
    x, y = x - x.mean(0), y - y.mean(0)
    if standardize:
        x, y = x / x.std(0), y / y.std(0)
    joint = np.linalg.svd(np.vstack([x, y]), full_matrices=False)[2][:dims].T
    contrast = np.cov((x @ joint).T) - alpha * np.cov((y @ joint).T)
    vectors = np.linalg.eigh(contrast)[1][:, ::-1][:, :rank]
    return joint @ vectors, x @ joint @ vectors


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("rank", [1, 3])
def test_shapes_and_no_change_of_the_input(method, rank):
    x, y = noise(0)
    before = x.copy(), y.copy()
    fit = method(x, y, rank)
    assert fit.codes.shape == (60, rank) and fit.components.shape == (rank, 12)
    assert np.isfinite(fit.codes).all() and np.isfinite(fit.components).all()
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])


@pytest.mark.parametrize("method", LINEAR.values(), ids=LINEAR)
def test_order_of_rows_does_not_matter(method):
    x, y = noise(1)
    order_x, order_y = (np.random.default_rng(0).permutation(len(rows)) for rows in (x, y))
    fit, moved = method(x, y, 3), method(x[order_x], y[order_y], 3)
    assert_allclose(moved.components, fit.components, atol=1e-9)
    assert_allclose(moved.codes, fit.codes[order_x], atol=1e-8)


@pytest.mark.parametrize("method", LINEAR.values(), ids=LINEAR)
def test_components_are_unit_signed_and_float32_agrees(method):
    x, y = noise(2)
    fit = method(x, y, 4)
    assert_allclose(np.linalg.norm(fit.components, axis=1), 1, atol=1e-12)
    rows = np.arange(4)
    assert (fit.components[rows, np.abs(fit.components).argmax(axis=1)] > 0).all()
    low = method(x.astype(np.float32), y.astype(np.float32), 4)
    assert_allclose(low.components, fit.components, atol=1e-4)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_bad_input_is_named(method):
    x, y = noise(0)
    hole = x.copy()
    hole[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"target: found 1 entries that are not finite"):
        method(hole, y, 2)
    with pytest.raises(ValueError, match=r"target: found shape \(60,\)"):
        method(x[:, 0], y, 2)
    with pytest.raises(TypeError, match=r"target: .*toarray"):
        method(sparse.csr_matrix(x), y, 2)
    for rank in (0, 13):
        with pytest.raises(
            ValueError, match=rf"rank must be an integer from 1 to 12 .*found {rank}"
        ):
            method(x, y, rank)


@pytest.mark.parametrize("name", ["cpca", "cpca auto", "gcpca"])
def test_other_features_in_the_background(name):
    x, y = noise(0)
    with pytest.raises(ValueError, match="background: found 11 features but target has 12"):
        LINEAR[name](x, y[:, 1:], 2)


@pytest.mark.parametrize("shape", [(80, 15), (15, 40)], ids=["tall", "wide"])
def test_pca_is_that_of_scikit_learn(shape):
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape) * np.linspace(4, 0.5, shape[1])
    fit, theirs = baselines.pca(x, None, 5), PCA(5, svd_solver="full").fit(x)
    assert_allclose(fit.components, theirs.components_, atol=1e-10)
    assert_allclose(fit.codes, theirs.transform(x), atol=1e-10)
    assert_allclose(fit.info["explained_variance_ratio"], theirs.explained_variance_ratio_, 1e-10)
    assert fit.alpha is None


def test_pca_says_when_the_target_does_not_vary_enough():
    x = np.outer(np.arange(10.0), np.arange(1.0, 6.0))
    with pytest.raises(
        ValueError, match=r"rank must be an integer from 1 to 1 \(directions in which target"
    ):
        baselines.pca(x, None, 2)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("sizes", [(60, 50, 12), (15, 14, 40)], ids=["tall", "wide"])
def test_cpca_is_the_published_equation(alpha, standardize, sizes):
    x, y = noise(4, *sizes)
    fit = baselines.cpca(x, y, 3, alpha=alpha, standardize=standardize)
    # In the wide case the joint rows have rank n + m - 2: empty directions are no components.
    dims = min(sizes[0] + sizes[1] - 2, sizes[2])
    axes, codes = published_cpca(x, y, 3, alpha, dims, standardize)
    same_up_to_sign(fit.components, axes.T, 1e-9)
    same_up_to_sign(fit.codes.T, codes.T, 1e-8)
    assert fit.alpha == alpha and fit.info["dims"] == dims


def test_cpca_on_fewer_joint_axes():
    x, y = noise(5)
    fit = baselines.cpca(x, y, 2, alpha=1.0, dims=6)
    axes, codes = published_cpca(x, y, 2, 1.0, dims=6)
    same_up_to_sign(fit.components, axes.T, 1e-9)
    same_up_to_sign(fit.codes.T, codes.T, 1e-8)
    full = baselines.cpca(x, y, 2, alpha=1.0, dims=None)
    assert full.info["dims"] == 12 and fit.info["dims"] == 6
    assert full.info["eigenvalues"][0] > fit.info["eigenvalues"][0]


def test_cpca_without_contrast_is_pca_and_ranks_are_nested():
    x, y = noise(6)
    path = baselines.cpca_path(x, y, 4, [0.0, 2.0])
    assert_allclose(path[0].codes, baselines.pca(x, y, 4).codes, atol=1e-10)
    for fit, alpha in zip(path, (0.0, 2.0), strict=True):
        small = baselines.cpca(x, y, 2, alpha=alpha)
        assert_allclose(small.codes, fit.codes[:, :2], atol=1e-9)


def test_contrast_finds_what_pca_misses():
    x, y, labels = planted()
    areas = {}
    for name, fit in {
        "pca": baselines.pca(x, y, 1),
        "cpca": baselines.cpca(x, y, 1, alpha=2.0),
        "gcpca": baselines.gcpca(x, y, 1),
    }.items():
        area = roc_auc_score(labels, fit.codes[:, 0])
        areas[name] = max(area, 1 - area)
    assert areas["pca"] < 0.65 and areas["cpca"] > 0.98 and areas["gcpca"] > 0.95


def test_empty_directions_never_come_first():
    x, y = noise(7)
    x[:, 3] = y[:, 3] = 2.0
    for standardize in (False, True):
        fit = baselines.cpca(x, y, 2, alpha=1000.0, standardize=standardize)
        assert (fit.info["eigenvalues"] < 0).all()  # an empty direction would have exactly 0
        assert (fit.codes.std(axis=0) > 1e-3).all()
        assert_allclose(fit.components[:, 3], 0, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_automatic_contrasts_are_the_published_algorithm(rank):
    x, y, _ = planted(1)
    grid = np.concatenate([[0], np.logspace(-1, 3, 40)])
    spans = [np.linalg.qr(published_cpca(x, y, rank, a)[1])[0] for a in grid]
    affinity = np.eye(41)
    for i, j in itertools.combinations(range(41), 2):
        cosines = np.linalg.svd(spans[i].T @ spans[j], compute_uv=False)
        affinity[i, j] = affinity[j, i] = np.prod(cosines)
    labels = SpectralClustering(4, affinity="precomputed", random_state=0).fit(affinity).labels_
    expected = []
    for cluster in range(4):
        members = np.flatnonzero(labels == cluster)
        if 0 not in members:
            expected.append(grid[members[affinity[np.ix_(members, members)].sum(0).argmax()]])
    expected.sort()
    found = baselines.cpca_auto_alphas(x, y, rank)
    assert_allclose(found, expected, rtol=1e-12)
    fit = baselines.cpca(x, y, rank, alpha="auto")
    assert fit.info["auto_alphas"] == found and fit.alpha == found[(len(found) - 1) // 2]
    assert_allclose(fit.codes, baselines.cpca(x, y, rank, alpha=found[1]).codes, atol=1e-9)


def test_contrasts_are_checked():
    x, y = noise(0)
    for bad in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="alphas: found"):
            baselines.cpca(x, y, 2, alpha=bad)
    with pytest.raises(ValueError, match="alpha: found 'best'; pass a nonnegative number or \"a"):
        baselines.cpca(x, y, 2, alpha="best")
    path = baselines.cpca_path(x, y, 2, [0.0, 1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="path: found 4 contrasts beginning with 1"):
        baselines.cpca_medoids(path[1:], n_alphas=2)
    with pytest.raises(ValueError, match=r"path: found 5 .* pass more than n_alphas \+ 1 = 5"):
        baselines.cpca_medoids(path, n_alphas=4)


def z_scores(rows):
    return (rows - rows.mean(0)) / rows.std(0)


def test_gcpca_is_the_generalised_eigenproblem():
    x, y = noise(8)
    zx, zy = z_scores(x), z_scores(y)
    cx, cy = zx.T @ zx / 60, zy.T @ zy / 50
    values, vectors = eigh(cx - cy, cx + cy)
    fit = baselines.gcpca(x, y, 12)
    assert_allclose(fit.info["index"], values[::-1], atol=1e-10)
    same_up_to_sign(fit.components, (vectors / np.linalg.norm(vectors, axis=0)).T[::-1], 1e-8)
    assert_allclose(fit.codes, zx @ fit.components.T, atol=1e-12)
    swapped = baselines.gcpca(y, x, 12)
    assert_allclose(swapped.info["index"], -fit.info["index"][::-1], atol=1e-10)


def test_gcpca_in_few_samples_is_the_published_route():
    x, y = noise(9, n=20, m=15, g=40)
    ux, uy = z_scores(x) / np.sqrt(20), z_scores(y) / np.sqrt(15)
    joint = np.linalg.svd(np.vstack([ux, uy]), full_matrices=False)[2][:15].T
    a, b = (joint.T @ u.T @ u @ joint / (len(u) - 1) for u in (ux, uy))
    d, e = np.linalg.eigh(a + b)
    root = np.linalg.inv(e * np.sqrt(d) @ e.T)
    vectors = joint @ root @ np.linalg.eigh(root @ (a - b) @ root)[1][:, ::-1]
    vectors /= np.linalg.norm(vectors, axis=0)
    fit = baselines.gcpca(x, y, 4)
    assert fit.info["dims"] == 15
    same_up_to_sign(fit.components, vectors[:, :4].T, 1e-8)
    few = baselines.gcpca(x, y, 4, dims=6)
    assert few.info["dims"] == 6
    assert (few.info["index"] < fit.info["index"]).all()  # fewer axes: less room for chance
    with pytest.raises(ValueError, match=r"rank must be an integer from 1 to 6 .*found 7"):
        baselines.gcpca(x, y, 7, dims=6)


def test_gcpca_ignores_units_and_constant_features():
    x, y = noise(10)
    units = np.random.default_rng(0).uniform(0.1, 100, 12)
    fit, other = baselines.gcpca(x, y, 3), baselines.gcpca(x * units, y * units + 5, 3)
    assert_allclose(other.codes, fit.codes, atol=1e-8)
    wide = baselines.gcpca(np.c_[x, np.ones(60)], np.c_[y, np.ones(50)], 3)
    assert wide.info["dims"] == 12
    assert_allclose(wide.codes, fit.codes, atol=1e-8)
    assert_allclose(wide.components[:, -1], 0, atol=1e-12)


def test_nmf_recovers_a_factorisation_and_reports_itself():
    rng = np.random.default_rng(0)
    basis = np.kron(np.eye(3), np.ones((1, 4))) / 4
    # Rows of one program each make the factorisation unique.
    codes = np.concatenate([np.eye(3), rng.exponential(size=(50, 3))])
    fit = baselines.nmf(codes @ basis, None, 3, tol=1e-8, max_iter=5000, random_state=1)
    order = fit.components.argmax(axis=1).argsort()
    assert_allclose(fit.components[order], basis, atol=1e-4)
    assert_allclose(fit.codes[:, order], codes, atol=1e-3)
    assert fit.info["converged"] and fit.info["steps"] < 5000
    x, _ = noise(0)
    short = baselines.nmf(x, None, 3, max_iter=2)
    assert not short.info["converged"] and short.info["steps"] == 2
    residual = np.linalg.norm(x - short.codes @ short.components)
    assert_allclose(short.info["error"], residual, rtol=1e-10)


def test_nmf_starts_follow_the_seed():
    x, _ = noise(0)
    first, again, other = (baselines.nmf(x, None, 3, random_state=seed).codes for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert (first >= 0).all()
    single = baselines.nmf(x.astype(np.float32), None, 3, init="nndsvda")
    assert single.codes.dtype == single.components.dtype == np.float32
    with pytest.raises(ValueError, match="target: found negative entries"):
        baselines.nmf(x - 5, None, 3)
    with pytest.raises(ValueError, match="init: found 'pca'"):
        baselines.nmf(x, None, 3, init="pca")
