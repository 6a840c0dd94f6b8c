"""An objective, a loss and a solver from one file outside the package, through every interface."""

import sys

import anndata
import jax
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import bcnmf_jax as bj
from bcnmf_jax.estimator.objects import is_object, to_text
from bcnmf_jax.solvers import default_solver
from tests import contracts, outside
from tests.tables import SOLVERS, Objective, two_sets

rng = np.random.default_rng(0)
X, Y = rng.gamma(1, 1, (50, 20)).astype("f4"), rng.gamma(1, 1, (40, 20)).astype("f4")
DATA = {"target": X, "background": Y}
KEY = jax.random.key(0)
LOSSES = [outside.Halved(), outside.Hellinger()]
GIVEN = {"n_restarts": 2, "max_iter": 20, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:not converged")


def model(**given):
    return bj.BCNMF(2, **GIVEN | given).fit(X, background=Y)


@pytest.mark.parametrize(
    "loss", [outside.Halved(), outside.Hellinger()], ids=["halved", "hellinger"]
)
@pytest.mark.parametrize("make", [bj.Contrastive, outside.Joint], ids=["contrastive", "joint"])
def test_contracts(x64, make, loss):
    row = Objective(make, two_sets)
    contracts.split_is_gradient(row, loss, seed=0)
    contracts.own_step_descends(row, loss, seed=0, damping=1.0)
    for solver in SOLVERS.values():
        contracts.solver_keeps_its_promises(row, loss, solver, seed=0)


def test_a_quadratic_loss_has_the_solvers_of_squared_error(x64):
    made, plain = bj.NMF(outside.Halved()), bj.NMF()
    data = {"target": X.astype(float)}
    start = bj.init(plain, data, 3, KEY)
    assert default_solver(made, bj.prepare(data)) == bj.HALS()
    for solver in (bj.HALS(), bj.solvers.VarPro()):
        one, two = (
            bj.fit(o, data, start, solver=solver, stop=bj.Stop(0.0, 20)) for o in (made, plain)
        )
        np.testing.assert_allclose(one.blocks["basis"], two.blocks["basis"], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(one.costs["basis"], two.costs["basis"] / 2)


def test_the_estimator_takes_an_objective_and_a_solver():
    found = model(objective=outside.Joint(0.5), solver=outside.Slow())
    codes = found.transform(X)
    assert codes.shape == (50, 2) and found.objective_ == outside.Joint(0.5)
    assert found.inverse_transform(codes).shape == X.shape and 0 < found.score(X) < 1
    again = clone(found).fit(X, background=Y)
    np.testing.assert_array_equal(again.components_, found.components_)
    alone = bj.fit(
        outside.Joint(0.5), DATA, bj.init(outside.Joint(0.5), DATA, 2, jax.random.fold_in(KEY, 0)),
        solver=outside.Slow(), stop=bj.Stop(1e-4, 20),
    )  # fmt: skip
    one = model(objective=outside.Joint(0.5), solver=outside.Slow(), n_restarts=1)
    order = np.argsort(one.components_[:, 0]), np.argsort(alone.blocks["basis"][:, 0])
    np.testing.assert_allclose(
        one.components_[order[0]], np.asarray(alone.blocks["basis"])[order[1]], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    "loss", [outside.Halved(), outside.Hellinger()], ids=["halved", "hellinger"]
)
def test_the_estimator_takes_a_loss(loss):
    found = model(loss=loss, alpha=0.3)
    assert found.transform(X).shape == (50, 2) and found.result_ in ("converged", "max_steps")


@pytest.mark.parametrize(
    "given", [{"objective": outside.Joint(0.5)}, {"solver": outside.Slow(), "alpha": 0.5}]
)
def test_sparse_data_take_what_arrays_take(given):
    csr = [sparse.csr_matrix(a) for a in (X, Y)]
    found = bj.BCNMF(2, **given, **GIVEN).fit(csr[0], background=csr[1])
    dense = bj.BCNMF(2, **given, **GIVEN).fit(X, background=Y)
    np.testing.assert_allclose(found.components_, dense.components_, rtol=1e-4, atol=1e-6)


def test_sweeps_trace_its_numbers():
    def made(alpha, loss):
        return outside.Joint(alpha, loss)

    found = bj.sweep(
        made, DATA, alphas=[0.0, 1.0], ranks=[2], keys=KEY[None], loss=outside.Hellinger(),
        solver=outside.Slow(), stop=bj.Stop(0.0, 10),
    )  # fmt: skip
    assert found.steps.shape == (2, 1, 1) and np.isfinite(found.costs["basis"]).all()


@pytest.mark.parametrize(
    "given",
    [
        {"objective": outside.Joint(0.5), "solver": outside.Slow()},
        {"loss": outside.Hellinger(), "alpha": 0.2},
        {"objective": bj.BackgroundFirst(2, 0.1, bj.Beta(1.5), (bj.penalties.L1("target", 0.1),))},
    ],
    ids=["objective and solver", "loss", "an objective of the package"],
)
def test_models_are_saved_by_name_and_fields(given, tmp_path, monkeypatch):
    found = model(**given)
    found.save(tmp_path / "m")
    read = bj.load(tmp_path / "m")
    for name, value in found.get_params().items():
        same = getattr(read, name)
        assert to_text(same) == to_text(value) if is_object(value) else same == value
    np.testing.assert_array_equal(read.transform(X), found.transform(X))
    if "outside" in (tmp_path / "m" / "model.json").read_text():
        monkeypatch.delitem(sys.modules, "tests.outside")
        with pytest.raises(ValueError, match=r"'tests\.outside', which is not imported: import it"):
            bj.load(tmp_path / "m")
        assert "tests.outside" not in sys.modules


def test_what_cannot_be_found_again_is_not_saved(tmp_path):
    class Local(outside.Joint):
        pass

    found = model(objective=Local(0.5))
    with pytest.raises(ValueError, match=r"Local cannot be stored: .*top level of a module"):
        found.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_anndata(tmp_path):
    adata = anndata.AnnData(np.concatenate([X, Y]))
    adata.obs["stim"] = ["a"] * 50 + ["b"] * 40
    bj.tl.bcnmf(
        adata, "stim", "a", "b", n_components=2, objective=outside.Joint(0.5),
        solver=outside.Slow(), n_restarts=1, max_iter=20,
    )  # fmt: skip
    adata.write_h5ad(tmp_path / "a.h5ad")
    stored = bj.tl.stored.Stored(anndata.read_h5ad(tmp_path / "a.h5ad"), "bcnmf")
    read = stored.model()
    assert read.objective == outside.Joint(0.5) and isinstance(read.solver, outside.Slow)
    np.testing.assert_allclose(read.transform(X), adata.obsm["X_bcnmf"][:50], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objective": outside.Joint(), "alpha": 2.0}, "alpha belongs to the objective"),
        ({"objective": outside.Joint(), "loss": "kl"}, "loss belongs to the objective"),
        ({"objective": outside.Joint}, "objective must be one of .* or an objective"),
        ({"objective": bj.objectives.Multimodal()}, "takes modalities"),
        ({"solver": bj.MU}, "solver must be a solver like"),
    ],
    ids=["alpha", "loss", "class", "modalities", "solver"],
)
def test_contradictions(given, said):
    with pytest.raises((TypeError, ValueError), match=said):
        bj.BCNMF(**GIVEN | {"n_components": 2} | given).fit(X, background=Y)


def test_select_takes_an_objective():
    simulated = bj.datasets.beta_simulation(beta=8, n=60, genes=1490)
    data = {"target": simulated.target[:, :60], "background": simulated.background[:, :60]}
    axes = {"ranks": [1, 2], "background_ranks": [2], "splits": 2, "criterion": "gain"}
    named = bj.select(data, objectives=["contrastive"], alphas=[0.7], **axes)
    own = bj.select(data, objectives=[bj.Contrastive(0.7)], **axes)
    assert own.objective == "Contrastive" and own.alpha == pytest.approx(0.7)
    same = [
        {**row, "objective": "Contrastive", "alpha": mine["alpha"]}
        for row, mine in zip(named.table, own.table, strict=True)
    ]
    assert list(own.table) == same
    found = bj.select(data, objectives=[outside.Joint(-0.5), bj.BackgroundFirst(3)], **axes)
    assert len(found.table) == 4 and np.isnan(found.table[0]["alpha"])
    assert found.n_background_components == {"Joint": 0, "BackgroundFirst": 3}[found.objective]
    kl = bj.select(data, objectives=[bj.BackgroundFirst(2, loss=bj.KL())], **axes)
    assert kl.table[0]["gain"] != found.table[2]["gain"]


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ([bj.Contrastive(0.5), bj.Contrastive(1.0)], "'Contrastive' twice"),
        (
            [bj.Contrastive(), bj.BackgroundFirst(2, loss=bj.KL())],
            "BackgroundFirst has the loss",
        ),
        ([bj.objectives.CombinedBasis()], "CombinedBasis has several bases"),
        ([bj.objectives.Multimodal()], "Multimodal takes no target and background"),
        (["contrast"], "objectives must be among"),
        ([outside.Joint], "must be names or objects"),
    ],
    ids=["twice", "losses", "bases", "modalities", "name", "class"],
)
def test_objects_that_cannot_be_compared(objectives, said):
    with pytest.raises((TypeError, ValueError), match=said):
        bj.select({"target": X, "background": Y}, objectives=objectives)
