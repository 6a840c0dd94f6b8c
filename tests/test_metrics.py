"""Scores: known answers, invariances, agreement with scikit-learn."""

import itertools
import json
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bcnmf_jax import metrics


def two_programs(n=120, seed=0):
    """Rows that use one of two programs, at library sizes that vary 100-fold."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    shares = np.where(labels[:, None] == np.arange(2), 0.8, 0.2) + rng.uniform(0, 0.1, (n, 2))
    return shares * np.exp(rng.uniform(0, np.log(100), (n, 1))), labels


def test_readouts_known_answers():
    out = metrics.readouts([[1.0, 3.0], [0.0, 0.0]])
    assert list(out) == ["primary", "raw", "row_normalised"]
    assert_allclose(out["primary"], [[0.5, np.sqrt(0.75)], [0, 0]])
    assert_allclose(out["row_normalised"], [[0.25, 0.75], [0, 0]])
    assert_allclose(out["raw"], [[1, 3], [0, 0]])
    full = metrics.readouts([[1.0], [3.0]], shared=[[3.0], [1.0]])
    assert_allclose(full["primary"], np.sqrt([[0.25], [0.75]]))
    assert_allclose(full["row_normalised"], 1)
    signed = np.array([[-1.0, 3.0]])
    assert_allclose(metrics.readouts(signed)["primary"], signed)
    assert_allclose(metrics.readouts(signed)["row_normalised"], [[-0.25, 0.75]])


def test_primary_readout_does_not_see_depth_and_raw_does():
    codes, labels = two_programs()
    scores = metrics.clustering(codes, labels)
    assert scores["ari_primary"] == scores["nmi_primary"] == scores["ari_row"] == 1.0
    assert scores["ari_raw"] < 0.5
    deeper = metrics.clustering(codes * np.linspace(1, 9, len(codes))[:, None], labels)
    assert deeper["ari_primary"] == 1.0


def test_shared_components_rescue_a_single_target_component():
    codes, labels = two_programs()
    alone = metrics.clustering(codes[:, :1], labels)
    beside = metrics.clustering(codes[:, :1], labels, shared=codes[:, 1:])
    assert alone["ari_primary"] == alone["ari_row"] == 0.0  # the share of one code is constant
    assert beside["ari_primary"] == 1.0
    assert beside["ari_raw"] == alone["ari_raw"]


def test_clustering_ignores_names_of_labels_and_chance_is_zero():
    codes, labels = two_programs()
    named = np.array(["b", "a"])[labels]
    assert metrics.clustering(codes, named) == metrics.clustering(codes, labels)
    shuffled = np.random.default_rng(1).permutation(labels)
    assert abs(metrics.clustering(codes, shuffled)["ari_primary"]) < 0.1
    split = metrics.clustering(codes, labels, n_clusters=4)
    assert 0.2 < split["ari_primary"] < 0.9 and split["nmi_primary"] < 1


@pytest.mark.parametrize("classes", [2, 4])
def test_component_auc_is_that_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 90)
    codes = np.round(rng.normal(size=(90, 5)) + 0.4 * labels[:, None] * [1, -1, 0, 0, 0.5], 1)

    def best(y):
        per_class = []
        for c in range(classes):
            areas = [roc_auc_score(y == c, column) for column in codes.T]
            per_class.append(max(max(a, 1 - a) for a in areas))
        return np.mean(per_class)

    found = metrics.component_auc(codes, labels, random_state=3, permutations=7)
    draws = np.random.default_rng(3)
    chance = [best(draws.permutation(labels)) for _ in range(7)]
    assert len(np.unique(codes)) < codes.size / 2  # ties were tested
    assert_allclose(found["auc"], best(labels), atol=1e-12)
    assert_allclose(found["auc_chance"], np.mean(chance), atol=1e-12)


def test_component_auc_sees_ranks_only_and_chance_grows_with_components():
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    codes = rng.normal(size=(100, 25))
    assert metrics.component_auc(np.exp(codes), labels) == metrics.component_auc(codes, labels)
    assert metrics.component_auc(-codes, labels) == metrics.component_auc(codes, labels)
    few, many = (metrics.component_auc(codes[:, :k], labels)["auc_chance"] for k in (1, 25))
    assert 0.5 < few < many < 0.75
    assert metrics.component_auc(labels[:, None] * 2.0, labels)["auc"] == 1.0
    assert metrics.component_auc(np.ones((100, 2)), labels) == {"auc": 0.5, "auc_chance": 0.5}


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_auc_is_that_of_scikit_learn(classes):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, classes, 150)
    codes = np.exp(rng.normal(size=(150, 4)) + 0.8 * (labels[:, None] == np.arange(4)))
    primary = metrics.readouts(codes)["primary"]
    folds = StratifiedKFold(5, shuffle=True, random_state=2)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))

    def macro(fitted, rows, y):
        values = fitted.decision_function(rows)
        if classes == 2:
            return roc_auc_score(y, values)
        return np.mean([roc_auc_score(y == c, values[:, c]) for c in range(classes)])

    expected = cross_val_score(model, primary, labels, cv=folds, scoring=macro).mean()
    found = metrics.logistic_auc(codes, labels, random_state=2)
    assert_allclose(found["auc_logistic"], expected, atol=1e-10)
    assert found["auc_logistic_note"] == "" and 0.6 < expected < 0.99


def test_groups_are_not_split():
    # Every group has its own position, and groups got their labels by lot: rows of a known group
    # are told apart, those of a new group cannot be.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    labels = rng.permutation(np.arange(40) % 2)[groups]
    codes = np.eye(40)[groups] + rng.uniform(0, 0.1, (400, 40))
    free = metrics.logistic_auc(codes, labels)["auc_logistic"]
    names = np.array([f"mouse {g}" for g in groups])
    grouped = metrics.logistic_auc(codes, labels, names)["auc_logistic"]
    assert free > 0.98 and grouped < 0.7


def test_logistic_auc_says_why_it_is_missing():
    codes, labels = two_programs(40)
    for arguments, why in (
        ((codes, np.zeros(40)), "labels hold one class"),
        ((np.full((40, 2), np.nan), labels), "codes are not finite"),
        ((codes, np.arange(40) == 0), "a class has fewer than two rows"),
        ((codes, labels, labels), "a class has fewer than two groups"),
    ):
        found = metrics.logistic_auc(*arguments)
        assert np.isnan(found["auc_logistic"]) and found["auc_logistic_note"] == why
    # Two groups a class are two folds, and enough.
    found = metrics.logistic_auc(codes, labels, labels + 2 * (np.arange(40) >= 20))
    assert found["auc_logistic"] == 1.0


def test_recovery_known_answers():
    rng = np.random.default_rng(0)
    truth = rng.exponential(size=(3, 30))
    found = truth[[2, 0, 1]] * np.array([[5.0], [-1e-200], [1e200]])
    assert_allclose(metrics.recovery(found, truth)["cosine"], 1)
    orthogonal = np.eye(6)
    assert_allclose(metrics.recovery(orthogonal[:2], orthogonal[:4])["cosine"], 0.5)
    assert metrics.recovery(np.zeros((2, 6)), orthogonal[:2])["cosine"] == 0.0
    assert np.isnan(metrics.recovery(np.full((2, 6), np.inf), orthogonal[:2])["cosine"])
    with pytest.raises(ValueError, match=r"components: found shape \(2, 6\), truth \(3, 30\)"):
        metrics.recovery(orthogonal[:2], truth)


def test_recovery_takes_the_best_of_all_matchings():
    rng = np.random.default_rng(1)
    found, truth = rng.exponential(size=(5, 20)), rng.exponential(size=(3, 20))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (found, truth)]
    cosines = unit[0] @ unit[1].T
    best = max(
        np.mean([cosines[i, j] for j, i in enumerate(pick)])
        for pick in itertools.permutations(range(5), 3)
    )
    assert_allclose(metrics.recovery(found, truth)["cosine"], best, atol=1e-12)


def test_score_is_flat_and_fit_for_a_row_of_results():
    codes, labels = two_programs()
    truth = np.eye(4)[:2]
    scores = metrics.score(codes, labels, components=truth[::-1], truth=truth)
    keys = {f"{kind}_{name}" for kind in ("ari", "nmi") for name in ("primary", "raw", "row")}
    keys |= {"auc", "auc_chance", "auc_logistic", "auc_logistic_note", "cosine"}
    assert set(scores) == keys
    assert json.loads(json.dumps(scores)) == scores
    assert scores["cosine"] == scores["ari_primary"] == scores["auc_logistic"] == 1.0
    assert scores == metrics.score(codes, labels, components=truth, truth=truth)  # same seed
    assert np.isnan(metrics.score(codes, labels)["cosine"])


@pytest.mark.parametrize(
    ("codes", "labels"),
    [
        (np.full((30, 2), np.nan), np.arange(30) % 2),
        (np.where(np.arange(60).reshape(30, 2) == 7, np.inf, 1.0), np.arange(30) % 2),
        (np.ones((30, 2)), np.zeros(30)),
        (np.ones((1, 1)), np.zeros(1)),
    ],
    ids=["nan", "one infinite entry", "one class", "one row"],
)
def test_what_cannot_be_scored_is_nan_without_noise(codes, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.score(codes, labels)
    assert scores.pop("auc_logistic_note")
    assert all(np.isnan(value) for value in scores.values())


def test_collapsed_codes_are_scored_as_nothing():
    labels = np.arange(30) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.score(np.zeros((30, 3)), labels)
    assert scores["ari_primary"] == scores["ari_raw"] == 0.0
    assert scores["auc"] == scores["auc_logistic"] == 0.5


def test_signed_codes_are_clustered_raw():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    codes = rng.normal(size=(60, 2)) + 6 * labels[:, None]
    codes -= codes.mean(axis=0)
    scores = metrics.clustering(codes, labels)
    assert scores["ari_primary"] == scores["ari_raw"] == 1.0


def test_malformed_arrays_are_named():
    codes, labels = two_programs(20)
    with pytest.raises(ValueError, match=r"codes: found shape \(20,\)"):
        metrics.score(codes[:, 0], labels)
    with pytest.raises(ValueError, match=r"labels: found shape \(19,\); .*\(20,\)"):
        metrics.score(codes, labels[1:])
    with pytest.raises(ValueError, match=r"groups: found shape \(3,\)"):
        metrics.logistic_auc(codes, labels, groups=[1, 2, 3])
    with pytest.raises(ValueError, match=r"shared: found shape \(3, 1\); pass 20 rows"):
        metrics.clustering(codes, labels, shared=np.ones((3, 1)))
    with pytest.raises(ValueError, match="permutations must be an integer of at least 1, found 0"):
        metrics.component_auc(codes, labels, permutations=0)
