"""Gradients in two nonnegative parts."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class GradientParts(eqx.Module):
    """A gradient ``positive - negative`` whose parts are nonnegative.

    They add, and scale; multiplying by a negative number swaps the parts. A contrast is such a
    multiplication: the background's misfit enters the basis with weight ``-a``, so what would pull
    the basis towards the background pushes it away.

    Attributes
    ----------
    positive, negative : Array
        The parts, of shapes that broadcast to the shape of the block (a part that is constant
        over features is kept as one column).
    """

    positive: Float[Array, ...]
    negative: Float[Array, ...]

    def __add__(self, other: GradientParts) -> GradientParts:
        return GradientParts(self.positive + other.positive, self.negative + other.negative)

    def __rmul__(self, c) -> GradientParts:
        size, keep = jnp.abs(c), jnp.asarray(c) >= 0
        return GradientParts(
            size * jnp.where(keep, self.positive, self.negative),
            size * jnp.where(keep, self.negative, self.positive),
        )

    @property
    def grad(self) -> Float[Array, ...]:
        """The gradient itself."""
        return self.positive - self.negative

    @property
    def ratio(self) -> Float[Array, ...]:
        """``negative / positive``, the factor of a multiplicative update.

        Where both parts vanish nothing pulls and the factor is 1. It is bounded by the inverse
        machine epsilon: a part that underflows must not write an infinity.
        """
        tiny, bound = jnp.finfo(self.positive.dtype).tiny, 1 / jnp.finfo(self.positive.dtype).eps
        return jnp.minimum((self.negative + tiny) / (self.positive + tiny), bound)
