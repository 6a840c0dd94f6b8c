"""`bj.tl`: the estimator on AnnData, wherever its matrix lies, and what is made of the answer."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import fisher_exact

import bcnmf_jax as bj
from bcnmf_jax.inference.selection import OUTCOMES
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.tl import _rows as tl_rows
from bcnmf_jax.tl._gene_sets import excess
from bcnmf_jax.tl._rows import Chosen
from bcnmf_jax.tl.stored import Stored, frame, read_choice, stored_choice
from tests.cells import ASKED, FAST, simulated

ad = pytest.importorskip("anndata")
LOST = ["gene1", "gene2", "gene3", "gene4"]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def adata():
    return simulated()


@pytest.fixture(scope="module")
def fitted():
    adata = simulated()
    adata.X = sp.csr_matrix(adata.X)
    bj.tl.bcnmf(adata, "stim", "a", "b", mask_var="used", group_key="donor", **FAST)
    return adata


def test_writes_what_the_estimator_finds(adata):
    X = adata.X.copy()
    found = bj.tl.bcnmf(adata, "stim", target=["a"], background=["b"], **ASKED)
    assert found is None
    np.testing.assert_array_equal(adata.X, X)
    is_a, is_b = ((adata.obs["stim"] == v).to_numpy() for v in "ab")
    used = adata.var["used"].to_numpy()
    model = bj.BCNMF(**FAST, random_state=0).fit(X[is_a][:, used], background=X[is_b][:, used])
    loadings = adata.varm["bcnmf_components"]
    np.testing.assert_array_equal(loadings[used].T, model.components_)
    assert np.isnan(loadings[~used]).all() and loadings.shape == (1500, 2)
    codes = np.hstack([adata.obsm["X_bcnmf"], adata.obsm["X_bcnmf_background"]])
    np.testing.assert_allclose(codes, model.transform(X[:, used], full=True), rtol=1e-5)
    expected = np.select([is_a, is_b], ["target", "background"], "other")
    assert (adata.obs["bcnmf_role"] == expected).all()
    found = adata.uns["bcnmf"]
    assert found["params"]["mask_var"] == "used" and "layer" not in found["params"]
    assert found["versions"]["bcnmf_jax"] == bj.__version__
    assert found["diagnostics"]["x_explained"] == pytest.approx(model.diagnostics_["x_explained"])


def test_cells_that_are_neither_change_nothing(adata, fitted):
    fewer = adata[(adata.obs["stim"] != "c") | (np.arange(220) >= 200)].copy()
    neither = fewer.obs["stim"] == "c"
    fewer.obs["stim"] = fewer.obs["stim"].mask(neither)
    said = f"{neither.sum()} of {len(neither)} samples have no condition in 'stim' and are left out"
    with pytest.warns(bj.DataWarning, match=said):
        bj.tl.bcnmf(fewer, "stim", "a", "b", **ASKED)
    np.testing.assert_array_equal(fewer.varm["bcnmf_components"], fitted.varm["bcnmf_components"])


@pytest.mark.parametrize("kind", ["csr", "csc", "layer", "view", "backed", "backed dense"])
def test_wherever_the_matrix_lies(adata, fitted, tmp_path, kind):
    options = {"layer": "logs"} if kind == "layer" else {}
    if kind in ("csr", "csc", "backed"):
        adata.X = (sp.csc_matrix if kind == "csc" else sp.csr_matrix)(adata.X)
    if kind == "layer":
        adata.layers["logs"] = adata.X
        adata.X = np.full(adata.shape, -1.0)
    if kind == "view":
        adata = adata[adata.obs["stim"] != "c"]
        assert adata.is_view
    if kind.startswith("backed"):
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ad.ImplicitModificationWarning)
        bj.tl.bcnmf(adata, "stim", "a", "b", **ASKED, **options)
    for name in ("bcnmf_components", "bcnmf_background_components"):
        np.testing.assert_array_equal(adata.varm[name], fitted.varm[name])
    assert not adata.is_view


@pytest.mark.parametrize(
    "kind", ["in memory", *(pytest.param(k, marks=pytest.mark.slow) for k in ("sparse", "dense"))]
)
def test_streams_what_is_too_large_for_memory(adata, tmp_path, monkeypatch, kind):
    adata = adata[:, ::5].copy()
    is_a, is_b = ((adata.obs["stim"] == v).to_numpy() for v in "ab")
    one = FAST | {"objective": "contrastive", "n_background_components": 1, "n_restarts": 1}
    x, y = (sp.csr_matrix(adata.X[rows]) for rows in (is_a, is_b))
    model = bj.BCNMF(**one, random_state=0).fit(x, background=y)  # sparse: read chunk by chunk
    codes = model.transform(sp.csr_matrix(adata.X))
    adata.X = sp.csr_matrix(adata.X) if kind != "dense" else adata.X
    if kind != "in memory":
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    monkeypatch.setattr(tl_rows, "DENSE", 0)
    monkeypatch.setattr(tl_rows, "BLOCK", 16)
    bj.tl.bcnmf(adata, "stim", "a", "b", **one)
    np.testing.assert_allclose(adata.varm["bcnmf_components"].T, model.components_, rtol=1e-5)
    np.testing.assert_allclose(adata.obsm["X_bcnmf"], codes, atol=1e-5 * codes.max())


@pytest.mark.parametrize("kind", ["dense", "csr", "csr on disk", "dense on disk"])
def test_chosen_rows_and_columns(tmp_path, monkeypatch, kind):
    rng = np.random.default_rng(0)
    X = rng.poisson(1.0, (300, 12)).astype(np.int64)
    adata = ad.AnnData(sp.csr_matrix(X) if kind.startswith("csr") else X)
    if kind.endswith("disk"):
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    monkeypatch.setattr(tl_rows, "BLOCK", 32)
    monkeypatch.setattr(tl_rows, "GAP", 3)
    largest = [0]

    class Watched:
        shape, dtype = adata.X.shape, adata.X.dtype

        def __getitem__(self, at):
            largest[0] = max(largest[0], at.stop - at.start)
            return tl_rows.matrix_of(adata, None)[at]

    for share in (0.02, 0.5, 1.0):
        rows, columns = np.flatnonzero(rng.random(300) < share), rng.permutation(12)[:7]
        part = Chosen(Watched(), rows, columns)
        assert part.dtype == np.float32 and part.shape == (len(rows), 7)
        np.testing.assert_array_equal(part[:], X[rows][:, columns])
        np.testing.assert_array_equal(part[1:5], X[rows[1:5]][:, columns])
        pieces = [x for _, x in Chosen(Watched(), rows).chunks()]
        np.testing.assert_array_equal(np.concatenate(pieces), X[rows])
    assert largest[0] == 32


def test_survives_a_file(fitted, tmp_path):
    fitted = fitted.copy()
    bj.tl.alpha_path(fitted, [0.0, 1.0])
    fitted.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    _same(again.uns["bcnmf"], fitted.uns["bcnmf"])
    pd.testing.assert_frame_equal(bj.tl.rank_programs(again), bj.tl.rank_programs(fitted))


def _same(found, wanted):
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            _same(found[key], wanted[key])
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted, check_index_type=False)
    else:
        np.testing.assert_array_equal(found, wanted)


def test_a_background_of_its_own(adata, fitted):
    target, other = adata[adata.obs["stim"] == "a"].copy(), adata[adata.obs["stim"] == "b"]
    shuffled = other[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    bj.tl.bcnmf(target, background=shuffled, **ASKED)
    np.testing.assert_array_equal(target.varm["bcnmf_components"], fitted.varm["bcnmf_components"])
    assert (target.obs["bcnmf_role"] == "target").all()
    assert bj.tl.alpha_path(target, [1.0], background=shuffled)["value"][0] == pytest.approx(
        target.uns["bcnmf"]["restarts"]["value"].min(), rel=1e-5
    )
    with pytest.raises(ValueError, match="background= is needed: the AnnData of 100 cells"):
        bj.tl.alpha_path(target, [1.0])
    with pytest.raises(ValueError, match=r"background lacks 4 of 1495 genes: \['gene1', 'gene2'"):
        bj.tl.bcnmf(target, background=shuffled[:, ~shuffled.var_names.isin(LOST)], **ASKED)


def test_copy_and_refit(adata):
    before = set(adata.obsm) | set(adata.uns) | set(adata.obs) | set(adata.varm)
    found = bj.tl.bcnmf(adata, "stim", "a", "b", copy=True, **ASKED)
    assert set(adata.obsm) | set(adata.uns) | set(adata.obs) | set(adata.varm) == before
    bj.tl.bcnmf(found, "stim", "a", "b", **ASKED | {"objective": "nmf"})
    assert "X_bcnmf_background" not in found.obsm
    assert "bcnmf_background_components" not in found.varm
    bj.tl.bcnmf(found, "stim", "a", "b", key_added="again", **ASKED)
    assert {"X_again", "X_again_background", "X_bcnmf"} <= set(found.obsm)


def test_ranked_genes_are_those_of_the_planted_programs(fitted):
    table = bj.tl.rank_programs(fitted, 20)
    assert list(table["program"].unique()) == ["bcnmf0", "bcnmf1"]
    number = table["gene"].str.removeprefix("gene").astype(int)
    assert ((number >= 1250) & (number < 1490)).mean() > 0.9
    assert (table.groupby("program")["loading"].diff().dropna() <= 0).all()
    every = bj.tl.rank_programs(fitted, 1495, background=True)
    assert len(every["program"].unique()) == 7
    total = every.groupby("gene")["specificity"].sum()
    np.testing.assert_allclose(total, 1, rtol=1e-4)
    with pytest.raises(ValueError, match="n_genes"):
        bj.tl.rank_programs(fitted, 0)


def test_subtract_takes_the_background_away(fitted, adata):
    sparse = fitted.copy()
    bj.tl.subtract(sparse)
    layer, X = sparse.layers["bcnmf_subtracted"].toarray(), adata.X
    used = adata.var["used"].to_numpy()
    basis = fitted.varm["bcnmf_background_components"][used].T
    wanted = np.maximum(X[:, used] - fitted.obsm["X_bcnmf_background"] @ basis, 0)
    np.testing.assert_allclose(layer[:, used], wanted, atol=1e-4)
    np.testing.assert_array_equal(layer[:, ~used], X[:, ~used])
    dense = fitted.copy()
    dense.X = X
    bj.tl.subtract(dense, layer_added="left")
    np.testing.assert_allclose(dense.layers["left"], layer, atol=1e-4)
    np.testing.assert_array_equal(sparse.X.toarray(), X)
    bj.tl.bcnmf(adata, "stim", "a", "b", **ASKED | {"objective": "nmf"})
    with pytest.raises(ValueError, match="no programs of the background"):
        bj.tl.subtract(adata)


def _gmt(folder, *lines):
    path = folder / "sets.gmt"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_gene_sets(fitted, tmp_path):
    pytest.importorskip("gseapy")
    planted = ["\t".join([f"t{k}", "x", *(f"gene{i}" for i in range(a, a + 120, 3))])
               for k, a in enumerate((1250, 1370))]  # fmt: skip
    shared = "\t".join(["shared", "x", *(f"gene{i}" for i in range(1, 200, 5)), "unknown"])
    path = _gmt(tmp_path, *planted, shared, "small\tx\tgene7")
    table = bj.tl.gene_sets(fitted, path, permutations=200)
    assert set(table["gene_set"]) == {"t0", "t1", "shared"}
    for _, mine in table.groupby("program"):
        first = mine.iloc[0]
        assert first["gene_set"] != "shared" and first["q"] < 1e-6 and first["ranked_q"] < 0.05
        assert mine.set_index("gene_set")["q"]["shared"] > 0.5
        assert mine["ranked_p"].min() >= 1 / 201
    row = table.iloc[0]
    size, k, total = row["size"], row["overlap"], int(fitted.var["used"].sum())
    inside = [[k, size - k], [100 - k, total - 100 - size + k]]
    assert row["p"] == pytest.approx(fisher_exact(inside, "greater").pvalue)
    assert len(row["genes"].split(";")) == k
    assert row["fold"] == pytest.approx(k / (100 * size / total))


def test_genes_that_are_high_in_every_cell_rank_low(fitted):
    used = fitted.var["used"].to_numpy()
    mean = fitted.X[(fitted.obs["stim"] == "a").to_numpy()].toarray()[:, used].mean(0)
    beyond = excess(fitted, Stored(fitted, "bcnmf"))
    wanted = fitted.varm["bcnmf_components"][used].T - mean / mean.sum()
    np.testing.assert_allclose(beyond[:2], wanted, atol=1e-6)
    np.testing.assert_allclose(beyond.sum(1), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a\tb"], "line 1 .* has 2 fields"),
        (["a\tb\tc", "", "a\tb\tc"], r"two sets named 'a' \(line 3\)"),
        ([""], "has no sets"),
        (["a\tb\tTP53\tMDM2"], r"none of its 1 sets has 5 to 500 of the 1495 fitted genes"),
    ],
)
def test_gene_sets_that_cannot_be_used(fitted, tmp_path, lines, words):
    pytest.importorskip("gseapy")
    with pytest.raises(ValueError, match=words):
        bj.tl.gene_sets(fitted, _gmt(tmp_path, *lines))
    with pytest.raises(FileNotFoundError, match="gmt"):
        bj.tl.gene_sets(fitted, tmp_path / "none.gmt")


def test_alpha_path(fitted):
    adata = fitted.copy()
    table = bj.tl.alpha_path(adata, [1.0, 0.0])
    assert list(table["alpha"]) == [0.0, 1.0]
    kept = adata.uns["bcnmf"]["restarts"]["value"].min()
    assert table["value"][1] == pytest.approx(kept, rel=1e-5)
    diagnostics = adata.uns["bcnmf"]["diagnostics"]
    assert table["x_explained"][1] == pytest.approx(diagnostics["x_explained"], rel=1e-5)
    with pytest.raises(ValueError, match="alphas"):
        bj.tl.alpha_path(adata, [])
    with pytest.raises(ValueError, match="alpha"):
        bj.tl.alpha_path(adata, [-1.0])


def test_a_choice_is_written_and_read(tmp_path):
    rows = ({"component": 0, "spill": 0.1, "verdict": "sound"},)
    kept = Selection(
        "no power", ("why", "how"), "sequential", 0.0, 1, 3, ({"score": None},), (), rows, False
    )
    adata = ad.AnnData(np.ones((2, 2), "float32"), uns={"choice": stored_choice(kept)})
    adata.write_h5ad(tmp_path / "a.h5ad")
    held = ad.read_h5ad(tmp_path / "a.h5ad").uns["choice"]
    assert held["components"]["verdict"].tolist() == ["sound"]
    read = read_choice(held)
    assert (read.outcome, read.reasons, read.together) == (kept.outcome, kept.reasons, False)


def test_enrichment_by_donor(fitted, tmp_path):
    adata = fitted.copy()
    with pytest.raises(ValueError, match="pairs=True"):
        bj.tl.enrichment(adata)
    adata.obs["mouse"] = adata.obs["stim"].astype(str) + adata.obs["donor"].astype(str)
    few = {"n_permutations": 5, "rows_per_group": 20}
    table = bj.tl.enrichment(adata, "mouse", **few)
    used = adata.var["used"].to_numpy()
    sets, mice = zip(
        *((adata.X[rows][:, used].toarray(), adata.obs["mouse"][rows])
          for rows in ((adata.obs["stim"] == v).to_numpy() for v in "ab")),
        strict=True,
    )  # fmt: skip
    model = bj.BCNMF(**FAST, random_state=0).fit(sets[0], background=sets[1])
    direct = bj.enrichment(model, *sets, groups=mice[0], background_groups=mice[1], **few)
    pd.testing.assert_frame_equal(table, direct.to_frame(), rtol=1e-3)
    lone = bj.tl.enrichment(adata, "stim")
    assert lone["note"].str.contains("not testable").all() and lone["p"].isna().all()
    adata.write_h5ad(tmp_path / "a.h5ad")
    stored = ad.read_h5ad(tmp_path / "a.h5ad").uns["bcnmf"]["enrichment"]
    pd.testing.assert_frame_equal(stored, lone, check_index_type=False)
    with pytest.raises(KeyError, match="group_key='cage'"):
        bj.tl.enrichment(adata, "cage")


def test_background_check(adata):
    adata.layers["counts"] = np.expm1(adata.X).round()
    asked = {"condition_key": "stim", "target": "a", "background": "b", "mask_var": "used"}
    table = bj.tl.background_check(adata, **asked, counts_layer="counts", group_key="donor")
    assert {"size", "depth", "span", "replicates"} <= set(table["name"])
    assert set(table["level"]) <= {"ok", "warn", "unsuitable"}
    found = bj.tl.background_check(adata, **asked, batch_key="stim").set_index("name")
    assert found.loc["batch", "level"] == "unsuitable" and found.loc["batch", "advice"]
    with pytest.raises(KeyError, match="batch_key='plate'"):
        bj.tl.background_check(adata, **asked, batch_key="plate")


def test_a_loss_of_numbers_is_stored(adata, tmp_path):
    small = adata[:, ::10].copy()
    loss = bj.Beta(1.5)
    bj.tl.bcnmf(small, "stim", "a", "b", **FAST | {"loss": loss, "objective": "nmf"})
    small.write_h5ad(tmp_path / "a.h5ad")
    model = Stored(ad.read_h5ad(tmp_path / "a.h5ad"), "bcnmf").model()
    assert type(model.loss) is bj.Beta and float(model.loss.b) == 1.5
    np.testing.assert_allclose(
        model.transform(small.X[:9]), small.obsm["X_bcnmf"][:9], rtol=1e-3, atol=1e-4
    )


def test_a_choice_keeps_donors_whole(adata, monkeypatch):
    given = {}
    monkeypatch.setattr(bj.BCNMF, "fit", lambda self, X, **more: given.update(more) or 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        bj.tl.bcnmf(adata, "stim", "a", "b", group_key="donor")
    for name, value in (("groups", "a"), ("background_groups", "b")):
        np.testing.assert_array_equal(given[name], adata.obs["donor"][adata.obs["stim"] == value])


def test_criteria_that_no_candidate_has_are_stored(adata, tmp_path):
    adata.uns["table"] = frame([{"net": 0.1, "thinned": None}, {"net": 0.2, "thinned": None}])
    adata.write_h5ad(tmp_path / "a.h5ad")
    stored = ad.read_h5ad(tmp_path / "a.h5ad").uns["table"]
    assert stored["thinned"].isna().all() and stored["net"].tolist() == [0.1, 0.2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bcnmf_jax.DataWarning")
@pytest.mark.parametrize("dense", [2**28, 0])
def test_everything_on_auto(adata, monkeypatch, tmp_path, dense):
    monkeypatch.setattr(tl_rows, "DENSE", dense)
    adata = adata[:, ::5].copy()
    bj.tl.bcnmf(adata, "stim", "a", "b", max_iter=60, n_restarts=1)
    found = adata.uns["bcnmf"]
    assert found["selection"]["outcome"] in OUTCOMES
    objective = found["selection"]["objective"]
    assert objective == found["params"]["model"]["objective"] in ("balanced", "sequential")
    assert found["selection"]["n_components"] == adata.obsm["X_bcnmf"].shape[1]
    assert {"n_components", "net", "stability"} <= set(found["selection"]["table"])
    adata.write_h5ad(tmp_path / "a.h5ad")
    _same(ad.read_h5ad(tmp_path / "a.h5ad").uns["bcnmf"], found)
    assert Stored(adata, "bcnmf").model().alpha == found["selection"]["alpha"]
