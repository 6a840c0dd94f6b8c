"""Values that are masked are not fitted, features without a value are refused, data are copied."""

import jax
import numpy as np
import pandas as pd
import pytest

import bcnmf_jax as bj
from bcnmf_jax.baselines import pca
from bcnmf_jax.data.memory import aligned
from bcnmf_jax.inference.background import background_check

RNG = np.random.default_rng(0)
X, Y = RNG.gamma(1, 1, (12, 6)), RNG.gamma(1, 1, (10, 6))
HIDDEN = np.zeros(X.shape, bool)
HIDDEN[:5, 2] = HIDDEN[7, 1] = True
KEY = jax.random.key(0)


def masked(fill=np.nan):
    return np.ma.masked_array(np.where(HIDDEN, fill, X), HIDDEN)


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("fill", [np.nan, 1e6])
def test_the_mask_of_a_masked_array_is_used(fill):
    found = bj.prepare({"target": masked(fill), "background": Y})
    same(found, bj.prepare({"target": X, "background": Y}, mask={"target": ~HIDDEN}))
    nothing = bj.prepare({"target": np.ma.masked_array(X), "background": Y})
    assert nothing["target"].weights is None


def test_it_joins_other_masks_and_weights():
    other, weights = np.ones(X.shape), np.arange(12.0)
    other[3] = 0
    found = bj.prepare({"target": masked()}, {"target": weights}, {"target": other})
    both = np.where(HIDDEN, 0, other)
    same(found, bj.prepare({"target": X}, {"target": weights}, {"target": both}))


def test_it_is_used_in_lists_and_modalities():
    listed = bj.prepare({"target": Y, "background": [Y, masked()]})
    same(listed["background"][1].weights, (~HIDDEN).astype("float32"))
    both = bj.prepare({"target": {"rna": masked(), "protein": X}})["target"]
    same(both["rna"].weights, (~HIDDEN).astype("float32"))
    assert both["protein"].weights is None


def test_fits_and_codes_with_masked_arrays():
    made, data = bj.NMF(), {"target": masked(1e6)}
    plain, mask = {"target": X}, {"target": ~HIDDEN}
    start = bj.init(made, data, 2, KEY)
    same(start, bj.init(made, plain, 2, KEY, mask=mask))
    stop = bj.Stop(max_steps=20)
    found = bj.fit(made, data, start, stop=stop)
    same(found.blocks, bj.fit(made, plain, start, stop=stop, mask=mask).blocks)
    codes = bj.transform(made, found, data)
    same(codes, bj.transform(made, found, plain, mask=mask))


@pytest.mark.filterwarnings("ignore:not converged")
def test_the_estimator_masks_what_masked_arrays_hide():
    options = {"n_components": 2, "alpha": 1.0, "n_restarts": 1, "random_state": 0, "max_iter": 20}
    with pytest.raises(ValueError, match=r"X is a masked array that hides 6 .* missing='mask'"):
        bj.BCNMF(**options).fit(masked(), background=Y)
    with pytest.raises(ValueError, match="background is a masked array"):
        bj.BCNMF(**options).fit(Y, background=masked())
    model = bj.BCNMF(missing="mask", **options).fit(masked(1e6), background=Y)
    other = bj.BCNMF(missing="mask", **options).fit(np.where(HIDDEN, np.nan, X), background=Y)
    same(model.components_, other.components_)
    same(model.transform(masked(1e6)), other.transform(np.where(HIDDEN, np.nan, X)))
    assert model.score(masked(1e6)) == other.score(np.where(HIDDEN, np.nan, X))
    with pytest.raises(TypeError, match="sample_weight is a masked array"):
        model.fit(X, sample_weight=np.ma.masked_array(np.ones(12), X[:, 0] > 1), background=Y)


REFUSED = {
    "weights": (
        lambda: bj.prepare({"target": X}, weights={"target": np.ma.masked_array(np.ones(12))}),
        TypeError,
        "weights.*masked array.*filled",
    ),
    "a mask": (lambda: bj.prepare({"target": X}, mask={"target": masked()}), TypeError, "mask"),
    "a stream": (
        lambda: bj.stream(bj.NMF(), {"target": masked()}, rank=2, key=KEY),
        TypeError,
        "masked array",
    ),
    "a source": (lambda: bj.source(masked()), TypeError, "masked array"),
    "a choice": (lambda: bj.select({"target": masked(), "background": Y}), ValueError, "masked"),
    "a check": (lambda: background_check(masked(), Y), TypeError, "target is a masked array"),
    "a baseline": (lambda: pca(masked(), None, 2), TypeError, "target is a masked array"),
    "a start": (
        lambda: bj.fit(bj.NMF(), {"target": X}, {"basis": np.ma.masked_array(X[:2])}),
        TypeError,
        "masked array",
    ),
    "contrasts": (lambda: bj.Contrastive(np.ma.masked_array([0.5])), TypeError, "masked"),
    "groups": (
        lambda: background_check(
            X, Y, groups=np.ma.masked_array(list("ab") * 6, X[:, 0] > 1), background_groups=[1] * 10
        ),
        ValueError,
        "groups has .* missing",
    ),
}


@pytest.mark.parametrize(("call", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_masked_arrays_are_refused_where_there_is_no_mask(call, error, words):
    with pytest.raises(error, match=words):
        call()


def hide(a, *columns):
    shown = np.ones(a.shape)
    shown[:, list(columns)] = 0
    return shown


def test_features_without_a_value_are_refused():
    data = {"target": X, "background": Y}
    with pytest.raises(ValueError, match=r"data\['target'\] has no value of feature 4:"):
        bj.init(bj.Contrastive(), data, 2, KEY, mask={"target": hide(X, 4)})
    with pytest.raises(ValueError, match=r"data\['background'\] has no value of features 1, 2:"):
        bj.prepare(data, mask={"background": hide(Y, 1, 2)})
    frames = {k: pd.DataFrame(a).add_prefix("g") for k, a in data.items()}
    with pytest.raises(ValueError, match=r"feature 4 \('g4'\)"):
        bj.prepare(frames, mask={"target": hide(X, 4)})
    split = {"target": {"rna": X, "protein": X}, "background": {"rna": Y, "protein": Y}}
    with pytest.raises(ValueError, match=r"data\['target.protein'\] has no value of feature 0"):
        bj.prepare(split, mask={"target": {"protein": hide(X, 0)}})
    # One of several backgrounds is enough.
    several = {"target": X, "background": [Y, Y + 1]}
    bj.prepare(several, mask={"background": [hide(Y, 1), None]})
    with pytest.raises(ValueError, match="feature 1:"):
        bj.prepare(several, mask={"background": [hide(Y, 1), hide(Y, 1, 2)]})


def test_rows_of_weight_zero_give_no_value():
    shown, weights = np.ones(X.shape), np.ones(12)
    shown[:8, 3], weights[8:] = 0, 0
    data = {"target": X, "background": Y}
    with pytest.raises(ValueError, match="feature 3"):
        bj.prepare(data, {"target": weights}, {"target": shown})
    bj.prepare(data, {"target": 1 - weights}, {"target": shown})


def test_new_samples_may_lack_a_feature():
    found = bj.init(bj.NMF(), {"target": X}, 2, KEY)
    codes = bj.transform(bj.NMF(), found, {"target": X}, mask={"target": hide(X, 4)})
    assert np.isfinite(codes).all()


def test_the_estimator_names_features_without_a_value():
    frame = pd.DataFrame(X).add_prefix("g")
    frame["g3"] = np.nan
    background = pd.DataFrame(Y).add_prefix("g")
    with pytest.raises(ValueError, match=r"X has no value of feature 3 \('g3'\)"):
        bj.BCNMF(2, missing="mask").fit(frame, background=background)
    with pytest.raises(ValueError, match="background has no value of feature 3"):
        bj.BCNMF(2, missing="mask").fit(background, background=frame)


def in_place(a):
    """A copy of values where JAX on a CPU would compute on them as they are."""
    found = aligned(a.shape, np.float32)
    found[...] = a
    return found


def test_prepared_rows_are_copies():
    sets = in_place(X), in_place(Y)
    weights, mask = in_place(np.arange(12.0) + 1), in_place(~HIDDEN)
    shared = jax.numpy.asarray(sets[0], np.float32)
    data = {"target": sets[0], "background": [sets[1], sets[1]]}
    rows = bj.prepare(data, {"target": weights}, {"background": [None, None]})
    hidden = bj.prepare({"target": sets[0]}, mask={"target": mask})
    before = jax.tree.map(np.array, (rows, hidden))
    for a in (*sets, weights, mask):
        a[...] = 7
    assert (np.asarray(shared) == 7).all()  # the test would see memory that is shared
    same(jax.tree.map(np.array, (rows, hidden)), before)


def test_starts_contrasts_and_surveys_are_copies():
    basis, codes, alphas = in_place(np.ones((2, 6)) / 6), in_place(np.ones((12, 2))), np.ones(2)
    weights = in_place(np.arange(12.0) + 1)
    made = bj.Contrastive(alphas)
    stop = bj.Stop(max_steps=0)
    start = {"basis": basis, "target": codes}
    found = bj.fit(
        bj.NMF(penalties=(bj.penalties.L1("basis", 0.0),)), {"target": X}, start, stop=stop
    )
    surveyed = bj.streaming.summarize({"target": X.astype("float32")}, {"target": weights})
    for a in (basis, codes, alphas, weights):
        a[...] = 7
    np.testing.assert_allclose(found.blocks["basis"], 1 / 6, rtol=1e-6)
    np.testing.assert_array_equal(found.blocks["target"], 1)
    np.testing.assert_array_equal(made.alpha, 1)
    np.testing.assert_array_equal(surveyed["target"].weights[:, 0], np.arange(12.0) + 1)
