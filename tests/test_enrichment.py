"""Enrichment: exact by construction, blind to overfitting, and silent where nothing can be said."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from scipy.stats import ttest_ind, ttest_rel

import bcnmf_jax as bj
from bcnmf_jax.datasets import log_normalise
from bcnmf_jax.inference._arrangements import Arrangement, arrangements, obstacle
from bcnmf_jax.inference._matching import partners
from bcnmf_jax.inference.enrichment_test._enrich import as_observed
from bcnmf_jax.inference.enrichment_test._refits import Answer, compare, log2_ratio
from bcnmf_jax.inference.enrichment_test._samples import by_cell, by_group
from experiments.core.donors import donor_simulation

SMALL = {"donors": (4, 4), "cells": 12, "genes": 150}


def model(**more):
    given = {"objective": "background_first", "alpha": 0.0, "n_background_components": 5}
    given |= {"n_restarts": 1, "max_iter": 100, "tol": 1e-3, "random_state": 0}
    return bj.BCNMF(2, **given | more)


@pytest.fixture(scope="module")
def fitted():
    """Data with a program in the target, and a model of them."""
    d = donor_simulation(0, strength=1.0, **SMALL)
    return d, model().fit(d.target, background=d.background)


@pytest.fixture(scope="module")
def tested(fitted):
    d, fit = fitted
    return bj.enrichment(
        fit, d.target, d.background, groups=d.groups, background_groups=d.background_groups
    )


def test_arrangements_are_all_or_drawn_and_begin_with_the_observed():
    rng = np.random.default_rng(0)
    for n, m, paired, total in ((3, 4, False, 35), (5, 5, True, 32)):
        every, exact = arrangements(n, m, paired, 100, rng)
        assert exact and len(every) == total
        assert len({tuple(at.target) for at in every}) == total
        some, exact = arrangements(n, m, paired, 20, rng)
        assert not exact and len(some) == 21
        for at in (*every, *some):
            assert sorted([*at.target, *at.background]) == list(range(n + m))
            if paired:
                assert_allclose(at.target % n, at.background % n)
        for first in (every[0], some[0]):
            assert_allclose(np.concatenate(first), np.arange(n + m))


def test_as_few_groups_as_reach_the_level():
    rng = np.random.default_rng(0)
    for n, m, paired in ((3, 3, False), (5, 5, True), (3, 9, False)):
        assert obstacle(n, m, paired) == ""
        assert len(arrangements(n, m, paired, 10**4, rng)[0]) >= 1 / 0.05
    for n, m, paired in ((2, 9, False), (4, 4, True)):
        assert "not testable" in obstacle(n, m, paired)


@pytest.mark.parametrize("paired", [False, True])
def test_the_effect_is_a_t_statistic_without_the_number_of_groups(paired):
    rng = np.random.default_rng(0)
    usage, at = rng.gamma(2, 1, (12, 3)), Arrangement(np.arange(6), np.arange(6, 12))
    usage[:, 2] = 0
    effect, ratio = compare(usage, at, paired)
    a, b = usage[:6, :2], usage[6:, :2]
    t = (ttest_rel if paired else ttest_ind)(a, b).statistic
    degrees = 5 if paired else 10
    size = t / np.sqrt(6) if paired else t * np.sqrt(1 / 6 + 1 / 6)
    assert_allclose(effect[:2], size * (1 - 3 / (4 * degrees - 1)))
    assert_allclose(ratio[:2], np.log2(a.mean(0) / b.mean(0)))
    assert effect[2] == ratio[2] == 0


def test_ratios_stay_finite():
    found = log2_ratio(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    assert_allclose(found, [np.log2(1000), -np.log2(1000), 0])


def test_partners_stay_within_their_kind():
    rng = np.random.default_rng(0)
    order = np.array([1, 0, 4, 2, 3])
    assert_allclose(partners(np.eye(5)[order], 2), order)
    assert set(partners(rng.random((5, 5)), 2)[:2]) == {0, 1}


def test_p_is_the_rank_among_all_arrangements():
    """With one component (b + 1) / (B + 1); with several of a kind their effects are pooled."""
    rng = np.random.default_rng(0)
    for count in (1, 3):
        effects = rng.normal(size=(40, count))
        answers = [Answer(e, e, np.stack([np.eye(count)] * 2)) for e in effects]
        p = [row["p"] for row in as_observed(np.eye(count), count, answers)]
        want = [np.mean(effects >= one) for one in effects[0]]
        assert_allclose(p, want)
        if count == 1:
            assert_allclose(p, (np.sum(effects[1:] >= effects[0]) + 1) / 40)


def test_a_program_of_the_target_is_found(fitted, tested):
    d, fit = fitted
    assert tested.exact and tested.permutations == 69 and tested.testable and not tested.note
    best = min(tested.rows, key=lambda row: row["p"])
    assert best["q"] <= 0.05 and best["effect"] > 1 and best["match"] > 0.8
    assert best["held_out_log2_ratio"] > best["null_log2_ratio_95"]
    k = [row["component"] for row in tested.rows].index(best["component"])
    cosine = fit.components_[k] @ d.truth[0]
    assert cosine / np.linalg.norm(fit.components_[k]) / np.linalg.norm(d.truth[0]) > 0.8


def test_overfitting_is_no_evidence():
    """Noise of more features than samples: the model tells its own donors apart, and no others."""
    d = donor_simulation(1, strength=0.0, spread=0.5, **SMALL)
    fit = model().fit(d.target, background=d.background)
    found = bj.enrichment(
        fit, d.target, d.background, groups=d.groups, background_groups=d.background_groups
    )
    own = max(row["log2_ratio"] for row in found.rows)
    assert own > max(row["held_out_log2_ratio"] for row in found.rows) + 0.3
    assert min(row["q"] for row in found.rows) > 0.05


def test_the_same_answer_again_and_from_sparse_data(fitted, tested):
    d, fit = fitted
    before = fit.components_.copy()
    more = {"groups": d.groups, "background_groups": d.background_groups}
    again = bj.enrichment(fit, csr_matrix(d.target), csr_matrix(d.background), **more)
    assert [row["p"] for row in again.rows] == [row["p"] for row in tested.rows]
    assert_allclose(fit.components_, before)


def test_pairs_are_exchanged_within(fitted):
    d, fit = fitted
    names = np.array([f"pair{i}" for i in range(4)]).repeat(12)
    note = bj.enrichment(
        fit, d.target, d.background, groups=names, background_groups=names, pairs=True
    ).note
    assert "4 groups are in both" in note and "5 that are in both" in note
    both = np.concatenate([d.target] * 2), np.concatenate([d.background] * 2)
    names = np.array([f"pair{i}" for i in range(8)]).repeat(12)
    rows = by_group(both, (names, names), True, 12, np.random.default_rng(0))
    assert rows.counts == (8, 8)
    odd = np.where(names == "pair7", "alone", names)
    assert "2 groups" in by_group(both, (names, odd), True, 12, np.random.default_rng(0)).note


def test_groups_have_equally_many_rows():
    x = np.arange(20.0)[:, None] * np.ones((1, 3))
    names = np.array(["a"] * 2 + ["b"] * 8 + ["c"] * 10)
    found = by_group((x, x + 100), (names, np.char.add(names, "2")), False, 5, _rng())
    samples = found.samples.halves[0]
    assert samples.shape == (6, 5, 3) and found.counts == (3, 3)
    rows = [set(sample[:, 0]) for sample in samples]
    assert {0.0, 1.0} in rows and sum(max(r) < 100 for r in rows) == 3


@pytest.mark.parametrize(
    ("groups", "words"),
    [(None, "no groups"), (["a"] * 24 + ["b"] * 24, "at least 3")],
)
def test_not_testable(fitted, groups, words):
    d, fit = fitted
    others = None if groups is None else [g + "2" for g in groups]
    found = bj.enrichment(fit, d.target, d.background, groups=groups, background_groups=others)
    assert not found.testable and found.note.startswith("not testable") and words in found.note
    assert all(row["p"] is None and row["usage_target"] > 0 for row in found.rows)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["note"] == found.note
    names = [f"bcnmf{k}" for k in range(2)] + [f"background{k}" for k in range(5)]
    assert list(found.to_frame()["component"]) == names


def test_cells_are_tested_on_request_from_thinned_counts(fitted):
    d, fit = fitted
    counts = d.counts["target"], d.counts["background"]
    drawn = by_cell(counts, lambda x: x, _rng())
    assert_allclose(sum(drawn.samples.halves)[:, 0], np.concatenate(counts))
    one = drawn.samples.halves[0].sum() / np.concatenate(counts).sum()
    assert 0.48 < one < 0.52
    found = bj.enrichment(fit, *counts, level="cell", normalise=log_normalise, n_permutations=19)
    assert {row["level"] for row in found.rows} == {"cell"} and found.groups == (48, 48)
    assert min(row["p"] for row in found.rows) <= 0.05
    with pytest.raises(ValueError, match="target holds values that are no counts"):
        bj.enrichment(fit, d.target, d.background, level="cell")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"groups": ["a"] * 48}, "background_groups is missing"),
        ({"groups": ["a"] * 3, "background_groups": ["b"] * 48}, r"groups has shape \(3,\)"),
        ({"groups": ["a"] * 48, "background_groups": ["a"] * 48}, "pairs=True"),
        ({"level": "donor"}, "level must be one of"),
        ({"level": "cell", "pairs": True}, "pairs=True needs level='group'"),
        ({"n_permutations": 0}, "n_permutations"),
        ({"rows_per_group": 2.0}, "rows_per_group"),
    ],
)
def test_errors_name_the_argument(fitted, given, words):
    d, fit = fitted
    with pytest.raises(ValueError, match=words):
        bj.enrichment(fit, d.target, d.background, **given)


def test_errors_of_model_and_data(fitted):
    d, fit = fitted
    with pytest.raises(ValueError, match="not fitted"):
        bj.enrichment(model(), d.target, d.background)
    with pytest.raises(ValueError, match="background has 10 features"):
        bj.enrichment(fit, d.target, d.background[:, :10])
    with pytest.raises(ValueError, match="target has 10 features"):
        bj.enrichment(fit, d.target[:, :10], d.background[:, :10])
    with pytest.raises(ValueError, match="stack several"):
        bj.enrichment(fit, d.target, [d.background, d.background])


@pytest.mark.slow
def test_the_level_is_held():
    """P(p <= 0.05) of 60 null data sets with donor effects: 0.05, within 3 standard errors."""
    found = []
    for seed in range(60):
        d = donor_simulation(seed, **SMALL)
        fit = model(objective="contrastive", alpha=1.0).fit(d.target, background=d.background)
        rows = bj.enrichment(
            fit, d.target, d.background, groups=d.groups, background_groups=d.background_groups,
            n_permutations=39, random_state=seed,
        ).rows  # fmt: skip
        found.append(np.mean([row["p"] <= 0.05 for row in rows]))
    assert abs(np.mean(found) - 0.05) < 3 * np.std(found) / np.sqrt(60) + 1e-9


def _rng():
    return np.random.default_rng(0)
