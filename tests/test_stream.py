"""Streamed fits are the fits in memory: any source, any objective, killed and resumed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import bcnmf_jax as bj
from bcnmf_jax import checkpoint, passes
from bcnmf_jax.parts import DataSets
from bcnmf_jax.sources import Reader
from tests import tables
from tests.contracts import same

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def sets():
    """Sparse counts with a row and a column of zeros: (45 + 31) x 30."""
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.3, 1, (4, 30))
    draw = lambda n: rng.poisson(rng.gamma(0.5, 1, (n, 4)) @ basis).astype(float)  # noqa: E731
    data = {"target": draw(45), "background": draw(31)}
    data["target"][3] = 0
    return data


def sparse(data):
    return {k: bj.SparseRows(sp.csr_matrix(a)) for k, a in data.items()}


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


@pytest.mark.filterwarnings("ignore::bcnmf_jax.ConstantFeatureWarning")
@pytest.mark.parametrize("loss", ["frobenius", "kl"])
@pytest.mark.parametrize("name", ["nmf", "contrastive", "shared + target", "background first"])
def test_exact_passes_are_the_fit_in_memory(x64, sets, name, loss):
    made = tables.OBJECTIVES[name].make(0.5, tables.LOSSES[loss])
    # 45 + 31 rows in chunks of 16: the last ones are filled up
    f, g = both(made, sets, bj.Stop(tol=1e-3, max_steps=23), chunk_rows=16)
    same_fit(f, g, 1e-10)


@pytest.mark.filterwarnings("ignore::bcnmf_jax.ConstantFeatureWarning")
def test_single_precision(sets):
    with jax.enable_x64(False):
        stop = bj.Stop(tol=0.0, max_steps=20)
        f, g = both(bj.Contrastive(0.5, bj.KL()), sets, stop, chunk_rows=16)
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


def test_stops_converged_as_in_memory(x64, sets):
    data = {"target": sets["target"]}
    f, g = both(bj.NMF(bj.KL()), data, bj.Stop(tol=5e-3, max_steps=500), chunk_rows=16)
    assert bj.result_name(f.result) == "converged" and int(g.steps) < 500
    same_fit(f, g, 1e-9)


def test_collapse_is_said(sets):
    made = bj.Contrastive(1e4)
    g = bj.stream(made, sets, rank=3, key=KEY, stop=bj.Stop(0.0, 30), chunk_rows=16)
    assert bj.result_name(g.result) == "collapsed"


@pytest.mark.parametrize("loss", tables.LOSSES.values(), ids=tables.LOSSES.keys())
def test_rows_that_fill_up_a_chunk_add_exactly_nothing(x64, loss):
    data = {"target": np.random.default_rng(0).gamma(1, 1, (5, 9))}
    made = bj.NMF(loss)
    known = bj.survey(data)
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


def anndata_sources(X, folder):
    import anndata

    sparse_a, dense_a = (
        anndata.AnnData(sp.csr_matrix(X), layers={"counts": sp.csc_matrix(X)}),
        anndata.AnnData(X),
    )
    sparse_a.write_h5ad(folder / "s.h5ad")
    dense_a.write_h5ad(folder / "d.h5ad")
    sparse_a.write_zarr(folder / "s.zarr")
    mapped = np.memmap(folder / "m.bin", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return {
        "csr": sp.csr_matrix(X),
        "csc": sp.csc_matrix(X),
        "csr array of integers": sp.csr_array(X.astype(int)),
        "memory map": mapped,
        "AnnData": sparse_a,
        "dense AnnData": dense_a,
        "backed AnnData": anndata.read_h5ad(folder / "s.h5ad", backed="r"),
        "h5ad": folder / "s.h5ad",
        "dense h5ad": str(folder / "d.h5ad"),
        "zarr": folder / "s.zarr",
    }


@pytest.mark.filterwarnings("ignore:.*zarr.*")
def test_every_source_gives_the_same_rows(sets, tmp_path):
    X = sets["target"]
    found = anndata_sources(X, tmp_path)
    for name, a in found.items():
        source = bj.source(a)
        assert source.shape == X.shape, name
        np.testing.assert_array_equal(source[7:30], X[7:30], err_msg=name)
        reader = Reader([source], 16, np.dtype("float32"))
        rows = [np.asarray(r.x)[: j.stop - j.start] for j, r in reader.read(reader.jobs(0))]
        np.testing.assert_array_equal(np.concatenate(rows), X, err_msg=name)
    counts = bj.source(found["AnnData"], layer="counts")
    np.testing.assert_array_equal(counts[:5], X[:5])
    with pytest.raises(ValueError, match="stored by columns"):
        bj.BackedRows(tmp_path / "s.h5ad", layer="counts")
    with pytest.raises(KeyError, match="counts"):
        bj.BackedRows(tmp_path / "s.h5ad", layer="raw")
    with pytest.raises(FileNotFoundError):
        bj.BackedRows(tmp_path / "none.h5ad")
    with pytest.raises(TypeError, match="layer"):
        bj.source(X, layer="counts")


def test_reading_errors_reach_the_caller(sets):
    class Broken:
        shape, dtype = (40, 30), np.dtype(float)

        def __getitem__(self, rows):
            if rows.start > 20:
                raise OSError("disk on fire")
            return sets["target"][rows]

    with pytest.raises(OSError, match="disk on fire"):
        bj.survey({"target": Broken()}, chunk_rows=8)


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
        ({"mode": "online", "solver": bj.MU(extrapolation=0.5)}, ValueError, "extrapolation"),
        ({"solver": bj.Optax(None)}, TypeError, "MU"),  # pyright: ignore
        ({"rank": None, "blocks": {"basis": np.ones((2, 5))}}, ValueError, "features"),
    ],
)
def test_clear_errors(change, error, words):
    given = {"data": {"target": np.eye(9)}, "rank": 2, "key": KEY, **change}
    with pytest.raises(error, match=words):
        bj.stream(bj.NMF(), given.pop("data"), **given)


def test_goes_on_from_given_blocks(x64, sets):
    made, rows = bj.Contrastive(0.3), {k: a + 0.1 for k, a in sets.items()}
    start = bj.init(made, rows, 3, KEY)
    plain = {"solver": bj.MU()}  # without memory, so that two halves are a whole
    whole = bj.fit(made, rows, start, stop=bj.Stop(0.0, 8), **plain)
    half = bj.stream(made, rows, blocks={"basis": start["basis"]}, stop=bj.Stop(0.0, 4), **plain)
    rest = bj.stream(made, rows, blocks=half.blocks, stop=bj.Stop(0.0, 4), **plain)
    same(whole.blocks, rest.blocks, 1e-10)


@pytest.mark.parametrize("name", ["shared + target", "background first"])
def test_values_and_codes(x64, name):
    row = tables.OBJECTIVES[name]
    data, made = row.data(np.random.default_rng(0)), row.make(0.5, bj.KL())
    blocks = bj.init(made, data, 3, KEY)
    stop = bj.Stop(1e-9, 3000)
    want = float(bj.game_value(made, data, blocks, stop=stop))
    # A code of 0 would stay 0: the codes of a fit are no place to look from.
    stuck = {**blocks, "target": blocks["target"].at[:, 0].set(0)}
    for start in ({"basis": blocks["basis"]}, stuck):
        value = bj.stream_value(made, data, start, chunk_rows=10, stop=stop)
        np.testing.assert_allclose(value, want, rtol=1e-6)
    codes = bj.transform(made, blocks, data, stop=stop)
    found = bj.stream_transform(made, blocks, data, chunk_rows=10, stop=stop)
    same(codes, found, 1e-4)
    alone = bj.stream_transform(made, blocks, {"target": data["target"][:3]}, stop=stop)
    same(codes["target"][:3], alone, 1e-4)
    with pytest.raises(ValueError, match="features"):
        bj.stream_transform(made, blocks, {"target": data["target"][:, :9]})


def test_online_passes_come_near_sooner():
    rng = np.random.default_rng(1)
    basis = rng.gamma(0.2, 1, (4, 40))
    draw = lambda n: rng.poisson(3 * rng.gamma(0.5, 1, (n, 4)) @ basis) + 1.0  # noqa: E731
    data = bj.survey({"target": draw(1600), "background": draw(800)})
    made = bj.Contrastive(0.3, bj.KL())
    value = lambda f: float(bj.stream_value(made, data, f.blocks, stop=bj.Stop(1e-4, 20)))  # noqa: E731
    values = {
        mode: value(
            bj.stream(made, data, rank=4, key=KEY, stop=bj.Stop(0.0, 8), mode=mode, chunk_rows=50)
        )
        for mode in ("exact", "online")
    }
    best = value(bj.stream(made, data, rank=4, key=KEY, stop=bj.Stop(0.0, 200), chunk_rows=400))
    assert values["online"] - best < 0.5 * (values["exact"] - best)


def test_progress_is_told(sets):
    told = []
    made = bj.BackgroundFirst(1, 0.5, bj.KL())
    f = bj.stream(
        made, sets, rank=2, key=KEY, stop=bj.Stop(0.0, 3), chunk_rows=16, callback=told.append
    )
    assert [p.stage for p in told[-3:]] == ["fit"] * 3 and told[0].stage == "background"
    assert [p.epoch for p in told[-3:]] == [1, 2, 3] and {p.epochs for p in told[-3:]} == {3}
    assert all(p.cells_per_second > 0 for p in told) and told[-1].seconds_left == 0
    assert int(f.steps) == 3


KILLED = """
import sys
import jax, numpy as np, bcnmf_jax as bj

path, kill, mode = sys.argv[1], sys.argv[2], sys.argv[3]
rng = np.random.default_rng(0)
data = {"target": rng.poisson(2.0, (300, 20)) + 0.5, "background": rng.poisson(2.0, (200, 20))}

def tell(p):
    print(p.stage, p.epoch, flush=True)
    if f"{p.stage} {p.epoch}" == kill:
        sys.stdin.read()  # until killed

made = bj.BackgroundFirst(2, 0.5, bj.KL())
f = bj.stream(
    made, data, rank=3, key=jax.random.key(0), stop=bj.Stop(0.0, 24), chunk_rows=64, mode=mode,
    checkpoint=path, every=3, callback=tell,
)
np.savez(path + ".out.npz", *map(np.asarray, jax.tree.leaves((f.blocks, f.costs, f.trace))))
"""


@pytest.mark.parametrize("mode", ["exact", pytest.param("online", marks=pytest.mark.slow)])
def test_a_killed_fit_resumes_to_the_same_bits(tmp_path, mode):
    def start(name, kill):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / name), kill, mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(bj.__file__).parents[1],
        )  # fmt: skip

    def kill_at(name, mark):
        process = start(name, mark)
        for line in process.stdout:
            if line.strip() == mark:
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    def finish(name):
        told, _ = start(name, "never").communicate(timeout=300)
        return told.splitlines()

    whole = finish("whole")
    assert whole[-1] == "fit 24"
    kill_at("killed", "background 14")
    kill_at("killed", "fit 8")
    rest = finish("killed")
    # the background's fit is not done again, the last six passes are kept
    assert rest[0] == "fit 7" and rest[-1] == "fit 24"
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.background"))
    with np.load(tmp_path / "whole.out.npz") as a, np.load(tmp_path / "killed.out.npz") as b:
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_checkpoint_of_another_fit_is_refused(sets, tmp_path):
    path = tmp_path / "fit"
    go = lambda alpha=0.5, data=sets, steps=4: bj.stream(  # noqa: E731
        bj.Contrastive(alpha), data, rank=2, key=KEY, stop=bj.Stop(0.0, steps), chunk_rows=16,
        checkpoint=path,
    )  # fmt: skip
    same(go().blocks, go().blocks, 0)
    for other, word in (
        ({"alpha": 0.6}, "objective"), ({"steps": 5}, "stop"),
        ({"data": {**sets, "target": sets["target"] + 1}}, "data"),
        ({"data": {**sets, "target": sets["target"][::-1]}}, "data"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"another fit .*{word}"):
            go(**other)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        go()
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="cannot be read"):
        go()
    with pytest.raises(ValueError, match="folder"):
        bj.stream(bj.NMF(), sets, rank=2, key=KEY, checkpoint=tmp_path / "none" / "fit")


def test_checkpoints_are_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "c"
    assert checkpoint.load(path) is None
    checkpoint.save(path, [np.arange(3), jnp.ones(2)], {"a": [1, "b"]})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, [np.zeros(9)], {})
    arrays, about = checkpoint.load(path)
    np.testing.assert_array_equal(arrays[0], [0, 1, 2])
    assert about == {"a": [1, "b"]} and [p.name for p in tmp_path.iterdir()] == ["c"]
    np.savez(tmp_path / "o.npz", about=np.array([{}], object))
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load(tmp_path / "o.npz")


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
def test_estimator_takes_sparse_data(sets, loss):
    X, Y = sets["target"], sets["background"]
    options = {"n_components": 2, "loss": loss, "random_state": 0, "max_iter": 20, "tol": 0.0}
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
    assert np.isnan(one.restarts_["value"]).all() and one.n_iter_ == 20
