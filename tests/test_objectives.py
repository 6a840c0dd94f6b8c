"""Contracts of every objective under several losses and every solver."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bcnmf_jax as bj
from tests import contracts
from tests.tables import LOSSES, OBJECTIVES, SOLVERS

pytestmark = pytest.mark.usefixtures("x64")
SEEDS = st.integers(0, 2**32 - 1)
MAIN = {k: LOSSES[k] for k in ("frobenius", "kl")}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
main_loss = pytest.mark.parametrize("loss", MAIN.values(), ids=MAIN.keys())


# Every objective with the main losses; the contrast, whose halves swap, with every loss.
PAIRS = {
    f"{o}-{k}": (row, loss)
    for o, row in OBJECTIVES.items()
    for k, loss in LOSSES.items()
    if k in MAIN or o in ("contrastive", "penalised")
}
each_pair = pytest.mark.parametrize(("row", "loss"), PAIRS.values(), ids=PAIRS.keys())


@each_pair
@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_split_is_gradient(row, loss, seed):
    contracts.split_is_gradient(row, loss, seed)


@each_pair
@settings(max_examples=4, deadline=None)
@given(seed=SEEDS, damping=st.sampled_from([0.3, 1.0]))
def test_own_step_descends(row, loss, seed, damping):
    contracts.own_step_descends(row, loss, seed, damping)


@pytest.mark.parametrize(
    ("row", "loss"),
    [
        pytest.param(row, loss, id=f"{o}-{k}", marks=() if often else pytest.mark.slow)
        for o, row in OBJECTIVES.items()
        for k, loss in MAIN.items()
        # Which loss it is hardly matters to an order; one will do for most objectives.
        for often in [k == "kl" or o == "contrastive"]
    ],
)
def test_permutations_change_nothing(row, loss):
    contracts.permutations_change_nothing(row, loss, seed=0)


HOMOGENEOUS = {k: r for k, r in OBJECTIVES.items() if r.homogeneous}


@pytest.mark.parametrize("row", HOMOGENEOUS.values(), ids=HOMOGENEOUS.keys())
@pytest.mark.parametrize("loss", [*MAIN.values(), LOSSES["beta 1.5"]], ids=[*MAIN, "beta 1.5"])
def test_scaling_changes_nothing(row, loss):
    contracts.scaling_changes_nothing(row, loss, seed=1, factor=37.0)


KINDS = ("mu", "hals", "variable projection", "adam softplus")


def crossed(names, often):
    """Objectives with every solver; slow tests but for the pairs that are met ``often``."""
    return [
        pytest.param(
            OBJECTIVES[name],
            SOLVERS[solver],
            id=f"{name}-{solver}",
            marks=() if often(name, solver) else pytest.mark.slow,
        )
        for name in names
        for solver in SOLVERS
    ]


def promising(name, solver):
    """Every solver with the plain contrast, one of each kind with several arrays and with frozen
    rows, and the two defaults with every objective: what else a pair shares is covered by these."""
    several = name in ("multimodal", "background first")
    return name == "contrastive" or solver in ("mu", "hals") or (several and solver in KINDS)


def compiling(name, solver):
    """One solver of each kind, and one with every structure of the blocks."""
    return solver == "mu" or (name == "contrastive" and solver in KINDS)


@pytest.mark.parametrize(("row", "solver"), crossed(OBJECTIVES, promising))
def test_solver_keeps_its_promises(row, solver):
    contracts.solver_keeps_its_promises(row, bj.Frobenius(), solver, seed=2)


COMPILED = crossed(["contrastive", "multimodal", "combined"], compiling)


@pytest.mark.parametrize(("row", "solver"), COMPILED)
def test_jit_equals_eager(row, solver):
    loss = bj.Frobenius() if isinstance(solver, bj.HALS) else bj.KL()
    contracts.jit_equals_eager(row, loss, solver, seed=3)


WITH_BACKGROUND = {k: r for k, r in OBJECTIVES.items() if k != "nmf"}


@pytest.mark.parametrize("row", WITH_BACKGROUND.values(), ids=WITH_BACKGROUND.keys())
def test_every_set_transforms_alone(row):
    contracts.every_set_transforms_alone(row, bj.Frobenius(), seed=4)


NMF_AT_ZERO = {k: r for k, r in OBJECTIVES.items() if r.nmf_at_zero}


@pytest.mark.parametrize("row", NMF_AT_ZERO.values(), ids=NMF_AT_ZERO.keys())
@each_loss
def test_alpha_zero_is_nmf(row, loss):
    made, data, blocks = contracts.problem(row, loss, alpha=0.0)
    stop = bj.Stop(tol=0.0, max_steps=20)
    have = bj.fit(made, data, blocks, solver=bj.MU(), stop=stop)
    want = bj.fit(bj.NMF(loss), data, blocks, solver=bj.MU(), stop=stop)
    contracts.same(have.blocks["basis"], want.blocks["basis"], 1e-10)
    contracts.same(have.blocks["target"], want.blocks["target"], 1e-10)


@main_loss
def test_shared_target_is_bounded_by_zero(loss):
    row = OBJECTIVES["shared + target"]
    for alpha in (1.0, 50.0):
        made, data, blocks = contracts.problem(row, loss, alpha=alpha)
        f = bj.fit(made, data, blocks, stop=bj.Stop(tol=0.0, max_steps=300))
        assert float(bj.reduced_objective(made, data, f.blocks)) > -1e-3


@main_loss
def test_background_first_freezes_a_basis_of_the_background(loss):
    made, data, blocks = contracts.problem(OBJECTIVES["background first"], loss)
    blocks = bj.init(made, data, 3, jax.random.key(0))
    f = bj.fit(made, data, blocks, stop=bj.Stop(tol=0.0, max_steps=30))
    np.testing.assert_array_equal(f.blocks["basis"][-2:], blocks["basis"][-2:])
    assert not np.allclose(f.blocks["basis"][:3], blocks["basis"][:3])
    alone = {"target": data["background"]}
    plain = bj.fit(bj.NMF(loss), alone, bj.init(bj.NMF(loss), alone, 2, jax.random.key(5)))
    read = bj.transform(bj.NMF(loss), {"basis": blocks["basis"][-2:]}, alone)
    frozen = bj.fitting.block_costs(
        bj.NMF(loss), alone, {"basis": blocks["basis"][-2:], "target": read}
    )
    assert float(frozen["target"]) < 1.05 * float(plain.costs["target"])


def test_several_backgrounds_each_with_its_alpha():
    rng = np.random.default_rng(0)
    X, Y1, Y2 = (rng.gamma(1, 1, (n, 12)) for n in (20, 10, 15))
    blocks = bj.init(bj.NMF(), {"target": X}, 3, jax.random.key(0))
    stop = bj.Stop(tol=0.0, max_steps=10)

    def go(alpha, background):
        data = {"target": X, "background": background}
        made = bj.Contrastive(alpha)
        return bj.fit(made, data, bj.init(made, data, 3, jax.random.key(0)), stop=stop)

    one = go(0.8, Y1).blocks["basis"]
    contracts.same(go([0.8, 0.0], [Y1, Y2]).blocks["basis"], one, 1e-12)
    assert blocks["basis"].shape == one.shape
    with pytest.raises(ValueError, match="alpha has shape"):
        go([1.0, 2.0, 3.0], [Y1, Y2])


def test_overlap_cannot_be_escaped_by_scaling():
    rng = np.random.default_rng(0)
    data = contracts.problem(OBJECTIVES["combined"], bj.Frobenius())[1]
    start = {
        "basis": {k: rng.random((2, 15)) + 0.1 for k in ("shared", "target")},
        "target": rng.random((24, 2)) + 0.1,
        "background": rng.random((18, 2)) + 0.1,
    }
    shrunk = {k: jax.tree.map(lambda a, f=f: a * f, v)
              for (k, v), f in zip(start.items(), (1e-3, 1e3, 1e3), strict=True)}  # fmt: skip
    for normalised, moves in ((True, False), (False, True)):
        made = bj.objectives.CombinedBasis(5.0, normalised=normalised)
        a, b = (float(bj.fitting.block_costs(made, data, s)["basis"]) for s in (start, shrunk))
        assert (abs(a - b) > 1e-3 * abs(a)) == moves
