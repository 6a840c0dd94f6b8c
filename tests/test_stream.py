"""Streamed fits are the fits in memory."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import scipy.sparse as sp

import bcnmf_jax as bj
from bcnmf_jax.data.sources import Reader
from bcnmf_jax.streaming import _passes as passes
from bcnmf_jax.streaming.parts import DataSets
from tests import tables
from tests.contracts import same
from tests.core import unchecked

KEY = jax.random.key(0)


def sparse(data):
    return {k: bj.streaming.SparseRows(sp.csr_matrix(a)) for k, a in data.items()}


def both(made, data, stop, solver=None, **options):
    f = bj.fit(made, data, bj.init(made, data, 3, KEY), stop=stop, solver=solver)
    g = bj.stream(made, sparse(data), rank=3, key=KEY, stop=stop, solver=solver, **options)
    return f, g


def same_fit(f, g, tolerance):
    same(f.blocks, g.blocks, tolerance)
    assert jax.tree.structure(f.blocks) == jax.tree.structure(g.blocks)
    assert int(f.steps) == int(g.steps) and bj.result_name(f.result) == bj.result_name(g.result)
    for one, two in ((f.costs, g.costs), (f.diagnostics, g.diagnostics), (f.trace, g.trace)):
        assert set(one) == set(two)
        for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True):
            np.testing.assert_allclose(a, b, rtol=max(tolerance, 1e-8), atol=1e-9)


@pytest.mark.filterwarnings("ignore::bcnmf_jax.data.ConstantFeatureWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
@pytest.mark.parametrize("name", ["nmf", "contrastive", "shared + target", "background first"])
def test_exact_passes_are_the_fit_in_memory(x64, holed, name, loss):
    made = tables.OBJECTIVES[name].make(0.5, tables.LOSSES[loss])
    # 45 + 31 rows in chunks of 16: the last ones are filled up
    f, g = both(made, holed, bj.Stop(tol=1e-3, max_steps=23), chunk_rows=16)
    same_fit(f, g, 1e-10)


@pytest.mark.filterwarnings("ignore::bcnmf_jax.data.ConstantFeatureWarning")
@pytest.mark.parametrize("name", ["contrastive", "background first"])
def test_weights_are_those_of_a_fit_in_memory(x64, holed, name):
    made, stop = tables.OBJECTIVES[name].make(0.5, bj.KL()), bj.Stop(tol=1e-3, max_steps=23)
    weights = {k: np.arange(len(a)) % 4 / 2 for k, a in holed.items()}
    start = bj.init(made, holed, 3, KEY, weights=weights)
    f = bj.fit(made, holed, start, stop=stop, weights=weights)
    known = bj.streaming.summarize(sparse(holed), weights, chunk_rows=16)
    g = bj.stream(made, known, rank=3, key=KEY, stop=stop, chunk_rows=16)
    same_fit(f, g, 1e-10)
    value = bj.reduced_objective(made, holed, f.blocks, weights=weights)
    np.testing.assert_allclose(
        bj.streaming.reduced_objective(made, known, f.blocks), value, rtol=1e-6
    )
    with pytest.raises(ValueError, match="is a summary"):
        bj.streaming.summarize(known, weights)
    with pytest.raises(ValueError, match=r"weights of data\['target'\]"):
        bj.streaming.summarize(sparse(holed), {"target": np.ones(3)})


@pytest.mark.filterwarnings("ignore::bcnmf_jax.data.ConstantFeatureWarning")
def test_single_precision(holed):
    with jax.enable_x64(False):
        stop = bj.Stop(tol=0.0, max_steps=20)
        f, g = both(bj.Contrastive(0.5, bj.KL()), holed, stop, chunk_rows=16)
    same(f.blocks, g.blocks, 1e-4)
    assert {a.dtype for a in jax.tree.leaves(g.blocks)} == {np.dtype("float32")}


def test_solvers_and_penalties(x64):
    data = tables.two_sets(np.random.default_rng(0))
    solver = bj.MU(damping=0.8, inner_steps=2, extrapolation=0.9)
    made = tables.OBJECTIVES["penalised"].make(0.5, bj.Frobenius())
    f = bj.fit(made, data, bj.init(made, data, 3, KEY), stop=bj.Stop(0.0, 12), solver=solver)
    g = bj.stream(made, data, rank=3, key=KEY, stop=bj.Stop(0.0, 12), solver=solver, chunk_rows=7)
    same_fit(f, g, 1e-10)


@pytest.mark.parametrize("name", ["several backgrounds", "multimodal"])
def test_nested_data(x64, name):
    row = tables.OBJECTIVES[name]
    data, made = row.data(np.random.default_rng(0)), row.make(0.5, bj.KL())
    f = bj.fit(made, data, bj.init(made, data, 3, KEY), stop=bj.Stop(0.0, 12))
    g = bj.stream(made, data, rank=3, key=KEY, stop=bj.Stop(0.0, 12), chunk_rows=7)
    same_fit(f, g, 1e-10)


def test_stops_converged_as_in_memory(x64, holed):
    data = {"target": holed["target"]}
    f, g = both(bj.NMF(bj.KL()), data, bj.Stop(tol=5e-3, max_steps=500), chunk_rows=16)
    assert bj.result_name(f.result) == "converged" and int(g.steps) < 500
    same_fit(f, g, 1e-9)


def test_collapse_is_said(holed):
    made = bj.Contrastive(1e4)
    g = bj.stream(made, holed, rank=3, key=KEY, stop=bj.Stop(0.0, 30), chunk_rows=16)
    assert bj.result_name(g.result) == "collapsed"


@pytest.mark.parametrize("loss", tables.LOSSES.values(), ids=tables.LOSSES.keys())
def test_rows_that_fill_up_a_chunk_add_exactly_nothing(x64, loss):
    data = {"target": np.random.default_rng(0).gamma(1, 1, (5, 9))}
    made = bj.NMF(loss)
    known = bj.streaming.summarize(data)
    blocks = bj.init(made, data, 3, KEY)
    basis, h = blocks["basis"], {"target": np.asarray(blocks["target"])}
    got = []
    for size in (5, 8):
        reader = Reader([data["target"]], size, np.dtype(float))
        ((_, rows),) = reader.read(reader.jobs(0))
        codes = {"target": np.pad(h["target"], ((0, size - 5), (0, 0)))}
        new, stats, _ = passes.visit(made, bj.MU(), {"target": rows}, None, basis, codes)
        part = DataSets(made, known, size).parts[0]
        columns = passes.columns(part, np.dtype(float))
        tally = passes.tally(made, {"target": rows}, {"basis": basis, **new}, columns)
        assert (np.asarray(new["target"])[5:] == 0).all()
        got.append((new["target"][:5], stats, tally))
    for a, b in zip(*map(jax.tree.leaves, got), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"data": {"target": sp.eye_array(9)}}, TypeError, "source"),
        ({"data": {"target": None}}, TypeError, r"data\['target'\]"),
        ({"data": {"target": -np.eye(9)}}, ValueError, "negative"),
        ({"data": {"target": np.full((9, 9), np.nan)}}, ValueError, "81 values"),
        ({"data": {"background": np.eye(9)}}, ValueError, "target"),
        ({"data": {"target": np.eye(9), "background": np.eye(8)}}, ValueError, "8 features"),
        ({"rank": 0}, ValueError, "rank"),
        ({"rank": None}, ValueError, "rank"),
        ({"key": None}, ValueError, "key"),
        ({"chunk_rows": 0}, ValueError, "chunk_rows"),
        ({"mode": "batch"}, ValueError, "mode"),
        ({"mode": "online", "decay": 1.0}, ValueError, "decay"),
        ({"mode": "online", "updates_per_epoch": 0}, ValueError, "updates_per_epoch"),
        ({"mode": "online", "start_rows": -1}, ValueError, "start_rows"),
        ({"mode": "online", "solver": bj.MU(extrapolation=0.5)}, ValueError, "extrapolation"),
        ({"solver": bj.solvers.Optax(optax.sgd(1e-3))}, TypeError, "MU"),
        ({"rank": None, "blocks": {"basis": np.ones((2, 5))}}, ValueError, "features"),
    ],
)
def test_clear_errors(change, error, words):
    given = {"data": {"target": np.eye(9)}, "rank": 2, "key": KEY, **change}
    with pytest.raises(error, match=words), unchecked():
        bj.stream(bj.NMF(), given.pop("data"), **given)


def test_goes_on_from_given_blocks(x64, holed):
    made, rows = bj.Contrastive(0.3), {k: a + 0.1 for k, a in holed.items()}
    start = bj.init(made, rows, 3, KEY)
    plain = {"solver": bj.MU()}  # without memory, so that two halves are a whole
    whole = bj.fit(made, rows, start, stop=bj.Stop(0.0, 8), **plain)
    half = bj.stream(made, rows, blocks=start, stop=bj.Stop(0.0, 4), **plain)
    rest = bj.stream(made, rows, blocks=half.blocks, stop=bj.Stop(0.0, 4), **plain)
    same(whole.blocks, rest.blocks, 1e-10)


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
def test_codes_that_blocks_lack_are_those_of_their_basis(x64, holed, loss):
    made, rows = bj.NMF(loss), {"target": holed["target"] + 0.1}
    ended = bj.fit(made, rows, bj.init(made, rows, 3, KEY), stop=bj.Stop(1e-7, 2000))
    again = bj.stream(made, rows, blocks={"basis": ended.blocks["basis"]}, stop=bj.Stop(0.0, 1))
    np.testing.assert_allclose(again.blocks["basis"], ended.blocks["basis"], atol=1e-3)
    explained = [float(f.diagnostics["x_explained"]) for f in (again, ended)]
    assert explained[0] == pytest.approx(explained[1], abs=1e-3)


@pytest.mark.parametrize("name", ["shared + target", "background first"])
def test_values_and_codes(x64, name):
    row = tables.OBJECTIVES[name]
    data, made = row.data(np.random.default_rng(0)), row.make(0.5, bj.KL())
    blocks = bj.init(made, data, 3, KEY)
    stop = bj.Stop(1e-9, 3000)
    want = float(bj.reduced_objective(made, data, blocks, stop=stop))
    # A code of 0 would stay 0: the codes of a fit are no place to look from.
    stuck = {**blocks, "target": blocks["target"].at[:, 0].set(0)}
    for start in ({"basis": blocks["basis"]}, stuck):
        value = bj.streaming.reduced_objective(made, data, start, chunk_rows=10, stop=stop)
        np.testing.assert_allclose(value, want, rtol=1e-6)
    codes = bj.transform(made, blocks, data, stop=stop)
    found = bj.streaming.transform(made, blocks, data, chunk_rows=10, stop=stop)
    same(codes, found, 1e-4)
    alone = bj.streaming.transform(made, blocks, {"target": data["target"][:3]}, stop=stop)
    same(codes["target"][:3], alone, 1e-4)
    with pytest.raises(ValueError, match="features"):
        bj.streaming.transform(made, blocks, {"target": data["target"][:, :9]})


def test_online_passes_come_near_sooner():
    rng = np.random.default_rng(1)
    basis = rng.gamma(0.2, 1, (4, 40))
    draw = lambda n: rng.poisson(3 * rng.gamma(0.5, 1, (n, 4)) @ basis) + 1.0  # noqa: E731
    data = bj.streaming.summarize({"target": draw(1600), "background": draw(800)})
    made = bj.Contrastive(0.3, bj.KL())

    def value(f):
        return float(bj.streaming.reduced_objective(made, data, f.blocks, stop=bj.Stop(1e-4, 20)))

    values = {
        mode: value(
            bj.stream(
                made,
                data,
                rank=4,
                key=KEY,
                stop=bj.Stop(0.0, 8),
                mode=mode,
                chunk_rows=50,
                start_rows=0,
            )
        )
        for mode in ("exact", "online")
    }
    best = value(bj.stream(made, data, rank=4, key=KEY, stop=bj.Stop(0.0, 200), chunk_rows=400))
    assert values["online"] - best < 0.5 * (values["exact"] - best)


def test_progress_is_told(holed):
    told = []
    made = bj.BackgroundFirst(2, 0.5, bj.KL())
    f = bj.stream(
        made, holed, rank=2, key=KEY, stop=bj.Stop(0.0, 3), chunk_rows=16, on_progress=told.append
    )
    assert [p.stage for p in told[-3:]] == ["fit"] * 3 and told[0].stage == "background"
    assert [p.epoch for p in told[-3:]] == [1, 2, 3] and {p.epochs for p in told[-3:]} == {3}
    assert all(p.cells_per_second > 0 for p in told) and told[-1].seconds_left == 0
    assert int(f.steps) == 3


def test_one_frozen_row_of_kl_needs_no_fit(holed):
    told, made, where = [], bj.BackgroundFirst(1, 0.5, bj.KL()), {"rank": 2, "key": KEY}
    f = bj.stream(made, holed, **where, stop=bj.Stop(0.0, 2), on_progress=told.append)
    assert {p.stage for p in told} == {"fit"}
    y = holed["background"]
    y = np.concatenate(y) if isinstance(y, list) else np.asarray(y)
    np.testing.assert_allclose(f.blocks["basis"][-1], y.sum(0) / y.sum(), rtol=1e-5)
    plain = bj.fit(
        bj.NMF(bj.KL()), {"target": y}, bj.init(bj.NMF(bj.KL()), {"target": y}, 1, KEY),
        stop=bj.Stop(1e-7, 200),
    )  # fmt: skip
    np.testing.assert_allclose(f.blocks["basis"][-1], plain.blocks["basis"][0], rtol=1e-4)


PEAK = """
import resource, sys
import jax, numpy as np, bcnmf_jax as bj

class Rows:
    def __init__(self, n):
        self.shape, self.dtype = (n, 400), np.dtype("float32")
        self.block = np.random.default_rng(0).poisson(1.0, (64, 400)).astype("float32")

    def __getitem__(self, rows):
        return self.block[np.arange(rows.start, rows.stop) % 64]

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def go(n):
    bj.stream(bj.NMF(bj.KL()), {"target": Rows(n)}, rank=2, key=jax.random.key(0),
              stop=bj.Stop(0.0, 2), chunk_rows=512)
    return peak()

few, many = go(2000), go(100_000)
print(many - few)
"""


def test_memory_does_not_grow_with_rows():
    run = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=300,
        cwd=Path(bj.__file__).parents[1],
    )  # fmt: skip
    # 98,000 more rows are 157 MB dense; their codes and row totals, with copies, are 6 MB
    assert float(run.stdout) < 40


@pytest.mark.filterwarnings("ignore:not converged", "ignore::bcnmf_jax.DataWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
def test_estimator_takes_sparse_data(holed, loss):
    X, Y = holed["target"], holed["background"]
    options = {
        "n_components": 2,
        "alpha": 1.0,
        "loss": loss,
        "random_state": 0,
        "max_iter": 20,
        "tol": 0.0,
    }
    fits = {}
    for kind in (np.asarray, sp.csr_matrix, sp.csc_array):
        model = bj.BCNMF(**options, n_restarts=2)
        fits[kind] = model.fit(kind(X), background=kind(Y)), model.transform(kind(X))
    dense, codes = fits[np.asarray]
    for model, found in list(fits.values())[1:]:
        np.testing.assert_allclose(model.components_, dense.components_, atol=1e-10)
        np.testing.assert_allclose(found, codes, atol=1e-3 * codes.max())
        np.testing.assert_allclose(model.restarts_["value"], dense.restarts_["value"], rtol=1e-3)
    one = bj.BCNMF(**options, n_restarts=1).fit(sp.csr_matrix(X), background=Y)
    np.testing.assert_allclose(one.restarts_["value"], dense.restarts_["value"][:1], rtol=1e-3)
    assert one.n_iter_ == 20


@pytest.fixture(scope="module")
def turned():
    """Sources of the data of two programs over three shared ones, and the fit in memory."""
    rng = np.random.default_rng(0)
    shared, own = rng.gamma(0.3, 1, (3, 40)), np.eye(2, 40) * 8
    both = {"target": 200, "background": 150}
    data = {k: (rng.gamma(1, 1, (n, 3)) @ shared).astype("f4") for k, n in both.items()}
    data["target"] += (rng.gamma(1, 1, (200, 2)) @ own).astype("f4")
    objective, stop = bj.BackgroundFirst(3), bj.Stop(1e-5, 300)
    return data, (objective, 2, KEY, stop), bj.fit_sequential(objective, data, 2, KEY, stop=stop)


def test_components_in_turn_are_those_of_a_fit_in_memory(turned, tmp_path):
    data, (objective, rank, key, stop), whole = turned
    sources, heard = {k: bj.source(sp.csr_matrix(v)) for k, v in data.items()}, []
    given = {"stop": stop, "chunk_rows": 64}
    found = bj.streaming.fit_sequential(
        objective, sources, rank, key, on_progress=heard.append, **given
    )
    np.testing.assert_allclose(found.blocks["basis"], whole.blocks["basis"], atol=2e-3)
    np.testing.assert_allclose(
        found.diagnostics["x_explained"], whole.diagnostics["x_explained"], rtol=1e-4
    )
    assert list(dict.fromkeys(p.stage for p in heard)) == ["background", "components", "fit"]
    assert [p.epoch for p in heard if p.stage == "components"] == [1, 2]

    class Stopped(Exception):
        pass

    def interrupt(now):
        if now.stage == "fit" and now.epoch == 6:
            raise Stopped

    path = tmp_path / "fit.npz"
    with pytest.raises(Stopped):
        bj.streaming.fit_sequential(
            objective, sources, rank, key, checkpoint=path, on_progress=interrupt, **given
        )
    again = bj.streaming.fit_sequential(objective, sources, rank, key, checkpoint=path, **given)
    np.testing.assert_array_equal(again.blocks["basis"], found.blocks["basis"])
    assert int(again.steps) == int(found.steps)


def test_components_in_turn_are_found_on_a_sample(turned):
    data, (objective, rank, key, stop), whole = turned
    found = bj.streaming.fit_sequential(objective, data, rank, key, stop=stop, most_rows=128)
    np.testing.assert_allclose(found.blocks["basis"], whole.blocks["basis"], atol=0.02)
    assert found.blocks["target"].shape == (200, 5)
