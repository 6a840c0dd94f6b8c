"""The loop: stopping, results, diagnostics, transform, sweeps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import non_negative_factorization

import bcnmf_jax as bj
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.loop import advance, begin
from tests.contracts import same

KEY = jax.random.key(0)


def go(data, objective=None, rank=3, **options):
    objective = objective or bj.Contrastive(alpha=0.5)
    return bj.fit(objective, data, bj.init(objective, data, rank, KEY), **options)


def test_single_precision_by_default(counts):
    f = go(counts)
    assert {leaf.dtype for leaf in jax.tree.leaves(f.blocks)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(f.blocks["basis"].sum(1), 1, rtol=1e-5)


def test_stops_when_nothing_moves(counts):
    f = go(counts, stop=bj.Stop(tol=1e-3, max_steps=2000))
    assert bj.result_name(f.result) == "converged"
    looks = int(f.steps) // 10
    change = np.asarray(f.trace["change"])
    assert change[looks - 1] < 1e-3 <= change[looks - 2]
    assert np.isnan(change[looks:]).all()
    np.testing.assert_allclose(f.trace["cost"][looks - 1], f.costs["basis"], rtol=1e-4)


def test_change_is_what_it_says(counts):
    with jax.enable_x64(True):
        objective = bj.Contrastive(alpha=0.5)
        start = bj.init(objective, counts, 3, KEY)
        ends = [
            bj.fit(objective, counts, start, stop=bj.Stop(tol=0.0, max_steps=n)) for n in (10, 20)
        ]
        changes = []
        for name in ("target", "background"):
            one, two = (f.blocks[name] @ f.blocks["basis"] for f in ends)
            changes.append(np.linalg.norm(two - one) / np.linalg.norm(one))
        np.testing.assert_allclose(ends[1].trace["change"][1], max(changes), rtol=1e-8)


def _nmf(alpha, loss):
    return bj.NMF(loss)


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
@pytest.mark.parametrize("make", [_nmf, bj.Contrastive])
def test_extrapolation_needs_fewer_steps(counts, make, loss):
    data = counts if make is bj.Contrastive else {"target": counts["target"]}
    keys = jax.random.split(KEY, 9)

    def cost(solver, steps):
        stop = bj.Stop(tol=0.0, max_steps=steps)
        f = bj.sweep(
            make, data, alphas=[0.5], ranks=[4], keys=keys, loss=loss, solver=solver, stop=stop
        )
        return float(np.median(f.costs["basis"]))

    assert cost(bj.MU(extrapolation=0.9999), 120) < cost(bj.MU(), 160)


@pytest.mark.parametrize("steps", [7, 10, 23])
def test_tol_zero_runs_every_step(counts, steps):
    f = go(counts, stop=bj.Stop(tol=0.0, max_steps=steps))
    assert int(f.steps) == steps and bj.result_name(f.result) == "max_steps"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda d: go(d, stop=bj.Stop(tol=1e-2)), "converged"),
        (lambda d: go(d, stop=bj.Stop(tol=0.0, max_steps=5)), "max_steps"),
        (lambda d: go(d, bj.Contrastive(alpha=1e4)), "collapsed"),
        (lambda d: go(d, solver=_explode()), "nonfinite"),
    ],
)
def test_results_say_their_name(counts, make, word):
    f = make(counts)
    names = {"converged", "max_steps", "nonfinite", "collapsed"}
    assert bj.result_name(f.result) == word
    assert [n for n in names if n in str(f.result)] == [word]


def _explode():
    import optax

    return bj.solvers.Optax(optax.sgd(1e30), "log")


def test_diagnostics_follow_their_definitions(counts):
    X, Y = (np.asarray(counts[k], float) for k in ("target", "background"))
    for loss in (bj.Frobenius(), bj.KL()):
        f = go(counts, bj.Contrastive(alpha=0.3, loss=loss))
        W, H, G = (np.asarray(f.blocks[k], float) for k in ("basis", "target", "background"))

        def explained(A, C, loss=loss, W=W):
            if isinstance(loss, bj.Frobenius):
                return 1 - ((A - C @ W) ** 2).sum() / (A**2).sum()
            kl = lambda mu: (A * np.log(A / mu) - A + mu).sum()  # noqa: E731
            return 1 - kl(C @ W) / kl(np.outer(A.sum(1), A.sum(0)) / A.sum())

        d = f.diagnostics
        np.testing.assert_allclose(d["x_explained"], explained(X, H), rtol=1e-3)
        np.testing.assert_allclose(d["y_explained"], explained(Y, G), rtol=1e-3)
        seen = X.sum(0) > 20
        dead = seen & ((H @ W).sum(0) < 0.01 * X.sum(0))
        assert int(d["dead_features"]) == dead.sum()
        assert not bool(d["collapsed"])


def test_dead_features_and_components_are_counted(counts):
    start = bj.init(bj.NMF(), counts, 3, KEY)
    basis = start["basis"].at[:, :4].set(0.0)
    codes = start["target"].at[:, 1].mul(1e-9)
    f = bj.fit(bj.NMF(), counts, {"basis": basis, "target": codes}, stop=bj.Stop(0.0, 0))
    assert int(f.diagnostics["dead_features"]) == 4
    assert int(f.diagnostics["dead_components"]) == 1


def test_masked_entries_do_not_matter(counts):
    X = np.asarray(counts["target"], np.float32)
    mask = np.random.default_rng(1).random(X.shape) > 0.2
    hidden = np.where(mask, X, np.nan)
    for loss in (bj.Frobenius(), bj.KL()):
        made = bj.NMF(loss)
        start = bj.init(made, {"target": hidden}, 3, KEY, mask={"target": mask})
        fits = [
            bj.fit(made, {"target": filled}, start, mask={"target": mask}, stop=bj.Stop(0.0, 30))
            for filled in (hidden, np.where(mask, X, 5e3))
        ]
        same(fits[0].blocks, fits[1].blocks, 1e-6)
        held = np.abs(fits[0].blocks["target"] @ fits[0].blocks["basis"] - X)[~mask]
        assert np.median(held) < np.median(np.abs(X - X.mean())[~mask])


def test_explained_variance_ignores_the_unit_of_weights_and_masks(counts):
    rng = np.random.default_rng(3)
    X = np.outer(rng.gamma(2, 3, 40), rng.gamma(2, 1, 30))
    mask = rng.random(X.shape) > 0.5
    with jax.enable_x64(True):
        made = bj.NMF(bj.KL())
        for weights, hidden in (({"target": np.full(40, 2.0)}, None), (None, {"target": mask})):
            start = bj.init(made, {"target": X}, 1, KEY, weights=weights, mask=hidden)
            f = bj.fit(made, {"target": X}, start, weights=weights, mask=hidden)
            # rank one is the model without structure itself: nothing is left to explain
            assert float(f.costs["target"]) < 1e-6 * X.sum()
        plain, twice = (
            bj.fit(made, counts, bj.init(made, counts, 3, KEY), weights=w, stop=bj.Stop(0.0, 20))
            for w in (None, {"target": np.full(40, 2.0)})
        )
        a, b = (f.diagnostics["x_explained"] for f in (plain, twice))
        np.testing.assert_allclose(a, b, rtol=1e-9)
        hidden = {"target": rng.random((40, 30)) > 0.5}
        noise = {"target": rng.poisson(np.outer(rng.gamma(2, 9, 40), np.ones(30)))}
        start = bj.init(made, noise, 1, KEY, mask=hidden)
        f = bj.fit(made, noise, start, mask=hidden, stop=bj.Stop(1e-9, 2000))
        assert abs(float(f.diagnostics["x_explained"])) < 1e-3


def test_samples_of_weight_zero_are_read(counts):
    weights = {"target": (np.arange(40) > 0).astype(float)}
    made = bj.NMF()
    f = bj.fit(made, counts, bj.init(made, counts, 3, KEY), weights=weights)
    read = bj.transform(made, f, {"target": counts["target"][:1]})
    np.testing.assert_allclose(f.blocks["target"][:1], read, rtol=0.05, atol=0.05 * read.max())


def test_a_short_last_look_settles_nothing(counts):
    stop = bj.Stop(tol=2e-3, max_steps=5000)
    steps = int(go(counts, stop=stop).steps)
    short = go(counts, stop=bj.Stop(tol=2e-3, max_steps=steps - 9))
    assert int(short.steps) == steps - 9 and bj.result_name(short.result) == "max_steps"


def test_fit_is_a_pure_function(counts):
    made, rows = bj.Contrastive(alpha=0.5), bj.prepare(counts)
    start = bj.init(made, counts, 3, KEY)
    run = lambda scale: bj.fit(made, jax.tree.map(lambda x: scale * x, rows), start).blocks  # noqa: E731
    same(jax.jit(run)(1.0), go(counts).blocks, 1e-5)


def test_types_meet(counts):
    with jax.enable_x64(True):
        mixed = {**counts, "background": counts["background"].astype(np.float32)}
        f = go(mixed, stop=bj.Stop(max_steps=np.int64(20)))
        assert f.blocks["basis"].dtype == jnp.float64


def test_value_does_not_reward_a_bad_frozen_basis(counts):
    made = bj.BackgroundFirst(2, alpha=2.0)
    f = go(counts, made)
    bad = f.blocks["basis"].at[-1].set(f.blocks["basis"][-2])
    good, worse = (
        float(bj.reduced_objective(made, counts, {"basis": basis}))
        for basis in (f.blocks["basis"], bad)
    )
    assert 0 < good < worse


def test_weights_repeat_samples(counts):
    X, Y = (np.asarray(counts[k], float) for k in ("target", "background"))
    with jax.enable_x64(True):
        made = bj.Contrastive(alpha=0.5, loss=bj.KL())
        weights = {"target": np.where(np.arange(40) < 10, 2.0, 1.0)}
        twice = {"target": np.r_[X, X[:10]], "background": Y}
        a = bj.fit(
            made, counts, bj.init(made, counts, 3, KEY), weights=weights, stop=bj.Stop(0.0, 20)
        )
        b = bj.fit(made, twice, bj.init(made, twice, 3, KEY), stop=bj.Stop(0.0, 20))
        same(a.blocks["basis"], b.blocks["basis"], 1e-6)


def test_start_does_not_depend_on_rank_or_rows(counts):
    made = bj.Contrastive()
    small, large = (bj.init(made, counts, k, KEY) for k in (2, 5))
    np.testing.assert_array_equal(small["basis"], large["basis"][:2])
    np.testing.assert_array_equal(small["target"], large["target"][:, :2])
    fewer = bj.init(made, {**counts, "target": counts["target"][::-1][:20]}, 5, KEY)
    np.testing.assert_array_equal(fewer["basis"], large["basis"])
    np.testing.assert_array_equal(fewer["target"], large["target"][::-1][:20])


def test_nndsvd_starts_nearer(counts):
    costs = []
    for method in ("random", "nndsvd"):
        start = bj.init(bj.NMF(), counts, 4, KEY, method=method)
        costs.append(float(bj.fit(bj.NMF(), counts, start, stop=bj.Stop(0.0, 3)).costs["basis"]))
    assert costs[1] < costs[0]


QUADRATIC = {
    "nmf": bj.NMF(bj.KL()),
    "contrastive": bj.Contrastive(alpha=0.3, loss=bj.KL()),
    "background first": bj.BackgroundFirst(2, alpha=0.5, loss=bj.NegativeBinomial(0.1)),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_the_quadratic_start_is_squared_error_over_margins(counts, name):
    made = QUADRATIC[name]
    data = {k: counts[k] for k in ("target", "background") if k == "target" or name != "nmf"}
    start = bj.init(made, data, 3, KEY)
    found = bj.init(made, data, 3, KEY, method="quadratic")
    wide = np.sqrt(sum(v.sum(0) for v in data.values()))
    wide = np.where(wide > 0, wide / np.sqrt(sum(v.sum() for v in data.values())), 1)
    tall = {k: np.sqrt(np.maximum(v.sum(1, keepdims=True), 1)) for k, v in data.items()}
    even = {k: (v / tall[k] / wide).astype("f4") for k, v in data.items()}
    plain = eqx.tree_at(lambda o: o.loss, made, bj.Frobenius())
    # Codes of the start are those before they settle: row totals on every component.
    ones = np.ones((1, len(start["basis"])), "f4")
    codes = {k: v.sum(1, keepdims=True) / tall[k] * ones for k, v in data.items()}
    begun = {"basis": np.asarray(start["basis"]) / wide, **codes}
    fitted = bj.fit(plain, even, begun, solver=bj.HALS(), stop=bj.Stop(0.0, 10))
    want = np.asarray(fitted.blocks["basis"]) * wide
    np.testing.assert_allclose(
        found["basis"], want / want.sum(1, keepdims=True), atol=1e-4 * float(want.max())
    )
    np.testing.assert_array_equal(found["basis"][3:], start["basis"][3:])
    ends = [bj.fit(made, data, b, stop=bj.Stop(0.0, 3)).costs["target"] for b in (found, start)]
    assert float(ends[0]) < float(ends[1])


def test_the_quadratic_start_needs_plain_terms(counts):
    with pytest.raises(ValueError, match="method='quadratic' needs a basis of one array, no mask"):
        bj.init(
            bj.NMF(bj.KL()), {"target": counts["target"]}, 2, KEY, method="quadratic",
            mask={"target": np.eye(len(counts["target"]), counts["target"].shape[1]) == 0},
        )  # fmt: skip


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
def test_transform_solves_the_codes(counts, loss):
    with jax.enable_x64(True):
        made = bj.Contrastive(alpha=0.3, loss=loss)
        f = go(counts, made)
        X = np.asarray(counts["target"], float)
        codes = bj.transform(made, f, {"target": X}, stop=bj.Stop(1e-9, 5000))
        want, *_ = non_negative_factorization(
            X, H=np.asarray(f.blocks["basis"], float), n_components=3, update_H=False, init=None,
            solver="mu", tol=0, max_iter=5000,
            beta_loss="frobenius" if isinstance(loss, bj.Frobenius) else "kullback-leibler",
        )  # fmt: skip
        np.testing.assert_allclose(codes, want, atol=1e-4 * want.max())
        both = bj.transform(made, f, {"target": X[:5], "background": counts["background"]})
        assert both["background"].shape == (30, 3)
        one = bj.transform(made, f, {"target": X[3:5]}, stop=bj.Stop(1e-9, 5000))
        np.testing.assert_allclose(one, codes[3:5], atol=1e-6 * want.max())


def test_game_value_needs_no_codes(counts):
    made = bj.Contrastive(alpha=0.5)
    f = go(counts, made)
    value = float(bj.reduced_objective(made, counts, f.blocks))
    scrambled = {**f.blocks, "target": f.blocks["target"] * 0 + 1.0}
    assert value == float(bj.reduced_objective(made, counts, scrambled))
    best = {"basis": f.blocks["basis"], **bj.transform(made, f, counts)}
    want = bj.fitting.block_costs(made, bj.prepare(counts), best)["basis"]
    np.testing.assert_allclose(value, want, rtol=1e-4)


def nmf(alpha, loss):
    return bj.NMF(loss)


SWEEPS = {
    "contrastive": (bj.Contrastive, {}),
    "nmf": (nmf, {}),
    "shared + target": (bj.objectives.SharedTarget, {"shared_rank": 2}),
    "background first": (bj.BackgroundFirst, {"background_rank": 2}),
}


@pytest.mark.parametrize(("make", "extra"), SWEEPS.values(), ids=SWEEPS.keys())
@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
def test_sweep_equals_fit(counts, make, extra, loss):
    alphas, ranks, keys = [0.2, 0.7], [1, 3], jax.random.split(KEY, 2)
    stop = bj.Stop(tol=1e-3, max_steps=60)
    with jax.enable_x64(True):
        s = bj.sweep(
            make, counts, alphas=alphas, ranks=ranks, keys=keys, loss=loss, stop=stop,
            batch_size=3, **extra,
        )  # fmt: skip
        for a, r, k in ((0, 1, 0), (1, 0, 1)):
            made = make(alpha=alphas[a], loss=loss, **extra)
            f = bj.fit(made, counts, bj.init(made, counts, ranks[r], keys[k]), stop=stop)
            one = s[a, r, k]
            assert int(one.steps) == int(f.steps) and str(one.result) == str(f.result)
            assert bj.result_name(s.result)[a, r, k] == bj.result_name(f.result)
            live = np.r_[: ranks[r], 3 : 3 + made.extra]
            for name, block in f.blocks.items():
                have = np.asarray(s.blocks[name][a, r, k])
                have, padding = (
                    (have[live], have[ranks[r] : 3])
                    if name == "basis"
                    else (have[:, live], have[:, ranks[r] : 3])
                )
                np.testing.assert_allclose(have, block, atol=1e-10 * float(block.max()))
                assert (padding == 0).all()
            for name in f.diagnostics:
                have, want = s.diagnostics[name][a, r, k], f.diagnostics[name]
                np.testing.assert_allclose(have, want, rtol=1e-7, atol=1e-12)


def test_other_values_compile_nothing(counts, compilations):
    def go(seed, alphas, ranks):
        keys = jax.random.split(jax.random.key(seed), 4)
        s = bj.sweep(bj.Contrastive, counts, alphas=alphas, ranks=ranks, keys=keys, loss=bj.KL())
        jax.block_until_ready(s.blocks)
        made = bj.Contrastive(alpha=alphas[0], loss=bj.KL())
        start = bj.init(made, counts, 3, keys[0])
        jax.block_until_ready(bj.fit(made, counts, start, stop=bj.Stop(10.0**-seed, 90)).blocks)

    go(1, [0.1, 0.2], [2, 3])
    before = compilations()
    go(2, [0.3, 0.4], [1, 3])
    assert before > 0 and compilations() == before


def test_several_backgrounds_sweep_their_own_alphas(counts):
    data = {**counts, "background": [counts["background"][:10], counts["background"][10:]]}
    s = bj.sweep(
        bj.Contrastive, data, alphas=[[0.1, 0.2], [0.3, 0.0]], ranks=[2],
        keys=jax.random.split(KEY, 2),
    )  # fmt: skip
    assert s.diagnostics["y_explained"].shape == (2, 1, 2, 2)
    assert [g.shape[-2] for g in s.blocks["background"]] == [10, 20]


class Careless(bj.AbstractSolver):
    """Moves every row of the basis, and normalises none."""

    def init(self, objective, data, blocks):
        return ()

    def step(self, objective, data, blocks, state):
        return {**blocks, "basis": blocks["basis"] * 1.5 + 0.01}, state


def test_the_loop_keeps_what_a_solver_forgets(counts):
    objective = bj.BackgroundFirst(2)
    start = bj.init(objective, counts, 2, KEY)
    f = bj.fit(objective, counts, start, solver=Careless(), stop=bj.Stop(max_steps=20))
    np.testing.assert_array_equal(f.blocks["basis"][2:], start["basis"][2:])
    np.testing.assert_allclose(f.blocks["basis"][:2].sum(1), 1, rtol=1e-5)
    # What moved from the basis to the codes of a row left its reconstruction as the solver had it.
    assert (np.asarray(f.blocks["target"][:, :2]) > np.asarray(start["target"][:, :2])).any()


def test_beyond_frozen_components_the_part_that_moves_counts(x64, counts):
    objective = bj.BackgroundFirst(3, alpha=0.5)
    start = bj.init(objective, counts, 2, KEY)
    ends = [
        bj.fit(objective, counts, start, stop=bj.Stop(tol=0.0, max_steps=n)).blocks
        for n in (10, 20)
    ]
    changes = []
    for name in ("target", "background"):
        for count in (2, 5):
            one, two = (f[name][:, :count] @ f["basis"][:count] for f in ends)
            changes.append(np.linalg.norm(two - one) / np.linalg.norm(one))
    stop = bj.Stop(tol=0.0, max_steps=20)
    found = bj.fit(objective, counts, start, stop=stop).trace["change"][1]
    np.testing.assert_allclose(found, max(changes), rtol=1e-6)
    assert max(changes) > 2 * max(changes[1], changes[3])  # what all components show


def test_updates_leave_zeros_that_the_slope_would_raise(x64, counts):
    objective, data = bj.NMF(), {"target": counts["target"]}
    start = bj.init(objective, data, 3, KEY)
    codes = np.array(start["target"])
    codes[::2, 1] = 0
    stop = bj.Stop(tol=0.0, max_steps=200)
    full, cut = (
        bj.fit(objective, data, {**start, "target": h}, solver=bj.MU(), stop=stop)
        for h in (start["target"], codes)
    )
    assert (cut.blocks["target"][::2, 1] > 0).mean() > 0.5
    assert cut.costs["target"] < 1.02 * full.costs["target"]


def test_the_basis_has_unit_sums_at_every_look(counts):
    objective, stop = bj.Contrastive(alpha=0.5), bj.Stop(tol=0.0, max_steps=10)
    rows, start = prepare(counts), bj.init(bj.Contrastive(alpha=0.5), counts, 3, KEY)
    for solver in (bj.MU(), Careless()):
        now = begin(objective, rows, start, solver, stop.looks)
        now = advance(objective, rows, now, solver, stop, stop.max_steps)
        np.testing.assert_allclose(now.blocks["basis"].sum(1), 1, rtol=1e-5)
