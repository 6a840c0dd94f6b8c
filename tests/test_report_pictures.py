"""Where things lie in the pictures of a report."""

import numpy as np
import pytest

from bcnmf_jax.report._embedding import embed
from bcnmf_jax.report._pictures import Series, box, chart, ticks


def test_embedding_is_the_principal_components_whatever_the_order():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(6), 200)
    coordinates, axes = embed(shares, 4)
    roots = np.sqrt(shares[:, :4])
    values = np.linalg.svd(roots - roots.mean(0), compute_uv=False) ** 2
    np.testing.assert_allclose((coordinates**2).sum(0), values[:2], rtol=1e-9)
    assert f"{values[0] / values.sum():.0%}" in axes[0]
    order = rng.permutation(200)
    np.testing.assert_allclose(embed(shares[order], 4)[0], coordinates[order], atol=1e-12)


def test_embedding_of_one_program_takes_the_shared_components_then_a_spread():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    coordinates, axes = embed(shares, 1)
    assert "target" in axes[0] and "shared" in axes[1]
    assert abs(np.corrcoef(coordinates[:, 0], np.sqrt(shares[:, 0]))[0, 1]) == pytest.approx(1)
    coordinates, axes = embed(np.ones((50, 1)), 1)
    assert "without meaning" in axes[0] and np.isfinite(coordinates).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 4), (1e-9, 5e-9), (0.98, 0.981), (0, 7e6)])
def test_ticks_are_few_and_within(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-9 * high <= t <= high * (1 + 1e-9) for t in found)


@pytest.mark.parametrize(
    "values", [[np.nan, np.nan], [2.0, 2.0], [0.0, 0.0], [-1.0, np.inf], [1e-30, 2e-30]]
)
def test_charts_of_odd_values_have_finite_places(values):
    made = chart([Series("one", np.array(values))], ["a", "b"], "x", "y")
    (line,) = made.lines
    assert len(line.marks) == np.isfinite(values).sum()
    assert "nan" not in line.points and all(np.isfinite(y) for y, _ in made.y_ticks)


def test_boxes_are_in_order_and_within_the_axis():
    values = np.random.default_rng(0).gamma(0.5, 1, 500)
    made = box(values, 2.0)
    found = [made.low, made.first, made.median, made.third, made.high]
    assert sorted(found) == found and 0 <= found[0] and found[-1] <= 100
    assert made.median == pytest.approx(50 * np.median(values))
