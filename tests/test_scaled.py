"""A background that was not scaled as the target is warned of, and data of their own kinds not."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler

import bcnmf_jax as bj
from bcnmf_jax.data.checks import ScaleWarning
from bcnmf_jax.datasets import beta_simulation, digits_on_photos, family_simulation
from bcnmf_jax.datasets._families import FAMILIES

RNG = np.random.default_rng(0)


def kinds():
    """Targets and backgrounds whose features have scales of their own."""
    beta = beta_simulation(8, 0, 120, 1490)
    found = {"log-normalised": (beta.target, beta.background), "counts": (*beta.counts.values(),)}
    pixels = load_digits().data
    found["images"] = pixels[:300], pixels[300:700]
    return found | {"gamma": (RNG.gamma(1, 5, (100, 20)), RNG.gamma(1, 5, (80, 20)))}


KINDS = kinds()
SCALERS = [MaxAbsScaler(), MinMaxScaler(clip=True), StandardScaler(with_mean=False)]
SCALERS += [Normalizer("l1"), Normalizer("l2")]


def warned(x, y, read=bj.prepare):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        read({"target": x, "background": y})
    return [str(w.message) for w in found if w.category is ScaleWarning]


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_one_set_scaled_without_the_other(kind, scaler):
    x, y = KINDS[kind]
    scaled, alike = scaler.fit_transform(x), scaler.transform(y)
    assert any(("every feature" in w or "every sample" in w) for w in warned(scaled, y))
    assert any("as if one had been scaled" in w for w in warned(y, scaled))
    assert warned(scaled, alike) == warned(x, y) == []
    # Each scaled for itself.
    assert warned(scaled, scaler.fit_transform(y)) == []


@pytest.mark.parametrize("scaler", [Normalizer("l1"), Normalizer("l2")], ids=str)
def test_an_empty_sample_is_no_sign_of_another_scale(scaler):
    x, y = (scaler.fit_transform(a) * 1e4 for a in KINDS["gamma"])
    empty = [np.vstack([a, np.zeros(a.shape[1])]) for a in (x, y)]
    assert warned(empty[0], y) == warned(x, empty[1]) == warned(*empty) == []
    assert "every sample" in warned(x, np.vstack([KINDS["gamma"][1], np.zeros(20)]))[0]


def test_sparse_data_read_chunk_by_chunk():
    x, y = (sp.csr_matrix(np.floor(a)) for a in KINDS["gamma"])
    scaler, read = MaxAbsScaler().fit(x), bj.streaming.summarize
    sources = [bj.source(a) for a in (scaler.transform(x), y, scaler.transform(y))]
    assert "every feature has the same largest value" in warned(*sources[:2], read)[0]
    assert warned(sources[0], sources[2], read) == []


def own_kinds():
    yield from ((f"family {f}", *_sets(family_simulation(f, 0, 1490))) for f in FAMILIES)
    yield "digits on photos", *_sets(digits_on_photos())
    pixels = load_digits().data
    yield "truth values", pixels[:300] > 7, pixels[300:700] > 7
    yield "bytes", RNG.integers(0, 256, (300, 64)), RNG.integers(0, 256, (200, 64))
    yield "saturated beside dark", np.minimum(pixels[:300] / 8, 1), pixels[300:500] / 16
    yield "few", RNG.gamma(1, 1, (8, 5)), RNG.gamma(1, 1, (8, 5))
    yield "one kind each", np.eye(4)[RNG.integers(0, 4, 50)], np.eye(4)[RNG.integers(0, 3, 40)]
    shares = RNG.dirichlet(np.ones(6), 30), RNG.dirichlet(np.full(6, 0.2), 20)
    yield "shares", *shares


def _sets(data):
    return data.target, data.background


def test_no_warning_of_data_as_they_are():
    for name, x, y in own_kinds():
        assert warned(x.astype("float32"), y.astype("float32")) == [], name


def test_a_background_that_a_pipeline_does_not_scale():
    rng = np.random.default_rng(0)
    scale = rng.uniform(1, 4, 20)
    x, y = (rng.gamma(1, 1, (n, 20)) * scale for n in (40, 30))
    pipeline = make_pipeline(MaxAbsScaler(), bj.BCNMF(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScaleWarning)  # which ends the fit before it begins
        with pytest.raises(ScaleWarning, match="transform_input"):
            pipeline.fit(x, bcnmf__background=y)
