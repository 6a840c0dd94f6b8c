"""`bj.pl`: what is drawn is what is stored, on the axes that are asked for."""

import numpy as np
import pandas as pd
import pytest

import bcnmf_jax as bj
from bcnmf_jax.tl.stored import write

ad = pytest.importorskip("anndata")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402

GENES, CELLS = 40, 90
TABLE = [
    {
        "objective": "background_first", "alpha": 0.0, "n_components": k, "net": 0.01 * k,
        "net_se": 0.002, "stability": 0.9,
    }
    for k in (1, 2, 3)
]  # fmt: skip


@pytest.fixture
def adata():
    """A fit of two target and three background programs, written down without fitting."""
    rng = np.random.default_rng(0)
    model = bj.BCNMF(n_components=2, alpha=0.5, objective="background_first")
    basis = rng.gamma(0.5, 1, (5, GENES))
    basis /= basis.sum(1, keepdims=True)
    model.components_, model.background_components_ = basis[:2], basis[2:]
    model.features_ = np.ones(basis.shape[1], bool)
    model.result_, model.diagnostics_ = "converged", {"x_explained": 0.5, "y_explained": 0.4}
    model.restarts_ = {"value": np.array([1.0, 2.0]), "result": np.array(["converged"] * 2)}
    roles = np.repeat([0, 1, 2], CELLS // 3).astype(np.int8)
    obs = pd.DataFrame({"donor": [f"d{i % 4}" for i in range(CELLS)]})
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=[f"gene{i}" for i in range(GENES)])
    adata = ad.AnnData(np.zeros((CELLS, GENES), np.float32), obs=obs, var=var)
    params = {"condition_key": "stim", "layer": None}
    codes = rng.gamma(1, 1, (CELLS, 5))
    write(adata, "bcnmf", model, codes, np.arange(GENES), roles, params)
    yield adata
    pyplot.close("all")


def test_programs_shows_the_ranked_genes(adata):
    axes = bj.pl.programs(adata, 6)
    table = bj.tl.rank_programs(adata, 6)
    assert [a.get_title() for a in axes] == ["bcnmf0", "bcnmf1"]
    for axis in axes:
        rows = table[table["program"] == axis.get_title()]
        assert [t.get_text() for t in axis.get_yticklabels()] == list(rows["gene"])
        points = axis.collections[-1]
        np.testing.assert_allclose(points.get_offsets()[:, 0], rows["loading"])
        np.testing.assert_allclose(points.get_array(), rows["specificity"])
    assert len(bj.pl.programs(adata, programs=["bcnmf1", "background2"])) == 2


def test_usage_shows_medians_of_cells_and_means_of_groups(adata):
    axes = bj.pl.usage(adata)
    for k, axis in enumerate(axes):
        medians = [line.get_ydata()[0] for line in axis.lines if line.get_color() == "black"]
        wanted = [np.median(adata.obsm["X_bcnmf"][i : i + 30, k]) for i in (0, 30, 60)]
        np.testing.assert_allclose(medians, wanted)
    (axis,) = bj.pl.usage(adata, "donor", programs=["background0"])
    found = np.array([c.get_offsets()[:, 1] for c in axis.collections])
    codes = adata.obsm["X_bcnmf_background"][:, 0]
    means = pd.Series(codes).groupby([np.repeat([0, 1, 2], 30), adata.obs["donor"].to_numpy()])
    np.testing.assert_allclose(found, means.mean().unstack().to_numpy())


def test_alpha_path_marks_what_collapsed(adata):
    adata.uns["bcnmf"]["alpha_path"] = pd.DataFrame(
        {
            "alpha": [0.0, 1.0, 2.0],
            "x_explained": [0.9, 0.5, 0.0],
            "y_explained": [0.9, 0.1, 0.0],
            "dead_features": [0, 3, 40],
            "result": ["converged", "max_steps", "collapsed"],
        }
    )
    explained, dead = bj.pl.alpha_path(adata)
    np.testing.assert_allclose(explained.lines[0].get_ydata(), [0.9, 0.5, 0.0])
    np.testing.assert_allclose(dead.lines[0].get_ydata(), [0, 3, 40])
    crosses = explained.collections[1].get_offsets()
    np.testing.assert_allclose(crosses, [[2.0, 0.0]])
    assert "collapsed" in [t.get_text() for t in explained.get_legend().get_texts()]


def test_stability_shows_the_choice(adata):
    adata.uns["bcnmf"]["selection"] = {
        "outcome": "contrast found",
        "objective": "background_first",
        "alpha": 0.0,
        "n_components": 2,
        "table": pd.DataFrame([*TABLE, {**TABLE[0], "alpha": 1.0, "net": 9.0}]),
    }
    axis = bj.pl.stability(adata)
    line = axis.containers[0].lines[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [1, 2, 3])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [0.01, 0.02, 0.03])
    assert axis.get_title() == "contrast found"


def _enrichment(**numbers):
    """A table of `tl.enrichment` for three programs."""
    names = {
        "component": ["bcnmf0", "bcnmf1", "background0"],
        "kind": ["target", "target", "background"],
        "log2_ratio": [3.0, 2.0, -1.0],
        "note": ["not testable: no donors"] * 3,
    }
    return pd.DataFrame(names | numbers)


def test_enrichment_fills_what_is_significant(adata):
    adata.uns["bcnmf"]["enrichment"] = _enrichment(
        p=[0.01, 0.2, 0.9], q=[0.03, 0.3, 0.9], held_out_log2_ratio=[2.0, 1.0, -0.5],
        null_log2_ratio=[0.1] * 3, null_log2_ratio_95=[1.1] * 3,
    )  # fmt: skip
    axis = bj.pl.enrichment(adata)
    points = axis.collections[0]
    np.testing.assert_allclose(points.get_offsets(), [[2.0, 0], [1.0, 1], [-0.5, 2]])
    filled = (points.get_facecolors()[:, :3] < 1).any(1)
    assert list(filled) == [True, False, False]
    assert {(p.get_x(), p.get_width()) for p in axis.patches} == {(0.1, 1.0)}
    assert [t.get_text() for t in axis.texts] == ["q = 0.03", "q = 0.3", "q = 0.9"]


def test_enrichment_says_what_was_not_testable(adata):
    adata.uns["bcnmf"]["enrichment"] = _enrichment(p=[np.nan] * 3)
    axis = bj.pl.enrichment(adata)
    np.testing.assert_allclose(axis.collections[0].get_offsets()[:, 0], [3.0, 2.0, -1.0])
    assert "not testable" in axis.get_title() and "of the fit" in axis.get_xlabel()


def test_embedding_draws_what_is_stored(adata):
    at = np.random.default_rng(1).normal(size=(CELLS, 2))
    adata.obsm["X_bcnmf_umap"] = at
    for color, entries in ((None, 3), ("donor", 4), ("bcnmf1", 0)):
        axis = bj.pl.embedding(adata, color)
        points = axis.collections[0].get_offsets()
        assert sorted(map(tuple, points)) == sorted(map(tuple, at))
        legend = axis.get_legend()
        assert (0 if legend is None else len(legend.get_texts())) == entries


@pytest.mark.slow
def test_embedding_is_computed_once(adata):
    pytest.importorskip("umap")
    for full in (False, True):
        bj.pl.embedding(adata, full=full)
    first, full = adata.obsm["X_bcnmf_umap"].copy(), adata.obsm["X_bcnmf_umap_full"]
    assert first.shape == full.shape == (CELLS, 2) and not np.allclose(first, full)
    adata.obsm["X_bcnmf"] = adata.obsm["X_bcnmf"][::-1]
    bj.pl.embedding(adata)
    np.testing.assert_array_equal(adata.obsm["X_bcnmf_umap"], first)


def test_axes_are_those_given(adata):
    figure, given = pyplot.subplots(1, 2)
    assert list(bj.pl.programs(adata, ax=given)) == list(given)
    assert list(bj.pl.usage(adata, ax=given)) == list(given)
    assert pyplot.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="ax has 2 axes; 1 panels"):
        bj.pl.programs(adata, programs=["bcnmf0"], ax=given)


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda a: bj.pl.programs(a, key="other"), KeyError, "key='other'"),
        (lambda a: bj.pl.programs(a, programs=["bcnmf7"]), ValueError, "programs must be among"),
        (lambda a: bj.pl.usage(a, "mouse"), KeyError, "groupby='mouse'"),
        (lambda a: bj.pl.embedding(a, "TP53"), KeyError, "color='TP53'"),
        (lambda a: bj.pl.alpha_path(a), KeyError, r"run bj\.tl\.alpha_path"),
        (lambda a: bj.pl.enrichment(a), KeyError, r"run bj\.tl\.enrichment"),
        (lambda a: bj.pl.stability(a), KeyError, 'n_components="auto"'),
    ],
)
def test_errors_name_the_argument(adata, draw, error, words):
    with pytest.raises(error, match=words):
        draw(adata)
