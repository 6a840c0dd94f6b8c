"""A common factor of all data changes no component, however large or small."""

import jax
import numpy as np
import pytest
import scipy.sparse

import bcnmf_jax as bj

KEY = jax.random.key(0)
EXTREME = (1e-20, 1e18)


@pytest.fixture(scope="module")
def plain():
    rng = np.random.default_rng(0)
    draw = lambda n, k: rng.gamma(0.5, 1, (n, k)) @ rng.gamma(0.5, 1, (k, 15)) + 0.1  # noqa: E731
    return {"target": draw(24, 3).astype("float32"), "background": draw(18, 2).astype("float32")}


def times(data, factor):
    return {k: (a * np.float64(factor)).astype("float32") for k, a in data.items()}


def close(a, b, tol=2e-3):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=tol * np.abs(b).max())


OBJECTIVES = {
    "contrastive": bj.Contrastive(0.5),
    "background first, KL": bj.BackgroundFirst(2, 0.5, bj.KL()),
    "shared + target, beta": bj.objectives.SharedTarget(2, 0.0, bj.Beta(1.5)),
}


@pytest.mark.parametrize("factor", EXTREME)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_fit(plain, name, factor):
    objective, stop = OBJECTIVES[name], bj.Stop(tol=0.0, max_steps=30)
    fits = []
    for data in (plain, times(plain, factor)):
        fits.append(bj.fit(objective, data, bj.init(objective, data, 2, KEY), stop=stop))
    one, other = fits
    assert bj.result_name(one.result) == bj.result_name(other.result) == "max_steps"
    close(other.blocks["basis"], one.blocks["basis"])
    close(np.float64(other.blocks["target"]) / factor, one.blocks["target"])
    for what in ("x_explained", "y_explained", "dead_features"):
        close(other.diagnostics[what], one.diagnostics[what])
    again = bj.transform(objective, other, {"target": times(plain, factor)["target"]})
    close(np.float64(again) / factor, bj.transform(objective, one, {"target": plain["target"]}))


@pytest.mark.parametrize("factor", EXTREME)
def test_chunks_in_streams(plain, factor):
    objective, stop = bj.BackgroundFirst(2, 0.5), bj.Stop(tol=0.0, max_steps=20)
    one, other = (
        bj.stream(objective, data, rank=2, key=KEY, stop=stop)
        for data in (plain, times(plain, factor))
    )
    close(other.blocks["basis"], one.blocks["basis"])
    close(np.float64(other.blocks["target"]) / factor, one.blocks["target"])
    read = bj.streaming.transform(objective, other, {"target": times(plain, factor)["target"]})
    close(np.float64(read) / factor, one.blocks["target"], 0.1)


@pytest.mark.parametrize("loss", ["frobenius", "kl"])
def test_the_estimator(plain, loss):
    models = []
    for factor in (1.0, *EXTREME):
        data = times(plain, factor)
        model = bj.BCNMF(
            2, alpha=0.5, loss=loss, n_restarts=2, random_state=0, max_iter=30, tol=1e-3,
            n_background_components=2,
        )  # fmt: skip
        models.append((factor, data, model.fit(data["target"], background=data["background"])))
    (_, _, first), *others = models
    for factor, data, model in others:
        close(model.components_, first.components_)
        close(
            np.float64(model.transform(data["target"])) / factor, first.transform(plain["target"])
        )
        assert abs(model.score(data["target"]) - first.score(plain["target"])) < 2e-3


def test_a_sweep_and_components_in_turn(plain):
    stop, keys = bj.Stop(tol=0.0, max_steps=20), jax.random.split(KEY, 2)
    for factor in EXTREME:
        swept, turned = [], []
        for data in (plain, times(plain, factor)):
            swept.append(
                bj.sweep(bj.Contrastive, data, alphas=[0.5], ranks=[2], keys=keys, stop=stop)
            )
            turned.append(bj.fit_sequential(bj.BackgroundFirst(2), data, 2, KEY, stop=stop))
        for one, other in (swept, turned):
            close(other.blocks["basis"], one.blocks["basis"])
            close(np.float64(other.blocks["target"]) / factor, one.blocks["target"])


@pytest.mark.parametrize("how", ["memory", "sparse"])
def test_the_best_restart_is_the_same(plain, how):
    found = []
    for factor in (1.0, 1e-20, 1e19):
        data = times(plain, factor)
        if how == "sparse":
            data = {k: scipy.sparse.csr_matrix(a) for k, a in data.items()}
        model = bj.BCNMF(
            3, alpha=0.8, n_restarts=6, random_state=1, max_iter=10, tol=0.0,
            n_background_components=2,
        )  # fmt: skip
        found.append(model.fit(data["target"], background=data["background"]))
    values = [np.asarray(m.restarts_["value"], float) for m in found]
    best = [int(np.argmin(v)) for v in values]
    assert best[0] == best[1] == best[2] != 0
    for factor, mine, model in zip((1e-20, 1e19), values[1:], found[1:], strict=True):
        np.testing.assert_allclose(mine / factor**2, values[0], rtol=2e-3)
        close(model.components_, found[0].components_, 5e-3)


def test_costs_and_consensus_in_units_of_the_data(plain):
    keys, stop = jax.random.split(KEY, 4), bj.Stop(tol=0.0, max_steps=20)
    objective, found = bj.objectives.SharedTarget(2, 0.3), []
    for factor in (1.0, 1e-20):
        data = times(plain, factor)
        fits = bj.sweep(
            bj.objectives.SharedTarget,
            data,
            alphas=[0.3],
            ranks=[2],
            keys=keys,
            stop=stop,
            shared_rank=2,
        )
        found.append(
            (fits, bj.inference.consensus(objective, data, fits, n_components=2, density=2.0))
        )
    (one, agreed), (other, again) = found
    np.testing.assert_allclose(other.costs["basis"] * 1e40, one.costs["basis"], rtol=1e-2)
    np.testing.assert_allclose(other.trace["cost"] * 1e40, one.trace["cost"], rtol=1e-2)
    assert agreed.kept == again.kept
    close(np.float64(again.blocks["target"]) * 1e20, agreed.blocks["target"], 1e-2)


@pytest.mark.parametrize("factor", [1e-42, 3e37])
def test_what_the_precision_cannot_hold(plain, factor):
    data = times(plain, factor)
    for call in (
        lambda: bj.init(bj.NMF(), data, 2, KEY),
        lambda: bj.BCNMF(2).fit(data["target"], background=data["background"]),
    ):
        with pytest.raises(ValueError, match=r"mean of .*rescale"):
            call()


def test_double_precision_holds_more(x64, plain):
    data = {k: a.astype(float) * 1e110 for k, a in plain.items()}
    found = bj.fit(bj.NMF(), data, bj.init(bj.NMF(), data, 2, KEY), stop=bj.Stop(max_steps=10))
    assert found.diagnostics["x_explained"] > 0.8 and np.isfinite(found.costs["basis"])


def test_a_penalty_does_not_fit_data_of_another_world(plain):
    objective, data = (
        bj.Contrastive(0.5, penalties=(bj.penalties.L2("basis", 0.1),)),
        times(plain, 1e18),
    )
    with pytest.raises(ValueError, match="scale of their own"):
        bj.init(objective, data, 2, KEY)


def test_what_has_a_scale_of_its_own_stays(plain):
    for objective in (
        bj.Contrastive(0.5, bj.NegativeBinomial(0.3)),
        bj.Contrastive(0.5, penalties=(bj.penalties.L2("basis", 0.1),)),
        bj.objectives.CombinedBasis(1.0),
    ):
        assert objective.degree is None
    assert (
        bj.NMF().degree == 2 and bj.NMF(bj.KL()).degree == 1 and bj.NMF(bj.Beta(1.5)).degree == 1.5
    )


def test_ordinary_data_are_not_touched(plain):
    from bcnmf_jax.data.preparation import prepare
    from bcnmf_jax.model.scale import scaled

    rows = prepare(plain)
    assert scaled(bj.NMF(), rows)[0] is rows
