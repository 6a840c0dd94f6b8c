"""Fits of many rows: of a sample, which settles by passes over all."""

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import bcnmf_jax as bj
import bcnmf_jax.estimator._inputs as inputs
import bcnmf_jax.streaming.sample as sample
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.restarts import InMemory
from bcnmf_jax.inference.streamed import PASSES, Streamed
from bcnmf_jax.model.penalties import L2

KEYS = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(0), r))(np.arange(2))
STOP = bj.Stop(1e-5, 200)


@pytest.fixture(scope="module")
def data():
    """Two programs of the target over three shared ones, the last of them late in the rows."""
    rng = np.random.default_rng(0)
    shared, own = rng.gamma(0.3, 1, (3, 40)), np.zeros((2, 40))
    own[0, :8], own[1, 8:16] = 6, 6
    found = {k: rng.gamma(1, 1, (n, 3)) @ shared for k, n in (("target", 900), ("background", 500))}
    found["target"] += (rng.random((900, 2)) < 0.5) * rng.gamma(2, 1, (900, 2)) @ own
    return {k: rng.poisson(v).astype("f4") for k, v in found.items()}


@pytest.fixture
def few(monkeypatch):
    """A sample holds 256 rows."""
    for module in (sample, inputs):
        monkeypatch.setattr(module, "ROWS", 256)


def cosines(a, b):
    a, b = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (a, b))
    return (a @ b.T).max(1)


def fitted(data, kind=sp.csr_matrix, **options):
    given = {"n_components": 2, "alpha": 1.5, "objective": "balanced", "random_state": 0} | options
    return bj.BCNMF(**given).fit(kind(data["target"]), background=kind(data["background"]))


@pytest.mark.filterwarnings("ignore:not converged")
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
def test_a_sample_settles_near_the_fit_of_all_rows(data, monkeypatch, capsys, loss):
    whole = fitted(data, loss=loss)
    capsys.readouterr()
    for module in (sample, inputs):
        monkeypatch.setattr(module, "ROWS", 256)
    found = fitted(data, loss=loss, n_restarts=2)
    said = capsys.readouterr().err
    assert said.count("of 1400 rows are fitted, which settles by passes over all") == 1
    assert cosines(whole.components_, found.components_).min() > 0.995
    assert found.diagnostics_["x_explained"] == pytest.approx(
        whole.diagnostics_["x_explained"], abs=0.02
    )
    assert len(found.restarts_["value"]) == 2 and np.isfinite(found.restarts_["value"]).all()
    # An array of as many rows goes the same way.
    alike = fitted(data, np.asarray, loss=loss, n_restarts=2, verbose=True)
    assert "fit: pass 5 of at most 10" in capsys.readouterr().err
    np.testing.assert_allclose(alike.components_, found.components_, atol=1e-6)


def test_passes_bring_a_sample_nearer_to_all_rows(data, few):
    made = bj.NMF(bj.KL())
    plan, both = Plan("nmf", 0.0, 5, 5, bj.KL()), {"target": data["target"]}
    streamed = Streamed(both, None)
    (found,) = streamed.restarts(plan, KEYS[:1], STOP, Callbacks())
    words = [int(a) for a in np.ravel(jax.random.key_data(KEYS[0]))]
    rows = sample.sample(sample.DataSets(made, streamed.known, 4096), 256, words)
    (begun,) = InMemory(rows, None, None).restarts(plan, KEYS[:1], STOP, Callbacks())
    values = [float(bj.reduced_objective(made, both, {"basis": r.basis})) for r in (begun, found)]
    assert values[1] < values[0]
    assert begun.steps < found.steps <= begun.steps + PASSES
    assert np.isnan(found.value)  # nothing to compare it with


def test_components_that_were_found_apart_stay_apart(data, few):
    plan = Plan("sequential", 0.0, 2, 3, bj.Frobenius(), together=False)
    streamed = Streamed(data, None)
    (found,) = streamed.restarts(plan, KEYS[:1], STOP, Callbacks())
    words = [int(a) for a in np.ravel(jax.random.key_data(KEYS[0]))]
    rows = sample.sample(sample.DataSets(plan.build(), streamed.known, 4096), 256, words)
    (begun,) = InMemory(rows, None, None).restarts(plan, KEYS[:1], STOP, Callbacks())
    np.testing.assert_allclose(found.basis, begun.basis, atol=1e-6)
    assert found.steps == begun.steps


def test_a_penalty_is_fitted_to_all_rows(data, few):
    made = bj.NMF(bj.Frobenius(), penalties=(L2("basis", 5.0),))
    plan, both = Plan(made, 0.0, 3, 3, made.loss), {"target": data["target"]}
    streamed = Streamed(both, None)
    (found,) = streamed.restarts(plan, KEYS[:1], STOP, Callbacks())
    whole = bj.streaming.stream(made, both, rank=3, key=KEYS[0], stop=STOP)
    np.testing.assert_allclose(found.basis, whole.blocks["basis"], atol=1e-6)
    assert streamed.told == "" and np.isnan(found.value)


def test_other_solvers_take_sparse_data_of_few_rows_alone(data, few):
    plan = Plan("nmf", 0.0, 2, 2, bj.Frobenius(), solver=bj.solvers.VarPro())
    with pytest.raises(TypeError, match="solver must be MU"):
        Streamed({"target": data["target"]}, None).restarts(plan, KEYS[:1], STOP, Callbacks())
    some = {"target": sp.csr_matrix(data["target"][:200])}
    (found,) = Streamed(some, None).restarts(plan, KEYS[:1], STOP, Callbacks())
    dense = InMemory({"target": data["target"][:200]}, None, None)
    (want,) = dense.restarts(plan, KEYS[:1], STOP, Callbacks())
    np.testing.assert_allclose(found.basis, want.basis, atol=1e-6)


def test_weights_of_rows_stand_in_for_copies(data, few):
    weights = np.repeat([1.0, 3.0], 450)
    weighed = bj.BCNMF(n_components=2, random_state=0).fit(
        sp.csr_matrix(data["target"]), sample_weight=weights
    )
    copies = np.concatenate([data["target"], *[data["target"][450:]] * 2])
    want = bj.BCNMF(n_components=2, random_state=0).fit(sp.csr_matrix(copies))
    assert cosines(want.components_, weighed.components_).min() > 0.99
