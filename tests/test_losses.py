"""Contracts of every loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bcnmf_jax as bj
from tests.tables import LOSSES

pytestmark = pytest.mark.usefixtures("x64")
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
SEEDS = st.integers(0, 2**32 - 1)


def chunk(seed, zeros=False, dtype=float):
    rng = np.random.default_rng(seed)
    x = rng.gamma(0.7, 2, (9, 7))
    if zeros:
        x = np.where(rng.random(x.shape) < 0.5, 0, x)
    h, w = rng.gamma(1, 1, (9, 3)), rng.gamma(1, 1, (3, 7))
    return [jnp.asarray(a, dtype) for a in (x, h, w)]


def weights(kind, seed):
    rng = np.random.default_rng(seed)
    shapes = {"none": None, "rows": (9, 1), "entries": (9, 7)}
    return None if shapes[kind] is None else jnp.asarray(rng.uniform(0, 2, shapes[kind]))


@each_loss
@pytest.mark.parametrize("kind", ["none", "rows", "entries"])
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_split_is_the_gradient(loss, kind, seed):
    (x, h, w), v = chunk(seed), weights(kind, seed)
    by_codes, by_basis = jax.grad(loss.value, argnums=(1, 2))(x, h, w, v)
    codes = loss.code_gradient(x, w, v)(h)
    basis = loss.basis_gradient(loss.statistics(x, h, w, v), w)
    for split, want in ((codes, by_codes), (basis, by_basis)):
        assert (split.positive >= 0).all() and (split.negative >= 0).all()
        np.testing.assert_allclose(
            jnp.broadcast_to(split.grad, want.shape), want, atol=1e-9 * float(abs(want).max())
        )


@each_loss
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_adds_over_rows(loss, seed):
    x, h, w = chunk(seed)
    parts = [(x[:4], h[:4]), (x[4:], h[4:])]
    np.testing.assert_allclose(
        loss.value(x, h, w), sum(loss.value(a, b, w) for a, b in parts), rtol=1e-10
    )
    one, two = (loss.statistics(a, b, w) for a, b in parts)
    whole = loss.statistics(x, h, w)
    for a, b, c in zip(*map(jax.tree.leaves, (whole, one, two)), strict=True):
        np.testing.assert_allclose(a, b + c, rtol=1e-10)


@each_loss
def test_finite_and_differentiable_at_zero(loss):
    x, h, w = chunk(1, zeros=True)
    h = h.at[0].set(0.0) if not isinstance(loss, bj.Beta) else h
    value, grads = jax.value_and_grad(loss.value, argnums=(1, 2))(x, h, w)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in grads)


@each_loss
def test_smallest_where_the_reconstruction_is_exact(loss):
    _, h, w = chunk(2)
    x = h @ w
    assert abs(loss.value(x, h, w)) < 1e-9
    assert loss.value(x, 1.1 * h, w) > 1e-4


@each_loss
def test_keeps_single_precision(loss):
    x, h, w = chunk(3, dtype=jnp.float32)
    assert loss.value(x, h, w).dtype == jnp.float32
    stats = loss.statistics(x, h, w)
    found = (loss.code_gradient(x, w)(h), loss.basis_gradient(stats, w), stats)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}


def test_weights_repeat_rows():
    x, h, w = chunk(4)
    twice = lambda a: jnp.concatenate([a, a[:3]])  # noqa: E731
    v = jnp.ones((9, 1)).at[:3].set(2.0)
    for loss in LOSSES.values():
        np.testing.assert_allclose(loss.value(x, h, w, v), loss.value(twice(x), twice(h), w))


def test_limits_agree():
    x, h, w = chunk(5)
    np.testing.assert_allclose(bj.Beta(2.0).value(x, h, w), bj.Frobenius().value(x, h, w))
    kl = bj.KL().value(x, h, w)
    np.testing.assert_allclose(bj.Beta(1 + 1e-6).value(x, h, w), kl, rtol=1e-4)
    np.testing.assert_allclose(bj.NegativeBinomial(1e-6).value(x, h, w), kl, rtol=1e-4)


@pytest.mark.parametrize("dispersion", [1e-6, 1e-4, 0.1, 10.0])
def test_negative_binomial_keeps_its_digits_in_single_precision(dispersion):
    x, mu = jnp.array([[3.0, 0.0, 40.0]]), jnp.array([[3.1, 0.1, 38.0]])
    loss = bj.NegativeBinomial(dispersion)
    single = loss.deviance(jnp.asarray(x, jnp.float32), jnp.asarray(mu, jnp.float32))
    double = loss.deviance(jnp.asarray(x), jnp.asarray(mu))
    np.testing.assert_allclose(single, double, rtol=5e-3, atol=2e-5)


def test_bounded_says_what_a_vanishing_reconstruction_costs():
    x = jnp.asarray([[2.0]])
    for loss in LOSSES.values():
        near, nearer = (float(loss.deviance(x, jnp.asarray([[m]]))[0, 0]) for m in (1e-8, 1e-14))
        assert loss.bounded == (nearer < 1.01 * near)


@pytest.mark.parametrize("bad", [np.nan, -1.0, 0.0, 1.0])
def test_beta_refuses(bad):
    with pytest.raises(ValueError, match=r"Beta\(b\)"):
        bj.Beta(bad)


def test_negative_binomial_refuses():
    with pytest.raises(ValueError, match="dispersion"):
        bj.NegativeBinomial(np.array([0.1, 0.0]))


@pytest.mark.parametrize("loss", [*LOSSES.values(), bj.NegativeBinomial(np.arange(1.0, 8) / 7)])
def test_of_some_features(loss):
    x, h, w = chunk(0)
    some, mu = jnp.asarray([5, 0, 2]), h @ w
    want = loss.deviance(x, mu)[:, some]
    found = jax.jit(lambda i: loss.of_features(i).deviance(x[:, i], mu[:, i]))(some)
    np.testing.assert_allclose(found, want, rtol=1e-12)
    assert type(loss.of_features(some)) is type(loss)


def test_a_dispersion_per_feature_of_other_features():
    x, h, w = chunk(0)
    for call in (bj.NegativeBinomial(np.ones(5)).value, bj.NegativeBinomial(np.ones(5)).statistics):
        with pytest.raises(ValueError, match="5 values for 7 features; give one"):
            call(x, h, w)
