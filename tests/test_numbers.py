"""Numbers that are swept are held in full precision; integers are integers and in range."""

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.baselines import pca
from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.inference.background import background_check
from tests.core import unchecked

RNG = np.random.default_rng(0)
DATA = {"target": RNG.gamma(1, 1, (12, 6)), "background": RNG.gamma(1, 1, (10, 6))}
KEY = jax.random.key(0)
HELD = {
    "Contrastive(alpha)": (bj.Contrastive, "alpha"),
    "Multimodal(alpha)": (bj.objectives.Multimodal, "alpha"),
    "SharedTarget(alpha)": (lambda a: bj.objectives.SharedTarget(2, a), "alpha"),
    "BackgroundFirst(alpha)": (lambda a: bj.BackgroundFirst(2, a), "alpha"),
    "CombinedBasis(overlap)": (bj.objectives.CombinedBasis, "overlap"),
    "Beta(b)": (bj.Beta, "b"),
    "NegativeBinomial(dispersion)": (bj.NegativeBinomial, "dispersion"),
    "L1(weight)": (lambda a: bj.penalties.L1("basis", a), "weight"),
    "L2(weight)": (lambda a: bj.penalties.L2("target", a), "weight"),
    "Overlap(weight)": (bj.penalties.Overlap, "weight"),
    "Stop(tol)": (bj.Stop, "tol"),
}


@pytest.mark.parametrize(("make", "name"), HELD.values(), ids=HELD)
def test_numbers_are_held_in_full_precision(make, name):
    assert float(getattr(make(0.1), name)) == 0.1
    assert "0.1" in repr(make(0.1))
    traced = jax.eval_shape(make, jax.ShapeDtypeStruct((), np.float32))
    assert getattr(traced, name).dtype == np.float32


@pytest.mark.parametrize(
    "make",
    [
        lambda: bj.Contrastive(
            0.1, bj.Beta(1.1), (bj.penalties.L1("target", 0.3), bj.penalties.L2("basis", 0.7))
        ),
        lambda: bj.objectives.SharedTarget(2, 0.1, bj.NegativeBinomial(0.3)),
        lambda: bj.BackgroundFirst(2, 0.1),
    ],
)
def test_where_an_objective_is_built_does_not_matter(make):
    outside = make()
    with jax.enable_x64(True):
        inside = make()
        blocks = bj.init(outside, DATA, 2, KEY)
        one, other = (bj.fitting.block_costs(o, DATA, blocks) for o in (outside, inside))
        assert blocks["basis"].dtype == np.float64
        jax.tree.map(np.testing.assert_array_equal, one, other)
    assert bj.init(outside, DATA, 2, KEY)["basis"].dtype == np.float32


def test_other_values_compile_nothing(compilations):
    def go(alpha, b, tol, steps):
        made = bj.Contrastive(alpha, bj.Beta(b), (bj.penalties.L1("target", alpha),))
        start = bj.init(made, DATA, 2, KEY)
        bj.fit(made, DATA, start, stop=bj.Stop(tol, steps))

    go(0.1, 1.5, 1e-3, 20)
    before = compilations()
    go(np.float32(0.2), 1.7, 1e-2, np.int64(19))
    assert compilations() == before


def test_objectives_are_arguments_of_transformations():
    made = bj.Contrastive(0.5)
    blocks = bj.init(made, DATA, 2, KEY)
    rows = bj.prepare(DATA)

    def cost(objective):
        return bj.fitting.block_costs(objective, rows, blocks)["basis"]

    alphas = np.array([0.1, 0.5, 2.0])
    each = np.array([float(cost(bj.Contrastive(a))) for a in alphas])
    np.testing.assert_allclose(float(jax.jit(cost)(made)), each[1], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(cost)(bj.Contrastive(alphas)), each, rtol=1e-6)
    over = jax.vmap(lambda a: cost(bj.Contrastive(a)))(alphas.astype(np.float32))
    np.testing.assert_allclose(over, each, rtol=1e-6)


def sweep(**options):
    options = {"alphas": [1.0], "ranks": [2], "keys": jax.random.split(KEY, 2)} | options
    return bj.sweep(bj.Contrastive, DATA, **options)


def model(**options):
    return bj.BCNMF(**options).fit(DATA["target"], background=DATA["background"])


OUT_OF_RANGE = {
    "steps beyond 32 bits": (lambda: bj.Stop(max_steps=2**32 + 1), r"Stop\(max_steps\)"),
    "steps whose trace is too long": (lambda: bj.Stop(max_steps=10**9), r"every=10.*found 1000000"),
    "half a look": (lambda: bj.Stop(every=1.5), r"Stop\(every\)"),
    "true steps": (lambda: bj.Stop(max_steps=True), r"Stop\(max_steps\)"),
    "inner steps": (lambda: bj.MU(inner_steps=1.5), r"MU\(inner_steps\)"),
    "chunk": (lambda: bj.HALS(chunk=2.5), r"HALS\(chunk\)"),
    "chunk of a gradient": (lambda: bj.solvers.Optax(None, chunk=0.5), r"Optax\(chunk\)"),
    "memory": (lambda: bj.solvers.VarPro(memory=1.5), r"VarPro\(memory\)"),
    "rank": (lambda: bj.init(bj.NMF(), DATA, 2**40, KEY), "rank"),
    "shared rank": (lambda: bj.objectives.SharedTarget(1.0), "shared_rank"),
    "batch": (lambda: sweep(batch_size=1.5), "batch_size"),
    "ranks": (lambda: sweep(ranks=[2, True]), r"ranks\[1\]"),
    "seed of a choice": (
        lambda: bj.select(DATA, random_state=2**70),
        "random_state.*0 to 4294967295",
    ),
    "ranks of a choice": (lambda: bj.select(DATA, ranks=[1, True]), r"ranks\[1\]"),
    "seed of a check": (lambda: background_check(*DATA.values(), random_state=-1), "random_state"),
    "seed of resamples": (
        lambda: bj.inference.bootstrap(bj.NMF(), DATA, {}, random_state=2**32),
        "random_state.*found 4294967296",
    ),
    "seed of a simulation": (lambda: bj.datasets.beta_simulation(seed=2.5), "seed"),
    "cells of a simulation": (lambda: bj.datasets.beta_simulation(n=2.5), "n must be an integer"),
    "rank of a baseline": (lambda: pca(DATA["target"], None, 2.5), "rank .* from 1 to 6"),
    "estimator's steps": (lambda: model(max_iter=2**32 + 1), "max_iter"),
    "estimator's trace": (lambda: model(max_iter=10**9), "max_iter"),
    "estimator's restarts": (lambda: model(n_restarts=2**31), "n_restarts"),
    "estimator's seed": (lambda: model(random_state=2**70), "random_state"),
    "negative seed": (lambda: model(random_state=-1), "random_state"),
    "chunk rows": (
        lambda: bj.stream(bj.NMF(), DATA, rank=2, key=KEY, chunk_rows=1e3),
        "chunk_rows",
    ),
}


@pytest.mark.parametrize(("call", "words"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_integers_out_of_range(call, words):
    with unchecked(), pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.asarray(3), jax.numpy.int32(3)])
def test_integers_of_every_kind(value):
    assert type(check_integer(value, "count")) is int


@pytest.mark.parametrize(
    "penalties", ["a", bj.penalties.L1("basis", 1.0), [bj.penalties.L1("basis", 1.0)], (0.5,)]
)
def test_penalties_are_a_tuple_of_penalties(penalties):
    with unchecked(), pytest.raises(TypeError, match="penalties must be a tuple"):
        bj.Contrastive(penalties=penalties)
