"""Label-free choice: the rule on tables, the splits, and whole choices on simulations."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.inference.selection import Selection, rule
from bcnmf_jax.inference.selection._folds import TooFewError, folds, held_out_ratio
from bcnmf_jax.inference.selection.candidates import order_by_heldout_gain
from bcnmf_jax.inference.selection.gains import stability
from bcnmf_jax.inference.selection.select import contrast_alone
from bcnmf_jax.inference.selection.thinning import counts_of


def row(net, k, certain=9.0, objective="sequential", alpha=0.0):
    return {
        "objective": objective, "alpha": alpha, "n_components": k, "net": net, "certain": certain
    }  # fmt: skip


def choose_of(*rows, nets=None, order=("sequential",)):
    """The rule's choice; by default every split of a row has its net gain."""
    return rule.choose(rows, nets or [np.full(4, r["net"]) for r in rows], order)


def test_components_are_added_while_each_adds_a_tenth():
    grown = row(0.5, 1), row(0.92, 2), row(1.0, 3)
    assert choose_of(*grown)["n_components"] == 2
    # Together the next two are worth it, although the first of them alone is not.
    assert choose_of(row(0.5, 1), row(0.52, 2), row(1.0, 3))["n_components"] == 3
    # Many that add a little are not worth it, however much they come to.
    assert choose_of(*(row(0.5 * 1.08**k, k) for k in range(1, 7)))["n_components"] == 1
    more = (*grown, row(0.95, 2, objective="contrastive"), row(0.95, 2, alpha=1.0))
    assert choose_of(*more, order=["contrastive", "sequential"])["objective"] == "contrastive"
    assert choose_of(*more, order=["sequential", "contrastive"])["alpha"] == 0.0
    poor = row(0.8, 2), row(0.95, 2, objective="contrastive")
    assert choose_of(*poor, order=["sequential", "contrastive"])["objective"] == "contrastive"


def test_a_difference_within_its_standard_error_is_none():
    noise = np.array([1.0, -1.0, 0.8, -0.8])
    for common in (0.0, 5.0):  # what all candidates share in a split does not count
        one, two = 0.7 + common * noise, 1.0 + common * noise
        for k, more in ((2, 0 * noise), (1, noise)):
            found = choose_of(row(0.7, 1), row(1.0, 2), nets=[one, two + more])
            assert found["n_components"] == k


def test_ranks_with_gaps_losses_and_nothing_certain():
    assert choose_of(row(0.5, 1), row(0.7, 5))["n_components"] == 1  # below .5 * 1.1 ** 4
    assert choose_of(row(0.5, 1), row(0.74, 5))["n_components"] == 5
    # What explains less than the null is not improved by losing more.
    lost = row(-0.2, 1, -1.0), row(-0.3, 2, -1.0), row(-0.19, 3, -1.0)
    assert choose_of(*lost)["n_components"] == 1
    assert choose_of(*lost, row(0.1, 4, 1.0))["n_components"] == 4


def test_what_is_not_certain_is_not_taken_while_something_is():
    assert rule.certain([row(0.1, 1, 1.0), row(0.2, 2, 3.5)], 4) == [False, True]
    assert rule.limit(4) == pytest.approx(3.18, abs=0.01) and rule.limit(99) < 2
    noise = np.array([0.5, -0.5, 0.4, -0.4])
    rows = [row(0.02, 1, 0.1), row(0.3, 2, 5.0), row(0.35, 3, 1.8)]
    nets = [0.02 + noise, np.full(4, 0.3), 0.35 + noise]
    assert rule.best(rows, 4)["n_components"] == 2  # the largest gain is not certain
    assert choose_of(*rows, nets=nets)["n_components"] == 2


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()])
def test_components_are_ordered_by_what_they_are_worth_on_held_out_rows(loss):
    rng = np.random.default_rng(0)
    basis = np.kron(np.eye(4), np.ones((1, 6))).astype("float32")
    usage = rng.gamma(2, 1, (50, 4)) * [3.0, 0.0, 9.0, 1.0]  # the second is not in these rows
    test = bj.prepare({"target": rng.poisson(usage @ basis).astype("float32")})["target"]
    found = order_by_heldout_gain(loss, test, jnp.asarray(basis[:3]), jnp.asarray(basis[3:]))
    np.testing.assert_array_equal(found, basis[[2, 0, 1]])


def test_background_components_err_high():
    crossed = np.array([[0.5, 0.90, 0.901, 0.8], [0.5, 0.90, 0.899, 0.8], [0.5, 0.90, 0.900, 0.8]])
    assert rule.background_rank([2, 4, 8, 12], crossed) == 8


@pytest.mark.parametrize("paired", [False, True])
def test_target_and_null_have_as_many_rows_and_parts_share_no_group(paired):
    rng = np.random.default_rng(0)
    mice = np.repeat(np.arange(8), 10)
    others = np.repeat(np.arange(8) + (0 if paired else 100), 20)
    x, y = rng.random((80, 4)), rng.random((160, 4))
    made = folds(x, y, 3, 0, mice, others)
    for fold in made:
        assert len({len(p.rows) for p in (fold.train, fold.null_train)}) == 1
        held = [p.weights.sum() for p in fold[1:]]
        assert held[:2] == held[2:] and held[0] > held[1] >= 10
        used = [set(mice[fold.train.rows]), set(mice[fold.test.rows])]
        assert not used[0] & used[1]
        used = [set(others[p.rows]) for p in (fold.basis, fold.null_train, fold.null_test)]
        assert not (used[0] & used[1] or used[0] & used[2] or used[1] & used[2])
    # Of 8 groups of the background 3 stand in for the target and 2 are held out.
    assert held_out_ratio(made, mice) == pytest.approx(2 / 3)
    assert held_out_ratio(folds(x, y, 3, 0), None) == pytest.approx(0.5, abs=0.05)


def test_duplicates_stay_together():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((20, 4)), 4, axis=0)
    dealt = folds(x, rng.random((64, 4)), 3, 0)
    assert len(dealt) == 3
    for fold in dealt:
        assert not {tuple(r) for r in x[fold.train.rows]} & {tuple(r) for r in x[fold.test.rows]}


@pytest.mark.parametrize(
    ("groups", "error", "match"),
    [(np.zeros(40), TooFewError, "groups: 1 in the target"), (np.zeros(3), ValueError, "shape")],
)
def test_groups_that_cannot_be_split(groups, error, match):
    x = np.random.default_rng(0).random((40, 4))
    with pytest.raises(error, match=match):
        folds(x, x, 2, 0, groups)


def test_stability_ignores_order_and_scale():
    basis = np.random.default_rng(0).random((3, 7))
    assert stability(np.stack([basis, 3 * basis[[2, 0, 1]]])) == pytest.approx(1)
    assert stability(np.stack([np.eye(3), np.roll(np.eye(3, 6), 3, 1)[:, :3]])) < 0.4


@pytest.fixture(scope="module")
def programs():
    """A function of the number of target programs, 0 to 2, of samples and their depth: counts with
    three shared programs."""
    rng = np.random.default_rng(1)
    shared = np.concatenate([np.kron(np.eye(3), np.ones((1, 15))), np.zeros((3, 20))], 1)
    own = np.concatenate([np.zeros((2, 45)), np.kron(np.eye(2), np.ones((1, 10)))], 1)

    def draw(n, count, depth):
        which = rng.integers(0, 2, n)
        carries = np.eye(2)[which] * (np.arange(2) < count)
        rate = 4 * rng.gamma(2, 1, (n, 3)) @ shared + 3 * carries @ own + 0.5
        return rng.poisson(depth * rate).astype("float32")

    return lambda count, n=240, depth=1: {
        "target": draw(n, count, depth), "background": draw(n, 0, depth)
    }  # fmt: skip


def choose(data, **more):
    said = []
    found = bj.select(
        data, ranks=(1, 2, 3), background_ranks=(2, 3, 5), splits=4, on_progress=said.append,
        **{"criterion": "gain", "objectives": ["sequential"]} | more,
    )  # fmt: skip
    assert said[0] == 0 and said[-1] == 1 and said == sorted(said)
    return found


def test_two_programs_are_counted(programs):
    found = choose(programs(2))
    assert found.outcome == "contrast found" and found.n_components == 2
    assert found.n_background_components >= 3 and found.objective == "sequential"
    assert len(found.table) == 3 and all(r["gain"] > r["null"] for r in found.table)
    again = Selection.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    with pytest.raises(ValueError, match="not a selection"):
        Selection.from_dict({"outcome": "fine"})


@pytest.mark.slow
def test_halves_of_counts_judge_as_held_out_samples_do(programs):
    data, few = programs(2), {"ranks": (1, 2, 3), "background_ranks": (3,), "splits": 3}
    few |= {"criterion": "gain", "objectives": ["sequential"]}
    raw = bj.select(data, **few).table
    logged = {k: np.log1p(x / x.sum(1, keepdims=True) * 100) for k, x in data.items()}
    given = bj.select(logged, counts=data, **few).table
    for table in (raw, given):
        one, two, three = (row["thinned"] for row in table)
        assert one > 0 and two - one > 4 * abs(three - two)
    assert bj.select(logged, **few).table[0]["thinned"] is None
    other = {"target": data["target"] + 1, "background": data["background"]}
    with pytest.raises(ValueError, match=r"data\['target'\] is not log"):
        bj.select(logged, counts=other, **few)
    with pytest.raises(ValueError, match=r"counts\['target'\] must be raw counts of shape"):
        bj.select(logged, counts=logged, **few)


def test_halves_of_counts_are_independent_and_sum_to_the_whole():
    rng = np.random.default_rng(0)
    counts = rng.poisson(8, (400, 50)).astype("float32")
    one, other = counts_of(counts, None, "target").halves(np.arange(400), rng)
    np.testing.assert_array_equal(one + other, counts)
    centred = [half - half.mean(0) for half in (one, other)]
    assert abs(np.mean(centred[0] * centred[1])) < 0.1 * np.mean(centred[0] ** 2)


def test_no_program_is_said(programs):
    found = choose(programs(0, 600, 10))
    assert found.outcome == "no contrast found" and "is found:" in found.reasons[0]


def test_too_little_to_tell(programs):
    found = choose(programs(0))
    assert found.outcome == "no power" and "is not found either" in found.reasons[0]
    data = programs(2)
    small = {k: v[:20] for k, v in data.items()}
    few = bj.select(small, ranks=(1,), background_ranks=(2,), criterion="gain")
    assert few.outcome == "no power" and few.table == () and "are needed" in few.reasons[0]


@pytest.mark.parametrize(
    ("count", "rows"), [(2, 20), *(pytest.param(c, 240, marks=pytest.mark.slow) for c in (0, 2))]
)
def test_existence_alone_is_that_of_a_choice(programs, count, rows):
    data = {k: v[:rows] for k, v in programs(count).items()}
    found = bj.select(data, objectives=["sequential"], ranks=(1,), splits=4)
    outcome, said = contrast_alone(data, splits=4)
    assert outcome == found.outcome and found.reasons[0].startswith(said)


LATER = pytest.mark.slow


@pytest.mark.parametrize(
    ("loss", "objective"),
    [
        pytest.param(bj.Frobenius(), "contrastive", id="frobenius", marks=LATER),
        pytest.param(bj.KL(), "contrastive", id="kl", marks=LATER),
        pytest.param(bj.Beta(1.5), "contrastive", id="beta 1.5"),
        pytest.param(bj.Beta(0.5), "contrastive", id="beta 0.5", marks=LATER),
        pytest.param(bj.NegativeBinomial(0.3), "background_first", id="nb", marks=LATER),
        pytest.param(bj.NegativeBinomial(np.linspace(0.1, 0.6, 12)), "sequential", id="nb each"),
    ],
)
def test_a_choice_with_every_loss(loss, objective):
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.5, 1, (3, 12))
    x, y = (rng.poisson(4 * rng.gamma(0.5, 1, (n, 3)) @ basis + 0.5) for n in (60, 70))
    found = bj.select(
        {"target": x, "background": y}, loss=loss, objectives=[objective], alphas=[0.5],
        ranks=[1], background_ranks=[2], splits=2, criterion="gain",
    )  # fmt: skip
    (row,) = found.table
    assert np.isfinite([row[k] for k in ("net", "x_explained", "y_explained", "stability")]).all()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"objectives": ["nmf"]}, "objectives must be among"), ({"ranks": []}, "ranks must be"),
     ({"ranks": [0]}, "ranks.0. must be an integer"), ({"alphas": [-1.0]}, "alphas must be finite"),
     ({"splits": 1}, "splits must be"), ({"background_ranks": "auto"}, "background_ranks must")],
)  # fmt: skip
def test_axes_that_cannot_be_searched(wrong, match):
    data = {"target": np.ones((4, 3)), "background": np.ones((4, 3))}
    with pytest.raises(ValueError, match=match):
        bj.select(data, **wrong)


def test_transitions_are_the_ratios_of_usage():
    rng = np.random.default_rng(0)
    programs = np.kron(np.eye(2), np.ones((1, 6))) + 0.01
    usage = np.eye(2)[rng.integers(0, 2, 300)] * rng.gamma(4, 1, (300, 1))
    y = usage @ programs
    x = usage * [0.5, 2.0] @ programs
    found = bj.inference.critical_alphas({"target": x, "background": y}, background_rank=2)
    np.testing.assert_allclose(found.alphas, [0.25, 4.0], rtol=0.05)
    assert found.largest == found.alphas[1]
    np.testing.assert_allclose(found.shares.sum(), 1, rtol=1e-5)
    scaled = bj.inference.critical_alphas({"target": 3 * x, "background": y}, background_rank=2)
    np.testing.assert_allclose(scaled.alphas, 9 * found.alphas, rtol=1e-2)
    first = bj.inference.critical_alphas(
        {"target": x, "background": y}, background_rank=2, loss=bj.KL()
    )
    np.testing.assert_allclose(first.alphas, [0.5, 2.0], rtol=0.05)


def test_parts_of_target_and_null_have_as_many_groups_and_rows_enough():
    rng = np.random.default_rng(0)
    x, y = rng.random((80, 3)), rng.random((90, 3))
    mine, theirs = np.arange(80) % 8, 100 + np.arange(90) % 9
    dealt = folds(x, y, 6, 0, mine, theirs)
    assert len(dealt) == 6
    for fold in dealt:
        for part, null in ((fold.train, fold.null_train), (fold.test, fold.null_test)):
            counts = [len(set(who[p.rows].tolist())) for who, p in ((mine, part), (theirs, null))]
            assert counts[0] == counts[1] > 0
    with pytest.raises(ValueError, match="1 missing values"):
        folds(x, y, 6, 0, np.where(np.arange(80) > 0, mine, np.nan), theirs)
    uneven = np.repeat([100, 101, 102, 103], [80, 5, 3, 2])
    with pytest.raises(TooFewError, match="a part of a split has"):
        folds(x, y, 6, 0, mine, uneven)


def test_pairs_are_dealt_alike():
    rng = np.random.default_rng(0)
    x, y, who = rng.random((96, 3)), rng.random((96, 3)), np.arange(96) % 8
    dealt = folds(x, y, 6, 0, who, who)
    assert len(dealt) == 6
    for fold in dealt:
        of = lambda part: set(who[part.rows].tolist())  # noqa: E731
        assert of(fold.train) == of(fold.null_train) and of(fold.test) == of(fold.null_test)
        assert not of(fold.basis) & (of(fold.train) | of(fold.test))
