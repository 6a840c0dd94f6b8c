"""Data sets that need no file, and what holds for every data set."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from bcnmf_jax import datasets


def test_beta_simulation_has_the_published_counts():
    data = datasets.beta_simulation(beta=2, seed=3, n=20, genes=1500)
    assert data.counts is not None and data.truth is not None
    target, background = data.counts["target"], data.counts["background"]
    # Drawn once with an independent transcription of the generator.
    assert (int(target.sum()), int(background.sum())) == (125484, 132598)
    assert target[7, 750:758].astype(int).tolist() == [26, 11, 17, 22, 38, 26, 45, 3]
    assert data.truth.shape == (2, 1500)
    loaded = data.truth > 0.2
    assert set(np.flatnonzero(loaded[0])) <= set(range(1250, 1370))
    assert set(np.flatnonzero(loaded[1])) <= set(range(1370, 1490))
    assert np.bincount(data.labels).tolist() == [10, 10]


def test_beta_simulation_is_log_normalised_and_repeats():
    one, other = (datasets.beta_simulation(beta=1, seed=5, n=10, genes=1490) for _ in range(2))
    assert np.array_equal(one.data("counts")["target"], other.data("counts")["target"])
    np.testing.assert_allclose(np.expm1(one.target).sum(1), 1e4, rtol=1e-4)
    assert one.target.dtype == np.float32 and set(one.data()) == {"target", "background"}


@pytest.mark.parametrize("bad", [{"n": 11}, {"genes": 1489}, {"beta": -1}, {"beta": np.nan}])
def test_beta_simulation_names_the_bad_parameter(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        datasets.beta_simulation(**bad)


def test_digits_on_photos_needs_contrast():
    data = datasets.digits_on_photos()
    assert data.target.shape == (357, 256) and data.background.shape == (1040, 256)
    assert 0 <= data.target.min() and data.target.max() <= 1
    rows = {row.tobytes() for row in data.background}
    assert not any(row.tobytes() in rows for row in data.target)

    def ari(codes):
        return adjusted_rand_score(
            data.labels, KMeans(2, n_init=5, random_state=0).fit_predict(codes)
        )

    assert ari(PCA(2).fit_transform(data.target)) < 0.1
    contrast = np.cov(data.target.T) - 2 * np.cov(data.background.T)
    assert ari(data.target @ np.linalg.eigh(contrast)[1][:, -2:]) > 0.6
    other = datasets.digits_on_photos(seed=1)
    assert np.array_equal(other.labels, data.labels)
    assert not np.array_equal(other.target, data.target)
    assert np.array_equal(data.data("counts")["target"], data.target)
    assert "no counts" in data.description


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, int)}, "labels has shape"),
        ({"background": np.zeros((2, 5), "f4")}, "background has shape"),
        ({"target": np.full((2, 4), np.nan, "f4")}, "missing or infinite"),
        ({"target": np.full((2, 4), -1, "f4")}, "negative"),
        ({"background": np.zeros((0, 4), "f4")}, "empty"),
    ],
)
def test_a_dataset_checks_itself(change, message):
    good = {
        "name": "toy",
        "target": np.ones((2, 4), "f4"),
        "background": np.ones((3, 4), "f4"),
        "labels": np.zeros(2, int),
        "feature_names": np.array(list("abcd")),
        "description": "",
    }
    assert datasets.Dataset(**good).data()["target"].shape == (2, 4)
    with pytest.raises(ValueError, match=message):
        datasets.Dataset(**(good | change))
    with pytest.raises(ValueError, match="scale must be"):
        datasets.Dataset(**good).data("raw")  # type: ignore[arg-type]
