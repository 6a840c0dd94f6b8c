"""The one idea: a gradient kept as two nonnegative halves."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array


class Split(eqx.Module):
    """A gradient ``pos - neg`` whose halves are nonnegative.

    Splits add, and scale; multiplying by a negative number swaps the halves. A contrast is such a
    multiplication: the background's misfit enters the basis with weight ``-a``, so what would pull
    the basis towards the background pushes it away.

    Attributes
    ----------
    pos, neg : Array
        The halves, of shapes that broadcast to the shape of the block (a half that is constant
        over features is kept as one column).
    """

    pos: Array
    neg: Array

    def __add__(self, other: Split) -> Split:
        return Split(self.pos + other.pos, self.neg + other.neg)

    def __rmul__(self, c) -> Split:
        size, keep = jnp.abs(c), jnp.asarray(c) >= 0
        return Split(
            size * jnp.where(keep, self.pos, self.neg), size * jnp.where(keep, self.neg, self.pos)
        )

    @property
    def grad(self) -> Array:
        """The gradient itself."""
        return self.pos - self.neg

    @property
    def ratio(self) -> Array:
        """``neg / pos``, the factor of a multiplicative update.

        Where both halves vanish nothing pulls and the factor is 1. It is bounded by the inverse
        machine epsilon: a half that underflows must not write an infinity.
        """
        tiny, bound = jnp.finfo(self.pos.dtype).tiny, 1 / jnp.finfo(self.pos.dtype).eps
        return jnp.minimum((self.neg + tiny) / (self.pos + tiny), bound)
