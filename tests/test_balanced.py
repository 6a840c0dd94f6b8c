"""The balanced contrast, the choice by separation, and existence between donors."""

import json
from functools import partial

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import bcnmf_jax as bj
from bcnmf_jax.fitting.balanced import contrast
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.selection import _by_separation, donors
from bcnmf_jax.inference.selection._by_separation import Scored, preferred, weaker
from bcnmf_jax.inference.selection._folds import TooFewError, folds
from bcnmf_jax.inference.selection._verdict import judged, told
from bcnmf_jax.inference.selection._whole import Whole
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.inference.selection.separation import excess, separation

KEY = jax.random.key(0)
SHARED = np.kron(np.eye(3), np.ones((1, 8))).astype("float32")
WIDE = np.concatenate([SHARED, np.zeros((3, 12), "float32")], 1)
OWN = np.concatenate([np.zeros((2, 24)), np.kron(np.eye(2), np.ones((1, 6)))], 1)


def draw(n, mix, own, seed, sharp=True):
    """Counts of one shared program each, in these proportions, and of one target program."""
    rng = np.random.default_rng(seed)
    kind, which = rng.choice(3, n, p=mix), rng.integers(0, 2, n)
    size = np.ones((n, 1)) if sharp else rng.gamma(1.5, 0.7, (n, 1))
    rate = 12 * WIDE[kind] + own * size * OWN[which] + 0.3
    return rng.poisson(rate).astype("float32"), which


@pytest.fixture(scope="module")
def sets():
    """Two target programs over three shared ones, which stand in other proportions."""
    x, which = draw(160, [0.7, 0.15, 0.15], 6.0, 0)
    return x, draw(150, [0.15, 0.15, 0.7], 0.0, 1)[0], which


def test_shared_programs_have_the_energy_that_the_target_gives_them(sets):
    x, y, _ = sets
    data = {"target": x, "background": y}
    before = bj.inference.critical_alphas(data, background_rank=3)
    basis = bj.fit(bj.NMF(), {"target": y}, bj.init(bj.NMF(), {"target": y}, 3, KEY)).blocks[
        "basis"
    ]
    w = np.asarray(bj.balance(bj.Frobenius(), data, basis))
    codes = [np.asarray(bj.transform(bj.NMF(), {"basis": basis}, {"target": a})) for a in (x, y)]
    after = (codes[0] ** 2).mean(0) / (w[:, None] * codes[1] ** 2).mean(0)
    assert before.alphas.max() / before.alphas.min() > 8
    np.testing.assert_allclose(after, 1, atol=0.35)
    # A background twice is the same background, and a row of weight 2 is the row twice.
    twice = np.asarray(
        bj.balance(bj.Frobenius(), {"target": x, "background": np.tile(y, (2, 1))}, basis)
    )
    np.testing.assert_allclose(twice, np.tile(w, 2), rtol=1e-4)
    each = [y[:70], y[70:]]
    found = bj.balance(bj.Frobenius(), {"target": x, "background": each}, basis)
    assert [len(one) for one in found] == [70, 80]
    read = bj.streaming.balance(
        bj.Frobenius(), {"target": x, "background": y}, basis, chunk_rows=64
    )
    np.testing.assert_allclose(read, w, rtol=1e-3)
    with pytest.raises(ValueError, match="needs data"):
        bj.balance(bj.Frobenius(), {"target": x}, basis)


@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL(), bj.NegativeBinomial(0.1)])
def test_one_contrast_is_past_every_shared_program(sets, loss):
    x, y, which = sets
    data = {"target": x, "background": y}
    made, keys = contrast(loss), [jax.random.key(s) for s in (0, 1)]
    fits = [bj.fit_balanced(made, data, 2, key, background_rank=3) for key in keys]
    found = min(fits, key=lambda one: float(one.blocks["basis"][:2, :24].sum()))
    codes = np.asarray(found.blocks["target"])
    right = np.mean(codes[:, :2].argmax(1) == which)
    assert max(right, 1 - right) > 0.9 and codes.shape == (160, 5)
    assert np.isfinite(found.costs["basis"]) and found.diagnostics["dead_features"] == 0
    if loss.bounded:  # the same contrast on the background as it is keeps more of what is shared
        plain = bj.fit(made, data, bj.init(made, data, 2, KEY)).blocks["basis"]
        assert found.blocks["basis"][:2, :24].sum() < 0.9 * plain[:, :24].sum()


def test_passes_over_chunks_give_the_same_fit(sets):
    x, y, _ = sets
    data, stop = {"target": x, "background": y}, bj.Stop(0.0, 60)
    made = contrast(bj.Frobenius())
    one = bj.fit_balanced(made, data, 2, KEY, background_rank=3, stop=stop)
    other = bj.streaming.fit_balanced(
        made, data, 2, KEY, background_rank=3, stop=stop, chunk_rows=50
    )
    a, b = (np.asarray(f.blocks["basis"]) for f in (one, other))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.99
    with pytest.raises(TypeError, match="objective"):
        bj.fit_balanced(bj.NMF(), data, 2, KEY)
    with pytest.raises(TypeError, match="objective"):
        bj.streaming.fit_balanced(bj.NMF(), data, 2, KEY)


def test_without_a_parameter_the_programs_are_found_and_said_in_a_line(sets, capsys):
    x, y, which = sets
    model = bj.BCNMF(random_state=0).fit(x, background=y)
    said = capsys.readouterr().err.splitlines()
    # A slow machine has lines of progress before.
    assert [line for line in said if "% " not in line and "%," not in line] == said[-1:]
    assert said[-1].startswith("[BCNMF] contrast found: balanced, 2 components, alpha 1.5")
    choice = model.selection_
    assert choice.outcome == "contrast found" and "silhouette" in choice.reasons[0]
    best = max((r for r in choice.table if r["score"]), key=lambda r: r["score"])
    assert best["n_components"] == 2 and best["excess"] > 0.1 and best["clusters"] == 2
    right = np.mean(model.transform(x).argmax(1) == which)
    assert max(right, 1 - right) > 0.95
    read = bj.BCNMF(random_state=0, verbose=False).fit(
        sp.csr_matrix(x), background=sp.csr_matrix(y)
    )
    assert (read.objective_, read.n_components_) == ("balanced", 2)
    cosine = np.abs(read.components_ @ model.components_.T)
    assert cosine.max(1).min() > 0.9 * np.linalg.norm(model.components_, axis=1).max() ** 2
    both = bj.BCNMF(random_state=0, verbose=False).fit(x, background=[y[:70], y[70:]])
    assert both.objective_ == "balanced" and capsys.readouterr().err == ""


def test_what_varies_by_degree_takes_components_in_turn():
    rng = np.random.default_rng(0)
    strength = rng.gamma(2, 0.7, (200, 1))
    shared = lambda n: 12 * WIDE[rng.integers(0, 3, n)] + 0.3  # noqa: E731
    x = rng.poisson(shared(200) + 4 * strength * OWN.sum(0)).astype("float32")
    y = rng.poisson(shared(200)).astype("float32")
    found = bj.select({"target": x, "background": y}, ranks=[1, 2], splits=3)
    assert (found.outcome, found.objective) == ("contrast found", "sequential")
    assert "sets no distinct groups apart" in found.reasons[0]
    assert found.n_components <= 2


def row(score, count, name="balanced"):
    told = {"score": score, "n_components": count, "objective": name}
    return Scored(told, np.zeros(0), np.zeros(0))


def test_of_candidates_near_the_best_the_fewest_components_stay_and_the_first_objective():
    taken = lambda *rows: preferred(list(rows), ["balanced", "sequential"]).row  # noqa: E731
    assert taken(row(0.80, 1), row(0.90, 2), row(0.92, 3))["n_components"] == 2
    assert taken(row(0.88, 2), row(0.90, 2, "sequential"))["objective"] == "balanced"
    assert taken(row(0.85, 2), row(0.90, 2, "sequential"))["objective"] == "sequential"
    assert taken(row(0.88, 2, "sequential"), row(0.90, 3))["objective"] == "sequential"
    assert taken(row(0.0, 3), row(0.0, 1))["n_components"] == 1


def test_separation_needs_groups_that_the_background_lacks():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 300)
    noise = lambda n, k: rng.gamma(5, 0.02, (n, k))  # noqa: E731
    apart = np.c_[np.eye(2)[group] + noise(300, 2), 1 + noise(300, 1)]
    none = np.c_[noise(200, 2), 1 + noise(200, 1)]
    alike = np.c_[np.eye(2)[rng.integers(0, 2, 200)] + noise(200, 2), 1 + noise(200, 1)]
    found, shared = (separation(apart, other, 2, 0) for other in (none, alike))
    assert found["specificity"] > 0.95 and abs(shared["specificity"]) < 0.2
    assert found["score"] > 4 * shared["score"] and found["clusters"] == 2
    even = np.c_[1 + noise(300, 2), 1 + noise(300, 1)]
    assert excess(apart, 2, 2, 0) > 0.1 > excess(even, 2, 2, 0)


def cells(counts, strength, seed):
    """Counts of donors with gene-wise factors of their own; a program in those of the target."""
    rng, rows, names = np.random.default_rng(seed), [], []
    for side, count in enumerate(counts):
        for d in range(count):
            factors = rng.lognormal(0, 0.1, WIDE.shape[1])
            rate = 12 * WIDE[rng.integers(0, 3, 30)] + (side == 0) * strength * OWN.sum(0) + 0.5
            rows.append(rng.poisson(rate * factors))
            names += [f"{'tb'[side]}{d}"] * 30
    whole, names = np.concatenate(rows).astype("float32"), np.array(names)
    split = 30 * counts[0]
    return whole[:split], whole[split:], {"target": names[:split], "background": names[split:]}


@pytest.mark.parametrize(("strength", "outcome"), [(3.0, "contrast found"), (0.0, None)])
def test_three_donors_against_three_get_an_answer(strength, outcome):
    x, y, groups = cells((3, 3), strength, 0)
    drawn = donors.drawn((x, y), groups, 0)
    said, reason = donors.by_exchange(drawn, bj.Frobenius(), 0)
    assert (said == outcome) if outcome else (said != "contrast found")
    assert "all 20 arrangements of donors" in reason and "smallest possible is 0.05" in reason


@pytest.mark.parametrize(("strength", "outcome"), [(3.0, "contrast found"), (0.0, None)])
def test_three_pairs_are_exchanged_as_six_donors(strength, outcome):
    x, y, groups = cells((3, 3), strength, 0)
    pairs = {name: np.char.lstrip(own, "tb") for name, own in groups.items()}
    assert set(pairs["target"]) == set(pairs["background"])
    found = donors.drawn((x, y), pairs, 0)
    assert not found.paired and found.shared == 3
    said, reason = donors.by_exchange(found, bj.Frobenius(), 0)
    assert (said == outcome) if outcome else (said != "contrast found")
    assert "all 20 arrangements of donors" in reason and "3 donors of both sets count" in reason


def test_donors_that_cannot_be_exchanged_are_left_to_splits():
    x, y, groups = cells((2, 3), 0.0, 0)
    assert donors.drawn((x, y), groups, 0) is None
    names = np.arange(120) % 3
    assert len(folds(x[:60], y, 2, 0, names[:60], np.arange(90) % 3)) == 2  # three pairs
    with pytest.raises(TooFewError, match="splits need 2 and 3"):
        folds(x[:60], y, 2, 0, names[:60], np.arange(90) % 2)


def test_the_excess_of_a_candidate_is_computed_once(monkeypatch):
    asked = []
    monkeypatch.setattr(_by_separation, "excess", lambda *a: asked.append(a) or 0.05)
    one, other = (
        Scored({"objective": "balanced", "n_components": k, "score": s, "clusters": 2}, *2 * [None])
        for k, s in ((1, 0.5), (2, 0.9))
    )
    found = _by_separation._best([one], ["balanced"], 0)
    assert _by_separation._best([one], ["balanced"], 0, found) is found and len(asked) == 1
    assert _by_separation._best([one, other], ["balanced"], 0, found)[0] is other
    assert len(asked) == 2


def test_each_component_is_judged_by_itself(sets):
    x, y, which = sets
    names = np.where(which == 1, "c", np.resize(["a", "b", "c", "d"], len(x)))
    whole = Whole(x, y, bj.Frobenius(), 0)
    basis = whole.beside(np.concatenate([OWN, WIDE[:1]]).astype("float32"))
    plan = Plan("balanced", 1.5, 3, len(whole.frozen), bj.Frobenius(), start=basis)
    rows = judged(whole, plan, basis, names)
    assert rows[0]["verdict"] == "sound" and rows[0]["donors"] > 3
    assert rows[1]["verdict"] == "carried by one donor" and rows[1]["largest_donor"] == "c"
    assert rows[2]["verdict"].startswith("not ") and rows[2]["spill"] > rows[0]["spill"]
    said = told(rows, "contrast found")
    assert said.startswith(
        "1 of 3 components are sound: component 1 is carried by one donor (c has"
    )
    assert told(rows[:1], "contrast found") == "the component is sound"
    for outcome in ("no power", "no contrast found"):
        for some in (rows, rows[:1]):
            said = told(some, outcome)
            assert "sound" not in said and "stable in halves of these rows" in said
            assert "; yet " in said
    assert "donors" not in judged(whole, plan, basis, None)[0]
    two = judged(whole, plan, basis, np.where(names == "c", "c", "a"))
    assert "donors" not in two[0] and two[1]["verdict"] == "sound"
    kept = Selection("no power", ("why",), "balanced", 1.5, 3, 6, (), (), rows)
    assert Selection.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    earlier = {k: v for k, v in kept.to_dict().items() if k != "components"}
    assert Selection.from_dict(earlier).components == ()


def test_refits_of_a_choice_are_made_as_its_fit_was(sets):
    x, y, _ = sets
    model = bj.BCNMF(
        1, objective="sequential", alpha=0.0, n_background_components=3, max_iter=10, verbose=False
    ).fit(x, background=y)
    assert model._plan().together
    model.selection_ = Selection("no power", (), "sequential", 0, 1, 3, (), (), together=False)
    assert not model._plan().together


def test_one_contrast_is_shared_out_among_backgrounds(sets):
    x, y, _ = sets
    made, data = contrast(bj.Frobenius()), {"target": x, "background": [y, y]}
    two = bj.fit_balanced(made, data, 2, KEY, background_rank=3, stop=bj.Stop(0.0, 50))
    stacked = {"target": x, "background": np.concatenate([y, y])}
    one = bj.fit_balanced(made, stacked, 2, KEY, background_rank=3, stop=bj.Stop(0.0, 50))
    np.testing.assert_allclose(two.blocks["basis"], one.blocks["basis"], atol=2e-3)


def test_what_the_target_lacks_altogether_weights_nothing(sets):
    _, y, _ = sets
    apart = np.zeros((40, y.shape[1]), "float32")
    apart[:, -4:] = np.random.default_rng(0).gamma(2, 1, (40, 4))
    basis = np.concatenate([SHARED, np.zeros((3, 12))], 1)
    data = {"target": apart, "background": np.where(np.arange(y.shape[1]) < 24, y, 0)}
    w = np.asarray(bj.balance(bj.Frobenius(), data, basis))
    np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize("rows", [2, 6])
def test_few_rows_have_no_power_and_no_error(sets, rows):
    x, y, _ = sets
    found = bj.select({"target": x[:rows], "background": y[:rows]}, ranks=[1])
    assert found.outcome == "no power" and " need" in found.reasons[0]


def test_numbers_of_components_that_are_asked_for_are_tried_of_both(sets):
    x, y, _ = sets
    found = bj.select({"target": x, "background": y}, ranks=[3], splits=2)
    scored = {r["objective"] for r in found.table if r["score"] is not None}
    assert scored == {"balanced", "sequential"} and found.n_components == 3
    with pytest.raises(ValueError, match="a value for each background"):
        bj.BCNMF(alpha=[1.0, 2.0]).fit(x, background=[y, y])


def test_a_weak_contrast_needs_a_background_of_many_rows_and_few_components():
    both = {"balanced": "balanced", "sequential": "sequential"}
    tried = partial(weaker, None, (1, 2, 3))
    assert tried(both, 400) == [(1.0, 1), (1.0, 2)] and tried(both, 399) == []
    assert weaker(None, [3], both, 400) == weaker([1.5], (1, 2), both, 400) == []
    assert tried({"sequential": "sequential"}, 400) == []
