"""Programs that restarts agree on, and intervals of their loadings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.inference._consensus_programs import clusters
from bcnmf_jax.inference._resampling import draws, how_often, weighed
from bcnmf_jax.metrics import recovery
from tests.contracts import same

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def planted():
    """Three programs, data of them, and 12 restarts that found them and one more at random."""
    rng = np.random.default_rng(0)
    truth = rng.gamma(0.2, 1, (3, 40)) + 1e-3
    truth /= truth.sum(1, keepdims=True)
    x = rng.gamma(0.5, 1, (60, 3)) @ truth * 50 + 0.01 * rng.random((60, 40))
    bases = []
    for _ in range(12):
        near = truth * rng.uniform(0.7, 1.3, truth.shape)
        spurious = rng.gamma(0.1, 1, (1, 40)) + 1e-9
        bases.append(rng.permutation(np.concatenate([near, 0.02 * spurious])).astype("float32"))
    return truth, {"target": x.astype("float32")}, bases


def agreed(data, bases, n_components=3, density=0.7):
    return bj.inference.consensus(bj.NMF(), data, bases, n_components=n_components, density=density)


def test_planted_programs_are_found_and_what_is_spurious_is_left_out(planted):
    truth, data, bases = planted
    found = agreed(data, bases)
    programs = np.asarray(found.blocks["basis"])
    np.testing.assert_allclose(programs.sum(1), 1, rtol=1e-5)
    assert recovery(programs, truth)["cosine"] > 0.995
    # the median of the restarts is nearer to the truth than they are
    assert recovery(programs, truth)["cosine"] > max(recovery(b, truth)["cosine"] for b in bases)
    assert (found.share == 1).all() and (found.stability > 0.97).all()
    assert (found.silhouette > 0.7).all() and found.used.all() and found.kept == -1
    left_out = found.members == -1
    assert (left_out.sum(1) == 1).all()
    assert found.distance[left_out].min() > 0.7 > found.distance[~left_out].max()
    read = bj.transform(bj.NMF(), found.blocks, data)
    np.testing.assert_allclose(found.blocks["target"], read, rtol=1e-5)


def test_a_spurious_program_is_less_stable(planted):
    truth, data, bases = planted
    found = agreed(data, bases, 4, 2.0)
    best = [recovery(p[None], truth)["cosine"] * 3 for p in np.asarray(found.blocks["basis"])]
    assert min(best[:3]) > 0.99 and best[3] < 0.9
    assert found.stability[3] < 0.6 < found.stability[2]
    assert found.silhouette[3] < 0.2 < found.silhouette[2]


def test_order_of_restarts_and_components_changes_nothing(planted):
    _, data, bases = planted
    rng = np.random.default_rng(1)
    restarts = rng.permutation(len(bases))
    rows = [rng.permutation(4) for _ in bases]
    moved = [bases[r][rows[r]] for r in restarts]
    one, two = (
        bj.inference.consensus(bj.NMF(), data, b, n_components=3, density=0.7)
        for b in (bases, moved)
    )
    same(one.blocks, two.blocks, 1e-6)
    np.testing.assert_allclose(one.stability, two.stability)
    np.testing.assert_allclose(one.silhouette, two.silhouette)
    want = np.array([one.members[r][rows[r]] for r in restarts])
    np.testing.assert_array_equal(two.members, want)


def test_restarts_that_failed_do_not_enter(planted):
    _, data, bases = planted
    collapsed = np.zeros_like(bases[0])
    collapsed[np.arange(4), np.arange(4)] = 1  # components of one feature
    failed = [np.full_like(bases[0], np.nan), collapsed]
    one, two = (
        bj.inference.consensus(bj.NMF(), data, b, n_components=3, density=0.7)
        for b in (bases, failed + bases)
    )
    np.testing.assert_array_equal(two.used, [False] * 2 + [True] * 12)
    assert (two.members[:2] == -1).all() and np.isnan(two.distance[:2]).all()
    np.testing.assert_array_equal(two.members[2:], one.members)
    np.testing.assert_allclose(two.share, one.share)
    same(one.blocks, two.blocks, 1e-6)


def test_fits_of_a_sweep_with_padding_and_frozen_components(planted):
    truth, data, _ = planted
    rng = np.random.default_rng(2)
    data = {**data, "background": rng.gamma(0.5, 1, (40, 2)) @ rng.gamma(0.3, 1, (2, 40))}
    data["background"] = data["background"].astype("float32")
    fits = bj.sweep(
        bj.BackgroundFirst, data, alphas=[0.1], ranks=[2, 3], keys=jax.random.split(KEY, 4),
        background_rank=2, stop=bj.Stop(1e-4, 300),
    )  # fmt: skip
    made = bj.BackgroundFirst(2, 0.1)
    found = bj.inference.consensus(made, data, fits, n_components=3, density=1.0, neighbours=0.25)
    assert found.members.shape == (8, 3) and (found.members[:4, 2] == -1).all()
    flat = np.asarray(fits.blocks["basis"]).reshape(8, 5, 40)
    values = [float(bj.reduced_objective(made, data, {"basis": b})) for b in flat]
    assert found.kept == int(np.argmin(values))
    np.testing.assert_array_equal(found.blocks["basis"][3:], flat[found.kept, 3:])
    assert recovery(found.blocks["basis"][:3], truth)["cosine"] > 0.9
    # a complete start of a fit
    again = bj.fit(made, data, found.blocks, stop=bj.Stop(max_steps=0))
    assert bj.result_name(again.result) == "max_steps"


def test_one_program_has_a_stability():
    rng = np.random.default_rng(0)
    rows = np.abs(np.array([1.0, 2.0, 0.5, 0.0]) + 0.05 * rng.normal(size=(9, 4)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = clusters(rows, 1, neighbours=3, density=0.5, random_state=0)
    assert found.cosine[0] > 0.99 and np.isnan(found.silhouette[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer"),
        ({"density": 0.0}, "density must be above 0"),
        ({"neighbours": 1.5}, "neighbours must be above 0 and at most 1"),
        ({"density": 1e-3}, r"components are within density=0.001 .* raise density"),
        ({"fits": []}, "fits is empty"),
        ({"fits": [np.full((4, 40), np.nan)] * 3}, "0 of 3 restarts"),
        ({"fits": [np.ones((4, 40)), np.ones((3, 40))]}, "bases of shapes"),
        ({"fits": [np.ones((4, 40))] * 3, "n_components": 2}, "1 distinct components"),
    ],
)
def test_what_cannot_be_clustered_is_said(planted, change, message):
    _, data, bases = planted
    given = {"fits": bases, "n_components": 3} | change
    with pytest.raises(ValueError, match=message):
        bj.inference.consensus(bj.NMF(), data, given.pop("fits"), **given)


def test_donors_are_drawn_whole_and_those_of_both_sets_once():
    target = np.repeat(["a", "b", "c", "d"], [3, 1, 5, 2])
    background = np.repeat(["c", "d", "e", "f", "g"], 2)
    own, other = draws([target, background], 400, np.random.default_rng(0))
    assert own.shape == (400, 11) and other.shape == (400, 10)
    for names, drawn in ((target, own), (background, other)):
        for one in np.unique(names):
            columns = drawn[:, names == one]
            assert (columns == columns[:, :1]).all()  # whole
    first = lambda names, drawn, one: drawn[:, np.flatnonzero(names == one)[0]]  # noqa: E731
    for one in "cd":
        np.testing.assert_array_equal(first(target, own, one), first(background, other, one))
    # as many as there are, of each kind, and each as often
    for kind, names, drawn in (
        ("ab", target, own),
        ("cd", target, own),
        ("efg", background, other),
    ):
        counts = np.stack([first(names, drawn, one) for one in kind], axis=1)
        assert (counts.sum(1) == len(kind)).all()
        assert (abs(counts.mean(0) - 1) < 0.2).all() and counts.max() > 1


def test_weights_of_resamples_follow_the_nesting_of_the_data():
    rng = np.random.default_rng(0)
    x, y = (rng.gamma(1, 1, (n, 5)) for n in (6, 4))
    weights = {"target": np.arange(1, 7.0)}
    rows = bj.prepare({"target": x, "background": [y, y[:3]]}, weights)
    counts = how_often(rows, {}, 3, np.random.default_rng(1))
    found = weighed(rows, counts, 2)
    np.testing.assert_allclose(
        found["target"].weights[:, 0], np.asarray(counts["target"][2]) * weights["target"]
    )
    assert [r.weights.shape for r in found["background"]] == [(4, 1), (3, 1)]
    with pytest.raises(ValueError, match=r"groups\['target'\] has shape"):
        how_often(rows, {"target": ["a"]}, 3, rng)
    with pytest.raises(ValueError, match="has one group"):
        how_often(rows, {"target": ["a"] * 6}, 3, rng)
    with pytest.raises(ValueError, match="names among"):
        how_often(rows, {"donors": ["a"] * 6}, 3, rng)


def separable(rng, n, truth, donors=None, spread=0.0):
    """Counts of programs; a donor's own version of them differs by lognormal factors."""
    usage = rng.gamma(0.5, 20, (n, len(truth)))
    factors = np.ones((n, truth.shape[1]))
    if donors is not None:
        own = np.exp(spread * rng.normal(size=(donors.max() + 1, truth.shape[1])))
        factors = own[donors]
    return rng.poisson((usage @ truth) * factors).astype("float32")


@pytest.fixture(scope="module")
def two_programs():
    truth = np.array([[4, 3, 2, 1, 1, 0, 0, 0.5], [0, 0, 1, 1, 2, 3, 4, 0.5]])
    return truth / truth.sum(1, keepdims=True)


def test_intervals_hold_the_loadings_and_follow_their_components(two_programs):
    x = separable(np.random.default_rng(0), 100, two_programs)
    made, data = bj.NMF(bj.KL()), {"target": x}
    fit = bj.fit(made, data, bj.init(made, data, 2, KEY), stop=bj.Stop(1e-5, 2000))
    one = bj.inference.bootstrap(made, data, fit, n_resamples=40)
    flipped = bj.inference.bootstrap(
        made, data, {"basis": fit.blocks["basis"][::-1]}, n_resamples=40
    )
    assert one.intervals.shape == (2, 8, 2) and (one.match > 0.99).all()
    assert (np.diff(one.intervals, axis=2) >= 0).all()
    inside = (one.intervals[..., 0] <= one.loadings + 0.01) & (
        one.loadings - 0.01 <= one.intervals[..., 1]
    )
    assert inside.all()
    np.testing.assert_allclose(flipped.intervals[::-1], one.intervals, atol=5e-3)
    np.testing.assert_array_equal(one.results, "converged")


def test_donors_that_differ_widen_the_intervals(two_programs):
    donors = np.repeat(np.arange(10), 10)
    x = separable(np.random.default_rng(1), 100, two_programs, donors, 0.4)
    made, data = bj.NMF(bj.KL()), {"target": x}
    fit = bj.fit(made, data, bj.init(made, data, 2, KEY), stop=bj.Stop(1e-5, 2000))
    cells, whole = (
        bj.inference.bootstrap(made, data, fit, groups=g, n_resamples=40)
        for g in (None, {"target": donors})
    )
    width = lambda b: float(np.diff(b.intervals, axis=2).mean())  # noqa: E731
    assert width(whole) > 1.2 * width(cells)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_resamples": 5}, "n_resamples must be an integer of at least 20"),
        ({"level": 1.0}, "level must be between 0 and 1"),
    ],
)
def test_bootstrap_says_what_is_out_of_range(planted, change, message):
    _, data, bases = planted
    with pytest.raises(ValueError, match=message):
        bj.inference.bootstrap(bj.NMF(), data, {"basis": bases[0]}, **change)


def test_resamples_that_collapse_give_no_interval(counts):
    made = bj.Contrastive(1e4)
    start = bj.init(made, counts, 2, KEY)
    with pytest.raises(ValueError, match="of 20 resamples did not collapse"):
        bj.inference.bootstrap(made, counts, start, n_resamples=20)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["cells", "donors"])
def test_intervals_cover_the_truth_at_about_their_level(two_programs, by):
    made, hits = bj.NMF(bj.KL()), []
    start = {"basis": jnp.asarray(two_programs + 0.01, "float32")}
    donors = np.repeat(np.arange(16), 10)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = separable(rng, 160, two_programs, *((donors, 0.3) if by == "donors" else ()))
        data = {"target": x}
        first = {**start, "target": bj.transform(made, start, data)}
        fit = bj.fit(made, data, first, stop=bj.Stop(1e-5, 2000))
        groups = {"target": donors} if by == "donors" else None
        found = bj.inference.bootstrap(
            made, data, fit, groups=groups, n_resamples=100, level=0.9, random_state=seed
        )
        low, high = np.moveaxis(found.intervals, -1, 0)
        inside = (low <= two_programs) & (two_programs <= high)
        hits.append(inside[two_programs > 0].mean())
    assert 0.8 <= np.mean(hits) <= 0.98
