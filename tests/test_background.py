"""The check of a background: quiet on a good pair, and each finding moves with what is wrong."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

import bcnmf_jax as bj
from bcnmf_jax.datasets import log_normalise
from bcnmf_jax.inference.background import _structure as structure
from bcnmf_jax.inference.background._finding import judge
from experiments.core.donors import donor_simulation


@pytest.fixture(scope="module")
def pair():
    return bj.datasets.beta_simulation(beta=8, n=300, genes=1500)


@pytest.fixture(scope="module")
def kinds(pair):
    """The shared program of every sample of both sets."""
    blocks = (x[:, :1250].reshape(-1, 5, 250).sum(2) for x in pair.counts.values())
    return dict(zip(pair.counts, (b.argmax(1) for b in blocks), strict=True))


def found(check):
    """Levels of what is not well."""
    return {row.name: row.level for row in check.rows if row.level != "ok"}


def test_a_good_pair_is_well(pair):
    check = bj.background_check(pair.target, pair.background, counts=pair.counts, n_components=2)
    assert found(check) == {} and check.level == "ok" and check.advice == ()
    again = bj.background_check(
        csr_matrix(pair.target), csr_matrix(pair.background), counts=pair.counts, n_components=2
    )
    assert_allclose([r.value for r in again.rows], [r.value for r in check.rows], rtol=1e-3)


def test_as_plain_types_and_as_a_frame(pair):
    check = bj.background_check(pair.target, pair.background[:15])
    plain = json.loads(json.dumps(check.to_dict(), allow_nan=False))
    assert plain["level"] == check.level == "unsuitable"
    assert list(check.to_frame()["name"]) == [row["name"] for row in plain["rows"]]
    assert check.advice[0].startswith("the background has 15 samples")


@pytest.mark.parametrize(
    ("lacking", "level"), [((), None), ((0,), "warn"), ((0, 1, 2), "unsuitable")]
)
def test_kinds_that_the_target_lacks(pair, kinds, lacking, level):
    target = pair.target[~np.isin(kinds["target"], lacking)]
    assert found(bj.background_check(target, pair.background)).get("span") == level


def test_kinds_that_the_background_lacks_are_the_question_and_no_fault(pair, kinds):
    background = pair.background[kinds["background"] > 0]
    assert found(bj.background_check(pair.target, background)) == {}


def test_a_kind_that_is_rare_in_the_target_is_enough(pair, kinds):
    kept = (kinds["target"] > 0) | (np.arange(300) % 10 == 0)
    assert found(bj.background_check(pair.target[kept], pair.background)) == {}


@pytest.mark.parametrize(("samples", "level"), [(200, None), (150, "warn"), (15, "unsuitable")])
def test_size(pair, samples, level):
    assert found(bj.background_check(pair.target, pair.background[:samples])).get("size") == level


def test_balance(pair):
    assert found(bj.background_check(pair.target, pair.background[:29]))["balance"] == "warn"


@pytest.mark.parametrize(("share", "level"), [(0.8, None), (0.4, "warn"), (0.05, "unsuitable")])
def test_depth(pair, share, level):
    rng = np.random.default_rng(0)
    thin = rng.binomial(pair.counts["background"].astype(int), share).astype(np.float32)
    counts = pair.counts | {"background": thin}
    check = bj.background_check(pair.target, log_normalise(thin), counts=counts)
    assert found(check).get("depth") == level
    of_counts = bj.background_check(counts["target"], thin, loss="kl")
    assert found(of_counts).get("depth") == level


def test_depth_without_counts_is_seen_in_the_zeros(pair):
    thin = np.random.default_rng(0).binomial(pair.counts["background"].astype(int), 0.1)
    check = bj.background_check(pair.target, log_normalise(thin.astype(np.float32)))
    assert found(check)["depth"] == "warn"


def test_scale(pair):
    assert found(bj.background_check(pair.target, 3 * pair.background)) == {"scale": "warn"}


def test_features_that_one_set_has(pair):
    background = pair.background.copy()
    background[:, :30] = 0
    check = bj.background_check(pair.target, background)
    assert found(check)["features"] == "warn"
    assert "30 features are found in the target alone and 0" in " ".join(check.advice)
    background[:, :400] = 0
    assert found(bj.background_check(pair.target, background))["features"] == "unsuitable"


def test_samples_in_both_sets(pair):
    some = np.concatenate([pair.background, pair.target[:20]])
    assert found(bj.background_check(pair.target, some)) == {"duplicates": "warn"}
    most = np.concatenate([pair.background[:100], pair.target])
    assert found(bj.background_check(pair.target, most))["duplicates"] == "unsuitable"
    whole = np.concatenate([pair.target, pair.background])
    assert found(bj.background_check(whole, pair.background)) == {"contained": "warn"}


def test_empty_samples_are_no_duplicates(pair):
    sets = [
        np.concatenate([x, np.zeros((5, 1500), np.float32)]) for x in (pair.target, pair.background)
    ]
    assert found(bj.background_check(*sets)) == {}


@pytest.mark.parametrize(
    ("scale", "loss", "level"),
    [
        ("log", "frobenius", None),
        ("counts", "kl", None),
        ("counts", bj.NegativeBinomial(0.5), None),
        ("counts", bj.Beta(1.5), None),
        ("log", "kl", "warn"),
        ("counts", "frobenius", "warn"),
    ],
)
def test_values_suit_the_loss(pair, scale, loss, level):
    data = pair.data(scale)
    assert found(bj.background_check(*data.values(), loss=loss)).get("loss") == level


def test_more_components_than_the_target_has_dimensions(pair):
    check = bj.background_check(pair.target, pair.background, n_components=20)
    assert found(check) == {"components": "warn"}


def test_dimensions_are_counted(pair, kinds):
    """Five programs that exclude each other vary in four dimensions; noise in none."""
    rng = np.random.default_rng(0)
    x, _ = structure.scaled(pair.background, pair.background)
    assert len(structure.structure(x, rng).directions) == 4
    # One permutation is the threshold, which the largest of noise passes half of the time.
    assert len(structure.structure(rng.normal(size=(100, 40)), rng).directions) <= 3


@pytest.mark.parametrize(
    ("target", "background", "level"),
    [("ab", "ab", None), ("ab", "cd", "unsuitable"), ("aab", "bcc", "warn")],
)
def test_batches(pair, target, background, level):
    check = bj.background_check(
        pair.target, pair.background,
        batch=np.resize(list(target), 300), background_batch=np.resize(list(background), 300),
    )  # fmt: skip
    assert found(check).get("batch") == level


@pytest.mark.parametrize(
    ("n", "m", "paired", "level"),
    [(3, 3, False, None), (2, 9, False, "warn"), (5, 5, True, None), (4, 4, True, "warn")],
)
def test_replicates(pair, n, m, paired, level):
    names = [np.resize([f"{side}{i}" for i in range(k)], 300) for side, k in (("a", n), ("b", m))]
    names[1] = names[0] if paired else names[1]
    check = bj.background_check(
        pair.target, pair.background, groups=names[0], background_groups=names[1]
    )
    assert found(check).get("replicates") == level
    assert ("not testable" in " ".join(check.advice)) == (level is not None)


@pytest.mark.parametrize("paired", [False, True])
def test_a_shift_of_most_features_is_seen_between_groups(paired):
    d = donor_simulation(0, spread=0.05, pairs=paired)
    rng = np.random.default_rng(0)
    moved = rng.poisson(d.counts["background"] * rng.lognormal(0, 1.5, 150)).astype(np.float32)
    names = {"groups": d.groups, "background_groups": d.background_groups}
    levels = [
        found(bj.background_check(d.target, log_normalise(y), **names)).get("shift")
        for y in (d.counts["background"], moved)
    ]
    assert levels == [None, "warn"]
    assert "shift" not in {r.name for r in bj.background_check(d.target, d.background).rows}


def test_levels_begin_at_their_thresholds():
    levels = [judge("a", v, 1, 2, "do").level for v in (0.9, 1, 1.9, 2)]
    assert levels == ["ok", "warn", "warn", "unsuitable"]
    levels = [judge("a", v, 2, 1, "do", low=True).level for v in (2.1, 2, 1.1, 1)]
    assert levels == ["ok", "warn", "warn", "unsuitable"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "poisson"}, "loss must be one of"),
        ({"groups": ["a"] * 300}, "background_groups is missing"),
        ({"batch": ["a"] * 2, "background_batch": ["a"] * 300}, r"batch has shape \(2,\)"),
        ({"counts": {"target": np.ones((2, 3))}}, "counts must have the keys"),
        ({"counts": {"target": np.ones((2, 3)), "background": np.ones((2, 3))}}, "counts have 2"),
    ],
)
def test_errors_name_the_argument(pair, given, words):
    with pytest.raises(ValueError, match=words):
        bj.background_check(pair.target, pair.background, **given)


def test_errors_of_the_sets(pair):
    with pytest.raises(ValueError, match="background has 7 features and the target 1500"):
        bj.background_check(pair.target, pair.background[:, :7])
    with pytest.raises(ValueError, match="stack several"):
        bj.background_check(pair.target, [pair.background])
    with pytest.raises(ValueError, match="background has negative values"):
        bj.background_check(pair.target, -pair.background)


def test_strata_weigh_the_same_whatever_their_size(pair):
    names = np.array(["b"] * 250 + ["a"] * 50)
    parts = bj.inference.split_by_stratum(pair.background, names)
    assert [len(p) for p in parts] == [50, 250]
    assert_allclose(parts[0], pair.background[250:])
    sparse = bj.inference.split_by_stratum(csr_matrix(pair.background), names)
    assert_allclose(sparse[1].toarray(), parts[1])
    data = {"target": pair.target, "background": parts}
    terms = bj.Contrastive(alpha=0.5).terms(bj.prepare(data))
    assert_allclose([float(t.weight) * t.rows.size for t in terms[1:]], -0.5 * 300)
    with pytest.raises(ValueError, match=r"groups has shape \(3,\)"):
        bj.inference.split_by_stratum(pair.background, ["a", "b", "c"])
